//! One stream's ladder: decoded once, scaled and coded by a thread for each rung.
//!
//! The thread that reads requests decodes, and codes sound. It hands each picture to the rungs that are on, through
//! queues of [`QUEUE`] pictures: when one is full it waits, so that the origin's writes wait in turn.

mod coded;
mod draw;
mod encoder;
mod pictures;
mod rung;
mod sound;
mod times;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use nx_media::{Kind, Sample, VIDEO_TIMESCALE, rescale};
use nx_worker_protocol::{Ladder, Load, Output, Reply};
use rustix::time::{ClockId, clock_gettime};

use crate::sheet::Why;
use pictures::Pictures;
use sound::Sounds;

/// Pictures that wait for a rung.
const QUEUE: usize = 2;
/// How often the origin is told how far it is, in 90 kHz of the stream.
const TOLD_90K: i64 = VIDEO_TIMESCALE as i64;

/// Where replies go, from any thread.
#[derive(Clone)]
pub(crate) struct Out(Arc<Mutex<io::Stdout>>);

impl Out {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(io::stdout())))
    }

    pub(crate) fn say(&self, reply: &Reply) -> io::Result<()> {
        let frame = reply.write().map_err(io::Error::other)?;
        let mut out = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        io::Write::write_all(&mut *out, &frame)?;
        io::Write::flush(&mut *out)
    }

    fn refuse(&self, output: u8, why: &Why) -> io::Result<()> {
        self.say(&Reply::Refused { output, why: why.to_string() })
    }
}

/// A ladder that is being made.
pub(crate) struct Engine {
    pictures: Option<Pictures>,
    sounds: Option<Sounds>,
    /// Of the source's sound.
    timescale: u32,
    out: Out,
    taken: i64,
    told: Option<i64>,
}

impl Engine {
    /// Refuses outputs that have no source, and fails when a source cannot be decoded at all.
    pub(crate) fn new(ladder: Ladder, out: &Out) -> Result<Self, Why> {
        let Ladder { video, audio, filters, outputs } = ladder;
        let (mut rungs, mut sounds) = (Vec::new(), Vec::new());
        for (index, output) in (0..).zip(outputs) {
            match output {
                Output::Rung(rung) if video.is_some() => rungs.push((index, rung)),
                Output::Sound(sound) if audio.is_some() => sounds.push((index, sound)),
                Output::Rung(_) => out.refuse(index, &"the source has no picture".into())?,
                Output::Sound(_) => out.refuse(index, &"the source has no sound".into())?,
            }
        }
        let timescale = audio.as_ref().map_or(1, |audio| audio.sample_rate);
        let pictures = video.filter(|_| !rungs.is_empty());
        let pictures = pictures.map(|video| Pictures::new(&video, filters, rungs, out)).transpose()?;
        let audio = audio.filter(|_| !sounds.is_empty());
        let sounds = audio.map(|audio| Sounds::new(&audio, sounds, out)).transpose()?;
        Ok(Self { pictures, sounds, timescale, out: out.clone(), taken: i64::MIN, told: None })
    }

    /// The next sample of the source.
    pub(crate) fn take(&mut self, kind: Kind, sample: &Sample) -> Result<(), Why> {
        let pts = match (kind, &mut self.pictures, &mut self.sounds) {
            (Kind::Video, Some(pictures), _) => {
                pictures.take(sample)?;
                sample.pts
            }
            (Kind::Audio, pictures, Some(sounds)) => {
                sounds.take(sample)?;
                let pts = rescale(sample.pts, self.timescale, VIDEO_TIMESCALE);
                if pictures.is_some() { self.taken } else { pts }
            }
            _ => return Ok(()),
        };
        self.taken = self.taken.max(pts);
        // Times that jump back begin to be told anew.
        let due = |told: i64| self.taken.saturating_sub(told).unsigned_abs() >= TOLD_90K.unsigned_abs();
        if self.told.is_none_or(due) && self.taken > i64::MIN {
            self.told = Some(self.taken);
            self.out.say(&Reply::Load(self.load()))?;
        }
        Ok(())
    }

    fn load(&self) -> Load {
        let (pictures, sounds) = (self.pictures.as_ref(), self.sounds.as_ref());
        let behind = [pictures.and_then(Pictures::coded), sounds.and_then(Sounds::coded)];
        let used = clock_gettime(ClockId::ProcessCPUTime);
        let used_us = used.tv_sec.saturating_mul(1_000_000).saturating_add(used.tv_nsec / 1000);
        Load {
            frames: pictures.map_or(0, Pictures::frames),
            damaged: pictures.map_or(0, Pictures::damaged) + sounds.map_or(0, Sounds::damaged),
            cpu_us: u64::try_from(used_us).unwrap_or(0),
            taken: self.taken,
            coded: behind.into_iter().flatten().min().unwrap_or(self.taken).min(self.taken),
        }
    }

    /// Whether somebody wants an output.
    pub(crate) fn want(&mut self, output: u8, on: bool) -> Result<(), Why> {
        if let Some(pictures) = &mut self.pictures {
            pictures.want(output, on);
        }
        self.sounds.as_mut().map_or(Ok(()), |sounds| sounds.want(output, on))
    }

    /// Codes everything that is in it; what follows begins anew.
    pub(crate) fn flush(&mut self) -> Result<(), Why> {
        if let Some(pictures) = &mut self.pictures {
            pictures.flush()?;
        }
        if let Some(sounds) = &mut self.sounds {
            sounds.flush()?;
        }
        (self.taken, self.told) = (i64::MIN, None);
        Ok(())
    }
}
