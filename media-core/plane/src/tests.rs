//! Windows and events through the wire: what comes out is what went in, whatever else is sent.

use std::sync::Arc;

use bytes::Bytes;
use nx_crypt::{HlsKey, Key, Protection, Scheme, System, TsCipher};
use nx_hls::{
    Ask, Captions, Config, DateRange, Event, KeyPeriod, Lookup, Packager, Part, Remains, Run, RunTrack, Skip,
    Start, TextCue, TextRendition, TrackSpec, Window,
};
use nx_media::{
    AudioCodec, AudioParams, FrameRate, Kind, Language, Params, Sample, TrackId, VideoCodec, VideoParams,
    VideoRange,
};
use proptest::prelude::*;

use crate::{FRAME_BYTES_MAX, FRAMES_MAX, Message, Reader, Told, WireError, fuzz};

const WALL: i64 = 1_795_000_000_000;

fn video() -> Params {
    Params::Video(VideoParams {
        codec: VideoCodec::Avc,
        config: Bytes::from_static(&[1, 100, 0, 31, 0xff, 0xe0, 0]),
        width: 1280,
        height: 720,
        frame_rate: Some(FrameRate { num: 30, den: 1 }),
        range: VideoRange::Sdr,
        rfc6381: "avc1.64001f".into(),
    })
}

fn audio() -> Params {
    Params::Audio(AudioParams {
        codec: AudioCodec::Aac,
        config: Bytes::from_static(&[0x11, 0x90]),
        sample_rate: 48_000,
        channels: 2,
        frame_samples: 1024,
        rfc6381: "mp4a.40.2".into(),
        language: Language::from_tag("en"),
    })
}

fn key(byte: u8) -> Key {
    let hls = HlsKey { format: "identity".into(), versions: Some("1".into()), uri: format!("k{byte}") };
    let system = System {
        id: nx_crypt::CLEARKEY,
        pssh: vec![byte; 3],
        hls: Some(hls),
        licence_url: Some("https://keys.example/".into()),
        dash: String::new(),
    };
    let told = Protection {
        scheme: Scheme::Cbcs,
        key_id: [byte; 16],
        iv: [byte; 16],
        systems: vec![system],
        ts: TsCipher::Aes128,
    };
    Key::new(told, [byte ^ 0x5a; 16].into())
}

fn range(id: usize, pts_us: i64) -> DateRange {
    DateRange {
        id: format!("ad-{id}"),
        class: Some("ads".into()),
        pts_us,
        planned_duration_us: Some(5_000_000),
        auto_return: id.is_multiple_of(2),
        scte35_out: Some(Bytes::from_static(&[0xfc, 0x30, 0x11])),
        attributes: vec![("X-AD".into(), "\"x\"".into())],
        ..DateRange::default()
    }
}

/// What happens to a stream.
#[derive(Debug, Clone)]
enum Deed {
    /// So many frames of 30 a second, with the sound beside them.
    Frames(u32),
    /// Only one of the tracks goes on, or both do.
    Tracks(u8),
    /// The clock begins elsewhere.
    Break,
    Cue,
    Withdraw,
    Text,
    Key(u8),
    End,
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        6 => (1u32..140).prop_map(Deed::Frames),
        1 => (1u8..4).prop_map(Deed::Tracks),
        1 => Just(Deed::Break),
        2 => Just(Deed::Cue),
        1 => Just(Deed::Withdraw),
        2 => Just(Deed::Text),
        1 => (1u8..9).prop_map(Deed::Key),
        1 => Just(Deed::End),
    ];
    prop::collection::vec(deed, 4..28)
}

/// An origin: a packager and what it says.
struct Rig {
    packager: Packager,
    tracks: Vec<Params>,
    now_ms: i64,
    cues: usize,
}

impl Rig {
    fn new(encrypted: bool) -> Self {
        let mut packager = Packager::new(Config::default(), Start { msn: 100, ..Start::default() });
        if encrypted {
            packager.encrypt();
            packager.set_key(key(1));
        }
        let mut rig = Self { packager, tracks: Vec::new(), now_ms: 1_000, cues: 0 };
        rig.take(&Deed::Tracks(3));
        rig
    }

