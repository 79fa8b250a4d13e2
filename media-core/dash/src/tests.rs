//! Manifests of windows that a packager filled, against manifests written by hand and against the bytes.

use bytes::Bytes;
use nx_container::fmp4;
use nx_hls::{Config, Event, Lookup, Packager, Start, Stored, TrackSpec, Window};
use nx_media::{
    AudioCodec, AudioParams, FrameRate, Language, Params, Sample, TrackId, VideoCodec, VideoParams,
};
use proptest::prelude::*;

use crate::manifest;

/// 2026-11-18T11:06:40Z.
const WALL: i64 = 1_795_000_000_000;

fn video() -> Params {
    Params::Video(VideoParams {
        codec: VideoCodec::Avc,
        config: Bytes::from_static(&[1, 100, 0, 31, 0xff, 0xe0, 0]),
        width: 1280,
        height: 720,
        frame_rate: Some(FrameRate { num: 30, den: 1 }),
        range: nx_media::VideoRange::Sdr,
        rfc6381: "avc1.64001f".into(),
    })
}

fn audio(language: Option<&str>) -> Params {
    Params::Audio(AudioParams {
        codec: AudioCodec::Aac,
        config: Bytes::from_static(&[0x11, 0x90]),
        sample_rate: 48_000,
        channels: 2,
        frame_samples: 1024,
        rfc6381: "mp4a.40.2".into(),
        language: language.and_then(Language::from_tag),
    })
}

/// A stream in the making: pictures of 30 a second, sound in frames of 1024 at 48 kHz, from stream time 1 s on.
struct Rig {
    packager: Packager,
    window: Window,
    kinds: Vec<Params>,
    /// Next decode time of each track.
    at: Vec<i64>,
    wall_ms: i64,
}

impl Rig {
    fn new(tracks: &[Params]) -> Self {
        let mut packager = Packager::new(Config::default(), Start { msn: 100, ..Start::default() });
        let mut seen = [0u8; 2];
        let specs = tracks.iter().map(|params| {
            let nth = &mut seen[params.kind() as usize];
            *nth += 1;
            TrackSpec { id: TrackId { kind: params.kind(), nth: *nth - 1 }, params: params.clone() }
        });
        packager.set_tracks(&specs.collect::<Vec<_>>());
        let at = tracks.iter().map(|t| i64::from(t.timescale())).collect();
        let window = Window::new(6, 2, 6 << 20);
        Self { packager, window, kinds: tracks.to_vec(), at, wall_ms: WALL }
    }

    fn settle(&mut self) {
        while let Some(event) = self.packager.poll() {
            self.window.apply(event);
        }
    }

    fn frame(&mut self, track: usize, key: bool) {
        let ticks = if matches!(self.kinds[track], Params::Video(_)) { 3000 } else { 1024 };
        let dts = self.at[track];
        let payload = Bytes::from(vec![7; if key { 400 } else { 40 }]);
        let duration = u32::try_from(ticks).ok();
        self.packager.push(track, Sample { dts, pts: dts, duration, key, payload }, self.wall_ms);
        self.at[track] += ticks;
        self.settle();
    }

    /// `frames` of the first track with a key frame every `gop`, and of the others what goes with them.
    fn run(&mut self, frames: u32, gop: u32, others: bool) {
        for n in 0..frames {
            self.frame(0, n % gop == 0);
            let scale = |track: usize| f64::from(self.kinds[track].timescale());
            let reached = self.at[0] as f64 / scale(0);
            let scales: Vec<f64> = (0..self.at.len()).map(scale).collect();
            for (track, scale) in scales.iter().enumerate().skip(1).filter(|_| others) {
                while (self.at[track] as f64) / scale < reached {
                    self.frame(track, true);
                }
            }
        }
    }

    fn manifest(&self) -> String {
        let text = manifest(&self.window).expect("a manifest");
        assert_eq!(Some(&text), manifest(&self.window).as_ref(), "the same window gives the same bytes");
        text
    }
}

/// Lines of the manifest that hold a tag.
fn lines<'a>(text: &'a str, tag: &str) -> Vec<&'a str> {
    text.lines().map(str::trim).filter(|l| l.starts_with(tag)).collect()
}

fn attribute<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.split(&format!(" {name}=\"")).nth(1)?.split('"').next()
}

#[test]
fn who_is_steered_is_told_where_and_nothing_else_differs() {
    let mut rig = Rig::new(&[video(), audio(Some("eng"))]);
    rig.run(140, 60, true);
    let (plain, steered) = (rig.manifest(), crate::manifest_steered(&rig.window).expect("a manifest"));
    let own = |line: &&str| !plain.lines().any(|other| other == *line);
    let added: Vec<&str> = steered.lines().filter(own).map(str::trim).collect();
    let want = [
        "<BaseURL serviceLocation=\".\">./</BaseURL>",
        "<Location serviceLocation=\".\">manifest.mpd</Location>",
        "<ContentSteering defaultServiceLocation=\".\" queryBeforeStart=\"false\">/steering.json</ContentSteering>",
    ];
    assert_eq!(added, want);
    assert!(plain.lines().all(|line| steered.lines().any(|other| other == line)));
}

