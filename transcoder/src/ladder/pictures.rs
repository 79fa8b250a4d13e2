//! The source's picture: decoded, made ready, and handed to the rungs.

use ffmpeg_next::frame::Video;
use nx_codec::{av1, avc, hevc};
use nx_media::{FrameRate, Sample, VIDEO_TIMESCALE, VideoCodec};
use nx_worker_protocol::{Crop, Filters, PICTURE_PIXELS_MAX, Rung, SIDE_PIXELS_MAX, VideoSource};

use super::Out;
use super::draw::Drawing;
use super::rung::Desk;
use super::times::Times;
use crate::decode::Decoder;
use crate::graph::{Chain, Fit};
use crate::sheet::Why;

/// Of a source that tells none.
const FRAME_RATE: FrameRate = FrameRate { num: 30, den: 1 };

/// See the module.
pub(crate) struct Pictures {
    decoder: Decoder,
    times: Times,
    front: Front,
    share: Fit,
    rungs: Vec<Desk>,
    /// No rung was on: the decoder has nothing, and begins with a key frame.
    idle: bool,
    frames: u64,
    damaged: u64,
}

impl Pictures {
    pub(crate) fn new(
        source: &VideoSource,
        filters: Filters,
        rungs: Vec<(u8, Rung)>,
        out: &Out,
    ) -> Result<Self, Why> {
        let (width, height) = size(source)?;
        if let Some(Crop { left, top, width: across, height: down }) = filters.crop
            && (u32::from(left) + u32::from(across) > width || u32::from(top) + u32::from(down) > height)
        {
            return Err(format!("{width} x {height} pixels are too few to be cropped like that").into());
        }
        let rate = source.frame_rate.unwrap_or(FRAME_RATE);
        let rungs = rungs.into_iter().map(|(index, rung)| Desk::new(index, rung, rate, out)).collect();
        Ok(Self {
            decoder: Decoder::new(source.codec, &source.config, PICTURE_PIXELS_MAX)?,
            times: Times::default(),
            front: Front::new(filters)?,
            share: Fit::default(),
            rungs,
            idle: true,
            frames: 0,
            damaged: 0,
        })
    }

    /// The next sample, in decode order. What cannot be decoded is counted.
    pub(crate) fn take(&mut self, sample: &Sample) -> Result<(), Why> {
        if !self.rungs.iter().any(Desk::is_on) {
            self.rest();
            return Ok(());
        }
        if self.idle && !sample.key {
            return Ok(());
        }
        self.idle = false;
        self.times.put(sample);
        self.damaged += u64::from(self.decoder.take(sample).is_err());
        self.drain()
    }

    /// Up to where all rungs that are on are coded.
    pub(crate) fn coded(&self) -> Option<i64> {
        self.rungs.iter().filter_map(Desk::coded).min()
    }

    pub(crate) fn frames(&self) -> u64 {
        self.frames
    }

    pub(crate) fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Those that can still be had.
    pub(crate) fn outputs(&self) -> Vec<u8> {
        self.rungs.iter().filter(|desk| !desk.is_refused()).map(Desk::index).collect()
    }

    pub(crate) fn want(&mut self, output: u8, on: bool) {
        self.rungs.iter_mut().filter(|desk| desk.index() == output).for_each(|desk| desk.want(on));
    }

    pub(crate) fn flush(&mut self) -> Result<(), Why> {
        if !self.idle {
            self.damaged += u64::from(self.decoder.end().is_err());
            self.drain()?;
            for mut frame in self.front.end()? {
                self.share(&mut frame)?;
            }
        }
        self.rungs.iter_mut().for_each(Desk::end_run);
        self.rest();
        Ok(())
    }

    /// Forgets the source until its next key frame.
    fn rest(&mut self) {
        if !self.idle {
            self.decoder.empty();
            self.times.clear();
            self.front.chain = Fit::default();
            self.idle = true;
        }
    }

    fn drain(&mut self) -> Result<(), Why> {
        let mut frame = Video::empty();
        loop {
            match self.decoder.give(&mut frame) {
                Ok(true) => {
                    self.frames += 1;
                    for mut ready in self.front.take(&frame)? {
                        self.share(&mut ready)?;
                    }
                }
                Ok(false) => return Ok(()),
                Err(_) => {
                    self.damaged += 1;
                    return Ok(());
                }
            }
        }
    }

