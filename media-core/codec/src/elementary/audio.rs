//! Audio of transport streams: frames with sync words, or with control headers (Opus).

use bytes::{Bytes, BytesMut};
use nx_media::{AudioParams, Language, Params, VIDEO_TIMESCALE, rescale};

use super::{Frame, Item, Span, Unit};
use framing::{Framing, Head, Probe, Signature};

mod framing;

/// Most bytes that a reader keeps between two units; a longer frame is left out.
const CARRY_BYTES_MAX: usize = 64 * 1024;

/// What the program map says of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AudioFormat {
    /// AAC with ADTS headers, stream type 0x0f.
    AacAdts,
    /// AAC in LATM with LOAS sync words, stream type 0x11.
    AacLatm,
    /// MPEG-1 and MPEG-2 audio, stream types 0x03 and 0x04.
    Mpa,
    /// AC-3. The frames themselves say whether they are AC-3 or E-AC-3.
    Ac3,
    /// E-AC-3. The same reader as for AC-3.
    Eac3,
    /// Opus with the control headers of its mapping to transport streams.
    Opus {
        /// From the descriptor; 1 to 8.
        channels: u8,
    },
}

/// Cuts the units of one track into access units.
///
/// A frame is given as soon as its last byte is there. Frames are found by their headers; the first one, and
/// the first one after bytes that are none, only counts when another header follows or the unit ends with it.
#[derive(Debug)]
pub struct AudioReader {
    framing: Framing,
    language: Option<Language>,
    /// What of the units up to now is not a whole frame.
    carry: BytesMut,
    /// The carry is not looked at before it has so many bytes.
    need: usize,
    /// Times of units in which no frame began yet, by the unit's place in the carry.
    anchors: Vec<(usize, i64)>,
    clock: Clock,
    /// Payload bytes of all units so far.
    taken: u64,
    /// Of the parameters given last.
    signature: Option<Signature>,
    locked: bool,
    /// In a run of bytes that is counted already.
    skipping: bool,
    damaged: u64,
}

/// What the bytes begin with.
enum Next {
    /// Too little to tell, or a frame that ends behind so many bytes.
    Wait(usize),
    /// No frame.
    Skip,
    Frame(Head),
}

impl AudioReader {
    /// A reader before the first unit. `language` goes into the parameters.
    #[must_use]
    pub fn new(format: AudioFormat, language: Option<Language>) -> Self {
        Self {
            framing: Framing::new(format),
            language,
            carry: BytesMut::new(),
            need: 0,
            anchors: Vec::new(),
            clock: Clock::default(),
            taken: 0,
            signature: None,
            locked: false,
            skipping: false,
            damaged: 0,
        }
    }

    /// How often something was left out: each run of bytes that are no frame counts once, and so does each
    /// frame that stays without its end or cannot be read.
    #[must_use]
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Takes a unit and gives the frames that it completes. The unit's `pts` belongs to the first frame that
    /// begins in it, later frames follow by their durations; frames before the first known time are dropped.
    pub fn push(&mut self, unit: Unit, sink: &mut dyn FnMut(Item)) {
        self.push_spans(unit, &mut |item, _| sink(item));
    }

    /// As [`AudioReader::push`], and tells where frames lie. Those of LATM do not lie at whole bytes.
    pub fn push_spans(&mut self, unit: Unit, sink: &mut dyn FnMut(Item, Option<Span>)) {
        self.taken += unit.payload.len() as u64;
        if unit.discontinuity {
            self.give_up();
        }
        if let Some(pts) = unit.pts {
            let at = self.carry.len();
            self.anchors.retain(|&(begin, _)| begin < at);
            self.anchors.push((at, pts));
        }
        let data = if self.carry.is_empty() {
            unit.payload
        } else {
            self.carry.extend_from_slice(&unit.payload);
            if self.carry.len() < self.need {
                return;
            }
            self.carry.split().freeze()
        };
        let used = self.read(&data, sink);
        for (begin, _) in &mut self.anchors {
            *begin = begin.saturating_sub(used);
        }
        self.carry.extend_from_slice(data.get(used..).unwrap_or_default());
    }

