//! One live stream on its way into the programme: played from the server over RTMP, decoded, dated, put in.
//!
//! RTMP because the server hands each packet on as it comes, while SRT players and HLS are a third of a second and more
//! behind. The price: H.264 and AAC, which is what GStreamer's RTMP knows.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use gst::ClockTime;
use gst::prelude::*;
use gst_app::{AppSink, AppSinkCallbacks, AppSrc};
use nx_scene::{InputState, Seen};

use crate::output::{Branch, Output, SOUND, lock};
use crate::pace::Pace;

/// Without a frame for this long it is not there.
const ABSENT: ClockTime = ClockTime::from_seconds(1);
/// Without one for this long it is connected anew.
const DEAD: ClockTime = ClockTime::from_seconds(10);
/// Between two attempts to connect.
const RETRY: ClockTime = ClockTime::from_mseconds(1000);

/// See the module.
pub(crate) struct Input {
    stream: String,
    location: String,
    branch: Branch,
    gain: f64,
    feed: Arc<Feed>,
    chain: Option<Chain>,
    /// When it connects, or when it last did.
    at: ClockTime,
    reason: Option<String>,
}

/// Stops when dropped.
struct Chain(gst::Pipeline);

/// What the threads of an input share.
#[derive(Default)]
struct Feed {
    pace: Mutex<Pace>,
    /// When the last picture and the last sound came, nanoseconds of the programme's time; 0 for never.
    seen: [AtomicU64; 2],
}

#[derive(Clone, Copy)]
enum Kind {
    Video,
    Audio,
}

impl Input {
    /// A stream that is not connected yet. `location` is its address with what opens it.
    pub(crate) fn new(stream: &str, location: String, output: &Output) -> Result<Self, String> {
        Ok(Self {
            stream: stream.to_owned(),
            location,
            branch: output.attach()?,
            gain: 1.0,
            feed: Arc::default(),
            chain: None,
            at: output.now(),
            reason: None,
        })
    }

    pub(crate) fn stream(&self) -> &str {
        &self.stream
    }

    /// Its end of the mixed picture.
    pub(crate) fn picture(&self) -> &gst::Pad {
        &self.branch.picture
    }

    pub(crate) fn set_gain(&mut self, gain: f64) {
        self.gain = gain;
        self.branch.sound.set_property("volume", gain);
    }

    /// What it took of the programme.
    pub(crate) fn leave(self) -> Branch {
        self.branch
    }

    /// Whether it has a picture at the moment.
    pub(crate) fn is_shown(&self, now: ClockTime) -> bool {
        self.feed.is_fresh(Kind::Video, now)
    }

    /// For the status.
    pub(crate) fn seen(&self, now: ClockTime) -> Seen {
        let is_live = self.is_shown(now) || self.feed.is_fresh(Kind::Audio, now);
        let state = if is_live { InputState::Live } else { InputState::Absent };
        let reason = self.reason.clone().or_else(|| Some("no frames come".into())).filter(|_| !is_live);
        Seen { stream: self.stream.clone(), state, reason }
    }

    /// The source of this name cannot go on: begins anew if it is one of ours.
    pub(crate) fn mend(&mut self, source: &str, output: &Output) -> Result<(), String> {
        if self.branch.has(source) {
            self.lose("its pictures or sound cannot be mixed".into(), output.now());
            output.detach(std::mem::replace(&mut self.branch, output.attach()?));
            self.set_gain(self.gain);
        }
        Ok(())
    }

    /// Connects when it is time to, and notices when it is over.
    pub(crate) fn tick(&mut self, output: &Output) {
        let now = output.now();
        if let Some(chain) = &self.chain {
            let last = self.feed.last().max(self.at);
            if let Some(why) = chain.over() {
                self.lose(why, now);
            } else if now.saturating_sub(last) > DEAD {
                self.lose("nothing came for 10 s".into(), now);
            }
        } else if now >= self.at {
            self.at = now;
            match self.connect(output) {
                Ok(chain) => self.chain = Some(chain),
                Err(why) => self.lose(why, now),
            }
        }
    }

    fn lose(&mut self, why: String, now: ClockTime) {
        (self.chain, self.reason, self.at) = (None, Some(why), now + RETRY);
    }

    fn connect(&self, output: &Output) -> Result<Chain, String> {
        let text = format!(
            "rtmp2src name=source ! flvdemux name=parts \
             parts.video ! queue ! decodebin ! deinterlace ! videoconvert \
             ! video/x-raw,format=I420,width=[2,4096],height=[2,4096] \
             ! appsink name=video sync=false async=false max-buffers=2 drop=true \
             parts.audio ! queue ! decodebin ! audioconvert ! audioresample ! {SOUND} \
             ! appsink name=audio sync=false async=false max-buffers=16 drop=true"
        );
        let pipeline = gst::parse::launch(&text).map_err(|e| e.to_string())?;
        let pipeline = pipeline.downcast::<gst::Pipeline>().map_err(|_| "no pipeline")?;
        let chain = Chain(pipeline);
        let source = chain.0.by_name("source").ok_or("no source")?;
        source.set_property("location", &self.location);
        for (name, kind, into) in
            [("video", Kind::Video, &self.branch.video), ("audio", Kind::Audio, &self.branch.audio)]
        {
            let sink = chain.0.by_name(name).and_downcast::<AppSink>().ok_or("no sink")?;
            let (feed, into, clock) = (self.feed.clone(), into.clone(), output.clock());
            let take = move |sink: &AppSink| {
                let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                feed.pass(kind, &sample, &into, clock());
                Ok(gst::FlowSuccess::Ok)
            };
            sink.set_callbacks(AppSinkCallbacks::builder().new_sample(take).build());
        }
        chain.0.set_state(gst::State::Playing).map_err(|e| e.to_string())?;
        Ok(chain)
    }
}

impl Chain {
    /// Why it has ended, if it has.
    fn over(&self) -> Option<String> {
        let message = self.0.bus()?.pop_filtered(&[gst::MessageType::Error, gst::MessageType::Eos])?;
        Some(match message.view() {
            gst::MessageView::Error(error) => format!("cannot be played: {}", error.error()),
            _ => "nobody publishes it any more".into(),
        })
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        let _ = self.0.set_state(gst::State::Null);
    }
}

impl Feed {
    /// Dates a frame and puts it in. What cannot be put in is lost, and nothing else.
    fn pass(&self, kind: Kind, sample: &gst::Sample, into: &AppSrc, now: ClockTime) {
        let (Some(mut buffer), Some(pts)) = (sample.buffer_owned(), sample.buffer().and_then(|b| b.pts()))
        else {
            return;
        };
        let signed = |time: ClockTime| i64::try_from(time.nseconds()).unwrap_or(i64::MAX);
        let at = lock(&self.pace).place(signed(pts), signed(now));
        let Ok(at) = u64::try_from(at) else { return };
        buffer.make_mut().set_pts(ClockTime::from_nseconds(at));
        into.set_caps(sample.caps_owned().as_ref());
        if into.push_buffer(buffer).is_ok() {
            self.seen[kind as usize].store(now.nseconds(), Ordering::Relaxed);
        }
    }

    fn is_fresh(&self, kind: Kind, now: ClockTime) -> bool {
        let seen = self.seen[kind as usize].load(Ordering::Relaxed);
        seen > 0 && now.saturating_sub(ClockTime::from_nseconds(seen)) < ABSENT
    }

    fn last(&self) -> ClockTime {
        let last = self.seen.iter().map(|seen| seen.load(Ordering::Relaxed)).max();
        ClockTime::from_nseconds(last.unwrap_or(0))
    }
}
