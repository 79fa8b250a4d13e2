//! Frames as bytes.

use bytes::{Buf, Bytes};
use nx_media::VideoCodec;

use crate::{FRAME_MAX, Grid, LENGTH, PIXELS_MAX, REASON_MAX, Reply, Request, SIDE_MAX, WireError};

const SHEET: u8 = 1;
const DRAW: u8 = 2;
const FINISH: u8 = 3;
const HELLO: u8 = 128;
const DRAWN: u8 = 129;
const FAILED: u8 = 130;
const JPEG: u8 = 131;

const CODECS: [(u8, VideoCodec); 4] =
    [(1, VideoCodec::Avc), (2, VideoCodec::Hevc), (3, VideoCodec::Av1), (4, VideoCodec::Vp9)];

impl Request {
    /// The frame with its length.
    ///
    /// # Errors
    /// [`WireError::Length`] when it is too long; [`WireError::Value`] for a codec without a number.
    pub fn write(&self) -> Result<Vec<u8>, WireError> {
        match self {
            Self::Sheet(grid) => {
                let (width, height) = (grid.width.to_be_bytes(), grid.height.to_be_bytes());
                frame(SHEET, &[&[grid.columns, grid.rows], &width, &height])
            }
            Self::Draw { cell, codec, config, sample } => {
                let number = CODECS.iter().find(|(_, c)| c == codec).map(|(number, _)| *number);
                let number = number.ok_or(WireError::Value { what: "the codec", value: 0 })?;
                let len = u32::try_from(config.len()).map_err(|_| WireError::Length(config.len()))?;
                frame(DRAW, &[&[*cell, number], &len.to_be_bytes(), config, sample])
            }
            Self::Finish => frame(FINISH, &[]),
        }
    }

    /// Reads a frame without its length.
    ///
    /// # Errors
    /// [`WireError`].
    pub fn read(frame: Bytes) -> Result<Self, WireError> {
        let (kind, mut body) = open(frame)?;
        let form = WireError::Form { kind, bytes: body.len() };
        match (kind, body.len()) {
            (SHEET, 6) => {
                let (columns, rows) = (body.get_u8(), body.get_u8());
                sound(Grid { columns, rows, width: body.get_u16(), height: body.get_u16() })
            }
            (DRAW, 6..) => {
                let (cell, number) = (body.get_u8(), body.get_u8());
                let codec = CODECS.iter().find(|(n, _)| *n == number).map(|(_, codec)| *codec);
                let codec = codec.ok_or(WireError::Value { what: "the codec", value: number.into() })?;
                let len = usize::try_from(body.get_u32()).unwrap_or(usize::MAX);
                if len > body.len() {
                    return Err(form);
                }
                let config = body.split_to(len);
                Ok(Self::Draw { cell, codec, config, sample: body })
            }
            (FINISH, 0) => Ok(Self::Finish),
            (SHEET | DRAW | FINISH, _) => Err(form),
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
    /// [`WireError::Length`] when it is too long.
    pub fn write(&self) -> Result<Vec<u8>, WireError> {
        match self {
            Self::Hello(version) => frame(HELLO, &[&version.to_be_bytes()]),
            Self::Drawn => frame(DRAWN, &[]),
            Self::Failed(why) => {
                let end = why.floor_char_boundary(REASON_MAX);
                frame(FAILED, &[why.get(..end).unwrap_or_default().as_bytes()])
            }
            Self::Jpeg(bytes) => frame(JPEG, &[bytes]),
        }
    }

    /// Reads a frame without its length.
    ///
    /// # Errors
    /// [`WireError`].
    pub fn read(frame: Bytes) -> Result<Self, WireError> {
        let (kind, mut body) = open(frame)?;
        match (kind, body.len()) {
            (HELLO, 2) => Ok(Self::Hello(body.get_u16())),
            (DRAWN, 0) => Ok(Self::Drawn),
            // What is no text comes from a worker that is not ours.
            (FAILED, ..=REASON_MAX) => Ok(Self::Failed(String::from_utf8_lossy(&body).into_owned())),
            (JPEG, _) => Ok(Self::Jpeg(body)),
            (HELLO | DRAWN | FAILED, bytes) => Err(WireError::Form { kind, bytes }),
            _ => Err(WireError::Kind(kind)),
        }
    }
}

fn open(mut frame: Bytes) -> Result<(u8, Bytes), WireError> {
    if frame.is_empty() || frame.len() > FRAME_MAX {
        return Err(WireError::Length(frame.len()));
    }
    Ok((frame.get_u8(), frame))
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
