//! Applies the rules to what was seen, in the order it was complete. No sockets, no clocks, bounded memory.

mod resources;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::evidence::{Fetch, Role};
use crate::m3u8::{self, Kind, Media, Multivariant, query};
use crate::probe::Init;
use crate::report::{Profile, Report};
use crate::rules::media::{MediaJudge, codecs};
use crate::rules::payload::{PEAK, Rates};
use crate::rules::{
    blocking, cache, changes, delivery, delta, low_latency, multivariant, payload, playlist, renditions,
    syntax, twins,
};

/// Media playlists that are followed.
const STREAMS_MAX: usize = 64;
/// Live edges remembered per rendition, with the time each was first seen.
const EDGES_MAX: usize = 256;

/// Judges one address. Feed it every answer with [`Judge::see`], then take the report with [`Judge::finish`].
#[derive(Debug)]
pub struct Judge {
    report: Report,
    multivariant: Option<Multivariant>,
    streams: BTreeMap<Arc<str>, Stream>,
    /// The quickest answer so far, in microseconds.
    rtt_us: u64,
}

/// What is known of one media playlist.
#[derive(Debug, Default)]
struct Stream {
    /// The last whole version.
    last: Option<Media>,
    /// The last delta update, until a whole version comes to compare with.
    delta: Option<Media>,
    /// When its last segment was first seen, and its number.
    grown: Option<(u64, u64)>,
    /// When each live edge was first seen.
    edges: BTreeMap<(u64, u64), u64>,
    /// The furthest edge that another playlist reported, and when that was complete.
    reported: Option<((u64, u64), u64)>,
    init: Option<Init>,
    rates: Rates,
    /// The last whole segment and its address, to compare ranges with.
    whole: Option<(Arc<str>, Bytes)>,
    /// Listed parts by segment and index.
    parts: BTreeMap<(u64, u64), Bytes>,
    /// Announced parts by address.
    hinted: Vec<(Arc<str>, Bytes)>,
    /// An announced part that was refused at once.
    refused: Option<Fetch>,
    media: MediaJudge,
}

impl Judge {
    /// A judge who has seen nothing. Breaches of the rules in `ignored` are not recorded.
    #[must_use]
    pub fn new(profile: Profile, ignored: Vec<String>) -> Self {
        Self {
            report: Report::new(profile, ignored),
            multivariant: None,
            streams: BTreeMap::new(),
            rtt_us: u64::MAX,
        }
    }

    /// Judges one answer.
    pub fn see(&mut self, fetch: &Fetch) {
        if fetch.status > 0 {
            self.rtt_us = self.rtt_us.min(fetch.first_byte_us.saturating_sub(fetch.asked_us));
        }
        if !self.streams.contains_key(&fetch.playlist) && self.streams.len() >= STREAMS_MAX {
            return;
        }
        match &fetch.role {
            Role::Multivariant => self.multivariant(fetch),
            Role::Playlist => self.playlist(fetch),
            Role::BadDirectives => blocking::refusal(fetch, &mut self.report),
            Role::Reordered => {
                let now = parse(fetch);
                blocking::reordered(fetch, now.as_ref(), &mut self.report);
            }
            Role::Compressed => delivery::compressed(fetch, &mut self.report),
            Role::PlaylistRange => delivery::playlist_range(fetch, &mut self.report),
            Role::Manifest => {}
            _ => self.resource(fetch),
        }
    }

    /// Judges the answers of two origins of one encoder to the same question.
    pub fn compare(&mut self, ours: &Fetch, theirs: &Fetch) {
        match (parse(ours), parse(theirs)) {
            (Some(ours), Some(theirs)) => twins::playlists(&ours, &theirs, &mut self.report),
            _ => twins::bytes(ours, theirs, &mut self.report),
        }
    }

