//! Pictures in a grid, as one JPEG.

use bytes::Bytes;
use ffmpeg_next::codec::{self, Id, encoder};
use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame::Video;
use ffmpeg_next::util::color::{Range, Space};
use ffmpeg_next::{Dictionary, Packet};
use nx_worker_protocol::{Grid, PIXELS_MAX};

use crate::graph::Chain;
use crate::turn::{Turn, even, inside};

/// In words, for a log.
pub(crate) type Why = Box<dyn std::error::Error + Send + Sync>;

/// Quantiser of JPEG, 2 (best) to 31: no block shows, a picture of 640 pixels has some 40 KB.
const QUANTISER: &str = "4";
/// What a plane is filled with: black, as JPEG has it.
const BLACK: [u8; 3] = [0, 128, 128];
/// Pictures from this height on that do not tell their colours are in BT.709, as players assume.
const HD_LINES: u32 = 720;

/// See the module.
pub(crate) struct Sheet {
    grid: Grid,
    /// Made with the first picture.
    canvas: Option<Video>,
}

impl Sheet {
    pub(crate) fn new(grid: Grid) -> Self {
        Self { grid, canvas: None }
    }

    /// Draws a picture into a cell.
    pub(crate) fn draw(&mut self, cell: u8, frame: Video) -> Result<(), Why> {
        let Grid { columns, rows, width, height } = self.grid;
        if u16::from(cell) >= u16::from(columns) * u16::from(rows) {
            return Err(format!("the sheet has no cell {cell}").into());
        }
        let turn = Turn::of(&frame);
        let shape = turn.shape(&frame);
        let (width, height) = if height == 0 { free(width, shape) } else { (width.into(), height.into()) };
        self.grid.height = u16::try_from(height)?;
        self.grid.width = u16::try_from(width)?;
        let drawn = scaled(frame, turn, inside((width, height), shape))?;
        let (across, down) = (width * u32::from(columns), height * u32::from(rows));
        let canvas = self.canvas.get_or_insert_with(|| black(across, down));
        let (column, row) = (u32::from(cell % columns), u32::from(cell / columns));
        // Even, as colours have half the places.
        let left = column * width + (width - drawn.width()) / 4 * 2;
        let top = row * height + (height - drawn.height()) / 4 * 2;
        copy(&drawn, canvas, left as usize, top as usize);
        Ok(())
    }

    /// What was drawn.
    pub(crate) fn jpeg(self) -> Result<Bytes, Why> {
        let frame = self.canvas.ok_or("nothing was drawn")?;
        let jpeg = encoder::find(Id::MJPEG).ok_or("this libav cannot write JPEG")?;
        let mut encoder = codec::Context::new_with_codec(jpeg).encoder().video()?;
        encoder.set_width(frame.width());
        encoder.set_height(frame.height());
        encoder.set_format(Pixel::YUVJ420P);
        encoder.set_color_range(Range::JPEG);
        encoder.set_time_base((1, 25));
        let mut options = Dictionary::new();
        options.set("qmin", QUANTISER);
        options.set("qmax", QUANTISER);
        options.set("threads", "1");
        let mut encoder = encoder.open_as_with(jpeg, options)?;
        encoder.send_frame(&frame)?;
        encoder.send_eof()?;
        let mut packet = Packet::empty();
        encoder.receive_packet(&mut packet)?;
        Ok(Bytes::copy_from_slice(packet.data().ok_or("the encoder gave nothing")?))
    }
}

/// The size of a picture of this shape that is so wide, at most: pictures are not made larger.
fn free(width: u16, (wide, high): (u32, u32)) -> (u32, u32) {
    let width = even(u64::from(width).min(wide.into()));
    let height = u64::from(width) * u64::from(high) / u64::from(wide);
    (width, even(height.min(u64::from(PIXELS_MAX) - 2)))
}

