//! Judges a DASH presentation: each manifest by itself and against the one before, each segment against the manifest
//! that listed it. No sockets, no clock: answers come in with their times.

use std::collections::{BTreeMap, VecDeque};

use super::dash_rules as rule;
use super::{dash_http, dash_manifest, dash_media, dash_update};
use crate::evidence::Fetch;
use crate::mpd::{Mpd, MpdError, Segment, flaws};
use crate::probe::Init;
use crate::report::{Finding, Line, Report, Rule};

/// All rules about DASH.
pub static RULES: &[&Rule] = rule::ALL;

/// Representations followed; more are not judged.
const TRACKS_MAX: usize = 256;
/// Addresses whose bytes are remembered by their hash.
const HASHES_MAX: usize = 4_096;

/// A representation: ids of its period and of itself.
pub type Key = (String, String);

/// What is known of a representation.
#[derive(Debug, Default)]
pub(crate) struct Track {
    pub(crate) init: Option<Init>,
    pub(crate) buffer: dash_media::Buffer,
    pub(crate) last: Option<dash_media::Last>,
}

/// Follows one presentation. Bounded: a few figures per representation, the newest manifest, hashes of the last
/// few thousand bodies.
#[derive(Debug)]
pub struct DashJudge {
    epoch_s: f64,
    current: Option<(Mpd, Vec<u8>)>,
    tracks: BTreeMap<Key, Track>,
    hashes: VecDeque<(String, u64)>,
}

impl DashJudge {
    /// `epoch_s` is when the watch began, in seconds since 1970: all times of answers count from there.
    #[must_use]
    pub fn new(epoch_s: f64) -> Self {
        Self { epoch_s, current: None, tracks: BTreeMap::new(), hashes: VecDeque::new() }
    }

    /// The newest manifest that could be read.
    #[must_use]
    pub fn manifest(&self) -> Option<&Mpd> {
        self.current.as_ref().map(|(mpd, _)| mpd)
    }

    /// Takes a manifest as it was answered. `probe_only` leaves out what depends on the time.
    pub fn take_manifest(&mut self, fetch: &Fetch, report: &mut Report) {
        let mut teller = Teller { report, fetch, now_s: self.now_s(fetch) };
        if !fetch.is_good() || fetch.cut {
            return teller.tell(&rule::UNREADABLE, 0, dash_http::answer(fetch));
        }
        let flaws = flaws(&fetch.body);
        for flaw in flaws.iter().flatten() {
            teller.tell(&rule::SCHEMA, flaw.line, flaw.what.clone());
        }
        let url = fetch.redirect.as_deref().unwrap_or(&fetch.url);
        let mpd = match Mpd::read(url, &fetch.body) {
            Ok(mpd) => mpd,
            Err(error) => {
                let line = if let MpdError::Value { line, .. } = &error { *line } else { 0 };
                return teller.tell(&rule::UNREADABLE, line, error.to_string());
            }
        };
        dash_http::manifest(&mpd, &mut teller);
        dash_manifest::judge(&mpd, &mut teller);
        if let Some((before, text)) = &self.current {
            let same = text.as_slice() == &fetch.body[..];
            dash_update::judge(before, &mpd, same, &mut teller);
        }
        self.current = Some((mpd, fetch.body.to_vec()));
    }

    /// Takes the initialization segment of a representation of the newest manifest.
    pub fn take_init(&mut self, key: &Key, fetch: &Fetch, report: &mut Report) {
        let now_s = self.now_s(fetch);
        let teller = &mut Teller { report, fetch, now_s };
        let Some((mpd, _)) = &self.current else { return };
        let found = mpd.representations().find(|(p, _, r)| r.id == key.1 && is_period(mpd, p, &key.0));
        let Some((_, _, representation)) = found else { return };
        dash_http::segment(teller, representation.mime.as_deref());
        if !fetch.is_good() {
            return teller.tell(&rule::NOT_THERE, 0, dash_http::answer(fetch));
        }
        let init = dash_media::init(representation, teller);
        if self.tracks.len() < TRACKS_MAX || self.tracks.contains_key(key) {
            self.tracks.entry(key.clone()).or_default().init = init;
        }
        self.remember(fetch, report);
    }