#[test]
fn one_run_of_picture_and_sound_is_written_as_by_hand() {
    let mut rig = Rig::new(&[video(), audio(Some("eng"))]);
    // Two segments of 2 s and 20 frames of the third.
    rig.run(140, 60, true);
    let bandwidth = |track| rig.window.peak_bps(track);
    let (v1, a1) = (bandwidth(0), bandwidth(1));
    // Sound is cut at the frame whose middle is beyond 3 s, 5 s, 7 s and 9 s: 94, 94, 93 and 94 frames.
    let want = format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-live:2011,urn:mpeg:dash:profile:cmaf:2019" type="dynamic" availabilityStartTime="1970-01-01T00:00:00Z" publishTime="2026-11-18T11:06:44.011Z" minimumUpdatePeriod="PT1.000S" minBufferTime="PT0.334S" timeShiftBufferDepth="PT12.000S" suggestedPresentationDelay="PT0.334S" maxSegmentDuration="PT2.005S">
 <ServiceDescription id="0">
  <Latency target="1002" min="668" max="3006"/>
  <PlaybackRate min="0.96" max="1.04"/>
 </ServiceDescription>
 <Period id="0" start="PT1795000000.000S">
  <AdaptationSet id="1" contentType="video" mimeType="video/mp4" segmentAlignment="true" startWithSAP="1" maxWidth="1280" maxHeight="720" maxFrameRate="30" par="16:9">
   <InbandEventStream schemeIdUri="urn:scte:scte35:2013:bin"/>
   <ProducerReferenceTime id="0" inband="true" type="application" wallClockTime="2026-11-18T11:06:40.000Z" presentationTime="90000">
    <UTCTiming schemeIdUri="urn:mpeg:dash:utc:http-xsdate:2014" value="time"/>
   </ProducerReferenceTime>
   <Role schemeIdUri="urn:mpeg:dash:role:2011" value="main"/>
   <Representation id="v1" codecs="avc1.64001f" bandwidth="{v1}" width="1280" height="720" frameRate="30">
    <SegmentTemplate timescale="90000" presentationTimeOffset="90000" initialization="$RepresentationID$/init-0.mp4" media="$RepresentationID$/$Number$-0.m4s" startNumber="100" availabilityTimeOffset="1.666" availabilityTimeComplete="false">
     <SegmentTimeline>
      <S t="90000" d="180000" r="3"/>
     </SegmentTimeline>
    </SegmentTemplate>
   </Representation>
  </AdaptationSet>
  <AdaptationSet id="257" contentType="audio" mimeType="audio/mp4" segmentAlignment="true" startWithSAP="1" lang="en">
   <Label>English</Label>
   <Role schemeIdUri="urn:mpeg:dash:role:2011" value="main"/>
   <Representation id="a1" codecs="mp4a.40.2" bandwidth="{a1}" audioSamplingRate="48000">
    <AudioChannelConfiguration schemeIdUri="urn:mpeg:mpegB:cicp:ChannelConfiguration" value="2"/>
    <SegmentTemplate timescale="48000" presentationTimeOffset="48000" initialization="$RepresentationID$/init-0.mp4" media="$RepresentationID$/$Number$-0.m4s" startNumber="100" availabilityTimeOffset="1.666" availabilityTimeComplete="false">
     <SegmentTimeline>
      <S t="48000" d="96256" r="1"/>
      <S d="95232"/>
      <S d="96256"/>
     </SegmentTimeline>
    </SegmentTemplate>
   </Representation>
  </AdaptationSet>
 </Period>
 <UTCTiming schemeIdUri="urn:mpeg:dash:utc:http-xsdate:2014" value="time"/>
</MPD>
"#
    );
    assert_eq!(rig.manifest(), want);
}

#[test]
fn the_manifest_changes_when_a_segment_begins_and_not_with_every_part() {
    let mut rig = Rig::new(&[video()]);
    rig.run(121, 60, true);
    let before = rig.manifest();
    rig.run(0, 60, true);
    for _ in 0..50 {
        rig.frame(0, false);
    }
    assert_eq!(rig.manifest(), before);
}

