//! A chain of libav's filters with one way in and as many out as it is told.

use ffmpeg_next::error::EAGAIN;
use ffmpeg_next::filter::{self, Graph};
use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame::{Audio, Video};
use ffmpeg_next::{Frame, Rational};
use nx_media::VIDEO_TIMESCALE;

use crate::sheet::Why;

/// See the module.
pub(crate) struct Chain {
    graph: Graph,
}

impl Chain {
    /// For pictures like this one, whose times are 90 kHz. `spec` goes from `[in]` to `[out0]`, `[out1]`, ….
    pub(crate) fn video(like: &Video, spec: &str, outs: usize) -> Result<Self, Why> {
        let format = like.format().descriptor().ok_or("its pixels have no known form")?.name();
        let (width, height, aspect) = (like.width(), like.height(), like.aspect_ratio());
        let source = format!(
            "video_size={width}x{height}:pix_fmt={format}:time_base=1/{VIDEO_TIMESCALE}:pixel_aspect={}/{}",
            aspect.numerator().max(0),
            aspect.denominator().max(1),
        );
        Self::new("buffer", &source, "buffersink", spec, outs)
    }

    /// For sound like this, whose times count in `timescale`.
    pub(crate) fn audio(like: &Audio, timescale: u32, spec: &str) -> Result<Self, Why> {
        let (rate, format, layout) = (like.rate(), like.format().name(), like.channel_layout().bits());
        let source = format!(
            "time_base=1/{timescale}:sample_rate={rate}:sample_fmt={format}:channel_layout=0x{layout:x}"
        );
        Self::new("abuffer", &source, "abuffersink", spec, 1)
    }

    fn new(from: &str, source: &str, to: &str, spec: &str, outs: usize) -> Result<Self, Why> {
        let find =
            |name: &str| filter::find(name).ok_or_else(|| format!("this libav lacks the filter {name}"));
        let mut graph = Graph::new();
        graph.add(&find(from)?, "in", source)?;
        for out in 0..outs {
            graph.add(&find(to)?, &format!("out{out}"), "")?;
        }
        let mut parser = graph.output("in", 0)?;
        for out in 0..outs {
            parser = parser.input(&format!("out{out}"), 0)?;
        }
        parser.parse(spec)?;
        graph.validate()?;
        Ok(Self { graph })
    }

    /// Takes a frame out of `frame`, which is empty then.
    pub(crate) fn push(&mut self, frame: &Frame) -> Result<(), Why> {
        Ok(self.graph.get("in").ok_or(GONE)?.source().add(frame)?)
    }

    /// Nothing follows.
    pub(crate) fn end(&mut self) -> Result<(), Why> {
        Ok(self.graph.get("in").ok_or(GONE)?.source().flush()?)
    }

    /// Puts the next frame of a way out into `frame`; `false` when there is none yet.
    pub(crate) fn pull(&mut self, out: usize, frame: &mut Frame) -> Result<bool, Why> {
        came(self.graph.get(&format!("out{out}")).ok_or(GONE)?.sink().frame(frame))
    }
}

/// A chain for pictures of one form; another form gets another chain.
#[derive(Default)]
pub(crate) struct Fit {
    form: Option<Form>,
    chain: Option<Chain>,
}

/// Pixel format, width, height, shape of a pixel, and what else the caller tells apart.
type Form = (Pixel, u32, u32, Rational, bool);

impl Fit {
    /// The chain for this picture; `spec` tells a new one what to do.
    pub(crate) fn to(
        &mut self,
        frame: &Video,
        apart: bool,
        spec: impl FnOnce() -> Result<String, Why>,
        outs: usize,
    ) -> Result<&mut Chain, Why> {
        let form = (frame.format(), frame.width(), frame.height(), frame.aspect_ratio(), apart);
        if self.form != Some(form) {
            self.chain = None;
        }
        self.form = Some(form);
        match &mut self.chain {
            Some(chain) => Ok(chain),
            none => Ok(none.insert(Chain::video(frame, &spec()?, outs)?)),
        }
    }

    pub(crate) fn chain(&mut self) -> Option<&mut Chain> {
        self.chain.as_mut()
    }
}

const GONE: &str = "a filter is gone";

/// Whether a thing of libav gave something; `false` when it wants more first, or is at its end.
pub(crate) fn came(given: Result<(), ffmpeg_next::Error>) -> Result<bool, Why> {
    match given {
        Ok(()) => Ok(true),
        Err(ffmpeg_next::Error::Eof | ffmpeg_next::Error::Other { errno: EAGAIN }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