    /// Takes a segment as it was answered. `arrivals` is in how many pieces its body came; 0 when not known.
    pub fn take_segment(&mut self, segment: &Segment, fetch: &Fetch, arrivals: u32, report: &mut Report) {
        let (now_s, asked_s) = (self.now_s(fetch), self.epoch_s + fetch.asked_us as f64 / 1e6);
        let teller = &mut Teller { report, fetch, now_s };
        let Some((mpd, _)) = &self.current else { return };
        let found = mpd
            .representations()
            .find(|(p, _, r)| r.id == segment.representation && is_period(mpd, p, &segment.period));
        let Some((period, set, representation)) = found else { return };
        dash_http::segment(teller, representation.mime.as_deref());
        if !fetch.is_good() {
            if dash_manifest::is_available(mpd, segment, asked_s) {
                let what = format!(
                    "{}; asked {:.2} s after it became available",
                    dash_http::answer(fetch),
                    asked_s - segment.available_s
                );
                teller.tell(&rule::NOT_THERE, 0, what);
            }
            return;
        }
        let key = (segment.period.clone(), segment.representation.clone());
        if let Some(track) = self.tracks.get_mut(&key) {
            let place = dash_media::Place { mpd, period, set, representation, asked_s, arrivals };
            dash_media::segment(&place, track, segment, teller);
        }
        self.remember(fetch, report);
    }

    /// Says what only the whole shows. Call it once, at the end.
    pub fn finish(&self, report: &mut Report) {
        let Some((mpd, _)) = &self.current else { return };
        for (period, _, representation) in mpd.representations() {
            let name = period_name(mpd, period);
            if let Some(track) = self.tracks.get(&(name, representation.id.clone())) {
                dash_media::bandwidth(mpd, representation, &track.buffer, report);
            }
        }
    }

    fn now_s(&self, fetch: &Fetch) -> f64 {
        self.epoch_s + fetch.done_us as f64 / 1e6
    }

    /// The same address must give the same bytes.
    fn remember(&mut self, fetch: &Fetch, report: &mut Report) {
        if fetch.cut || fetch.status != 200 {
            return;
        }
        let hash = fetch
            .body
            .iter()
            .fold(0xCBF2_9CE4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01B3));
        let known = self.hashes.iter().find(|(url, _)| **url == *fetch.url).map(|(_, hash)| *hash);
        match known {
            Some(before) if before != hash => {
                let now_s = self.now_s(fetch);
                let what = format!("{} bytes that differ from those before", fetch.body.len());
                Teller { report, fetch, now_s }.tell(&rule::BYTES_CHANGED, 0, what);
            }
            Some(_) => {}
            None => {
                if self.hashes.len() == HASHES_MAX {
                    self.hashes.pop_front();
                }
                self.hashes.push_back((fetch.url.to_string(), hash));
            }
        }
    }
}

/// The id that [`Segment::period`] has for this period.
pub(crate) fn period_name(mpd: &Mpd, period: &crate::mpd::Period) -> String {
    let index = mpd.periods.iter().position(|p| std::ptr::eq(p, period)).unwrap_or(0);
    period.id.clone().unwrap_or_else(|| index.to_string())
}

fn is_period(mpd: &Mpd, period: &crate::mpd::Period, name: &str) -> bool {
    period_name(mpd, period) == name
}

/// Files findings about one answer.
pub(crate) struct Teller<'a> {
    pub(crate) report: &'a mut Report,
    pub(crate) fetch: &'a Fetch,
    /// When the answer was complete, in seconds since 1970.
    pub(crate) now_s: f64,
}

impl Teller<'_> {
    /// `line` of the body; 0 for none.
    pub(crate) fn tell(&mut self, rule: &'static Rule, line: u32, what: String) {
        let text = || {
            let body = std::str::from_utf8(&self.fetch.body).ok()?;
            body.lines().nth(usize::try_from(line).ok()?.checked_sub(1)?)
        };
        let lines = text().map(|t| Line::new(line, t.trim())).into_iter().collect();
        let (url, at_us) = (self.fetch.url.to_string(), self.fetch.done_us);
        self.report.add(rule, Finding { url, lines, what, at_us });
    }
}