/// Scales to a size, with the colours of JPEG: BT.601 in full range.
fn scaled(frame: Video, turn: Turn, (width, height): (u32, u32)) -> Result<Video, Why> {
    let from = match frame.color_space() {
        Space::Unspecified if frame.height() >= HD_LINES => "bt709",
        Space::BT709 => "bt709",
        Space::BT2020NCL | Space::BT2020CL => "bt2020",
        _ => "bt601",
    };
    let range = if frame.color_range() == Range::JPEG { "full" } else { "limited" };
    let spec = format!(
        "[in]{}scale={width}:{height}:flags=bicubic:in_color_matrix={from}:in_range={range}:\
         out_color_matrix=bt601:out_range=full,format=yuvj420p[out0]",
        turn.filter()
    );
    let mut chain = Chain::video(&frame, &spec, 1)?;
    chain.push(&frame)?;
    let mut out = Video::empty();
    if chain.pull(0, &mut out)? { Ok(out) } else { Err("the scaler gave nothing".into()) }
}

fn black(width: u32, height: u32) -> Video {
    let mut canvas = Video::new(Pixel::YUVJ420P, width, height);
    for (plane, value) in BLACK.into_iter().enumerate() {
        canvas.data_mut(plane).fill(value);
    }
    canvas.set_color_range(Range::JPEG);
    canvas
}

/// Copies a picture to a place, which is even.
fn copy(from: &Video, to: &mut Video, left: usize, top: usize) {
    for plane in 0..BLACK.len() {
        let half = usize::from(plane > 0) + 1;
        let (width, height) = (from.width() as usize / half, from.height() as usize / half);
        let (stride, pitch) = (from.stride(plane), to.stride(plane));
        let source = from.data(plane).chunks(stride).take(height);
        let target = to.data_mut(plane).chunks_mut(pitch).skip(top / half);
        for (source, target) in source.zip(target) {
            let place = target.get_mut(left / half..).and_then(|t| t.get_mut(..width));
            if let (Some(place), Some(line)) = (place, source.get(..width)) {
                place.copy_from_slice(line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_even_and_keep_the_shape() {
        for (width, shape, want) in [
            (320, (1280, 720), (320, 180)),
            (320, (1920, 1080), (320, 180)),
            (640, (320, 180), (320, 180)),
            (320, (721, 1281), (320, 568)),
            (320, (1, 1), (2, 2)),
            (1280, (16, 8192), (16, 8190)),
            (160, (8192, 2), (160, 2)),
        ] {
            assert_eq!(free(width, shape), want, "{shape:?} {width} wide");
        }
    }

    fn stripes(width: u32, height: u32) -> Video {
        let mut frame = Video::new(Pixel::YUV420P, width, height);
        let (stride, half) = (frame.stride(0), width as usize / 2);
        for row in frame.data_mut(0).chunks_mut(stride) {
            row[..half].fill(235);
            row[half..].fill(16);
        }
        (1..3).for_each(|plane| frame.data_mut(plane).fill(128));
        frame
    }

    #[test]
    fn a_sheet_has_its_pictures_where_they_belong_in_full_range() {
        let mut sheet = Sheet::new(Grid { columns: 2, rows: 2, width: 64, height: 36 });
        sheet.draw(3, stripes(128, 72)).expect("draws");
        assert!(sheet.draw(4, stripes(128, 72)).is_err());
        let canvas = sheet.canvas.as_ref().expect("a canvas");
        let at = |x: usize, y: usize| canvas.data(0)[y * canvas.stride(0) + x];
        assert_eq!([at(10, 10), at(66, 60), at(120, 60)], [0, 255, 0], "white was 235 and is 255");
        let jpeg = sheet.jpeg().expect("encodes");
        assert_eq!((&jpeg[..2], &jpeg[jpeg.len() - 2..]), (&[0xff, 0xd8][..], &[0xff, 0xd9][..]));
        assert!(Sheet::new(Grid { columns: 1, rows: 1, width: 64, height: 0 }).jpeg().is_err());
    }
}
