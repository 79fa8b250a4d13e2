//! What a publisher sends, and when: true time first, then what its clock makes of it.

use bytes::Bytes;
use nx_codec::{aac, avc, hevc};
use nx_media::{AudioCodec, AudioParams, FrameRate, Params, TrackId, VideoParams};
use nx_timeline::WireClock;

use crate::media::{Expect, Media};

/// x264 and x265 records: 1280x720 at 25, 1920x1080 at 30000/1001, 86x50 at 25.
const AVC_HD: &str = "0142c01fffe100176742c01fda014016ec0440000003004000000c83c60ca801000468ce0fc8";
const AVC_FULL_HD: &str = "0142c028ffe100176742c028da01e0089f97011000003e90000ea600f1832a01000468ce0fc8";
const HEVC: &str = concat!(
    "0101600000009000000000001ef000fcfdf8f800000f03a00001001840010c01ffff01600000030090000003000003001e959009",
    "a10001002a42010101600000030090000003000003001ea02c839d4996564b932bc05a020000030002000003003210a200010006",
    "4401c173d189"
);

fn hex(text: &str) -> Bytes {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn at_rate(video: VideoParams, rate: Option<(u32, u32)>) -> Params {
    let frame_rate = rate.map(|(num, den)| FrameRate { num, den });
    Params::Video(VideoParams { frame_rate, ..video })
}

/// H.264 that declares a frame rate, or none.
pub(super) fn avc(rate: Option<(u32, u32)>) -> Params {
    at_rate(avc::parse_config(&hex(AVC_HD)).unwrap(), rate)
}

/// The same in another size.
pub(super) fn avc_full_hd(rate: Option<(u32, u32)>) -> Params {
    at_rate(avc::parse_config(&hex(AVC_FULL_HD)).unwrap(), rate)
}

/// The same size with another record: one more picture parameter set.
pub(super) fn avc_again(rate: Option<(u32, u32)>) -> Params {
    let config =
        hex("0142c01fffe100176742c01fda014016ec0440000003004000000c83c60ca802000468ce0fc8000468ce0fc9");
    at_rate(avc::parse_config(&config).unwrap(), rate)
}

/// H.265.
pub(super) fn hevc(rate: Option<(u32, u32)>) -> Params {
    at_rate(hevc::parse_config(&hex(HEVC)).unwrap(), rate)
}

/// AAC out of its configuration.
pub(super) fn aac(config: &'static [u8]) -> Params {
    Params::Audio(aac::parse_config(&Bytes::from_static(config)).unwrap())
}

/// AAC LC, 48 kHz, stereo.
pub(super) fn aac_48k() -> Params {
    aac(&[0x11, 0x90])
}

/// Sound of a codec without any silence known to the timeline.
pub(super) fn ac3() -> Params {
    Params::Audio(AudioParams {
        codec: AudioCodec::Ac3,
        config: Bytes::from_static(&[0x10, 0x11, 0x40]),
        sample_rate: 48_000,
        channels: 2,
        frame_samples: 1536,
        rfc6381: "ac-3".into(),
        language: None,
    })
}

/// A frame: what it is, and what the publisher says.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) id: TrackId,
    /// Number in its track.
    pub(super) nth: u64,
    /// When it arrives, milliseconds.
    pub(super) at_ms: i64,
    /// When it is to be presented, in truth; microseconds.
    pub(super) true_us: i64,
    /// Decode time as the publisher stamps it, before it is cut to the counter's bits; microseconds.
    pub(super) stamp_us: i64,
    /// Presentation minus decode time, as the publisher says; microseconds.
    pub(super) cts_us: i64,
    pub(super) key: bool,
}

impl Frame {
    pub(super) fn jump(&mut self, seconds: i64) {
        self.stamp_us += seconds * 1_000_000;
    }
}

/// One thing that happens.
#[derive(Debug, Clone)]
pub(super) enum Act {
    Session(WireClock),
    Media(Media),
    Frame(Frame),
}

/// Everything that happens, by time of arrival.
#[derive(Debug, Clone)]
pub(super) struct Script {
    pub(super) clock: WireClock,
    pub(super) steps: Vec<(i64, Act)>,
}

/// How video is coded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Video {
    pub(super) nth: u8,
    /// Frames a second.
    pub(super) rate: (u32, u32),
    /// Frames from key to key.
    pub(super) gop: u64,
}

impl Default for Video {
    fn default() -> Self {
        Self { nth: 0, rate: (30, 1), gop: 60 }
    }
}