    /// Judges what can only be said in the end, and gives the report.
    #[must_use]
    pub fn finish(mut self) -> Report {
        let lists: Vec<&Media> = self.streams.values().filter_map(|s| s.last.as_ref()).collect();
        let (first, rest) = match lists.split_first() {
            Some((first, rest)) if self.multivariant.is_some() => (Some(*first), rest),
            _ => (None, &[][..]),
        };
        for (a, b) in first.iter().flat_map(|a| rest.iter().map(move |b| (*a, *b))) {
            renditions::pair(a, b, &mut self.report);
        }
        let low: Vec<Arc<str>> = lists
            .iter()
            .filter(|m| m.part_inf.is_some() && m.i_frames_only.is_none())
            .map(|m| Arc::clone(&m.text.url))
            .collect();
        lists.iter().for_each(|list| renditions::complete(list, &low, &mut self.report));
        lists.iter().for_each(|list| low_latency::round_trip(list, self.rtt_us, &mut self.report));
        if let Some(list) = lists.first().filter(|m| m.is_live() && low.is_empty())
            && self.report.profile() == Profile::LlHls
        {
            self.report.add(&low_latency::NOT_LOW_LATENCY, list.text.finding(&[], "no EXT-X-PART-INF"));
        }
        if let Some(all) = &self.multivariant {
            variants(all, &self.streams, &mut self.report);
        }
        self.report
    }

    fn multivariant(&mut self, fetch: &Fetch) {
        if !delivery::check(fetch, &mut self.report) {
            return;
        }
        let all = Multivariant::parse(&fetch.url, fetch.done_us, &fetch.body);
        syntax::bytes(&all.text, &fetch.body, &mut self.report);
        syntax::multivariant(&all, &mut self.report);
        multivariant::check(&all, &mut self.report);
        self.multivariant = Some(all);
    }

    fn playlist(&mut self, fetch: &Fetch) {
        let stream = self.streams.entry(Arc::clone(&fetch.playlist)).or_default();
        let asked = blocking::directives(&fetch.url);
        let good = (fetch.is_good() || asked.is_none()) && delivery::check(fetch, &mut self.report);
        delivery::protocol_if(
            fetch,
            stream.last.as_ref().is_some_and(|m| m.part_inf.is_some()),
            &mut self.report,
        );
        let now = parse(fetch).filter(|_| good);
        if good && now.is_none() {
            let text = m3u8::Text::new(&fetch.url, fetch.done_us, &fetch.body);
            self.report.add(&syntax::NO_PLAYLIST, text.finding(&[1], "not a playlist"));
        }
        let available_us = asked.and_then(|(msn, part)| {
            let seen = stream.edges.range((msn, part.unwrap_or(u64::MAX))..).map(|(_, us)| *us);
            seen.min()
        });
        let rtt_us = self.rtt_us;
        blocking::reload(fetch, now.as_ref(), stream.last.as_ref(), available_us, rtt_us, &mut self.report);
        let Some(now) = now else { return };
        syntax::bytes(&now.text, &fetch.body, &mut self.report);
        syntax::media(&now, &mut self.report);
        playlist::check(&now, &mut self.report);
        low_latency::check(&now, &mut self.report);
        if now.is_live() {
            cache::playlist(fetch, asked.is_some(), now.target_us(), &mut self.report);
        }
        stream.grow(fetch, &now, asked.is_some(), &mut self.report);
        self.edges(fetch, &now);
        self.keep(fetch, now);
    }

    /// Compares with the version before, and takes its place.
    fn keep(&mut self, fetch: &Fetch, now: Media) {
        let Some(stream) = self.streams.get_mut(&fetch.playlist) else { return };
        if let Some(refused) = stream.refused.take_if(|refused| fetch.asked_us >= refused.done_us) {
            payload::refused(&refused, &now, &mut self.report);
        }
        if query(&fetch.url, "_HLS_skip").is_some() {
            if let Some(base) = &stream.last {
                delta::check(base, &now, &mut self.report);
            }
            if now.skip.is_some() {
                stream.delta = Some(now);
                return;
            }
        }
        delta::unasked(&now, &mut self.report);
        if now.skip.is_some() {
            return;
        }
        if let Some(delta) = stream.delta.take() {
            delta::compare(&now, &delta, &mut self.report);
        }
        if let Some(old) = &stream.last {
            if fetch.asked_us < old.text.at_us {
                // Both were on the way at once: there is no telling which is newer.
                return;
            }
            changes::check(old, &now, &mut self.report);
        }
        stream.last = Some(now);
    }

