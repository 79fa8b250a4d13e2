//! Adaptation sets: the tracks of a Period.
//!
//! Pictures in one codec are one set, for players switch between its members. Every sound is a set of its own:
//! two in one language may be a programme and its commentary.

use std::fmt::{self, Write as _};

use nx_hls::{Rfc3339, Window};
use nx_media::{AudioParams, FrameRate, Kind, Params, VideoParams, rescale};

use crate::manifest::{Pace, UTC_TIMING};
use crate::timeline::{Listing, Period};

/// Cues inside the chunks of pictures (ANSI/SCTE 214-1).
const SCTE35: &str = "urn:scte:scte35:2013:bin";

pub(crate) fn write(window: &Window, period: &Period<'_>, pace: Pace, out: &mut String) -> fmt::Result {
    let told = |listing: &&Listing| !window.is_hidden(&listing.track.id);
    let mut listings: Vec<&Listing> = period.listings.iter().filter(told).collect();
    listings.sort_by_key(|l| l.track.id);
    let mut video: Vec<(Vec<&Listing>, Vec<&VideoParams>)> = Vec::new();
    let mut audio = Vec::new();
    for listing in listings {
        match &listing.track.params {
            Params::Audio(params) => audio.push((listing, params)),
            Params::Video(params) => {
                let same = |(_, of): &&mut (_, Vec<&VideoParams>)| of.iter().any(|v| v.codec == params.codec);
                match video.iter_mut().find(same) {
                    Some((members, of)) => {
                        members.push(listing);
                        of.push(params);
                    }
                    None => video.push((vec![listing], vec![params])),
                }
            }
        }
    }
    for (members, params) in &video {
        video_set(window, period, members, params, pace, out)?;
    }
    for (nth, (listing, params)) in audio.iter().enumerate() {
        audio_set(window, period, listing, params, nth == 0, pace, out)?;
    }
    Ok(())
}

/// Number of a set within its Period, the same in every version of the manifest: pictures 1 to 256, then sounds.
fn set_id(listing: &Listing) -> u16 {
    let id = listing.track.id;
    u16::from(id.nth) + if id.kind == Kind::Video { 1 } else { 257 }
}

fn open(listing: &Listing, kind: &str, out: &mut String) -> fmt::Result {
    write!(
        out,
        "  <AdaptationSet id=\"{}\" contentType=\"{kind}\" mimeType=\"{kind}/mp4\" segmentAlignment=\"true\" \
         startWithSAP=\"1\"",
        set_id(listing)
    )
}

fn video_set(
    window: &Window,
    period: &Period<'_>,
    members: &[&Listing],
    params: &[&VideoParams],
    pace: Pace,
    out: &mut String,
) -> fmt::Result {
    let Some((first, of)) = members.first().zip(params.first()) else { return Ok(()) };
    open(first, "video", out)?;
    let width = params.iter().map(|v| v.width).max().unwrap_or(0);
    let height = params.iter().map(|v| v.height).max().unwrap_or(0);
    write!(out, " maxWidth=\"{width}\" maxHeight=\"{height}\"")?;
    let fastest = params.iter().filter_map(|v| v.frame_rate).max_by(|a, b| a.fps().total_cmp(&b.fps()));
    if let Some(rate) = fastest {
        write!(out, " maxFrameRate=\"{}\"", Rate(rate))?;
    }
    let divisor = gcd(of.width, of.height).max(1);
    writeln!(out, " par=\"{}:{}\">", of.width / divisor, of.height / divisor)?;
    protection(first, out)?;
    writeln!(out, "   <InbandEventStream schemeIdUri=\"{SCTE35}\"/>")?;
    writeln!(
        out,
        "   <ProducerReferenceTime id=\"0\" inband=\"true\" type=\"application\" wallClockTime=\"{}\" \
         presentationTime=\"{}\">",
        Rfc3339(period.start_ms()),
        offset(period, first),
    )?;
    // Without its own, a player takes the wall clock for a number of NTP.
    writeln!(out, "    {UTC_TIMING}\n   </ProducerReferenceTime>")?;
    writeln!(out, "   <Role schemeIdUri=\"urn:mpeg:dash:role:2011\" value=\"main\"/>")?;
    for (listing, params) in members.iter().zip(params) {
        representation(window, listing, out)?;
        write!(out, " width=\"{}\" height=\"{}\"", params.width, params.height)?;
        if let Some(rate) = params.frame_rate {
            write!(out, " frameRate=\"{}\"", Rate(rate))?;
        }
        out.write_str(">\n")?;
        template(period, listing, pace, out)?;
        out.write_str("   </Representation>\n")?;
    }
    out.write_str("  </AdaptationSet>\n")
}

fn audio_set(
    window: &Window,
    period: &Period<'_>,
    listing: &Listing,
    params: &AudioParams,
    main: bool,
    pace: Pace,
    out: &mut String,
) -> fmt::Result {
    open(listing, "audio", out)?;
    if let Some(language) = &params.language {
        write!(out, " lang=\"{}\"", language.tag())?;
    }
    out.write_str(">\n")?;
    protection(listing, out)?;
    writeln!(
        out,
        "   <Label>{}</Label>\n   <Role schemeIdUri=\"urn:mpeg:dash:role:2011\" value=\"{}\"/>",
        params.language.as_ref().map_or(listing.track.name.as_str(), |l| l.name()),
        if main { "main" } else { "alternate" },
    )?;
    representation(window, listing, out)?;
    writeln!(
        out,
        " audioSamplingRate=\"{}\">\n    <AudioChannelConfiguration \
         schemeIdUri=\"urn:mpeg:mpegB:cicp:ChannelConfiguration\" value=\"{}\"/>",
        params.sample_rate,
        layout(params.channels),
    )?;
    template(period, listing, pace, out)?;
    out.write_str("   </Representation>\n  </AdaptationSet>\n")
}

