//! What is drawn into the picture: a logo, a line of text, the time. In planes of 4:2:0, without any file.

use ffmpeg_next::frame::Video;
use font8x8::legacy::BASIC_LEGACY;
use nx_media::VIDEO_TIMESCALE;
use nx_worker_protocol::{Clock, Corner, Filters, Logo, Text};

use crate::decode;
use crate::graph::Chain;
use crate::sheet::Why;
use crate::turn::inside;

/// Pixels of a letter of the font, each way.
const LETTER: usize = 8;
/// BT.709 in the usual range.
const BLACK: u8 = 16;
const WHITE: u8 = 235;
const GREY: u8 = 128;
const DAY_MS: i64 = 86_400_000;

/// See the module.
pub(crate) struct Drawing {
    logo: Option<Sign>,
    text: Option<Text>,
    clock: Option<Clock>,
}

impl Drawing {
    /// `None` when there is nothing to draw. Fails with a logo that cannot be read.
    pub(crate) fn new(filters: Filters) -> Result<Option<Self>, Why> {
        let Filters { logo, text, clock, .. } = filters;
        let logo = logo.map(Sign::new).transpose().map_err(|why| format!("of the logo: {why}"))?;
        Ok((logo.is_some() || text.is_some() || clock.is_some()).then_some(Self { logo, text, clock }))
    }

    /// Draws into a picture of 4:2:0 that nobody else refers to. `pts` is 90 kHz.
    pub(crate) fn draw(&mut self, frame: &mut Video, pts: i64) -> Result<(), Why> {
        if let Some(logo) = &mut self.logo {
            logo.draw(frame)?;
        }
        if let Some(Text { corner, height_percent, text }) = &self.text {
            write(frame, *corner, *height_percent, text);
        }
        if let Some(Clock { corner, height_percent, zero_us }) = self.clock {
            write(frame, corner, height_percent, &time(zero_us, pts));
        }
        Ok(())
    }
}

