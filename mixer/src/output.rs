//! The programme's picture and sound, from the streams that are put in to the connection that publishes it.
//!
//! It runs whether anything is put in or not: a black picture and silence are always there, and what has no frame in
//! time is left out.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gst::prelude::*;
use gst_app::AppSrc;
use gst_video::VideoOverlayComposition;
use nx_scene::{Begin, Canvas, Rect};

/// What frames of an input may be late, nanoseconds: decoders and the network tremble.
const LATENCY: u64 = 200_000_000;
/// Frames of an input that wait; beyond, the oldest are dropped.
const FRAMES_MAX: u64 = 16;
/// Of the programme's sound, and of the inputs' on their way into it.
pub(crate) const SOUND: &str = "audio/x-raw,format=F32LE,rate=48000,channels=2,layout=interleaved";

/// See the module.
pub(crate) struct Output {
    pipeline: gst::Pipeline,
    mix: gst::Element,
    sum: gst::Element,
    next: Arc<Mutex<Option<Stage>>>,
    frames: Arc<AtomicU64>,
}

/// How the picture is put together from the next frame on.
pub(crate) struct Stage {
    /// The lowest first; nothing of what has no place is shown.
    pub(crate) places: Vec<(gst::Pad, Option<Rect>)>,
    pub(crate) above: Option<VideoOverlayComposition>,
}

/// Where an input's frames go in.
pub(crate) struct Branch {
    pub(crate) video: AppSrc,
    pub(crate) audio: AppSrc,
    /// Of the mixed picture.
    pub(crate) picture: gst::Pad,
    /// Of the mixed sound.
    pub(crate) sound: gst::Pad,
}

/// What has come to an end.
pub(crate) enum Broken {
    /// The programme: why.
    Programme(String),
    /// A branch, by the name of its source: what it was given cannot be mixed.
    Branch(String),
}

impl Output {
    /// Begins to publish. In words when it cannot be.
    pub(crate) fn start(begin: &Begin) -> Result<Self, String> {
        let Begin { server, stream, publish_key, .. } = begin;
        let pipeline =
            launch(&format!("{} ! rtmp2sink name=sink sync=false", description(begin.scene.canvas)))?;
        let sink = pipeline.by_name("sink").ok_or("no sink")?;
        sink.set_property("location", format!("{server}/{stream}?key={publish_key}"));
        Self::run(pipeline)
    }

    fn run(pipeline: gst::Pipeline) -> Result<Self, String> {
        let named = |name| pipeline.by_name(name).ok_or_else(|| format!("no element {name}"));
        let (mix, sum, above) = (named("mix")?, named("sum")?, named("above")?);
        let (next, frames) = (Arc::default(), Arc::default());
        direct(&above, Arc::clone(&next), Arc::clone(&frames))?;
        begin_now(&pipeline);
        pipeline.set_state(gst::State::Playing).map_err(|e| e.to_string())?;
        Ok(Self { pipeline, mix, sum, next, frames })
    }

    /// Time since it began.
    pub(crate) fn now(&self) -> gst::ClockTime {
        now(&self.pipeline)
    }

    /// The same for other threads.
    pub(crate) fn clock(&self) -> impl Fn() -> gst::ClockTime + Send + Sync + Clone + 'static {
        let pipeline = self.pipeline.downgrade();
        move || pipeline.upgrade().map_or(gst::ClockTime::ZERO, |pipeline| now(&pipeline))
    }

    /// Frames made so far.
    pub(crate) fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    /// What the next frame looks like.
    pub(crate) fn stage(&self, stage: Stage) {
        *lock(&self.next) = Some(stage);
    }

    /// Whether the last [`Self::stage`] is on.
    pub(crate) fn is_staged(&self) -> bool {
        lock(&self.next).is_none()
    }

    /// A place for one more input, not shown yet.
    pub(crate) fn attach(&self) -> Result<Branch, String> {
        let sound = SOUND.parse::<gst::Caps>().map_err(|e| e.to_string())?;
        let (video, audio) = (source(None), source(Some(&sound)));
        let picture = self.plug(&video, &self.mix).map_err(|e| e.to_string())?;
        let sound = self.plug(&audio, &self.sum).map_err(|e| e.to_string())?;
        Ok(Branch { video, audio, picture, sound })
    }

    fn plug(&self, source: &AppSrc, into: &gst::Element) -> Result<gst::Pad, gst::glib::Error> {
        let failed = |what: &str| gst::glib::Error::new(gst::CoreError::Pad, what);
        self.pipeline.add(source).map_err(|e| failed(&e.to_string()))?;
        let pad = into.request_pad_simple("sink_%u").ok_or_else(|| failed("no place for another input"))?;
        if pad.has_property("alpha") {
            pad.set_property("alpha", 0.0);
            pad.set_property_from_str("sizing-policy", "keep-aspect-ratio");
        }
        let from = source.static_pad("src").ok_or_else(|| failed("a source without an end"))?;
        from.link(&pad).map_err(|e| failed(&e.to_string()))?;
        source.sync_state_with_parent().map_err(|e| failed(&e.to_string()))?;
        Ok(pad)
    }

    /// Takes an input away.
    pub(crate) fn detach(&self, branch: Branch) {
        // The mixers' ends go first: a source that waits for one would not stop.
        self.mix.release_request_pad(&branch.picture);
        self.sum.release_request_pad(&branch.sound);
        for source in [branch.video, branch.audio] {
            let _ = source.set_state(gst::State::Null);
            let _ = self.pipeline.remove(&source);
        }
    }

    /// What has come to an end since the last look.
    pub(crate) fn broken(&self) -> Vec<Broken> {
        let bus = self.pipeline.bus();
        let pop = || bus.as_ref()?.pop_filtered(&[gst::MessageType::Error, gst::MessageType::Eos]);
        let broken = |message: gst::Message| match message.view() {
            gst::MessageView::Error(error) => match message.src().and_then(|s| s.downcast_ref::<AppSrc>()) {
                Some(source) => Broken::Branch(source.name().into()),
                None => Broken::Programme(error.error().to_string()),
            },
            _ => Broken::Programme("the programme has ended".into()),
        };
        std::iter::from_fn(pop).map(broken).collect()
    }

    /// Ends the stream in good order.
    pub(crate) fn end(&self) {
        self.pipeline.send_event(gst::event::Eos::new());
        let last = [gst::MessageType::Error, gst::MessageType::Eos];
        self.pipeline.bus().and_then(|bus| bus.timed_pop_filtered(gst::ClockTime::from_seconds(1), &last));
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

impl Branch {
    /// Whether a source of this name is its own.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.video.name() == name || self.audio.name() == name
    }
}

