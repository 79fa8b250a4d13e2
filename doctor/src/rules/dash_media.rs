//! Segments and initialization segments against the representation that they belong to.

use super::dash::{Teller, Track};
use super::dash_rules as rule;
use super::dash_update::is_told;
use super::media::agree;
use super::media_span::{Span, lead, of_chunks};
use crate::mpd::{Mpd, Period, Representation, Segment, Set};
use crate::probe::{self, Chunk, Init, Kind};
use crate::report::{Finding, Report};

/// Where a segment was listed, and how it came.
pub(crate) struct Place<'a> {
    pub(crate) mpd: &'a Mpd,
    pub(crate) period: &'a Period,
    pub(crate) set: &'a Set,
    pub(crate) representation: &'a Representation,
    /// When it was asked for, in seconds since 1970.
    pub(crate) asked_s: f64,
    /// Pieces in which the body came; 0 when not known.
    pub(crate) arrivals: u32,
}

/// The segment taken last.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Last {
    number: u64,
    listed_end: u64,
    media_end: u64,
}

/// A buffer that fills with the stated bandwidth and is emptied by segments.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Buffer {
    segments: u32,
    bits: f64,
    seconds: f64,
    /// The most bits of any run of segments beyond what its time before the last segment brings.
    run_bits: f64,
    run_worst_bits: f64,
}

impl Buffer {
    fn push(&mut self, bits: f64, seconds: f64, bandwidth: f64) {
        self.segments += 1;
        self.bits += bits;
        self.seconds += seconds;
        self.run_bits = self.run_bits.max(0.0) + bits;
        self.run_worst_bits = self.run_worst_bits.max(self.run_bits);
        self.run_bits -= bandwidth * seconds;
    }
}

/// Judges an initialization segment that came well; gives it when it can be read.
pub(crate) fn init(representation: &Representation, teller: &mut Teller<'_>) -> Option<Init> {
    let init = match probe::init(&teller.fetch.body) {
        Ok(init) => init,
        Err(fault) => {
            teller.tell(&rule::MEDIA_UNREADABLE, 0, fault.to_string());
            return None;
        }
    };
    let claimed = representation.codecs.as_deref().unwrap_or_default();
    for track in &init.tracks {
        if !claimed.split(',').any(|claim| agree(claim.trim(), &track.codec)) {
            let what = format!("{}: codecs=\"{claimed}\", the media is {}", representation.id, track.codec);
            teller.tell(&rule::CODECS, 0, what);
        }
        let family = match track.kind {
            Kind::Video => "video/",
            Kind::Audio => "audio/",
            Kind::Text | Kind::Other => "",
        };
        let mime = representation.mime.as_deref().unwrap_or_default();
        if !mime.starts_with(family) && init.tracks.len() == 1 {
            let what = format!("{}: mimeType {mime:?}, the media is {:?}", representation.id, track.kind);
            teller.tell(&rule::CODECS, 0, what);
        }
        let real = (u32::from(track.width), u32::from(track.height));
        if let Some(size) = representation.size.filter(|s| track.kind == Kind::Video && *s != real) {
            let what =
                format!("{}: {}x{}, the media is {}x{}", representation.id, size.0, size.1, real.0, real.1);
            teller.tell(&rule::CODECS, 0, what);
        }
    }
    Some(init)
}

/// Judges a segment that came well.
pub(crate) fn segment(place: &Place<'_>, track: &mut Track, segment: &Segment, teller: &mut Teller<'_>) {
    let Some(init) = &track.init else { return };
    let chunks = match probe::fragment(init, &teller.fetch.body) {
        Ok(chunks) => chunks,
        Err(fault) => return teller.tell(&rule::MEDIA_UNREADABLE, 0, fault.to_string()),
    };
    let bits = teller.fetch.body.len() as f64 * 8.0;
    track.buffer.push(bits, segment.seconds(), place.representation.bandwidth_bps as f64);
    let spans = of_chunks(init, &chunks);
    let Some(lead) = lead(&spans) else {
        return teller.tell(&rule::MEDIA_UNREADABLE, 0, "no samples".into());
    };
    if let Some((expected, found)) = lead.inner_break {
        let what = format!("segment {}: a chunk begins at {found} instead of {expected}", segment.number);
        teller.tell(&rule::BREAK, 0, what);
    }
    times(init, lead, &chunks, (segment, place), teller);
    track.last = continues(lead, segment, track.last, teller);
    if lead.entry == Some(false) && place.set.start_with_sap.is_some_and(|sap| (1..=2).contains(&sap)) {
        teller.tell(&rule::SAP, 0, format!("segment {} begins without a key frame", segment.number));
    }
    for event in chunks.iter().flat_map(|c| &c.emsg) {
        if !place.set.events.contains(&event.scheme) {
            teller.tell(&rule::EVENTS, 0, format!("emsg of {}", event.scheme));
        }
    }
    chunked(place, segment, &chunks, teller);
}

