//! What a follower gives to outputs that keep up, and to those that do not.

use bytes::Bytes;
use nx_hls::{Event, Part, Run};
use nx_media::{AudioCodec, AudioParams, Params, StreamKey, TrackId, VideoCodec, VideoParams};

use super::*;

/// Ticks of one segment, in 90 kHz and in 48 kHz: one second.
const VIDEO_S: i64 = 90_000;
const AUDIO_S: i64 = 48_000;

fn run(number: u32, ids: &[TrackId]) -> Arc<Run> {
    let params = |id: &TrackId| match id.kind {
        Kind::Video => Params::Video(VideoParams {
            codec: VideoCodec::Avc,
            config: Bytes::new(),
            width: 2,
            height: 2,
            frame_rate: None,
            range: nx_media::VideoRange::Sdr,
            rfc6381: String::new(),
        }),
        Kind::Audio => Params::Audio(AudioParams {
            codec: AudioCodec::Aac,
            config: Bytes::new(),
            sample_rate: 48_000,
            channels: 2,
            frame_samples: 1_024,
            rfc6381: String::new(),
            language: None,
        }),
    };
    let track = |id: &TrackId| {
        Arc::new(RunTrack {
            id: *id,
            name: id.to_string(),
            run: number,
            params: params(id),
            init: Bytes::new(),
            key: None,
        })
    };
    let tracks = ids.iter().map(track).collect();
    Arc::new(Run {
        number,
        first_msn: 0,
        tracks,
        start_ms: 0,
        wall_at_zero_ms: 0,
        part_target_us: 1_000_000,
        keys: Vec::new(),
    })
}

fn live() -> Arc<LiveStream> {
    let key = StreamKey::new("live", "one").unwrap();
    Arc::new(LiveStream::new(key, Window::new(6, 1, 1 << 20)))
}

/// Gives a track a segment of one part with two frames.
fn segment(live: &LiveStream, track: usize, msn: u64) {
    let (kind, second) = if track == 0 { (Kind::Video, VIDEO_S) } else { (Kind::Audio, AUDIO_S) };
    let begin = i64::try_from(msn).unwrap() * second;
    let sample = |nth: i64| {
        let (dts, payload) = (begin + nth * second / 2, Bytes::from_static(b"frame"));
        Sample { dts, pts: dts, duration: Some(u32::try_from(second / 2).unwrap()), key: nth == 0, payload }
    };
    let bytes = fmp4::fragment(1, kind, &[sample(0), sample(1)]).unwrap();
    let duration = second.unsigned_abs();
    let part = Part { msn, index: 0, dts: begin, pts: begin, duration, independent: true, bytes };
    live.apply(Event::Part { track, part });
    live.apply(Event::SegmentEnd { track, msn, duration });
}

/// The next piece: what was missed in milliseconds, and per track name, frames and first time in milliseconds.
async fn next(follower: &mut Follower) -> Option<(i64, Vec<(String, usize, i64)>)> {
    loop {
        let piece = match follower.next().await {
            Next::Piece(piece) => piece,
            Next::Quiet => continue,
            Next::End => return None,
        };
        let track = |(run, samples): &TrackSamples| {
            (run.name.clone(), samples.len(), samples.first().map_or(-1, |s| us(run, s.dts) / 1000))
        };
        return Some((piece.missed_us / 1000, piece.tracks.iter().map(track).collect()));
    }
}

fn track(name: &str, frames: usize, at_ms: i64) -> (String, usize, i64) {
    (name.into(), frames, at_ms)
}

#[tokio::test(start_paused = true)]
async fn begins_at_the_newest_key_frame_and_misses_nothing() {
    let live = live();
    live.apply(Event::Run(run(0, &[TrackId::VIDEO, TrackId::AUDIO])));
    for msn in 0..4 {
        segment(&live, 0, msn);
        segment(&live, 1, msn);
    }
    let mut follower = Follower::new(live.clone());
    // Both tracks up to the same time: their last frames begin at 3.5 s.
    assert_eq!(next(&mut follower).await, Some((0, vec![track("v1", 2, 3_000), track("a1", 2, 3_000)])));
    segment(&live, 0, 4);
    segment(&live, 1, 4);
    assert_eq!(next(&mut follower).await, Some((0, vec![track("v1", 2, 4_000), track("a1", 2, 4_000)])));
    // Sound that pauses is waited for a little, and is still one of the tracks.
    segment(&live, 0, 5);
    segment(&live, 0, 6);
    assert_eq!(next(&mut follower).await, Some((0, vec![track("v1", 2, 5_000), track("a1", 0, -1)])));
    live.apply(Event::End);
    assert_eq!(next(&mut follower).await, Some((0, vec![track("v1", 2, 6_000), track("a1", 0, -1)])));
    assert_eq!(next(&mut follower).await, None);
}

#[tokio::test(start_paused = true)]
async fn an_output_that_is_too_slow_goes_on_at_the_newest_key_frame_and_knows_what_it_missed() {
    let live = live();
    live.apply(Event::Run(run(0, &[TrackId::VIDEO])));
    segment(&live, 0, 0);
    let mut follower = Follower::new(live.clone());
    assert_eq!(next(&mut follower).await, Some((0, vec![track("v1", 2, 0)])));
    // A little behind is caught up with.
    (1..=2).for_each(|msn| segment(&live, 0, msn));
    assert_eq!(next(&mut follower).await, Some((0, vec![track("v1", 4, 1_000)])));
    (3..=9).for_each(|msn| segment(&live, 0, msn));
    assert_eq!(next(&mut follower).await, Some((6_000, vec![track("v1", 2, 9_000)])));
    // Longer than the window: the same.
    (10..=40).for_each(|msn| segment(&live, 0, msn));
    assert_eq!(next(&mut follower).await, Some((30_000, vec![track("v1", 2, 40_000)])));
    // Another output begins without having missed anything.
    follower.restart();
    assert_eq!(next(&mut follower).await, Some((0, vec![track("v1", 2, 40_000)])));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_gets_a_picture_is_followed_anew() {
    let live = live();
    live.apply(Event::Run(run(0, &[TrackId::AUDIO])));
    // Track 0 of this run is the sound: its frames are those of a picture's clock, which is of no matter here.
    segment(&live, 0, 0);
    let mut follower = Follower::new(live.clone());
    assert_eq!(next(&mut follower).await.unwrap().1[0].0, "a1");
    live.apply(Event::Run(run(1, &[TrackId::VIDEO, TrackId::AUDIO])));
    segment(&live, 0, 1);
    segment(&live, 1, 1);
    let names: Vec<_> = next(&mut follower).await.unwrap().1.into_iter().map(|t| t.0).collect();
    assert_eq!(names, ["v1", "a1"]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stops_lets_its_followers_go() {
    let live = live();
    live.apply(Event::Run(run(0, &[TrackId::VIDEO])));
    let mut follower = Follower::new(live.clone());
    assert!(matches!(follower.next().await, Next::Quiet), "nothing has come yet");
    live.release();
    assert!(matches!(follower.next().await, Next::End));
}
