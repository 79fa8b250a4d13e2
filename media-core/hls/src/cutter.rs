//! Collects the samples of one track and closes its parts.

use std::sync::Arc;

use bytes::Bytes;
use nx_container::fmp4::{self, EventMessage};
use nx_media::{Kind, Params, Sample, TrackId, rescale};

use crate::daterange::DateRange;
use crate::event::Part;
use crate::sealing::Sealing;

/// Samples in one part at most, whatever their durations say.
const SAMPLES_MAX: usize = 512;
/// Bytes of event messages that wait for a part; further ones are left out.
const MESSAGES_BYTES_MAX: usize = 16 << 10;
/// Bits of a fragment's sequence number that count the parts of a segment.
const PARTS_BITS: u32 = 10;

/// The open part and segment of one track.
#[derive(Debug)]
pub(crate) struct Cutter {
    id: TrackId,
    params: Params,
    kind: Kind,
    timescale: u32,
    /// Unix time of presentation time 0, milliseconds.
    wall_at_zero_ms: i64,
    /// Longest part, ticks.
    part_max: u64,
    /// Length of a frame when the next one's is not known, ticks.
    last_duration: u64,
    samples: Vec<Sample>,
    held: u64,
    /// Waits for the next sample to learn its duration.
    pending: Option<Sample>,
    pub(crate) segment: Option<OpenSegment>,
    sealing: Option<Arc<Sealing>>,
    /// Where the newest sample ends, ticks.
    end: Option<i64>,
    /// What stands in front of the next part: event messages, then the clock.
    messages: Vec<u8>,
    /// Id of the last one: a section can hold several cues.
    message_id: Option<u32>,
}

/// Segment that is being filled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpenSegment {
    pub(crate) msn: u64,
    pub(crate) parts: u32,
    pub(crate) duration: u64,
    samples: u32,
}

impl Cutter {
    pub(crate) fn new(id: TrackId, params: &Params, part_target_us: u32, wall_at_zero_ms: i64) -> Self {
        let (kind, timescale) = (params.kind(), params.timescale());
        let part_max = u64::from(part_target_us) * u64::from(timescale) / 1_000_000;
        Self {
            id,
            params: params.clone(),
            kind,
            timescale,
            wall_at_zero_ms,
            part_max,
            last_duration: 0,
            samples: Vec::new(),
            held: 0,
            pending: None,
            segment: None,
            sealing: None,
            end: None,
            messages: Vec::new(),
            message_id: None,
        }
    }

    pub(crate) fn timescale(&self) -> u32 {
        self.timescale
    }

    /// Ticks of the open segment, the pending sample left out.
    pub(crate) fn elapsed(&self) -> u64 {
        self.segment.map_or(0, |s| s.duration) + self.held
    }

    pub(crate) fn open(&mut self, msn: u64, sealing: Option<Arc<Sealing>>) {
        self.segment = Some(OpenSegment { msn, parts: 0, duration: 0, samples: 0 });
        self.sealing = sealing;
    }

    /// Goes on behind parts that another cutter has closed, the newest of which ends with `last`.
    pub(crate) fn adopt(&mut self, msn: u64, parts: &[Part], last: Option<&Sample>) {
        let (count, duration) = (parts.len(), parts.iter().map(|part| part.duration).sum());
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.segment = Some(OpenSegment { msn, parts: count, duration, samples: 0 });
        let ticks = last.and_then(|last| last.duration).unwrap_or(0);
        self.last_duration = u64::from(ticks);
        self.end = last.map(|last| last.dts.saturating_add(i64::from(ticks)));
    }

    /// Length of the newest frame, ticks; 0 before there was one.
    pub(crate) fn frame(&self) -> u64 {
        self.last_duration
    }

    /// Settles the pending sample's duration by the sample that follows it; gives the parts that this completed.
    pub(crate) fn settle(&mut self, next_dts: i64) -> [Option<Part>; 2] {
        let Some(pending) = self.pending.take() else { return [None, None] };
        let duration = u32::try_from(next_dts.saturating_sub(pending.dts)).unwrap_or(0);
        self.hold(pending, duration)
    }

    /// Adds a sample; gives the parts that it completed: one that ends before it, one that holds it.
    pub(crate) fn push(&mut self, sample: Sample) -> [Option<Part>; 2] {
        if let Some(duration) = sample.duration {
            return self.hold(sample, duration);
        }
        self.pending = Some(sample);
        [None, None]
    }