    fn take(&mut self, deed: &Deed) -> Vec<Event> {
        match deed {
            Deed::Frames(count) => (0..*count).for_each(|nth| self.frame(nth)),
            Deed::Tracks(which) => {
                let both = [(1, video()), (2, audio())];
                self.tracks = both.into_iter().filter(|(bit, _)| which & bit != 0).map(|(_, p)| p).collect();
                let spec =
                    |p: &Params| TrackSpec { id: TrackId { kind: p.kind(), nth: 0 }, params: p.clone() };
                self.packager.set_tracks(&self.tracks.iter().map(spec).collect::<Vec<_>>());
            }
            Deed::Break => self.packager.break_run(),
            Deed::Cue => {
                self.cues += 1;
                self.packager.cue(range(self.cues, self.now_ms * 1000));
            }
            Deed::Withdraw => self.packager.withdraw(&format!("ad-{}", self.cues)),
            Deed::Text => {
                let rendition = TextRendition {
                    language: "en".into(),
                    name: "English".into(),
                    captions: true,
                    forced: false,
                    default: true,
                };
                self.packager.declare_text(Captions { embedded: Vec::new(), renditions: vec![rendition] });
                let (start_us, text) = (self.now_ms * 1000, format!("at {}", self.now_ms));
                let cue = TextCue { start_us, duration_us: None, text, settings: "line:90%".into() };
                self.packager.text(0, cue);
            }
            Deed::Key(byte) => self.packager.set_key(key(*byte)),
            Deed::End => {
                self.packager.finish();
                self.take(&Deed::Tracks(3));
            }
        }
        std::iter::from_fn(|| self.packager.poll()).collect()
    }

    fn frame(&mut self, nth: u32) {
        let (from, to) = (self.now_ms, self.now_ms + 100);
        self.now_ms = to;
        for (index, params) in self.tracks.clone().iter().enumerate() {
            let (scale, step) = if params.kind() == Kind::Video { (90, 3000) } else { (48, 1024) };
            let first = (from * scale + step - 1) / step;
            for dts in (first..).map(|n| n * step).take_while(|dts| *dts < to * scale) {
                let key =
                    params.kind() == Kind::Audio || (nth.is_multiple_of(17) && dts < from * scale + step);
                let payload = Bytes::from(dts.to_be_bytes().repeat(if key { 40 } else { 4 }));
                let duration = u32::try_from(step).ok();
                self.packager.push(index, Sample { dts, pts: dts, duration, key, payload }, WALL + from);
            }
        }
    }
}

/// Everything that a window can be asked for.
fn all(window: &Window) -> Vec<(String, Option<Bytes>)> {
    let mut all = Vec::new();
    let mut text = |what: String, text: Option<String>| all.push((what, text.map(Bytes::from)));
    text("multivariant".into(), window.multivariant());
    text("manifest".into(), nx_dash::manifest(window));
    let count = window.tracks().chain(window.vanished()).count();
    let tracks = (0..count).flat_map(|t| [Ask::Track(t), Ask::IFrames(t)]);
    for ask in tracks.chain([Ask::Ts, Ask::Text(0)]) {
        for skip in [Skip::None, Skip::Segments, Skip::DateRanges] {
            text(format!("{ask:?} {skip:?}"), window.media_playlist(ask, skip));
        }
    }
    for id in window.date_ranges().map(|r| r.range.id.clone()) {
        text(format!("break {id}"), window.asset_list(&id));
    }
    for track in 0..count {
        let msns = window.oldest(track).unwrap_or(0)..window.next(track).map_or(0, |n| n.msn + 2);
        for msn in msns {
            for part in 0..window.parts_of(track, msn) + 2 {
                let (what, found) = (format!("{track} {msn}.{part}"), window.part(track, msn, part));
                all.push((format!("{what} {}", matches!(found, Lookup::Soon)), bytes_of(found)));
            }
            if let Lookup::Found(segment) = window.segment(track, msn) {
                let of = &segment.track;
                let key = of.key.as_ref().map(|k| k.first_msn);
                all.push((format!("init of {track} {msn}"), window.init(&of.name, of.run, key)));
            }
            all.push((format!("text {msn}"), bytes_of(window.text_segment(0, msn))));
        }
    }
    all.push((format!("{:?} {}", window.remains(0), window.bytes()), None));
    all
}