impl Video {
    /// Frames from one true time to another, milliseconds.
    pub(super) fn frames(self, from_ms: i64, to_ms: i64) -> Vec<Frame> {
        let (num, den) = (i64::from(self.rate.0), i64::from(self.rate.1));
        let us = |n: i64| from_ms * 1000 + n * den * 1_000_000 / num;
        let count = (0i64..).take_while(|n| us(*n) < to_ms * 1000);
        count
            .map(|n| frame(TrackId::video(self.nth), n, us(n), (n as u64).is_multiple_of(self.gop)))
            .collect()
    }
}

/// Sound of `samples` a frame at `rate`, from one true time to another, milliseconds.
pub(super) fn sound(nth: u8, params: &Params, from_ms: i64, to_ms: i64) -> Vec<Frame> {
    let Params::Audio(audio) = params else { panic!("sound") };
    let (samples, rate) = (i64::from(audio.frame_samples), i64::from(audio.sample_rate));
    let us = |n: i64| from_ms * 1000 + n * samples * 1_000_000 / rate;
    let count = (0i64..).take_while(|n| us(*n) < to_ms * 1000);
    count.map(|n| frame(TrackId::audio(nth), n, us(n), true)).collect()
}

fn frame(id: TrackId, nth: i64, us: i64, key: bool) -> Frame {
    Frame { id, nth: nth as u64, at_ms: us / 1000, true_us: us, stamp_us: us, cts_us: 0, key }
}

impl Script {
    /// A publisher who says nothing yet.
    pub(super) fn new() -> Self {
        let clock = WireClock::RTMP;
        Self { clock, steps: vec![(0, Act::Session(clock))] }
    }

    /// H.264 at 30 frames a second and AAC, as they should be.
    pub(super) fn steady(seconds: i64) -> Self {
        Self::new()
            .params(0, TrackId::VIDEO, avc(Some((30, 1))))
            .params(0, TrackId::AUDIO, aac_48k())
            .frames(Video::default().frames(0, seconds * 1000))
            .frames(sound(0, &aac_48k(), 0, seconds * 1000))
    }

    /// The publisher comes over MPEG-TS.
    pub(super) fn over_ts(mut self) -> Self {
        self.clock = WireClock::MPEG_TS;
        for (_, act) in &mut self.steps {
            if let Act::Session(clock) = act {
                *clock = WireClock::MPEG_TS;
            }
        }
        self
    }

    /// Goes on with another publisher, who comes then.
    pub(super) fn then(mut self, at_ms: i64, other: Self) -> Self {
        self.steps.extend(other.steps.into_iter().map(|(ms, act)| match act {
            Act::Frame(mut frame) => {
                frame.at_ms += at_ms;
                frame.true_us += at_ms * 1000;
                (ms + at_ms, Act::Frame(frame))
            }
            act => (ms + at_ms, act),
        }));
        self
    }

    pub(super) fn params(self, at_ms: i64, id: TrackId, params: Params) -> Self {
        self.media(at_ms, Media::Params(id, params))
    }

    /// The tracks that there are from here on.
    pub(super) fn expect(self, at_ms: i64, tracks: &[TrackId]) -> Self {
        let tracks = tracks.to_vec();
        self.media(at_ms, Media::Expect(Expect { tracks, video_ms: 5_000, audio_ms: 1_500, exact: true }))
    }

    pub(super) fn media(mut self, at_ms: i64, media: Media) -> Self {
        self.steps.push((at_ms, Act::Media(media)));
        self
    }

    pub(super) fn frames(mut self, frames: Vec<Frame>) -> Self {
        self.steps.extend(frames.into_iter().map(|f| (f.at_ms, Act::Frame(f))));
        // One connection keeps the order, whatever the times of arrival become.
        self.sort();
        self
    }

    /// By time; what is told about frames comes before those of the same millisecond.
    pub(super) fn sort(&mut self) {
        self.steps.sort_by_key(|(at, act)| (*at, matches!(act, Act::Frame(_))));
    }

    /// Changes every frame.
    pub(super) fn map(mut self, mut change: impl FnMut(&mut Frame)) -> Self {
        for (at, act) in &mut self.steps {
            if let Act::Frame(frame) = act {
                change(frame);
                *at = frame.at_ms;
            }
        }
        self
    }

    /// Changes what comes from then on.
    pub(super) fn after(self, ms: i64, mut change: impl FnMut(&mut Frame)) -> Self {
        self.map(|f| {
            if f.at_ms >= ms {
                change(f);
            }
        })
    }

    /// Loses frames.
    pub(super) fn without(mut self, lost: impl Fn(&Frame) -> bool) -> Self {
        self.steps.retain(|(_, act)| !matches!(act, Act::Frame(f) if lost(f)));
        self
    }
}
