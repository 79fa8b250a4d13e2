//! H.264 and H.265 byte streams: access units with 4-byte NAL lengths out of PES packets.
//!
//! Spec: ISO/IEC 13818-1 §2.14 and §2.17 (carriage), ISO/IEC 14496-10 §7.4.1.2.3 and ISO/IEC 23008-2
//! §7.4.2.4.4 (where an access unit begins).

mod clock;
mod nal;
mod scan;
mod sets;

use bytes::Bytes;
use nx_media::{Params, VIDEO_TIMESCALE, VideoCodec};

use self::clock::{Clock, Time};
use self::nal::{Role, role};
use self::scan::{Found, Scanner};
use self::sets::{Renewed, Sets};
use super::{Frame, Item, Span, Unit};
use crate::annexb::START_CODE_LEN;

/// Largest access unit that a [`VideoReader`] puts together, in bytes; a larger one is dropped and counted.
pub const AU_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Payload of a PES packet that is as long as its 16-bit length can state; the header takes up to 258 bytes.
const PES_FULL: std::ops::RangeInclusive<usize> = 65_535 - 258..=65_535;

/// Reads the byte stream of one H.264 or H.265 track.
///
/// A [`Unit`] with a presentation time is taken for whole: its last access unit comes out at once. A unit
/// without one continues what is open, and its last access unit waits for the next one to begin or for
/// [`VideoReader::flush`]. It waits, too, behind a unit as long as the length of a PES packet can state. When
/// a unit goes on with a picture that came out already, that picture is counted as damaged, and from then on
/// each one waits for the next.
///
/// Delimiters are left out; SEI and slices stay as they are. Parameter sets move into the configuration,
/// which is brought up to date in front of key frames; sets that change between them stay in the frames.
/// In H.264 a key frame is also an intra picture with a recovery point that needs no other picture.
#[derive(Debug)]
pub struct VideoReader {
    codec: VideoCodec,
    scanner: Scanner,
    /// Of the latest unit, until an access unit takes it.
    time: Option<Time>,
    state: State,
    au: AccessUnit,
    /// Access units reach over units.
    spans: bool,
    sets: Sets,
    /// A decoder that read all frames may have other sets than the configuration.
    drift: bool,
    clock: Clock,
    damaged: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Waiting for an access unit to begin.
    Lost,
    /// As [`State::Lost`], behind one that came out with the end of its unit.
    Ended,
    /// NAL units join the access unit.
    Open,
}

/// The access unit being put together; NAL units with 4-byte lengths.
#[derive(Debug, Default)]
struct AccessUnit {
    time: Option<Time>,
    /// Parameter sets.
    sets: Vec<u8>,
    /// All others.
    data: Vec<u8>,
    has_slice: bool,
    key: bool,
    /// A recovery point says that the output is right from here on, if no slice is predicted.
    recovery: bool,
    inter: bool,
    /// Where its first NAL unit is, and the end of its last one.
    begin: u64,
    end: u64,
}

/// Takes items, and where the frames among them lie.
type Sink<'a> = dyn FnMut(Item, Option<Span>) + 'a;

impl VideoReader {
    /// Reader of a track; any codec but [`VideoCodec::Hevc`] is read as H.264.
    #[must_use]
    pub fn new(codec: VideoCodec) -> Self {
        Self {
            codec,
            scanner: Scanner::default(),
            time: None,
            state: State::Lost,
            au: AccessUnit::default(),
            spans: false,
            sets: Sets::new(codec),
            drift: false,
            clock: Clock::default(),
            damaged: 0,
        }
    }

    /// What was given up so far: access units that were cut, too large or without any time, and parameter
    /// sets that do not parse.
    #[must_use]
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Takes the next unit and gives what it completes to `sink`.
    pub fn push(&mut self, unit: Unit, sink: &mut dyn FnMut(Item)) {
        self.push_spans(unit, &mut |item, _| sink(item));
    }

    /// As [`VideoReader::push`], and tells where frames lie.
    pub fn push_spans(&mut self, unit: Unit, sink: &mut Sink<'_>) {
        if unit.discontinuity {
            self.give_up();
            self.time = None;
            self.clock.lose();
        }
        let time = unit.pts.map(|pts| Time { pts, dts: unit.dts.unwrap_or(pts) });
        let whole = time.is_some() && !self.spans && !PES_FULL.contains(&unit.payload.len());
        self.scan(&unit.payload, time, whole, sink);
        if whole {
            self.finish(State::Ended, sink);
            // Without a picture so far: that of the next unit may come with a time of its own.
            self.time = self.time.or_else(|| self.au.time.take());
        }
        if self.scanner.held() + self.au.len() > AU_BYTES_MAX {
            self.give_up();
        }
    }

    /// Gives out what is still open; the stream ends here.
    pub fn flush(&mut self, sink: &mut dyn FnMut(Item)) {
        self.flush_spans(&mut |item, _| sink(item));
    }

    /// As [`VideoReader::flush`], and tells where frames lie.
    pub fn flush_spans(&mut self, sink: &mut Sink<'_>) {
        self.scan(&[], None, true, sink);
        self.finish(State::Lost, sink);
        self.give_up();
    }