    /// Hands a picture to the rungs.
    fn share(&mut self, frame: &mut Video) -> Result<(), Why> {
        let Some(stamp) = frame.pts().and_then(|pts| self.times.take(pts)) else { return Ok(()) };
        self.front.draw(frame, stamp.pts)?;
        let count = self.rungs.len();
        let ways: String = (0..count).map(|way| format!("[out{way}]")).collect();
        // Each way gives another reference to the same pixels.
        let chain = self.share.to(frame, false, || Ok(format!("[in]split={count}{ways}")), count)?;
        chain.push(frame)?;
        for (way, desk) in self.rungs.iter_mut().enumerate() {
            let mut own = Video::empty();
            if chain.pull(way, &mut own)? {
                desk.take(own, stamp);
            }
        }
        Ok(())
    }
}

/// The size that the parameter sets tell, before a decoder sees them.
fn size(source: &VideoSource) -> Result<(u32, u32), Why> {
    let told = match source.codec {
        VideoCodec::Avc => avc::parse_config(&source.config).map_err(Why::from)?,
        VideoCodec::Hevc => hevc::parse_config(&source.config).map_err(Why::from)?,
        VideoCodec::Av1 => av1::parse_config(&source.config).map_err(Why::from)?,
        _ => return small(source.width.into(), source.height.into()),
    };
    small(told.width, told.height)
}

fn small(width: u32, height: u32) -> Result<(u32, u32), Why> {
    let sides = width.max(height) <= SIDE_PIXELS_MAX.into();
    if sides && width.saturating_mul(height) <= PICTURE_PIXELS_MAX {
        return Ok((width, height));
    }
    Err(format!("{width} x {height} pixels are too many: {SIDE_PIXELS_MAX} a side and {PICTURE_PIXELS_MAX} in all are possible").into())
}

/// What is done to a picture before it is scaled.
struct Front {
    crop: Option<Crop>,
    drawing: Option<Drawing>,
    /// Some picture was: others between them may not be.
    interlaced: bool,
    chain: Fit,
}

impl Front {
    fn new(filters: Filters) -> Result<Self, Why> {
        let (crop, drawing) = (filters.crop, Drawing::new(filters)?);
        Ok(Self { crop, drawing, interlaced: false, chain: Fit::default() })
    }

    /// The pictures that this one completes: a deinterlacer is one behind.
    fn take(&mut self, frame: &Video) -> Result<Vec<Video>, Why> {
        self.interlaced |= frame.is_interlaced();
        let (crop, draws, interlaced) = (self.crop, self.drawing.is_some(), self.interlaced);
        let spec = || {
            let mut steps = Vec::new();
            if interlaced {
                steps.push(format!("bwdif=mode=send_frame:deint=interlaced,settb=1/{VIDEO_TIMESCALE}"));
            }
            if let Some(Crop { left, top, width, height }) = crop {
                steps.push(format!("crop={width}:{height}:{left}:{top}"));
            }
            if draws {
                // Nobody else refers to what is drawn into.
                steps.push("format=yuv420p,copy".to_owned());
            }
            if steps.is_empty() {
                steps.push("null".to_owned());
            }
            Ok(format!("[in]{}[out0]", steps.join(",")))
        };
        let chain = self.chain.to(frame, interlaced, spec, 1)?;
        chain.push(frame)?;
        ready(chain)
    }

    /// What is left at the end of a run.
    fn end(&mut self) -> Result<Vec<Video>, Why> {
        let Some(chain) = self.chain.chain() else { return Ok(Vec::new()) };
        chain.end()?;
        ready(chain)
    }

    fn draw(&mut self, frame: &mut Video, pts: i64) -> Result<(), Why> {
        self.drawing.as_mut().map_or(Ok(()), |drawing| drawing.draw(frame, pts))
    }
}

fn ready(chain: &mut Chain) -> Result<Vec<Video>, Why> {
    let mut ready = Vec::new();
    let mut frame = Video::empty();
    while chain.pull(0, &mut frame)? {
        ready.push(std::mem::replace(&mut frame, Video::empty()));
    }
    Ok(ready)
}