fn bytes_of(found: Lookup<Bytes>) -> Option<Bytes> {
    if let Lookup::Found(bytes) = found { Some(bytes) } else { None }
}

/// A message through the wire.
fn sent(message: Message) -> (i64, Told) {
    let mut reader = Reader::default();
    let mut told =
        message.frames().filter_map(|f| reader.take(f).expect("our own frames")).collect::<Vec<_>>();
    assert_eq!(told.len(), 1);
    told.remove(0)
}

fn window_sent(window: &Window) -> Window {
    match sent(Message::window(WALL, window).unwrap()) {
        (WALL, Told::Window(window)) => *window,
        other => panic!("{other:?}"),
    }
}

fn event_sent(event: &Event) -> Event {
    match sent(Message::event(WALL, event).unwrap()) {
        (WALL, Told::Event(event)) => *event,
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// An edge that joins at any point serves, from then on, what the origin does, to the byte.
    #[test]
    fn an_edge_that_joins_late_serves_the_same(
        deeds in deeds(), join in 0usize..20, again in 0usize..20, encrypted: bool, restarted: bool,
        listed in 3usize..9, budget in 0usize..200_000,
    ) {
        let mut rig = Rig::new(encrypted);
        let mut origin = Window::new(listed, 2, budget);
        if restarted {
            origin.resume(Remains { first_msn: 94, begins_ms: (0..6).map(|n| WALL - 20_000 + n * 2000).collect(),
                run: 3, start_ms: WALL - 60_000, wall_at_zero_ms: WALL - 70_000, discontinuities: 4 });
        }
        let mut edge = None;
        for (nth, deed) in deeds.iter().enumerate() {
            for event in rig.take(deed) {
                if let Some(edge) = &mut edge {
                    Window::apply(edge, event_sent(&event));
                }
                origin.apply(event);
            }
            if nth == join || nth == again {
                edge = Some(window_sent(&origin));
            }
            if let Some(edge) = &edge {
                prop_assert_eq!(all(edge), all(&origin), "after {} {:?}", nth, deed);
            }
        }
    }

    /// Whatever comes is refused or means the same when it is sent again.
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), whole: bool) {
        let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
        let framed = [&length[..], &bytes].concat();
        fuzz::frames(if whole { &framed } else { &bytes });
    }

    #[test]
    fn a_spoilt_message_is_refused_or_sound(at in any::<prop::sample::Index>(), bit in 0u8..8, cut in any::<prop::sample::Index>()) {
        for message in golden().iter().map(|(_, event)| Message::event(WALL, event).unwrap()).chain([a_window()]) {
            let frame = Bytes::from(message.frames().flatten().collect::<Vec<u8>>());
            let mut spoilt = frame.to_vec();
            spoilt[at.index(frame.len())] ^= 1 << bit;
            let _ = Reader::default().take(spoilt.into());
            let short = frame.slice(..cut.index(frame.len()));
            prop_assert!(!matches!(Reader::default().take(short), Ok(Some(_))), "a beginning is no message");
        }
    }
}

fn a_window() -> Message {
    let (mut rig, mut window) = (Rig::new(true), Window::new(3, 2, 0));
    for deed in [Deed::Text, Deed::Frames(70), Deed::Cue, Deed::Key(2), Deed::Frames(70)] {
        rig.take(&deed).into_iter().for_each(|event| _ = window.apply(event));
    }
    Message::window(WALL, &window).unwrap()
}