    /// Writes a cue's section in front of the next part.
    pub(crate) fn note_section(&mut self, cue: &DateRange, section: &Bytes) {
        // The checksum of a section is the same wherever it is told again.
        let id = section.last_chunk().map_or(0, |crc| u32::from_be_bytes(*crc));
        if self.message_id.replace(id) == Some(id) || self.messages.len() > MESSAGES_BYTES_MAX {
            return;
        }
        let ticks = |us: i64| u64::try_from(rescale(us, 1_000_000, self.timescale)).unwrap_or(0);
        let length = cue.duration_us.or(cue.planned_duration_us).and_then(|us| i64::try_from(us).ok());
        let message = EventMessage {
            timescale: self.timescale,
            presentation_time: ticks(cue.pts_us),
            duration: length.and_then(|us| u32::try_from(ticks(us)).ok()),
            id,
            data: section,
        };
        fmp4::scte35_message(&message, &mut self.messages);
    }

    fn overflows(&self, more: u64) -> bool {
        !self.samples.is_empty() && self.held + more > self.part_max
    }

    fn hold(&mut self, sample: Sample, duration: u32) -> [Option<Part>; 2] {
        // It alone would make the part too long: the part ends before it.
        let before = self.overflows(u64::from(duration)).then(|| self.flush()).flatten();
        self.end = Some(sample.dts + i64::from(duration));
        self.samples.push(Sample { duration: Some(duration), ..sample });
        self.held += u64::from(duration);
        self.last_duration = u64::from(duration);
        // Closed by what is known, not by the arrival of the next frame.
        let full = self.overflows(self.last_duration.max(1)) || self.samples.len() >= SAMPLES_MAX;
        [before, full.then(|| self.flush()).flatten()]
    }

    /// Closes the open part. Samples that the container cannot hold (over 4 GiB, before time 0) are left out, and those
    /// that should be encrypted and cannot be.
    pub(crate) fn flush(&mut self) -> Option<Part> {
        let held = std::mem::take(&mut self.held);
        let samples = std::mem::take(&mut self.samples);
        let first = samples.first()?;
        let segment = self.segment.as_mut()?;
        // By number and place, so that whoever makes this part makes the same bytes.
        let sequence = (segment.msn << PARTS_BITS).wrapping_add(segment.parts.into()) & u64::from(u32::MAX);
        let sequence = u32::try_from(sequence).unwrap_or(0);
        // Once per moment is enough: on pictures.
        if self.kind == Kind::Video {
            let clock = fmp4::prft(self.wall_at_zero_ms, first.pts, self.timescale);
            self.messages.extend_from_slice(&clock);
        }
        let bytes = fmp4::fragment_behind(&self.messages, sequence, self.kind, &samples);
        self.messages.clear();
        let mut bytes = bytes.ok()?;
        if let Some(sealing) = &self.sealing {
            bytes = sealing.seal(&bytes, &self.params, self.id, segment.msn, segment.samples)?;
        }
        segment.samples = segment.samples.saturating_add(u32::try_from(samples.len()).unwrap_or(u32::MAX));
        let part = Part {
            msn: segment.msn,
            index: segment.parts,
            dts: first.dts,
            pts: samples.iter().map(|s| s.pts).min().unwrap_or(first.pts),
            duration: held,
            independent: first.key,
            bytes,
        };
        segment.parts += 1;
        segment.duration += held;
        self.samples = samples;
        self.samples.clear();
        Some(part)
    }

    /// Where the middle of the next sample will be if it is as long as the last, in ticks.
    pub(crate) fn next_middle(&self) -> Option<i64> {
        self.end.map(|end| end + i64::try_from(self.last_duration / 2).unwrap_or(0))
    }

    /// Samples of the open part.
    pub(crate) fn open_samples(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter().chain(&self.pending)
    }

    /// Gives a pending sample the last known duration: nothing will follow it.
    pub(crate) fn settle_last(&mut self) -> [Option<Part>; 2] {
        let frame = i64::try_from(self.last_duration.max(1)).unwrap_or(1);
        let next = self.pending.as_ref().map_or(0, |p| p.dts.saturating_add(frame));
        self.settle(next)
    }

    /// Decode time by which the open part will be complete if frames keep coming, in ticks.
    pub(crate) fn part_due(&self) -> Option<i64> {
        let first = self.samples.first()?;
        let frame = self.last_duration.max(1);
        let frames = (self.part_max / frame).max(1);
        Some(first.dts + i64::try_from((frames - 1) * frame).unwrap_or(0))
    }
}