fn launch(text: &str) -> Result<gst::Pipeline, String> {
    let pipeline = gst::parse::launch(text).map_err(|e| format!("GStreamer lacks something: {e}"))?;
    pipeline.downcast::<gst::Pipeline>().map_err(|_| "no pipeline".into())
}

/// Its time begins now, by a clock that inputs are dated by as well.
///
/// A pipeline left to itself gives its elements the clock first and the time that it begins at later, one by one. A
/// mixer that looks in between takes it that it began when the machine did, and that everything is late.
fn begin_now(pipeline: &gst::Pipeline) {
    let clock = gst::SystemClock::obtain();
    pipeline.use_clock(Some(&clock));
    pipeline.set_start_time(gst::ClockTime::NONE);
    pipeline.set_base_time(clock.time());
}

/// All but where it goes.
///
/// The queues behind the black picture and the silence are room for what the mixers wait for late inputs: without it
/// they would wait for ever. Nor do they ignore inputs that have never had a frame (`ignore-inactive-pads`): as long as
/// the black picture has had none either, that leaves a mixer without inputs, which for it is the end.
///
/// Key frames every two seconds and never elsewhere, so that the server's segments are as long as they shall be. What
/// the encoder has no time for is left out in front of it.
fn description(Canvas { width, height, fps, bitrate_bps }: Canvas) -> String {
    let picture = format!("video/x-raw,format=I420,width={width},height={height},framerate={fps}/1");
    let (kbps, key) = (bitrate_bps / 1000, u32::from(fps) * 2);
    format!(
        "videotestsrc is-live=true pattern=black ! {picture} ! queue ! mix. \
         audiotestsrc is-live=true wave=silence ! {SOUND} ! queue ! sum. \
         compositor name=mix background=black min-upstream-latency={LATENCY} ! {picture} \
         ! overlaycomposition name=above ! queue max-size-buffers={fps} leaky=downstream \
         ! x264enc tune=zerolatency speed-preset=veryfast bitrate={kbps} key-int-max={key} option-string=scenecut=0 \
         ! h264parse ! queue ! mux. \
         audiomixer name=sum min-upstream-latency={LATENCY} ! {SOUND} ! queue \
         ! audioconvert ! avenc_aac bitrate=128000 ! aacparse ! queue ! mux. \
         flvmux name=mux streamable=true"
    )
}

/// Has each frame drawn over, counted, and what is staged put into force behind it: all in the thread that makes the
/// next, so that no frame is half the one and half the other.
fn direct(
    above: &gst::Element,
    next: Arc<Mutex<Option<Stage>>>,
    frames: Arc<AtomicU64>,
) -> Result<(), String> {
    let drawn: Arc<Mutex<Option<VideoOverlayComposition>>> = Arc::default();
    let drawing = drawn.clone();
    above.connect("draw", false, move |_| Some(lock(&drawing).to_value()));
    let end = above.static_pad("src").ok_or("a picture without an end")?;
    end.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        frames.fetch_add(1, Ordering::Relaxed);
        if let Some(stage) = lock(&next).take() {
            for (height, (pad, place)) in (1_u32..).zip(&stage.places) {
                put(pad, height, *place);
            }
            *lock(&drawn) = stage.above;
        }
        gst::PadProbeReturn::Ok
    });
    Ok(())
}

fn put(pad: &gst::Pad, height: u32, place: Option<Rect>) {
    pad.set_property("alpha", if place.is_some() { 1.0 } else { 0.0 });
    let Some(Rect { left, top, width, height: lines }) = place else { return };
    pad.set_property("zorder", height);
    for (name, value) in [("xpos", left), ("ypos", top), ("width", width), ("height", lines)] {
        pad.set_property(name, i32::from(value));
    }
}

fn source(caps: Option<&gst::Caps>) -> AppSrc {
    let source = AppSrc::builder()
        .format(gst::Format::Time)
        .is_live(true)
        // What waits in it, else the mixers take it that nothing may be late, and wait for ever.
        .min_latency(0)
        .max_latency(i64::try_from(2 * LATENCY).unwrap_or(i64::MAX))
        .max_buffers(FRAMES_MAX)
        .leaky_type(gst_app::AppLeakyType::Downstream)
        .build();
    source.set_caps(caps);
    source
}

fn now(pipeline: &gst::Pipeline) -> gst::ClockTime {
    pipeline.current_running_time().unwrap_or(gst::ClockTime::ZERO)
}

/// Locks, whoever panicked before: every value under a lock here is whole at any time.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