/// How a set is protected, and where keys are had (ISO/IEC 23001-7 §11, DASH-IF "Content Protection and Security").
fn protection(listing: &Listing, out: &mut String) -> fmt::Result {
    let Some(key) = &listing.track.key else { return Ok(()) };
    let (scheme, id) = (key.told.scheme.name(), nx_crypt::uuid(&key.told.key_id));
    let common = "schemeIdUri=\"urn:mpeg:dash:mp4protection:2011\"";
    writeln!(out, "   <ContentProtection {common} value=\"{scheme}\" cenc:default_KID=\"{id}\"/>")?;
    // The common system is in headers, for whoever looks there; it is no way to a key.
    for system in key.told.systems.iter().filter(|s| s.id != nx_crypt::COMMON) {
        let name = match system.id {
            nx_crypt::CLEARKEY => " value=\"ClearKey1.0\"",
            nx_crypt::WIDEVINE => " value=\"Widevine\"",
            nx_crypt::PLAYREADY => " value=\"MSPR 2.0\"",
            _ => "",
        };
        writeln!(
            out,
            "   <ContentProtection schemeIdUri=\"urn:uuid:{}\"{name}>",
            nx_crypt::uuid(&system.id)
        )?;
        if !system.pssh.is_empty() && !system.dash.contains("pssh") {
            writeln!(out, "    <cenc:pssh>{}</cenc:pssh>", nx_crypt::base64(&system.pssh))?;
        }
        if let Some(url) = &system.licence_url {
            let url = url.replace('&', "&amp;").replace('<', "&lt;");
            writeln!(out, "    <dashif:laurl licenseType=\"EME-1.0\">{url}</dashif:laurl>")?;
        }
        out.write_str(&system.dash)?;
        out.write_str("   </ContentProtection>\n")?;
    }
    Ok(())
}

/// Loudspeaker layout of so many channels (ISO/IEC 23091-3 table 2).
fn layout(channels: u8) -> u8 {
    match channels {
        7 => 11,
        8 => 12,
        other => other,
    }
}

fn representation(window: &Window, listing: &Listing, out: &mut String) -> fmt::Result {
    let bandwidth = window.peak_bps(listing.index).max(1);
    let (name, codecs) = (&listing.track.name, listing.track.params.rfc6381());
    write!(out, "   <Representation id=\"{name}\" codecs=\"{codecs}\" bandwidth=\"{bandwidth}\"")
}

/// Where the Period begins in the track's time.
fn offset(period: &Period<'_>, listing: &Listing) -> i64 {
    let since_ms = period.start_ms().saturating_sub(period.run.wall_at_zero_ms);
    rescale(since_ms, 1000, listing.track.params.timescale()).max(0)
}

fn template(period: &Period<'_>, listing: &Listing, pace: Pace, out: &mut String) -> fmt::Result {
    write!(
        out,
        "    <SegmentTemplate timescale=\"{}\" presentationTimeOffset=\"{}\" \
         initialization=\"$RepresentationID$/{}\" media=\"$RepresentationID$/$Number$-{}.m4s\" \
         startNumber=\"{}\"",
        listing.track.params.timescale(),
        offset(period, listing),
        listing.track.init_name(),
        listing.track.run,
        listing.first_msn,
    )?;
    if pace.early > 0 {
        let (s, ms) = (pace.early / 1000, pace.early % 1000);
        write!(out, " availabilityTimeOffset=\"{s}.{ms:03}\" availabilityTimeComplete=\"false\"")?;
    }
    out.write_str(">\n     <SegmentTimeline>\n")?;
    let mut entries = listing.entries.as_slice();
    let mut reached = None;
    while let Some((first, rest)) = entries.split_first() {
        let pairs = entries.iter().zip(rest);
        let repeats = pairs.take_while(|(a, b)| b.start == a.end() && b.duration == first.duration).count();
        out.write_str("      <S")?;
        if reached != Some(first.start) {
            write!(out, " t=\"{}\"", first.start)?;
        }
        write!(out, " d=\"{}\"", first.duration)?;
        if repeats > 0 {
            write!(out, " r=\"{repeats}\"")?;
        }
        out.write_str("/>\n")?;
        reached = entries.get(repeats).map(|last| last.end());
        entries = rest.get(repeats..).unwrap_or_default();
    }
    out.write_str("     </SegmentTimeline>\n    </SegmentTemplate>\n")
}

/// A frame rate as the schema wants it.
struct Rate(FrameRate);

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FrameRate { num, den } = self.0;
        let divisor = gcd(num, den).max(1);
        match den / divisor {
            1 => write!(f, "{}", num / divisor),
            den => write!(f, "{}/{den}", num / divisor),
        }
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
