//! What lies above the streams: pictures, texts, and the names of streams that are not there.

use std::collections::BTreeMap;
use std::path::Path;

use font8x8::legacy::BASIC_LEGACY;
use gst::prelude::*;
use gst_video::{
    VideoFormat, VideoFrameExt, VideoFrameFlags, VideoMeta, VideoOverlayComposition, VideoOverlayFormatFlags,
    VideoOverlayRectangle,
};
use nx_scene::{Canvas, Place, Rect, Scene, Text};

/// Pixels of a letter of the font, each way, and around it in its bar.
const LETTER: usize = 8;
const EDGE: usize = 2;
/// Blue, green, red, opacity.
const WHITE: [u8; 4] = [255; 4];
const BAR: [u8; 4] = [0, 0, 0, 176];
/// Largest side of a picture, pixels.
const SIDE_MAX: u32 = 4096;
/// For the decoder of a picture.
const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(1);

/// Decoded pictures of the scene by the names of their files.
#[derive(Default)]
pub(crate) struct Stills(BTreeMap<String, Result<gst::Buffer, String>>);

impl Stills {
    /// Reads the pictures of a scene, all anew: files may have changed.
    pub(crate) fn load(&mut self, scene: &Scene, folder: Option<&str>) {
        let load = |file: &String| {
            (file.clone(), still(folder, file).map_err(|why| format!("picture {file}: {why}")))
        };
        self.0 = scene.pictures.iter().map(|picture| load(&picture.file)).collect();
    }

    /// Why some are not shown.
    pub(crate) fn faults(&self) -> Vec<String> {
        self.0.values().filter_map(|still| still.clone().err()).collect()
    }
}

/// What lies above the streams of a scene; `absent` are the places and names of those that are not there.
pub(crate) fn compose(
    scene: &Scene,
    stills: &Stills,
    absent: &[(Rect, &str)],
) -> Option<VideoOverlayComposition> {
    let names = absent.iter().filter_map(|(rect, name)| label(*rect, name));
    let pictures = scene.pictures.iter().filter_map(|picture| {
        let pixels = stills.0.get(&picture.file)?.as_ref().ok()?;
        Some(lay(pixels, scene.canvas.rect(picture.place)))
    });
    let texts = scene.texts.iter().filter_map(|text| write(text, scene.canvas));
    let all: Vec<VideoOverlayRectangle> = names.chain(pictures).chain(texts).collect();
    VideoOverlayComposition::new(&all).ok()
}

fn lay(pixels: &gst::Buffer, Rect { left, top, width, height }: Rect) -> VideoOverlayRectangle {
    let (left, top, width, height) = (left.into(), top.into(), width.into(), height.into());
    VideoOverlayRectangle::new_raw(pixels, left, top, width, height, VideoOverlayFormatFlags::empty())
}

fn write(text: &Text, canvas: Canvas) -> Option<VideoOverlayRectangle> {
    let Rect { left, top, height, .. } =
        canvas.rect(Place { left: text.left, top: text.top, width: 1.0, height: text.height });
    let (pixels, width, height) = bar(&text.text, height, canvas.width - left)?;
    Some(lay(&pixels, Rect { left, top, width, height }))
}

/// A name in the middle of a place.
fn label(rect: Rect, name: &str) -> Option<VideoOverlayRectangle> {
    let (pixels, width, height) = bar(name, (rect.height / 12).max(LETTER as u16), rect.width)?;
    let left = rect.left + (rect.width - width) / 2;
    let top = rect.top + rect.height.saturating_sub(height) / 2;
    Some(lay(&pixels, Rect { left, top, width, height }))
}

/// Letters on a bar of about this height, cut off at `width_max`: its pixels, width and height.
fn bar(text: &str, height: u16, width_max: u16) -> Option<(gst::Buffer, u16, u16)> {
    let letters: Vec<[u8; LETTER]> = text.chars().map(letter).collect();
    let size = (usize::from(height) / (LETTER + 2 * EDGE)).max(1);
    let width = ((letters.len() * LETTER + 2 * EDGE) * size).min(width_max.into());
    let height = (LETTER + 2 * EDGE) * size;
    let lit = |x: usize, y: usize| {
        let (x, y) = ((x / size).checked_sub(EDGE)?, (y / size).checked_sub(EDGE)?);
        let line = letters.get(x / LETTER)?.get(y)?;
        Some(line >> (x % LETTER) & 1 == 1)
    };
    let pixel = |x, y| if lit(x, y) == Some(true) { WHITE } else { BAR };
    let pixels: Vec<u8> = (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(x, y))).collect();
    let buffer = framed(pixels, u32::try_from(width).ok()?, u32::try_from(height).ok()?)?;
    Some((buffer, u16::try_from(width).ok()?, u16::try_from(height).ok()?))
}