/// `hh:mm:ss.mmm`, UTC.
fn time(zero_us: i64, pts: i64) -> String {
    let us = i128::from(zero_us) + i128::from(pts) * 1_000_000 / i128::from(VIDEO_TIMESCALE);
    let ms = i64::try_from(us.div_euclid(1000).rem_euclid(DAY_MS.into())).unwrap_or(0);
    format!("{:02}:{:02}:{:02}.{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
}

/// The place of so many pixels in a corner, even, and what of them there is room for.
fn place(frame: &Video, corner: Corner, width: usize, height: usize, margin: usize) -> [usize; 4] {
    let (across, down) = (frame.width() as usize, frame.height() as usize);
    let (width, height) = (width.min(across), height.min(down));
    let right = matches!(corner, Corner::TopRight | Corner::BottomRight);
    let bottom = matches!(corner, Corner::BottomLeft | Corner::BottomRight);
    let at = |far: bool, all: usize, own: usize| {
        let margin = margin.min((all - own) / 2);
        (if far { all - own - margin } else { margin }) / 2 * 2
    };
    [at(right, across, width), at(bottom, down, height), width, height]
}

/// White on black.
fn write(frame: &mut Video, corner: Corner, height_percent: u8, text: &str) {
    let size = (frame.height() as usize * usize::from(height_percent) / 100 / LETTER).max(1);
    let letters: Vec<[u8; LETTER]> = text.chars().map(letter).collect();
    let (width, height) = (letters.len() * LETTER * size, LETTER * size);
    let [left, top, width, height] = place(frame, corner, width, height, height / 2);
    for plane in 0..3 {
        let half = usize::from(plane > 0) + 1;
        let (left, top, width, height) = (left / half, top / half, width / half, height / half);
        let pitch = frame.stride(plane);
        let rows = frame.data_mut(plane).chunks_mut(pitch).skip(top).take(height);
        for (y, row) in rows.enumerate() {
            let Some(row) = row.get_mut(left..left + width) else { continue };
            if plane > 0 {
                row.fill(GREY);
                continue;
            }
            for (x, pixel) in row.iter_mut().enumerate() {
                let lines = letters.get(x / size / LETTER).map_or(0, |l| l[y / size % LETTER]);
                *pixel = if lines >> (x / size % LETTER) & 1 == 1 { WHITE } else { BLACK };
            }
        }
    }
}

fn letter(of: char) -> [u8; LETTER] {
    let known = |c: char| usize::try_from(u32::from(c)).ok().and_then(|at| BASIC_LEGACY.get(at));
    known(of).or_else(|| known('?')).copied().unwrap_or_default()
}

/// A logo, made ready for pictures of one size.
struct Sign {
    logo: Logo,
    image: Video,
    ready: Option<((u32, u32), Painted)>,
}

impl Sign {
    fn new(logo: Logo) -> Result<Self, Why> {
        let image = decode::image(&logo.image)?;
        Ok(Self { logo, image, ready: None })
    }

    fn draw(&mut self, frame: &mut Video) -> Result<(), Why> {
        let size = (frame.width(), frame.height());
        if self.ready.as_ref().is_none_or(|(of, _)| *of != size) {
            self.ready = None;
        }
        let painted = match &mut self.ready {
            Some((_, painted)) => painted,
            none => {
                let high = (size.1 * u32::from(self.logo.height_percent) / 100).max(2);
                let shape = (self.image.width(), self.image.height());
                let pixels = pixels(&self.image, inside((size.0, high), shape))?;
                &mut none.insert((size, Painted::new(&pixels, self.logo.opacity_percent))).1
            }
        };
        painted.draw(frame, self.logo.corner);
        Ok(())
    }
}

/// Red, green, blue and opacity of the pixels of a picture of another size, row by row.
fn pixels(image: &Video, (width, height): (u32, u32)) -> Result<Vec<Vec<[u8; 4]>>, Why> {
    // What cannot be seen has a colour too: it must not bleed into what can.
    let scale = format!("scale={width}:{height}:flags=bicubic");
    let spec =
        format!("[in]format=gbrap,premultiply=inplace=1,{scale},unpremultiply=inplace=1,format=rgba[out0]");
    let mut chain = Chain::video(image, &spec, 1)?;
    chain.push(&image.clone())?;
    chain.end()?;
    let mut scaled = Video::empty();
    if !chain.pull(0, &mut scaled)? {
        return Err("the scaler gave nothing".into());
    }
    let rows = scaled.data(0).chunks(scaled.stride(0)).take(height as usize);
    Ok(rows.map(|row| row.as_chunks::<4>().0.iter().take(width as usize).copied().collect()).collect())
}

/// A logo in planes: brightness and its opacity, colours and theirs.
struct Painted {
    width: usize,
    height: usize,
    planes: [Vec<(u8, u8)>; 3],
}

impl Painted {
    /// Colours have half the places: a place has those of its pixel at the top left.
    fn new(pixels: &[Vec<[u8; 4]>], opacity_percent: u8) -> Self {
        let (width, height) = (pixels.first().map_or(0, Vec::len), pixels.len());
        let at = |x: usize, y: usize| pixels.get(y).and_then(|row| row.get(x)).copied().unwrap_or_default();
        let pixel = |x: usize, y: usize| pixel(at(x, y), opacity_percent);
        let luma = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let luma = luma.map(|(x, y)| pixel(x, y)).map(|(yuv, opacity)| (yuv[0], opacity)).collect();
        let chroma = |plane: usize| {
            let places = (0..height).step_by(2).flat_map(|y| (0..width).step_by(2).map(move |x| (x, y)));
            places.map(|(x, y)| pixel(x, y)).map(|(yuv, opacity)| (yuv[plane], opacity)).collect()
        };
        Self { width, height, planes: [luma, chroma(1), chroma(2)] }
    }

    fn draw(&self, frame: &mut Video, corner: Corner) {
        let margin = frame.height() as usize / 40;
        let [left, top, width, height] = place(frame, corner, self.width, self.height, margin);
        for (plane, painted) in self.planes.iter().enumerate() {
            let half = usize::from(plane > 0) + 1;
            let pitch = frame.stride(plane);
            let rows = frame.data_mut(plane).chunks_mut(pitch).skip(top / half).take(height / half);
            for (row, painted) in rows.zip(painted.chunks(self.width.div_ceil(half))) {
                let Some(row) = row.get_mut(left / half..(left + width) / half) else { continue };
                for (pixel, (value, opacity)) in row.iter_mut().zip(painted) {
                    let (value, opacity) = (u32::from(*value), u32::from(*opacity));
                    let mixed = (u32::from(*pixel) * (255 - opacity) + value * opacity + 127) / 255;
                    *pixel = u8::try_from(mixed).unwrap_or(u8::MAX);
                }
            }
        }
    }
}

/// One pixel in BT.709, and what is left of its opacity.
fn pixel([red, green, blue, opacity]: [u8; 4], percent: u8) -> ([u8; 3], u8) {
    let [r, g, b] = [red, green, blue].map(|n| f32::from(n) / 255.0);
    let luma = 0.2126 * r + 0.7152 * g + 0.0722 * b;
    // A cast of a float saturates.
    let byte = |n: f32| n.round() as u8;
    let chroma = |n: f32, range: f32| byte(128.0 + 224.0 * (n - luma) / range);
    let opacity = byte(f32::from(opacity) * f32::from(percent) / 100.0);
    ([byte(16.0 + 219.0 * luma), chroma(b, 1.8556), chroma(r, 1.5748)], opacity)
}

#[cfg(test)]
mod tests {
    use ffmpeg_next::format::Pixel;

    use super::*;

    fn grey(width: u32, height: u32) -> Video {
        let mut frame = Video::new(Pixel::YUV420P, width, height);
        (0..3).for_each(|plane| frame.data_mut(plane).fill(GREY));
        frame
    }

    #[test]
    fn the_time_of_a_picture_is_that_of_its_presentation() {
        for (zero_us, pts, want) in [
            (0, 0, "00:00:00.000"),
            (0, 90_000 * 3_661 + 45_000, "01:01:01.500"),
            (1_000_000, -90_000, "00:00:00.000"),
            (0, -90, "23:59:59.999"),
            (1_700_000_000_000_000, 0, "22:13:20.000"),
        ] {
            assert_eq!(time(zero_us, pts), want);
        }
        assert_eq!(time(i64::MAX, i64::MAX).len(), 12);
    }

    #[test]
    fn letters_are_where_they_belong() {
        let mut frame = grey(64, 32);
        write(&mut frame, Corner::BottomRight, 25, "I");
        let at = |x: usize, y: usize| frame.data(0)[y * frame.stride(0) + x];
        // The font's I in lines: 0x1e, 0x0c, 0x0c, …: 8 x 8 pixels, 4 from the edges.
        let line = |y: usize| (52..60).map(|x| u8::from(at(x, y) == WHITE)).collect::<Vec<_>>();
        assert_eq!(line(20), [0, 1, 1, 1, 1, 0, 0, 0]);
        assert_eq!(line(21), [0, 0, 1, 1, 0, 0, 0, 0]);
        assert_eq!([at(51, 20), at(60, 20), at(52, 19), at(52, 28)], [GREY; 4], "nothing beside it");
        for (width, height) in [(2, 2), (16, 16), (64, 2)] {
            write(&mut grey(width, height), Corner::TopRight, 50, "far too long for that");
        }
    }

    #[test]
    fn a_logo_is_mixed_by_its_opacity() {
        let pixels = [vec![[255; 4], [0, 0, 0, 255]], vec![[255, 0, 0, 0], [0, 0, 0, 128]]];
        let mut frame = grey(64, 32);
        Painted::new(&pixels, 100).draw(&mut frame, Corner::TopLeft);
        let at = |x: usize, y: usize| frame.data(0)[y * frame.stride(0) + x];
        assert_eq!([at(0, 0), at(1, 0), at(0, 1), at(1, 1), at(2, 0)], [WHITE, BLACK, GREY, 72, GREY]);
        assert_eq!(pixel([255, 0, 0, 9], 100), ([63, 102, 240], 9));
        assert_eq!(pixel([255, 0, 0, 200], 25).1, 50);
        Painted::new(&pixels, 50).draw(&mut grey(2, 2), Corner::BottomRight);
    }
}
