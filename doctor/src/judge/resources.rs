//! Segments, parts, maps and announced parts.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::evidence::{Fetch, Role};
use crate::m3u8::{Media, Segment};
use crate::probe;
use crate::report::Report;
use crate::rules::media::{self, PartSeen, SegmentSeen};
use crate::rules::{cache, delivery, payload};

use super::{Judge, Stream};

/// Parts remembered per rendition; a few segments of them.
const PARTS_MAX: usize = 64;
/// Announced parts remembered per rendition.
const HINTS_MAX: usize = 8;

impl Judge {
    /// Judges anything that is not a playlist.
    pub(super) fn resource(&mut self, fetch: &Fetch) {
        let report = &mut self.report;
        let stream = self.streams.entry(Arc::clone(&fetch.playlist)).or_default();
        let target_us = stream.last.as_ref().map_or(0, Media::target_us);
        let live = stream.last.as_ref().is_some_and(Media::is_live);
        match fetch.role {
            Role::Missing if !fetch.is_good() => return cache::missing(fetch, target_us, report),
            Role::Missing => return,
            Role::Range { first, last } => {
                let whole =
                    stream.whole.as_ref().filter(|(url, _)| *url == fetch.url).map(|(_, body)| &body[..]);
                return delivery::range(fetch, first, last, whole, report);
            }
            Role::Hint { .. } => return stream.hint(fetch, report),
            _ => {}
        }
        if !delivery::check(fetch, report) {
            return;
        }
        if live && !matches!(fetch.role, Role::Removed) {
            cache::segment(fetch, target_us, report);
        }
        match fetch.role {
            Role::Init => stream.map(fetch, report),
            Role::Segment { msn } => stream.segment(fetch, msn, report),
            Role::Part { msn, part } => stream.part(fetch, msn, part, report),
            _ => {}
        }
    }
}

impl Stream {
    fn map(&mut self, fetch: &Fetch, report: &mut Report) {
        if let Ok(init) = probe::init(&fetch.body) {
            media::initialization(&fetch.url, &init, fetch.done_us, report);
            self.init = Some(init);
        }
    }

    fn hint(&mut self, fetch: &Fetch, report: &mut Report) {
        let Some(part_us) = self.last.as_ref().and_then(Media::part_target_us) else { return };
        payload::hint(fetch, part_us, report);
        if fetch.is_good() && !fetch.cut {
            self.hinted.push((Arc::clone(&fetch.url), fetch.body.clone()));
            if self.hinted.len() > HINTS_MAX {
                self.hinted.remove(0);
            }
        }
    }

    fn part(&mut self, fetch: &Fetch, msn: u64, part: u64, report: &mut Report) {
        if let Some((_, hinted)) = self.hinted.iter().find(|(url, _)| *url == fetch.url) {
            payload::same(fetch, hinted, report);
        }
        if !fetch.cut {
            self.parts.insert((msn, part), fetch.body.clone());
        }
        if self.parts.len() > PARTS_MAX {
            self.parts.pop_first();
        }
    }

    fn segment(&mut self, fetch: &Fetch, msn: u64, report: &mut Report) {
        if fetch.cut {
            return;
        }
        if fetch.body.starts_with(b"WEBVTT") || fetch.mime().as_deref() == Some("text/vtt") {
            return payload::text(fetch, report);
        }
        let Some(list) = &self.last else { return };
        let Some(listed) = list.segment(msn).filter(|s| !s.gap) else { return };
        self.rates.add(msn, fetch.body.len(), listed.duration_us);
        if listed.range.is_none() {
            self.whole = Some((Arc::clone(&fetch.url), fetch.body.clone()));
        }
        let encrypted = listed.key.as_ref().is_some_and(|k| k.contains("METHOD=AES-"));
        if encrypted || (listed.map.is_some() && self.init.is_none()) || list.i_frames_only.is_some() {
            return;
        }
        let parts = parts_of(&self.parts, listed);
        let seen = SegmentSeen {
            url: &fetch.url,
            at_us: fetch.done_us,
            msn,
            extinf_s: in_seconds(listed.duration_us),
            target_s: in_seconds(list.target_us()),
            part_target_s: list.part_target_us().map(in_seconds),
            discontinuity_before: listed.discontinuity.is_some(),
            independent_segments: list.independent_segments,
            init: self.init.as_ref().filter(|_| listed.map.is_some()),
            bytes: &fetch.body,
            parts: &parts,
        };
        self.media.segment(&seen, report);
        self.parts.retain(|(of, _), _| *of > msn);
    }
}

fn parts_of<'a>(fetched: &'a BTreeMap<(u64, u64), Bytes>, listed: &'a Segment) -> Vec<PartSeen<'a>> {
    let parts = (0_u64..).zip(&listed.parts);
    parts
        .map(|(index, part)| PartSeen {
            url: &part.uri,
            duration_s: in_seconds(part.duration_us),
            independent: part.independent,
            bytes: fetched.get(&(listed.msn, index)).map(|b| &b[..]),
        })
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "durations stay far below 2^53 microseconds")]
fn in_seconds(us: u64) -> f64 {
    us as f64 / 1e6
}
