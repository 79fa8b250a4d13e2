//! One stream's ladder: decoded once, scaled and coded by a thread for each rung.
//!
//! The thread that reads requests decodes, and codes sound. It hands each picture to the rungs that are on, through
//! queues of [`QUEUE`] pictures: when one is full it waits, so that the origin's writes wait in turn.

mod coded;
mod draw;
mod encoder;
mod pictures;
mod rung;
pub(crate) mod slate;
mod sound;
mod times;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
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

/// Where replies go, from any thread: each in one piece.
#[derive(Clone)]
pub(crate) struct Out(Arc<Mutex<File>>);

impl Out {
    /// The standard output, without the buffer that looks for lines in it.
    pub(crate) fn new() -> io::Result<Self> {
        let output = io::stdout().as_fd().try_clone_to_owned()?;
        Ok(Self(Arc::new(Mutex::new(output.into()))))
    }

    pub(crate) fn say(&self, reply: &Reply) -> io::Result<()> {
        let frame = reply.write().map_err(io::Error::other)?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(&frame)
    }

    fn refuse(&self, outputs: &[u8], why: &Why) -> io::Result<()> {
        let refused = |output: &u8| Reply::Refused { output: *output, why: why.to_string() };
        outputs.iter().map(refused).try_for_each(|reply| self.say(&reply))
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
    /// Outputs whose source is missing or cannot be decoded are refused.
    pub(crate) fn new(ladder: Ladder, out: &Out) -> io::Result<Self> {
        let Ladder { video, audio, filters, outputs } = ladder;
        let (mut rungs, mut sounds) = (Vec::new(), Vec::new());
        for (index, output) in (0..).zip(outputs) {
            match output {
                Output::Rung(rung) => rungs.push((index, rung)),
                Output::Sound(sound) => sounds.push((index, sound)),
            }
        }
        let timescale = audio.as_ref().map_or(1, |audio| audio.sample_rate);
        let video = video.ok_or("the source has no picture");
        let pictures = begin(video, rungs, out, |video, rungs| Pictures::new(&video, filters, rungs, out))?;
        let audio = audio.ok_or("the source has no sound");
        let sounds = begin(audio, sounds, out, |audio, sounds| Sounds::new(&audio, sounds, out))?;
        Ok(Self { pictures, sounds, timescale, out: out.clone(), taken: i64::MIN, told: None })
    }

    /// The next sample of the source.
    pub(crate) fn take(&mut self, kind: Kind, sample: &Sample) -> io::Result<()> {
        // Of a source with both the picture tells the time: its samples are the later ones to be coded.
        let pts = match kind {
            Kind::Video => {
                go_on(&mut self.pictures, Pictures::outputs, &self.out, |pictures| pictures.take(sample))?;
                self.pictures.is_some().then_some(sample.pts)
            }
            Kind::Audio => {
                go_on(&mut self.sounds, Sounds::outputs, &self.out, |sounds| sounds.take(sample))?;
                let alone = self.pictures.is_none() && self.sounds.is_some();
                alone.then(|| rescale(sample.pts, self.timescale, VIDEO_TIMESCALE))
            }
        };
        let Some(pts) = pts else { return Ok(()) };
        self.taken = self.taken.max(pts);
        if self.told.is_none_or(|told| self.taken.saturating_sub(told) >= TOLD_90K) {
            self.told = Some(self.taken);
            self.out.say(&Reply::Load(self.load()))?;
        }
        Ok(())
    }

    fn load(&self) -> Load {
        let (pictures, sounds) = (self.pictures.as_ref(), self.sounds.as_ref());
        // Sound that pauses is no lag of a picture.
        let coded = pictures.map_or_else(|| sounds.and_then(Sounds::coded), Pictures::coded);
        let used = clock_gettime(ClockId::ProcessCPUTime);
        let used_us = used.tv_sec.saturating_mul(1_000_000).saturating_add(used.tv_nsec / 1000);
        Load {
            frames: pictures.map_or(0, Pictures::frames),
            damaged: pictures.map_or(0, Pictures::damaged) + sounds.map_or(0, Sounds::damaged),
            cpu_us: u64::try_from(used_us).unwrap_or(0),
            taken: self.taken,
            coded: coded.unwrap_or(self.taken).min(self.taken),
        }
    }

    /// Whether somebody wants an output.
    pub(crate) fn want(&mut self, output: u8, on: bool) -> io::Result<()> {
        if let Some(pictures) = &mut self.pictures {
            pictures.want(output, on);
        }
        go_on(&mut self.sounds, Sounds::outputs, &self.out, |sounds| sounds.want(output, on))
    }

    /// Codes everything that is in it; what follows begins anew.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        go_on(&mut self.pictures, Pictures::outputs, &self.out, Pictures::flush)?;
        go_on(&mut self.sounds, Sounds::outputs, &self.out, Sounds::flush)?;
        (self.taken, self.told) = (i64::MIN, None);
        Ok(())
    }
}

/// Begins what makes these outputs of a source; when it cannot be, they are refused.
fn begin<Source, Output, Maker>(
    source: Result<Source, &'static str>,
    outputs: Vec<(u8, Output)>,
    out: &Out,
    make: impl FnOnce(Source, Vec<(u8, Output)>) -> Result<Maker, Why>,
) -> io::Result<Option<Maker>> {
    let indices: Vec<u8> = outputs.iter().map(|(index, _)| *index).collect();
    if indices.is_empty() {
        return Ok(None);
    }
    match source.map_err(Why::from).and_then(|source| make(source, outputs)) {
        Ok(maker) => Ok(Some(maker)),
        Err(why) => out.refuse(&indices, &why).map(|()| None),
    }
}

/// A step of what makes outputs; when it breaks, it is over, and those that it still had are refused.
fn go_on<Maker>(
    maker: &mut Option<Maker>,
    outputs: fn(&Maker) -> Vec<u8>,
    out: &Out,
    step: impl FnOnce(&mut Maker) -> Result<(), Why>,
) -> io::Result<()> {
    let Some(made) = maker else { return Ok(()) };
    let Err(why) = step(made) else { return Ok(()) };
    let lost = outputs(made);
    *maker = None;
    out.refuse(&lost, &why)
}