/// One event of each kind, and its bytes as they were written down. `RUN` by hand: version `02`, an event
/// `01`, the time, 50 bytes of head, no media; `00` a run, number `02`, segment 300 as `ac02`, one track `01`: `0000` is v1, `02` bytes of
/// name, run `02`, sound `01` in AAC `00`, and so on; -2 is `03`; no keys, no media.
fn golden() -> Vec<(&'static str, Event)> {
    let track = RunTrack {
        id: TrackId::VIDEO,
        name: "v1".into(),
        run: 2,
        params: audio(),
        init: Bytes::from_static(b"init"),
        key: None,
    };
    let told = Arc::new(Protection {
        scheme: Scheme::Cenc,
        key_id: [1; 16],
        iv: [2; 16],
        systems: Vec::new(),
        ts: TsCipher::Aes128,
    });
    let period = KeyPeriod { first_msn: 300, begins_ms: -1, told };
    let run = Run {
        number: 2,
        first_msn: 300,
        tracks: vec![Arc::new(track)],
        start_ms: 1,
        wall_at_zero_ms: -2,
        part_target_us: 333_333,
        keys: Vec::new(),
    };
    let bytes = Bytes::from_static(b"moof");
    let part = Part { msn: 300, index: 1, dts: -3, pts: 4, duration: 90, independent: true, bytes };
    let cue = TextCue { start_us: 5, duration_us: Some(6), text: "hi".into(), settings: String::new() };
    let embedded = nx_hls::Embedded { instream_id: "CC1".into(), language: "en".into(), name: "E".into() };
    vec![
        (RUN, Event::Run(Arc::new(run))),
        (KEY, Event::Key(period)),
        (PART, Event::Part { track: 0, part }),
        (SEGMENT_END, Event::SegmentEnd { track: 0, msn: 300, duration: 180 }),
        (DATE_RANGE, Event::DateRange(range(1, 7))),
        (WITHDRAW, Event::Withdraw { id: "x".into() }),
        (CAPTIONS, Event::Captions(Captions { embedded: vec![embedded], renditions: Vec::new() })),
        (TEXT, Event::Text { rendition: 0, cue }),
        (END, Event::End),
    ]
}

const RUN: &str = "0201000001a1ee565e000000003200000000000000000002ac0201000002763102010002119080f702028008096d7034\
    612e34302e320103656e6704696e697400020395ac140000";
const KEY: &str = "0201000001a1ee565e0000000028000000000000000001ac0201010101010101010101010101010101010102020202020\
    202020202020202020202000100";
const PART: &str = "0201000001a1ee565e000000000b00000000000000040200ac020105085a0101046d6f6f66";
const SEGMENT_END: &str = "0201000001a1ee565e000000000700000000000000000300ac02b40100";
const DATE_RANGE: &str = "0201000001a1ee565e00000000290000000000000000050461642d3101036164730e0001c096b102000000000103fc30\
    1100000104582d4144032278220000";
const WITHDRAW: &str = "0201000001a1ee565e0000000004000000000000000006017800";
const CAPTIONS: &str = "0201000001a1ee565e000000000d000000000000000007010343433102656e01450000";
const TEXT: &str = "0201000001a1ee565e000000000a000000000000000008000a01060268690000";
const END: &str = "0201000001a1ee565e000000000200000000000000000900";
const WINDOW: &str = "0200000001a1ee565e000000019400000000000000040300020102ac0201000002763102010002119080f702028008\
    096d7034612e34302e320103656e6704696e697400020395ac14000102ac0201000002763102010002119080f7020280\
    08096d7034612e34302e320103656e6704696e697400020395ac140001000002763102010002119080f702028008096d\
    7034612e34302e320103656e6704696e69740001ac020101010101010101010101010101010101010202020202020202\
    0202020202020202000101000002763102010002119080f702028008096d7034612e34302e320103656e6704696e6974\
    0001ac02000002763102010002119080f702028008096d7034612e34302e320103656e6704696e697400000301ac0201\
    05085a010001b40100000000000000000000000004d30e000000000000000004ad020000010461642d3101036164730e\
    0001c096b102000000000103fc301100000104582d4144032278220003ad020000000001ac020000010343433102656e\
    01450001f23b0101ac0200b81e85eb51b86e3f0003000100000000000000000000000000000000000001046d6f6f66";

/// A difference here is another version of the wire: raise `VERSION`, then write the new bytes down.
#[test]
fn every_event_has_the_bytes_that_were_written_down() {
    let hex = |message: Message| nx_crypt::hex(&message.frames().flatten().collect::<Vec<u8>>());
    let (want, found): (Vec<_>, Vec<_>) = golden()
        .into_iter()
        .map(|(want, event)| (want.to_owned(), hex(Message::event(WALL, &event).unwrap())))
        .unzip();
    assert_eq!(found, want);
    for (_, event) in golden() {
        assert_eq!(event_sent(&event), event);
    }
}