/// Media time and length against `t` and `d`.
fn times(
    init: &Init,
    lead: &Span,
    chunks: &[Chunk],
    (segment, place): (&Segment, &Place<'_>),
    teller: &mut Teller<'_>,
) {
    let scaled = |ticks: u64, from: u64| ticks as f64 / from as f64;
    let Some(start) = lead.start else {
        return teller.tell(&rule::START, 0, format!("segment {} has no tfdt", segment.number));
    };
    let edit = init.track(lead.track).map_or(0, |t| t.edit_start);
    let shown = earliest(lead.track, chunks).map_or(start, |at| at.saturating_sub(edit));
    let listed_s = scaled(segment.t, segment.timescale);
    let off = [start, shown].map(|at| scaled(at, lead.timescale) - listed_s);
    // With a constant @duration times may be off by half a segment (§7.2.1).
    let slack = if segment.exact {
        1.0 / segment.timescale.min(lead.timescale) as f64
    } else {
        segment.seconds() / 2.0
    };
    if off.iter().all(|off| off.abs() > slack + 1e-9) {
        let what = format!(
            "segment {}: the manifest says {listed_s:.6} s, the media begins at {:.6} s (decode) or {:.6} s (shown)",
            segment.number,
            listed_s + off[0],
            listed_s + off[1]
        );
        teller.tell(&rule::START, 0, what);
    }
    let apart = (lead.seconds() - segment.seconds()).abs();
    // An edit list may cut the start, such as the priming of an audio encoder.
    let shown_end_s = scaled(lead.end().unwrap_or(start).saturating_sub(edit), lead.timescale);
    let apart = apart.min((shown_end_s - listed_s - segment.seconds()).abs());
    // The last segment of a period may be cut short.
    let slack = if segment.exact { lead.frame_s() / 2.0 } else { segment.seconds() / 2.0 };
    let closing = !place.mpd.dynamic || place.period.duration_s.is_some();
    if apart > slack && (segment.exact || !closing) && is_told(place.mpd, place.representation, segment) {
        let what = format!(
            "segment {}: d is {:.6} s, the media {:.6} s",
            segment.number,
            segment.seconds(),
            lead.seconds()
        );
        teller.tell(&rule::DURATION, 0, what);
    }
}

/// Earliest composition time of a track in ticks.
fn earliest(track: u32, chunks: &[Chunk]) -> Option<u64> {
    let mut least: Option<u64> = None;
    for run in chunks.iter().flat_map(|c| &c.runs).filter(|r| r.track == track) {
        let mut at = run.tfdt?;
        for sample in &run.samples {
            let shown = at.saturating_add_signed(sample.cts.into());
            least = Some(least.map_or(shown, |l| l.min(shown)));
            at = at.saturating_add(sample.duration.into());
        }
    }
    least
}

fn continues(lead: &Span, segment: &Segment, last: Option<Last>, teller: &mut Teller<'_>) -> Option<Last> {
    let (start, end) = (lead.start?, lead.end()?);
    if let Some(last) = last
        && last.number.checked_add(1) == Some(segment.number)
        && last.listed_end == segment.t
        && last.media_end.abs_diff(start) > lead.frame / 2
    {
        let what = format!(
            "segment {} begins at {start}, the one before ended at {}",
            segment.number, last.media_end
        );
        teller.tell(&rule::BREAK, 0, what);
    }
    Some(Last { number: segment.number, listed_end: segment.t.saturating_add(segment.d), media_end: end })
}

fn chunked(place: &Place<'_>, segment: &Segment, chunks: &[Chunk], teller: &mut Teller<'_>) {
    let complete = place.representation.template.as_ref().is_none_or(|t| t.complete);
    if complete || !place.mpd.dynamic {
        return;
    }
    if chunks.len() < 2 {
        teller.tell(&rule::NOT_CHUNKED, 0, format!("segment {} is one chunk", segment.number));
    }
    // Asked for well before its end, it cannot have come in one piece unless somebody held it back.
    if place.asked_s < segment.complete_s - segment.seconds() / 2.0 && place.arrivals == 1 {
        teller.tell(&rule::AT_ONCE, 0, format!("segment {} came in one piece", segment.number));
    }
}

/// Judges the bandwidth of a representation by all of its segments seen.
pub(crate) fn bandwidth(mpd: &Mpd, representation: &Representation, seen: &Buffer, report: &mut Report) {
    let bandwidth = representation.bandwidth_bps as f64;
    let allowed = bandwidth * mpd.buffer_s;
    if seen.segments < 3 || seen.run_worst_bits <= allowed {
        return;
    }
    let what = format!(
        "{}: bandwidth={} and minBufferTime={} s, but a run of segments needs {:.0} bit more than that (mean {:.0} bit/s)",
        representation.id,
        representation.bandwidth_bps,
        mpd.buffer_s,
        seen.run_worst_bits - allowed,
        seen.bits / seen.seconds
    );
    report.add(&rule::BANDWIDTH, Finding { url: representation.base.clone(), lines: vec![], what, at_us: 0 });
}
