//! Frames as bytes.

mod body;
mod ladder;

use bytes::{Buf, BufMut, Bytes};
use nx_media::{Kind, Sample, VideoCodec};

use self::body::{Body, number_of, one_of, put_counted, put_text, within};
use crate::{
    FRAME_MAX, Grid, LENGTH, Load, OUTPUTS_MAX, PIXELS_MAX, REASON_MAX, Reply, Request, SIDE_MAX, WireError,
};

const SHEET: u8 = 1;
const DRAW: u8 = 2;
const FINISH: u8 = 3;
const LADDER: u8 = 4;
const SAMPLE: u8 = 5;
const WANTED: u8 = 6;
const FLUSH: u8 = 7;
const SLATE: u8 = 8;
const HELLO: u8 = 128;
const DRAWN: u8 = 129;
const FAILED: u8 = 130;
const JPEG: u8 = 131;
const OPENED: u8 = 132;
const REFUSED: u8 = 133;
const CODED: u8 = 134;
const LOAD: u8 = 135;
const FLUSHED: u8 = 136;

const VIDEO_CODECS: [(u8, VideoCodec); 6] = [
    (1, VideoCodec::Avc),
    (2, VideoCodec::Hevc),
    (3, VideoCodec::Av1),
    (4, VideoCodec::Vp9),
    (5, VideoCodec::Mpeg4),
    (6, VideoCodec::Mpeg2),
];
const KINDS: [(u8, Kind); 2] = [(0, Kind::Video), (1, Kind::Audio)];
/// Bits of a sample's flags.
const KEY: u8 = 1;
const TIMED: u8 = 2;
/// Bytes of an encoder's name.
const ENCODER_BYTES_MAX: usize = 32;

impl Request {
    /// The frame with its length.
    ///
    /// # Errors
    /// [`WireError::Length`] when it is too long; [`WireError::Value`] for a codec without a number and a text that
    /// is too long.
    pub fn write(&self) -> Result<Vec<u8>, WireError> {
        match self {
            Self::Sheet(grid) => {
                let (width, height) = (grid.width.to_be_bytes(), grid.height.to_be_bytes());
                frame(SHEET, &[&[grid.columns, grid.rows], &width, &height])
            }
            Self::Draw { cell, codec, config, sample } => {
                let mut head = vec![*cell, number_of("the codec", &VIDEO_CODECS, *codec)?];
                put_counted(&mut head, config)?;
                frame(DRAW, &[&head, sample])
            }
            Self::Finish => frame(FINISH, &[]),
            Self::Ladder(ladder) => {
                let mut body = Vec::new();
                ladder::put(ladder, &mut body)?;
                frame(LADDER, &[&body])
            }
            Self::Sample(kind, sample) => {
                frame(SAMPLE, &[&head(number_of("a kind", &KINDS, *kind)?, sample), &sample.payload])
            }
            Self::Wanted { output, on } => frame(WANTED, &[&[*output, u8::from(*on)]]),
            Self::Flush => frame(FLUSH, &[]),
            Self::Slate(slate) => {
                let mut head = Vec::new();
                ladder::put_slate(slate, &mut head)?;
                frame(SLATE, &[&head, &slate.image])
            }
        }
    }

    /// Reads a frame without its length.
    ///
    /// # Errors
    /// [`WireError`].
    pub fn read(frame: Bytes) -> Result<Self, WireError> {
        let (kind, mut body) = open(frame)?;
        match kind {
            SHEET => {
                let (columns, rows) = (body.u8()?, body.u8()?);
                let grid = Grid { columns, rows, width: body.u16()?, height: body.u16()? };
                sound(grid).and_then(|request| body.end(request))
            }
            DRAW => {
                let cell = body.u8()?;
                let codec = one_of("the codec", &VIDEO_CODECS, body.u8()?)?;
                Ok(Self::Draw { cell, codec, config: body.counted()?, sample: body.rest() })
            }
            FINISH => body.end(Self::Finish),
            LADDER => {
                let ladder = ladder::read(&mut body)?;
                body.end(Self::Ladder(Box::new(ladder)))
            }
            SAMPLE => {
                let kind = one_of("a kind", &KINDS, body.u8()?)?;
                Ok(Self::Sample(kind, sample(body)?))
            }
            WANTED => {
                let wanted = Self::Wanted { output: output(&mut body)?, on: body.flag("wanted")? };
                body.end(wanted)
            }
            FLUSH => body.end(Self::Flush),
            SLATE => Ok(Self::Slate(Box::new(ladder::slate(body)?))),
            _ => Err(WireError::Kind(kind)),
        }
    }
}

/// A sheet that can be made.
fn sound(grid: Grid) -> Result<Request, WireError> {
    let Grid { columns, rows, width, height } = grid;
    let (across, down) = (u32::from(columns) * u32::from(width), u32::from(rows) * u32::from(height));
    let open = height == 0 && columns == 1 && rows == 1;
    for (what, value, good) in [
        ("the number of columns", columns.into(), (1..=SIDE_MAX).contains(&columns)),
        ("the number of rows", rows.into(), (1..=SIDE_MAX).contains(&rows)),
        ("a cell's width", width.into(), width > 0 && width % 2 == 0),
        ("a cell's height", height.into(), open || (height > 0 && height % 2 == 0)),
        ("the width of a sheet", across, across <= PIXELS_MAX.into()),
        ("the height of a sheet", down, down <= PIXELS_MAX.into()),
    ] {
        if !good {
            return Err(WireError::Value { what, value });
        }
    }
    Ok(Request::Sheet(grid))
}

