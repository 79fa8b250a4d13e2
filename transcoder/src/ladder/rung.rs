//! A rung: a thread that scales and codes, and what the thread that decodes knows of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use ffmpeg_next::Packet;
use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame::Video;
use ffmpeg_next::util::picture;
use nx_media::{FrameRate, Sample, VIDEO_TIMESCALE};
use nx_worker_protocol::{Reply, Rung, Slate};

use super::coded::{Coded, Reader};
use super::encoder::Encoder;
use super::times::Stamp;
use super::{Out, QUEUE};
use crate::graph::Fit;
use crate::sheet::Why;
use crate::turn::{Turn, inside};

/// Pixels by which a size may miss the source's shape, so that it is even.
const ROUNDING: u32 = 2;

/// What the thread that decodes knows of a rung.
pub(crate) struct Desk {
    task: Task,
    state: State,
    /// Of two pictures that one is left out which this tells.
    skip: bool,
}

enum State {
    Off,
    /// For a key frame.
    Waiting,
    On(Worker),
    Refused,
}

struct Worker {
    queue: SyncSender<(Video, Stamp)>,
    /// Whether it came to its end.
    thread: JoinHandle<bool>,
    coded: Arc<AtomicI64>,
}

/// What a rung's thread is told.
#[derive(Clone)]
struct Task {
    index: u8,
    rung: Rung,
    /// Of the rung.
    frame_rate: FrameRate,
    out: Out,
}

impl Desk {
    pub(crate) fn new(index: u8, rung: Rung, source: FrameRate, out: &Out) -> Self {
        let den = if rung.halved { source.den.saturating_mul(2) } else { source.den };
        let frame_rate = FrameRate { den, ..source };
        let task = Task { index, rung, frame_rate, out: out.clone() };
        Self { task, state: State::Waiting, skip: false }
    }

    pub(crate) fn index(&self) -> u8 {
        self.task.index
    }

    pub(crate) fn is_on(&self) -> bool {
        matches!(self.state, State::Waiting | State::On(_))
    }

    pub(crate) fn is_refused(&self) -> bool {
        matches!(self.state, State::Refused)
    }

    /// Up to where it is coded; `None` when nothing of it is under way.
    pub(crate) fn coded(&self) -> Option<i64> {
        match &self.state {
            State::On(worker) => Some(worker.coded.load(Ordering::Relaxed)),
            _ => None,
        }
    }

    pub(crate) fn want(&mut self, on: bool) {
        match (on, &self.state) {
            (true, State::Off) => self.state = State::Waiting,
            (false, State::Waiting | State::On(_)) => {
                self.end_run();
                if self.is_on() {
                    self.state = State::Off;
                }
            }
            _ => (),
        }
    }

    /// Has it code what it has, and waits until it did.
    pub(crate) fn end_run(&mut self) {
        let state = std::mem::replace(&mut self.state, State::Refused);
        let State::On(worker) = state else {
            self.state = state;
            return;
        };
        drop(worker.queue);
        if worker.thread.join().unwrap_or(false) {
            self.state = State::Waiting;
        }
    }

    /// A picture; waits while the queue is full.
    pub(crate) fn take(&mut self, frame: Video, mut stamp: Stamp) {
        if stamp.key && matches!(self.state, State::Waiting) {
            self.state = self.task.start(stamp.pts);
        }
        let State::On(worker) = &self.state else { return };
        if self.task.rung.halved {
            self.skip = !stamp.key && !self.skip;
            if self.skip {
                return;
            }
            stamp.durations[0] = stamp.durations[1];
        }
        if worker.queue.send((frame, stamp)).is_err() {
            self.end_run();
        }
    }
}

/// No word of a ladder comes after that it is over.
impl Drop for Desk {
    fn drop(&mut self) {
        self.end_run();
    }
}

impl Task {
    fn start(&self, pts: i64) -> State {
        let (queue, jobs) = sync_channel(QUEUE);
        let coded = Arc::new(AtomicI64::new(pts));
        let (task, told) = (self.clone(), coded.clone());
        match thread::Builder::new().name(format!("rung {}", self.index)).spawn(move || task.run(jobs, told))
        {
            Ok(thread) => State::On(Worker { queue, thread, coded }),
            Err(error) => {
                // Without a way to say so the thread that reads ends as well.
                let _ = self.out.refuse(&[self.index], &error.into());
                State::Refused
            }
        }
    }

    /// Codes what comes until nothing more does; whether it came to its end.
    fn run(self, jobs: Receiver<(Video, Stamp)>, told: Arc<AtomicI64>) -> bool {
        let (index, out) = (self.index, self.out.clone());
        let mut maker = Maker::new(self, told);
        let made = jobs.into_iter().try_for_each(|(frame, stamp)| maker.take(&frame, stamp));
        let made = made.and_then(|()| maker.end());
        if let Err(why) = &made {
            let _ = out.refuse(&[index], why);
        }
        made.is_ok()
    }
}

