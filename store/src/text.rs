//! Text beside the media: a record of its own for each segment of the leader, under a track that no run has.
//!
//! It is a record as any other, and its bytes are a fragment as those of any track, so that nothing else has to know it, and
//! an earlier version of this server passes it over. The fragment's one sample holds what there is of text (length, JSON) and
//! the WebVTT of each rendition (length, text); lengths have 32 bits, little-endian. `i_frame_bytes` of the record is the
//! CRC-32 of the JSON: who lists reads that only when it is another.

use std::io;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use nx_container::fmp4;
use nx_hls::{Captions, Event, Part, Segment};
use nx_media::{Kind, Sample, rescale};

use crate::log::Log;
use crate::record::Record;
use crate::run;
use crate::volume::Volume;

/// The track of text.
pub const TEXT: usize = u8::MAX as usize;
/// Text of a segment that is longer, all renditions together, is not kept. Bytes.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// The text of a segment as something to keep ([`crate::Store::keep`], as track [`TEXT`]); `leader` is that segment, `texts`
/// are its renditions. `None` when it is too long, or the segment is not over.
#[must_use]
pub fn text_segment(leader: &Segment, captions: &Captions, texts: &[Bytes]) -> Option<Segment> {
    let about = serde_json::to_vec(captions).ok()?;
    let mut payload = Vec::new();
    for bytes in [&about[..]].into_iter().chain(texts.iter().map(|text| &text[..])) {
        payload.extend_from_slice(&u32::try_from(bytes.len()).ok()?.to_le_bytes());
        payload.extend_from_slice(bytes);
    }
    if payload.len() > TEXT_BYTES_MAX {
        return None;
    }
    let (pts, duration) = (leader.parts.first()?.pts, leader.duration?);
    let sample =
        Sample { dts: pts, pts, duration: u32::try_from(duration).ok(), key: true, payload: payload.into() };
    let number = u32::try_from(leader.msn & u64::from(u32::MAX)).ok()?;
    let bytes = fmp4::fragment(number, Kind::Audio, &[sample]).ok()?;
    let part = Part { msn: leader.msn, index: 0, dts: pts, pts, duration, independent: false, bytes };
    let crc = usize::try_from(crc32fast::hash(&about)).ok()?;
    Some(Segment { parts: vec![part], i_frame_bytes: Some(crc), ..leader.clone() })
}

/// What there is of text, and the renditions.
pub(crate) fn read(fragment: &Bytes) -> Option<(Captions, Vec<Bytes>)> {
    let mut payload = fmp4::samples(fragment).ok()?.into_iter().next()?.payload;
    let mut all = Vec::new();
    while !payload.is_empty() {
        let length = usize::try_from(payload.try_get_u32_le().ok()?).ok()?;
        if length > payload.len() {
            return None;
        }
        all.push(payload.split_to(length));
    }
    let mut all = all.into_iter();
    Some((serde_json::from_slice(&all.next()?).ok()?, all.collect()))
}

impl Record {
    /// It holds text.
    pub(crate) fn is_text(&self) -> bool {
        usize::from(self.track) == TEXT
    }
}

impl Log {
    /// What a record says of text, if that is another than what was told (the CRC-32 of it). Where it cannot be read, as
    /// when storage is away, media are listed without it.
    pub(crate) fn captions(&self, volume: &Volume, record: &Record, told: &mut Option<u32>) -> Option<Event> {
        if *told == record.i_frame_bytes {
            return None;
        }
        let (captions, _) = read(&self.bytes(volume, record).ok()??)?;
        *told = record.i_frame_bytes;
        Some(Event::Captions(captions))
    }

    /// The text of a segment of the leader, WebVTT; an empty one where the rendition had none then. Reads files, or object
    /// storage.
    ///
    /// # Errors
    /// The files cannot be read; [`io::ErrorKind::HostUnreachable`] when object storage cannot.
    pub fn text(&self, rendition: usize, msn: u64) -> io::Result<Option<Bytes>> {
        let mut found = None;
        for volume in self.volumes().iter().filter(|v| (v.number..=v.last_msn).contains(&msn)) {
            let records = volume.records(self.folder(), 0)?;
            let of = |r: &&Record| r.msn == msn;
            if let Some(record) = records.iter().filter(of).find(|r| r.is_text()) {
                let text =
                    self.bytes(volume, record)?.and_then(|bytes| read(&bytes)?.1.into_iter().nth(rendition));
                if text.is_some() {
                    found = text;
                    continue;
                }
            }
            for record in records.iter().filter(of) {
                let run = run::read(self.folder(), record.run)?;
                let leader =
                    run.tracks.get(run.leader()).filter(|_| usize::from(record.track) == run.leader());
                found = leader.map(|t| empty(record, t)).or(found);
            }
        }
        Ok(found)
    }
}

fn empty(record: &Record, track: &Arc<nx_hls::RunTrack>) -> Bytes {
    nx_hls::empty_text(rescale(record.pts, track.params.timescale(), 1_000_000))
}