/// The same for what a window holds.
#[test]
fn a_window_has_the_bytes_that_were_written_down() {
    let mut window = Window::new(3, 2, 0);
    for (_, event) in golden() {
        window.apply(event);
    }
    let message = Message::window(WALL, &window).unwrap();
    assert_eq!(nx_crypt::hex(&message.frames().flatten().collect::<Vec<u8>>()), WINDOW);
}

#[test]
fn other_versions_kinds_and_lengths_are_refused_by_name() {
    let good: Vec<u8> = Message::event(WALL, &Event::End).unwrap().frames().next().unwrap().to_vec();
    let with = |at: usize, bytes: &[u8]| {
        let mut frame = good.clone();
        frame[at..at + bytes.len()].copy_from_slice(bytes);
        Reader::default().take(frame.into()).unwrap_err()
    };
    assert!(matches!(with(0, &[9]), WireError::Version(9)));
    assert!(matches!(with(1, &[7]), WireError::Kind(7)));
    assert!(matches!(with(10, &[0xff; 4]), WireError::TooLong("head", _)));
    assert!(matches!(with(14, &[0xff; 8]), WireError::TooLong("media", _)));
    assert!(matches!(with(10, &[0, 0, 0, 1]), WireError::Length { what: "message", .. }));
    assert!(matches!(with(13, &[1, 0, 0, 0, 0, 0, 0, 0, 1]), WireError::Head(_)));
    assert!(matches!(Reader::default().take(Bytes::new()), Err(WireError::Length { what: "prefix", .. })));
    let longer = [&good[..], b"x"].concat();
    let error = Reader::default().take(longer.into()).unwrap_err();
    assert!(matches!(error, WireError::Length { what: "message", .. }), "{error}");
}

#[test]
fn a_message_that_never_ends_is_given_up() {
    let mut first = Message::event(WALL, &Event::End).unwrap().frames().next().unwrap().to_vec();
    first[19] = 1; // 64 KiB of media.
    let mut reader = Reader::default();
    assert!(reader.take(first.into()).unwrap().is_none());
    let error = (0..FRAMES_MAX).find_map(|_| reader.take(Bytes::new()).err()).expect("a limit");
    assert!(matches!(error, WireError::TooLong("list of frames", FRAMES_MAX)), "{error}");
}

#[test]
fn large_media_travels_in_several_frames_and_small_media_is_not_copied() {
    let event = |length: usize| {
        let bytes = Bytes::from(vec![7; length]);
        let part = Part { msn: 1, index: 0, dts: 0, pts: 0, duration: 1, independent: true, bytes };
        Event::Part { track: 0, part }
    };
    let large = event(2 * FRAME_BYTES_MAX + 5);
    let frames: Vec<Bytes> = Message::event(1, &large).unwrap().frames().collect();
    assert_eq!(
        frames.iter().skip(1).map(Bytes::len).collect::<Vec<_>>(),
        [FRAME_BYTES_MAX, FRAME_BYTES_MAX, 5]
    );
    assert_eq!(event_sent(&large), large);
    let small = event(100);
    let [Event::Part { part: before, .. }, Event::Part { part: after, .. }] = [&small, &event_sent(&small)]
    else {
        panic!("parts")
    };
    assert_eq!(before.bytes.as_ptr(), after.bytes.as_ptr());
}

/// However a message is cut, it says the same.
#[test]
fn frames_may_be_cut_anywhere() {
    let whole: Vec<u8> = a_window().frames().flatten().collect();
    for step in [22, 23, 100, 1_000, whole.len()] {
        let mut reader = Reader::default();
        let told = whole.chunks(step).filter_map(|c| reader.take(Bytes::copy_from_slice(c)).unwrap()).count();
        assert_eq!(told, 1, "{step}");
    }
}

#[test]
fn a_window_that_contradicts_itself_is_refused() {
    let whole: Vec<u8> = a_window().frames().flatten().collect();
    // Somewhere in it stands how many bytes are held: no other number may stand there.
    let head = a_window().frames().next().unwrap().len();
    let spoilt = (0..head).filter(|at| {
        let mut frame = whole.clone();
        frame[*at] ^= 1;
        matches!(Reader::default().take(frame.into()), Err(WireError::Unsound))
    });
    assert!(spoilt.count() > 3);
}