    fn scan(&mut self, piece: &[u8], mut time: Option<Time>, last: bool, sink: &mut Sink<'_>) {
        let mut scanner = std::mem::take(&mut self.scanner);
        scanner.push(piece, last, &mut |found| match found {
            Found::Nal { nal, earlier, at } => {
                // The time is that of the first access unit that begins in the piece.
                if !earlier {
                    self.time = time.take().or(self.time);
                }
                self.nal(nal, at, sink);
            }
            Found::Stray => self.stray(),
        });
        self.scanner = scanner;
        self.time = time.or(self.time);
    }

    /// Drops the access unit that is open.
    fn give_up(&mut self) {
        self.damaged += u64::from(self.au.has_slice || self.scanner.held() > START_CODE_LEN);
        self.au = AccessUnit::default();
        self.scanner.clear();
        self.state = State::Lost;
    }

    /// Bytes that continue a picture, but none is open.
    fn stray(&mut self) {
        if self.state == State::Ended {
            self.state = State::Lost;
            self.spans = true;
            self.damaged += 1;
        }
    }

    fn nal(&mut self, nal: &[u8], at: u64, sink: &mut Sink<'_>) {
        let role = role(self.codec, nal);
        let may_begin = match role {
            Role::Foreign => return,
            Role::Suffix => false,
            Role::Slice { first, .. } => first,
            Role::Delimiter | Role::Set | Role::Prefix { .. } => true,
        };
        if may_begin && (self.state != State::Open || self.au.has_slice) {
            self.finish(State::Open, sink);
            self.state = State::Open;
            self.au.time = self.time.take();
            self.au.begin = at;
        }
        if self.state != State::Open {
            if matches!(role, Role::Slice { .. }) {
                self.stray();
            }
            return;
        }
        if self.au.len() + nal.len() > AU_BYTES_MAX {
            return self.drop_open();
        }
        self.au.end = at + (START_CODE_LEN + nal.len()) as u64;
        match role {
            Role::Delimiter | Role::Foreign => (),
            Role::Set => match self.sets.put(nal) {
                Some(()) => put(&mut self.au.sets, nal),
                None => self.damaged += 1,
            },
            Role::Prefix { recovery } => {
                self.au.recovery |= recovery;
                put(&mut self.au.data, nal);
            }
            Role::Slice { first, key, inter } => {
                if !first && !self.au.has_slice {
                    return self.drop_open();
                }
                if !self.au.has_slice {
                    self.au.time = self.au.time.or_else(|| self.time.take());
                }
                self.au.has_slice = true;
                self.au.key |= key;
                self.au.inter |= inter;
                put(&mut self.au.data, nal);
            }
            Role::Suffix => put(&mut self.au.data, nal),
        }
    }

    /// Drops the access unit, but not the bytes behind it.
    fn drop_open(&mut self) {
        self.au = AccessUnit::default();
        self.state = State::Lost;
        self.damaged += 1;
    }

    /// Gives out the access unit, unless no picture is in it yet.
    fn finish(&mut self, next: State, sink: &mut Sink<'_>) {
        if !self.au.has_slice {
            return;
        }
        self.state = next;
        let au = std::mem::take(&mut self.au);
        let key = au.key || (au.recovery && !au.inter);
        let Some((dts, cts)) = self.clock.next(au.time) else {
            self.damaged += 1;
            return;
        };
        if self.sets.changed() && (key || !self.sets.known()) {
            self.renew(sink);
        }
        if !self.sets.known() {
            return;
        }
        let keep = self.drift || self.sets.changed();
        // A key frame brings all sets that a decoder needs, in it or in the configuration.
        self.drift = keep && !key;
        let span = Span { begin: au.begin, end: au.end, sets: keep };
        sink(Item::Frame(Frame { dts, cts, key, payload: au.payload(keep) }), Some(span));
    }

    fn renew(&mut self, sink: &mut Sink<'_>) {
        match self.sets.renew() {
            Renewed::New(params) => {
                self.drift = false;
                if let Some(rate) = params.frame_rate {
                    self.clock.expect(rate.frame_ticks(VIDEO_TIMESCALE).into());
                }
                sink(Item::Params(Params::Video(params)), None);
            }
            Renewed::Same => (),
            Renewed::Unusable => self.damaged += 1,
        }
    }
}

impl AccessUnit {
    fn len(&self) -> usize {
        self.sets.len() + self.data.len()
    }

    fn payload(self, with_sets: bool) -> Bytes {
        let Self { mut sets, data, .. } = self;
        if with_sets && !sets.is_empty() {
            sets.extend_from_slice(&data);
            return sets.into_boxed_slice().into();
        }
        data.into_boxed_slice().into()
    }
}

/// The payload of the access unit that a byte stream holds, as [`VideoReader`] gives it: `with_sets` as its
/// [`Span::sets`].
#[must_use]
pub fn access_unit(codec: VideoCodec, stream: &[u8], with_sets: bool) -> Bytes {
    let mut au = AccessUnit::default();
    for nal in crate::annexb::nals(stream) {
        match role(codec, nal) {
            Role::Delimiter | Role::Foreign => (),
            Role::Set if sets::id(codec, nal).is_some() => put(&mut au.sets, nal),
            Role::Set => (),
            Role::Prefix { .. } | Role::Slice { .. } | Role::Suffix => put(&mut au.data, nal),
        }
    }
    au.payload(with_sets)
}

fn put(out: &mut Vec<u8>, nal: &[u8]) {
    // At most AU_BYTES_MAX.
    let len = u32::try_from(nal.len()).unwrap_or(u32::MAX);
    out.reserve(nal.len() + 4);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(nal);
}

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;