impl Reply {
    /// The frame with its length.
    ///
    /// # Errors
    /// [`WireError::Length`] when it is too long; [`WireError::Value`] for the name of an encoder that is.
    pub fn write(&self) -> Result<Vec<u8>, WireError> {
        match self {
            Self::Hello(version) => frame(HELLO, &[&version.to_be_bytes()]),
            Self::Drawn => frame(DRAWN, &[]),
            Self::Failed(why) => frame(FAILED, &[reason(why)]),
            Self::Jpeg(bytes) => frame(JPEG, &[bytes]),
            Self::Opened { output, config, encoder } => {
                let mut head = vec![*output];
                put_text(&mut head, "the name of an encoder", encoder, ENCODER_BYTES_MAX)?;
                frame(OPENED, &[&head, config])
            }
            Self::Refused { output, why } => frame(REFUSED, &[&[*output], reason(why)]),
            Self::Coded { output, sample } => frame(CODED, &[&head(*output, sample), &sample.payload]),
            Self::Load(load) => {
                let mut body = Vec::with_capacity(40);
                [load.frames, load.damaged, load.cpu_us].into_iter().for_each(|n| body.put_u64(n));
                [load.taken, load.coded].into_iter().for_each(|n| body.put_i64(n));
                frame(LOAD, &[&body])
            }
            Self::Flushed => frame(FLUSHED, &[]),
        }
    }

    /// Reads a frame without its length.
    ///
    /// # Errors
    /// [`WireError`].
    pub fn read(frame: Bytes) -> Result<Self, WireError> {
        let (kind, mut body) = open(frame)?;
        match kind {
            HELLO => {
                let version = body.u16()?;
                body.end(Self::Hello(version))
            }
            DRAWN => body.end(Self::Drawn),
            FAILED => Ok(Self::Failed(told(body)?)),
            JPEG => Ok(Self::Jpeg(body.rest())),
            OPENED => {
                let output = output(&mut body)?;
                let encoder = body.text("the name of an encoder", ENCODER_BYTES_MAX)?;
                Ok(Self::Opened { output, config: body.rest(), encoder })
            }
            REFUSED => Ok(Self::Refused { output: output(&mut body)?, why: told(body)? }),
            CODED => Ok(Self::Coded { output: output(&mut body)?, sample: sample(body)? }),
            LOAD => {
                let (frames, damaged, cpu_us) = (body.u64()?, body.u64()?, body.u64()?);
                let load = Load { frames, damaged, cpu_us, taken: body.i64()?, coded: body.i64()? };
                body.end(Self::Load(load))
            }
            FLUSHED => body.end(Self::Flushed),
            _ => Err(WireError::Kind(kind)),
        }
    }
}

fn output(body: &mut Body) -> Result<u8, WireError> {
    let output = body.u8()?;
    within("an output", output.into(), 0..=u32::try_from(OUTPUTS_MAX - 1).unwrap_or(u32::MAX))?;
    Ok(output)
}

/// What stands in front of a sample's payload: of what it is one, its flags, its times.
fn head(of: u8, sample: &Sample) -> Vec<u8> {
    let flags = if sample.key { KEY } else { 0 } | if sample.duration.is_some() { TIMED } else { 0 };
    let mut out = vec![of, flags];
    out.put_i64(sample.dts);
    out.put_i64(sample.pts);
    out.put_u32(sample.duration.unwrap_or(0));
    out
}

fn sample(mut body: Body) -> Result<Sample, WireError> {
    let flags = body.u8()?;
    within("the flags of a sample", flags.into(), 0..=(KEY | TIMED).into())?;
    let (dts, pts, duration) = (body.i64()?, body.i64()?, body.u32()?);
    let timed = flags & TIMED != 0;
    if !timed && duration != 0 {
        return Err(WireError::Value { what: "a duration that is not known", value: duration });
    }
    let (duration, key) = (timed.then_some(duration), flags & KEY != 0);
    Ok(Sample { dts, pts, duration, key, payload: body.rest() })
}

fn reason(why: &str) -> &[u8] {
    why.get(..why.floor_char_boundary(REASON_MAX)).unwrap_or_default().as_bytes()
}

/// What is no text comes from a worker that is not ours.
fn told(body: Body) -> Result<String, WireError> {
    let form = body.form();
    let why = body.rest();
    if why.len() > REASON_MAX { Err(form) } else { Ok(String::from_utf8_lossy(&why).into_owned()) }
}

fn open(mut frame: Bytes) -> Result<(u8, Body), WireError> {
    if frame.is_empty() || frame.len() > FRAME_MAX {
        return Err(WireError::Length(frame.len()));
    }
    let kind = frame.get_u8();
    Ok((kind, Body::new(kind, frame)))
}

fn frame(kind: u8, body: &[&[u8]]) -> Result<Vec<u8>, WireError> {
    let len = 1 + body.iter().map(|part| part.len()).sum::<usize>();
    let length = u32::try_from(len).ok().filter(|_| len <= FRAME_MAX).ok_or(WireError::Length(len))?;
    let mut out = Vec::with_capacity(LENGTH + len);
    out.extend_from_slice(&length.to_be_bytes());
    out.push(kind);
    body.iter().for_each(|part| out.extend_from_slice(part));
    Ok(out)
}