/// Codes a picture that stands, as output 0.
pub(super) fn stand(slate: &Slate, picture: &Video, out: &Out) -> Result<(), Why> {
    let Slate { rung, frame_rate, frames, .. } = slate;
    let task = Task { index: 0, rung: rung.clone(), frame_rate: *frame_rate, out: out.clone() };
    let mut maker = Maker::new(task, Arc::default());
    let frame = i64::from(frame_rate.den) * i64::from(VIDEO_TIMESCALE);
    let at = |nth: u16| i64::from(nth) * frame / i64::from(frame_rate.num.max(1));
    for nth in 0..*frames {
        let duration = u32::try_from(at(nth + 1) - at(nth)).ok();
        let stamp = Stamp { pts: at(nth), key: nth == 0, durations: [duration, None] };
        maker.take(&picture.clone(), stamp)?;
    }
    maker.end()
}

/// Scales and codes.
struct Maker {
    task: Task,
    scaler: Fit,
    encoder: Option<Encoder>,
    reader: Reader,
    /// Of the pictures that are in the encoder.
    inside: VecDeque<Stamp>,
    told: Arc<AtomicI64>,
}

impl Maker {
    fn new(task: Task, told: Arc<AtomicI64>) -> Self {
        let reader = Reader::new(task.rung.codec);
        Self { task, scaler: Fit::default(), encoder: None, reader, inside: VecDeque::new(), told }
    }

    fn take(&mut self, frame: &Video, stamp: Stamp) -> Result<(), Why> {
        if stamp.key && self.encoder.as_ref().is_some_and(Encoder::is_for_one_gop) {
            self.end()?;
            self.encoder = None;
        }
        let Task { rung, frame_rate, .. } = &self.task;
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            none => none.insert(Encoder::open(rung, *frame_rate, frame)?),
        };
        let chain = self.scaler.to(frame, false, || scaling(rung, encoder.format(), frame), 1)?;
        chain.push(frame)?;
        let mut scaled = Video::empty();
        if !chain.pull(0, &mut scaled)? {
            return Err("the scaler gave nothing".into());
        }
        scaled.set_pts(Some(stamp.pts));
        scaled.set_kind(if stamp.key { picture::Type::I } else { picture::Type::None });
        self.inside.push_back(stamp);
        encoder.send(Some(&scaled))?;
        self.drain()
    }

    fn end(&mut self) -> Result<(), Why> {
        if let Some(encoder) = &mut self.encoder {
            encoder.send(None)?;
        }
        self.drain()
    }

    fn drain(&mut self) -> Result<(), Why> {
        let Some(encoder) = &mut self.encoder else { return Ok(()) };
        let (index, mut packet) = (self.task.index, Packet::empty());
        while encoder.give(&mut packet)? {
            let stamp = self.inside.pop_front().filter(|stamp| packet.pts() == Some(stamp.pts));
            let Stamp { pts, key, durations: [duration, _] } =
                stamp.ok_or("the encoder reorders pictures")?;
            let Coded { config, sample } = self.reader.read(packet.data().unwrap_or_default(), pts)?;
            if sample.key != key {
                return Err("the encoder does not set key frames where it is told to".into());
            }
            if let Some(config) = config {
                let encoder = encoder.name().to_owned();
                self.task.out.say(&Reply::Opened { output: index, config, encoder })?;
            }
            self.task.out.say(&Reply::Coded { output: index, sample: Sample { duration, ..sample } })?;
            self.told.store(pts, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Turned as it is shown, with square pixels; what does not have the rung's shape gets black edges.
fn scaling(rung: &Rung, format: Pixel, frame: &Video) -> Result<String, Why> {
    let turn = Turn::of(frame);
    let (width, height) = (u32::from(rung.width), u32::from(rung.height));
    let (wide, high) = inside((width, height), turn.shape(frame));
    let format = format.descriptor().ok_or("no such pixels")?.name();
    let scale = "flags=bicubic:out_range=limited:threads=1";
    let turned = turn.filter();
    // What is only rounded to even numbers fills the rung.
    let fitted = if width.abs_diff(wide) <= ROUNDING && height.abs_diff(high) <= ROUNDING {
        format!("scale={width}:{height}:{scale}")
    } else {
        format!("scale={wide}:{high}:{scale},pad={width}:{height}:-1:-1")
    };
    Ok(format!("[in]{turned}{fitted},setsar=1,format={format}[out0]"))
}