fn letter(of: char) -> [u8; LETTER] {
    let known = |c: char| usize::try_from(u32::from(c)).ok().and_then(|at| BASIC_LEGACY.get(at));
    known(of).or_else(|| known('?')).copied().unwrap_or_default()
}

/// Pixels with what GStreamer must know of them.
fn framed(pixels: Vec<u8>, width: u32, height: u32) -> Option<gst::Buffer> {
    let mut buffer = gst::Buffer::from_mut_slice(pixels);
    let inner = buffer.get_mut()?;
    VideoMeta::add(inner, VideoFrameFlags::empty(), VideoFormat::Bgra, width, height).ok()?;
    Some(buffer)
}

/// Decodes a picture.
fn still(folder: Option<&str>, file: &str) -> Result<gst::Buffer, String> {
    let folder = folder.ok_or("origin.mixer.pictures names no folder")?;
    let path = Path::new(folder).join(file);
    if !path.is_file() {
        return Err("there is no such file in the folder of pictures".into());
    }
    let decoder = if file.to_ascii_lowercase().ends_with(".png") { "pngdec" } else { "jpegdec" };
    let text = format!(
        "filesrc name=file ! {decoder} ! videoconvert ! \
         video/x-raw,format=BGRA,width=[1,{SIDE_MAX}],height=[1,{SIDE_MAX}] ! appsink name=sink sync=false max-buffers=1"
    );
    let pipeline = gst::parse::launch(&text).map_err(|e| e.to_string())?;
    let bin = pipeline.downcast_ref::<gst::Bin>().ok_or("no pipeline")?;
    bin.by_name("file").ok_or("no source")?.set_property("location", path.to_string_lossy().as_ref());
    let sink = bin.by_name("sink").and_downcast::<gst_app::AppSink>().ok_or("no sink")?;
    let sample = pipeline.set_state(gst::State::Playing).ok().and_then(|_| sink.try_pull_sample(PATIENCE));
    let pixels = sample.as_ref().and_then(pixels);
    let _ = pipeline.set_state(gst::State::Null);
    pixels.ok_or_else(|| {
        format!("is no picture that can be read, or has a side of more than {SIDE_MAX} pixels")
    })
}

/// A copy of the pixels of a frame, without what may stand between its rows.
fn pixels(sample: &gst::Sample) -> Option<gst::Buffer> {
    let info = gst_video::VideoInfo::from_caps(sample.caps()?).ok()?;
    let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(sample.buffer()?, &info).ok()?;
    let (width, stride) =
        (usize::try_from(info.width()).ok()? * 4, usize::try_from(*frame.plane_stride().first()?).ok()?);
    let rows = frame.plane_data(0).ok()?.chunks(stride.max(1)).take(usize::try_from(info.height()).ok()?);
    let pixels: Vec<u8> = rows.filter_map(|row| row.get(..width)).flatten().copied().collect();
    framed(pixels, info.width(), info.height())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_white_letters_on_a_bar_that_fits() {
        gst::init().unwrap();
        let (buffer, width, height) = bar("I?", 26, 1000).unwrap();
        assert_eq!((width, height), (40, 24), "two letters of 8 and edges of 2, twice as large");
        let map = buffer.map_readable().unwrap();
        let at =
            |x: usize, y: usize| map.get((y * 40 + x) * 4..).unwrap().first_chunk::<4>().copied().unwrap();
        // The font's `I` has its upper line in columns 1 to 4.
        let line: Vec<bool> = (0..10).map(|x| at(2 * x, 4) == WHITE).collect();
        assert_eq!(line, [false, false, false, true, true, true, true, false, false, false]);
        assert_eq!((at(0, 0), at(39, 23)), (BAR, BAR));
        let (_, cut, _) = bar("a long text", 26, 50).unwrap();
        assert_eq!(cut, 50);
    }

    #[test]
    fn what_is_no_letter_is_a_question_mark() {
        assert_eq!(letter('ü'), letter('?'));
        assert_ne!(letter('A'), letter('?'));
    }

    #[test]
    fn a_picture_that_is_not_there_is_told() {
        gst::init().unwrap();
        let folder = std::env::temp_dir();
        let why = still(folder.to_str(), "no-such-picture.png").unwrap_err();
        assert!(why.contains("no such file"), "{why}");
        assert!(still(None, "a.png").unwrap_err().contains("origin.mixer.pictures"));
    }
}