#[test]
fn a_second_run_is_a_period_of_its_own() {
    let mut rig = Rig::new(&[video(), audio(None)]);
    rig.run(120, 60, true);
    rig.packager.break_run();
    rig.settle();
    rig.wall_ms += 10_000;
    rig.at = vec![100 * 90_000, 100 * 48_000];
    rig.run(70, 60, true);
    let text = rig.manifest();
    let periods =
        [r#"<Period id="0" start="PT1795000000.000S">"#, r#"<Period id="1" start="PT1795000010.000S">"#];
    assert_eq!(lines(&text, "<Period"), periods);
    let templates = lines(&text, "<SegmentTemplate");
    let of = |name| templates.iter().map(|t| attribute(t, name).expect(name)).collect::<Vec<_>>();
    assert_eq!(of("presentationTimeOffset"), ["90000", "48000", "9000000", "4800000"]);
    assert_eq!(of("startNumber"), ["100", "100", "102", "102"]);
    assert!(templates[2].contains("init-1.mp4"), "{text}");
    // The first is over: nothing is listed ahead there.
    assert_eq!(lines(&text, "<S ")[0], r#"<S t="90000" d="180000" r="1"/>"#);
}

#[test]
fn sound_alone_and_two_languages_have_their_sets() {
    let mut alone = Rig::new(&[audio(None)]);
    alone.run(400, 1, true);
    let text = alone.manifest();
    assert_eq!(lines(&text, "<AdaptationSet").len(), 1, "{text}");
    assert_eq!(lines(&text, "<Label"), ["<Label>a1</Label>"]);

    let mut two = Rig::new(&[video(), audio(Some("deu")), audio(Some("fra"))]);
    two.run(140, 60, true);
    let text = two.manifest();
    let sets = lines(&text, "<AdaptationSet");
    let languages: Vec<_> = sets.iter().map(|s| attribute(s, "lang")).collect();
    assert_eq!(languages, [None, Some("de"), Some("fr")]);
    let roles: Vec<_> = lines(&text, "<Role").iter().filter_map(|r| attribute(r, "value")).collect();
    assert_eq!(roles, ["main", "main", "alternate"]);
}

#[test]
fn a_stream_that_ended_has_a_length_and_nothing_ahead() {
    let mut rig = Rig::new(&[video()]);
    rig.run(140, 60, true);
    rig.packager.finish();
    rig.settle();
    let text = rig.manifest();
    // 140 frames are 4.667 s.
    assert!(text.contains(r#"mediaPresentationDuration="PT1795000004.667S""#), "{text}");
    for gone in ["minimumUpdatePeriod", "availabilityTimeOffset", "ServiceDescription"] {
        assert!(!text.contains(gone), "{gone}: {text}");
    }
    assert_eq!(lines(&text, "<S "), [r#"<S t="90000" d="180000" r="1"/>"#, r#"<S d="60000"/>"#]);
}

#[test]
fn a_list_begins_behind_its_newest_gap() {
    let mut rig = Rig::new(&[video(), audio(None)]);
    rig.run(120, 60, true);
    rig.run(240, 60, false);
    rig.at[1] = 13 * 48_000;
    rig.run(80, 60, true);
    let gaps: Vec<u64> = rig.window.listed(1).filter(|s| s.is_gap()).map(|s| s.msn).collect();
    assert!(!gaps.is_empty(), "the sound has a gap");
    let text = rig.manifest();
    let template = lines(&text, "<SegmentTemplate")[1];
    let first: u64 = attribute(template, "startNumber").and_then(|n| n.parse().ok()).expect("a number");
    assert!(first > gaps[gaps.len() - 1], "{first} {gaps:?}\n{text}");
    truthful(&rig, &text);
}

#[test]
fn nothing_to_play_is_no_manifest() {
    assert_eq!(manifest(&Window::new(6, 2, 1 << 20)), None);
}

/// Every listed segment that is whole has the times of its bytes, no two of a set overlap, and numbers match.
fn truthful(rig: &Rig, text: &str) {
    let mut lists = text.split("<SegmentTemplate").skip(1);
    for representation in lines(text, "<Representation") {
        let list = lists.next().expect("a list");
        let name = attribute(representation, "id").expect("an id");
        let index = rig.window.track_index(name).expect("a track");
        let mut number: u64 = attribute(list, "startNumber").and_then(|n| n.parse().ok()).expect("a number");
        let mut reached = i64::MIN;
        for entry in lines(list, "<S ") {
            let number_of = |name| attribute(entry, name).map(|n| n.parse::<i64>().expect("a number"));
            let mut start = number_of("t").unwrap_or(reached);
            let duration = number_of("d").expect("a length");
            for _ in 0..=number_of("r").unwrap_or(0) {
                assert!(duration > 0 && start >= reached, "{name} {number}: {text}");
                if let Lookup::Found(segment) = rig.window.segment(index, number) {
                    let bytes: Vec<u8> = segment.parts.iter().flat_map(|p| p.bytes.to_vec()).collect();
                    let samples = fmp4::samples(&bytes.into()).expect("readable parts");
                    let length: i64 = samples.iter().map(|s| i64::from(s.duration.unwrap_or(0))).sum();
                    assert_eq!((start, duration), (samples[0].pts, length), "{name} {number}: {text}");
                }
                reached = start + duration;
                start = reached;
                number += 1;
            }
        }
        let next = rig.window.next(index).expect("a position").msn;
        assert!(rig.window.is_ended() || number > next, "{name}: nothing is listed ahead: {text}");
    }
}

proptest! {
    #[test]
    fn lists_are_true_whatever_the_key_frames(gops in prop::collection::vec((20u32..100, 1u32..4), 1..6), sound: bool) {
        let tracks = if sound { vec![video(), audio(None)] } else { vec![video()] };
        let mut rig = Rig::new(&tracks);
        for (gop, times) in gops {
            rig.run(gop * times, gop, true);
            if let Some(text) = manifest(&rig.window) {
                truthful(&rig, &text);
            }
        }
    }
}

#[test]
fn a_hidden_picture_is_in_no_manifest_while_there_is_another() {
    for (pictures, hidden) in [(2, true), (1, false)] {
        let tracks = [vec![video(); pictures], vec![audio(None)]].concat();
        let mut rig = Rig::new(&tracks);
        rig.window.hide(vec![TrackId::VIDEO]);
        for nth in 0..150 {
            (0..pictures).for_each(|track| rig.frame(track, nth % 60 == 0));
            (0..2).for_each(|_| rig.frame(pictures, true));
        }
        let text = manifest(&rig.window).expect("a manifest");
        assert_eq!(text.contains("<Representation id=\"v1\""), !hidden, "{text}");
        assert_eq!(text.matches("<Representation ").count(), 2, "{text}");
    }
}

/// Players of DASH never ask for a set that the first manifest of its Period lacked.
#[test]
fn a_period_is_listed_with_all_of_its_tracks() {
    let mut rig = Rig::new(&[video(), audio(None)]);
    rig.run(90, 60, true);
    let before = rig.manifest();
    rig.packager.break_run();
    rig.wall_ms += 3_000;
    let (periods, sets) =
        (|text: &str| text.matches("<Period ").count(), |text: &str| text.matches("<AdaptationSet ").count());
    for n in 0..40 {
        rig.frame(0, n == 0);
        let text = rig.manifest();
        assert_eq!((periods(&text), sets(&text)), (1, 2), "{text}");
        assert!(attribute(&text, "publishTime") >= attribute(&before, "publishTime"), "{text}\n{before}");
    }
    for _ in 0..60 {
        rig.frame(1, true);
    }
    let text = rig.manifest();
    assert_eq!((periods(&text), sets(&text)), (2, 4), "{text}");
    // Sound that does not come is not waited for beyond the first segment.
    rig.packager.break_run();
    rig.wall_ms += 3_000;
    rig.run(75, 60, false);
    let text = rig.manifest();
    assert_eq!((periods(&text), sets(&text)), (3, 5), "{text}");
}

/// Feeds a view with the whole segments that the rig lists, of all runs but that one.
fn store_without(rig: &Rig, unstored: u32, view: &mut Window) {
    for run in rig.window.runs().filter(|run| run.number != unstored) {
        view.apply(Event::Run(run.clone()));
        for track in 0..run.tracks.len() {
            for s in rig.window.listed(track).filter(|s| s.track.run == run.number) {
                let (Some(duration), Some(pts)) = (s.duration, s.pts()) else { continue };
                let segment = Stored {
                    named_by_run: false,
                    msn: s.msn,
                    begins_ms: s.program_date_time_ms,
                    pts,
                    duration,
                    bytes: s.bytes(),
                    independent: true,
                    i_frame_bytes: s.i_frame_bytes,
                };
                view.apply(Event::Stored { track, segment });
            }
        }
    }
}

#[test]
fn a_run_that_is_not_stored_leaves_out_its_time() {
    let mut rig = Rig::new(&[video(), audio(None)]);
    rig.run(120, 60, true);
    for begins_ms in [4_000, 7_000] {
        rig.packager.break_run();
        rig.wall_ms = WALL + begins_ms;
        rig.run(90, 60, true);
    }
    let mut view = Window::past(2, None, "start=1");
    let mut grows = view.clone();
    grows.grow();
    for view in [&mut view, &mut grows] {
        store_without(&rig, 1, view);
    }
    let text = manifest(&grows).expect("a manifest");
    let periods =
        [r#"<Period id="0" start="PT1795000000.000S">"#, r#"<Period id="2" start="PT1795000007.000S">"#];
    assert_eq!(lines(&text, "<Period"), periods);
    assert_eq!(manifest(&view), Some(text), "the gaps of playlists are nothing here");
}