    /// Compares rendition reports with what is known of the others.
    fn edges(&mut self, fetch: &Fetch, now: &Media) {
        let edge = now.edge().map(|(msn, part)| (msn, part.unwrap_or(u64::MAX)));
        if let (Some(edge), Some(stream)) = (edge, self.streams.get_mut(&fetch.playlist)) {
            stream.edges.entry(edge).or_insert(fetch.done_us);
            if stream.edges.len() > EDGES_MAX {
                stream.edges.pop_first();
            }
            if let Some((said, at_us)) = stream.reported.filter(|(_, at_us)| fetch.asked_us > *at_us) {
                renditions::ahead(now, said, edge, &mut self.report);
                stream.reported = stream.reported.filter(|(_, us)| *us != at_us);
            }
        }
        // A plain playlist may come from a cache.
        if blocking::directives(&fetch.url).is_none() {
            return;
        }
        for (line, url, said) in renditions::reports(now) {
            let Some(stream) = self.streams.get_mut(&url) else { continue };
            let known =
                stream.edges.iter().rev().find(|(_, us)| **us < fetch.asked_us).map(|(edge, _)| *edge);
            if let Some(known) = known.filter(|(_, part)| *part != u64::MAX) {
                renditions::behind(now, line, said, known, &mut self.report);
            }
            if stream.reported.is_none_or(|(before, _)| before < said) {
                stream.reported = Some((said, fetch.done_us));
            }
        }
    }
}

impl Stream {
    /// Notes new segments, or says that there are none for too long.
    fn grow(&mut self, fetch: &Fetch, now: &Media, blocking: bool, report: &mut Report) {
        let Some(last) = now.segments.last().map(|s| s.msn) else { return };
        match self.grown {
            Some((known, since_us)) if last <= known => changes::stale(now, since_us, fetch.asked_us, report),
            before => {
                // Only who was waiting for the very next segment knows when it came.
                let waited = |(known, since_us): &(u64, u64)| {
                    let soon_us = now.target_us().saturating_add(*since_us);
                    blocking && last == known.saturating_add(1) && fetch.asked_us < soon_us
                };
                if let Some((_, since_us)) = before.filter(waited) {
                    changes::stale(now, since_us, fetch.first_byte_us, report);
                }
                self.grown = Some((last, fetch.done_us));
            }
        }
    }
}

/// Reads a media playlist; `None` for anything else.
fn parse(fetch: &Fetch) -> Option<Media> {
    let is_media = fetch.is_good() && m3u8::kind(&fetch.body) == Kind::Media;
    is_media.then(|| Media::parse(&fetch.playlist, fetch.done_us, &fetch.body))
}

/// Compares the claims of a multivariant playlist with what its media playlists turned out to be.
fn variants(all: &Multivariant, streams: &BTreeMap<Arc<str>, Stream>, report: &mut Report) {
    let stream = |uri: &str| streams.get(all.text.resolve(uri)?.as_str());
    for list in &all.i_frames {
        let media = list.get("URI").and_then(stream).and_then(|s| s.last.as_ref());
        if media.is_some_and(|m| m.i_frames_only.is_none()) {
            report.add(
                &multivariant::I_FRAMES_ONLY,
                all.text.finding(&[list.line], "no EXT-X-I-FRAMES-ONLY in it"),
            );
        }
    }
    for variant in &all.variants {
        let own = stream(&variant.uri.value);
        let mut others = Vec::new();
        for kind in ["AUDIO", "VIDEO", "SUBTITLES"] {
            let group = variant.attributes.get(kind).into_iter().flat_map(|id| all.group(kind, id));
            others.extend(group.filter_map(|r| stream(r.get("URI")?)));
        }
        let real: Vec<&str> = own
            .iter()
            .chain(&others)
            .filter_map(|s| s.init.as_ref())
            .flat_map(|i| i.tracks.iter().map(|t| t.codec.as_str()))
            .collect();
        if let Some(claimed) = variant.attributes.get("CODECS") {
            codecs(&all.text.url, claimed, &real, all.text.at_us, report);
        }
        let peak = |s: &Stream| s.rates.peak_bps(s.last.as_ref()?.target_us());
        let own_bps = own.and_then(peak);
        let other_bps = others.iter().filter_map(|s| peak(s)).max().unwrap_or(0);
        let sum_bps = own_bps.map(|bps| bps.saturating_add(other_bps));
        if let (Some(peak_bps), Some(said_bps)) = (sum_bps, variant.attributes.integer("BANDWIDTH"))
            && peak_bps / 5 > said_bps / 4
        {
            let what = format!("measured {peak_bps} bit/s, BANDWIDTH={said_bps}");
            report.add(&PEAK, all.text.finding(&[variant.attributes.line], what));
        }
    }
}