    /// Reads whole frames; returns how many bytes are done with, and sets `need` for the rest.
    fn read(&mut self, data: &Bytes, sink: &mut dyn FnMut(Item, Option<Span>)) -> usize {
        let begin = self.taken.saturating_sub(data.len() as u64);
        let mut at = 0;
        loop {
            let rest = data.get(at..).unwrap_or_default();
            match self.next(rest) {
                Next::Wait(need) if rest.len() <= CARRY_BYTES_MAX => {
                    self.need = need;
                    return at;
                }
                Next::Wait(_) | Next::Skip => {
                    self.damage();
                    self.locked = false;
                    at += 1;
                }
                Next::Frame(head) => {
                    self.locked = true;
                    self.skipping = false;
                    self.anchor(at);
                    let end = at + head.len;
                    self.frame(head, &data.slice(at..end), begin + at as u64, sink);
                    at = end;
                }
            }
        }
    }

    fn next(&self, rest: &[u8]) -> Next {
        let head = match self.framing.probe(rest) {
            Probe::Frame(head) if head.len <= CARRY_BYTES_MAX => head,
            Probe::Short => return Next::Wait(0),
            _ => return Next::Skip,
        };
        let Some(behind) = rest.get(head.len..) else { return Next::Wait(head.len) };
        if self.locked || behind.is_empty() {
            return Next::Frame(head);
        }
        match self.framing.probe(behind) {
            Probe::Frame(second) if second.sample_rate == head.sample_rate => Next::Frame(head),
            Probe::Short => Next::Wait(0),
            _ => Next::Skip,
        }
    }

    /// The latest unit that begins at or before the frame at `at` tells its time, unless one began there before.
    fn anchor(&mut self, at: usize) {
        let begun = self.anchors.iter().take_while(|&&(begin, _)| begin <= at).count();
        if let Some((_, pts)) = self.anchors.drain(..begun).next_back() {
            self.clock.set(pts);
        }
    }

    fn frame(&mut self, mut head: Head, frame: &Bytes, at: u64, sink: &mut dyn FnMut(Item, Option<Span>)) {
        let Some(access_units) = self.framing.access_units(&mut head, frame) else {
            self.damaged += 1;
            return;
        };
        for payload in access_units {
            let dts = self.clock.next(head.samples, head.sample_rate);
            if payload.is_empty() {
                self.damaged += 1;
                continue;
            }
            let Some(dts) = dts else { continue };
            if self.signature.as_ref() != Some(&head.signature) {
                let Some(params) = self.framing.params(frame) else {
                    self.damaged += 1;
                    return;
                };
                self.signature = Some(head.signature.clone());
                sink(Item::Params(Params::Audio(AudioParams { language: self.language, ..params })), None);
            }
            let end = at + frame.len() as u64;
            let span = Span { begin: end.saturating_sub(payload.len() as u64), end, sets: false };
            let whole = !matches!(self.framing, Framing::Latm(_));
            sink(Item::Frame(Frame { dts, cts: 0, key: true, payload }), whole.then_some(span));
        }
    }

    /// Bytes were lost: nothing before connects to what comes.
    fn give_up(&mut self) {
        if !self.carry.is_empty() {
            self.damage();
        }
        self.carry.clear();
        self.need = 0;
        self.anchors.clear();
        self.clock = Clock::default();
        self.locked = false;
    }

    fn damage(&mut self) {
        self.damaged += u64::from(!self.skipping);
        self.skipping = true;
    }
}

/// Time by counting samples from the last time that the stream stated, so that no rounding adds up.
#[derive(Debug, Default)]
struct Clock {
    /// 90 kHz.
    anchor: Option<i64>,
    /// Since the anchor.
    samples: i64,
    sample_rate: u32,
}

impl Clock {
    fn set(&mut self, pts: i64) {
        self.anchor = Some(pts);
        self.samples = 0;
    }

    /// Time of a frame, and moves on by its length.
    fn next(&mut self, samples: u32, sample_rate: u32) -> Option<i64> {
        if sample_rate != self.sample_rate {
            if let Some(now) = self.now() {
                self.set(now);
            }
            self.sample_rate = sample_rate;
        }
        let now = self.now();
        self.samples = self.samples.saturating_add(samples.into());
        now
    }

    /// Rounded to the nearest tick.
    fn now(&self) -> Option<i64> {
        let ticks = rescale(self.samples, self.sample_rate, VIDEO_TIMESCALE);
        self.anchor.map(|anchor| anchor.saturating_add(ticks))
    }
}

#[cfg(test)]
mod tests;
