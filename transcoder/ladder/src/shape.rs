//! The shape that a source is shown in.

use nx_codec::avc;
use nx_media::{VideoCodec, VideoParams};
use nx_worker_protocol::{Crop, PICTURE_PIXELS_MAX, SIDE_PIXELS_MAX};

/// One that is further from square is a mistake.
const ASPECT_MAX: u32 = 16;

/// Width and height in square pixels, at least 1 each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Across.
    pub width: u32,
    /// Down.
    pub height: u32,
}

impl Shape {
    /// As a source is shown: cropped, its pixels made square, turned.
    pub(crate) fn of(video: &VideoParams, turned: bool, crop: Option<Crop>) -> Self {
        let (width, height) = match crop {
            Some(Crop { width, height, .. }) => {
                (u32::from(width).min(video.width), u32::from(height).min(video.height))
            }
            None => (video.width, video.height),
        };
        let aspect = (video.codec == VideoCodec::Avc).then(|| avc::pixel_aspect(&video.config)).flatten();
        let sane = |&(across, down): &(u32, u32)| across <= down * ASPECT_MAX && down <= across * ASPECT_MAX;
        let aspect = aspect.map(|(across, down)| (u32::from(across), u32::from(down))).filter(sane);
        let (across, down) = aspect.unwrap_or((1, 1));
        let wide = u64::from(width) * u64::from(across) / u64::from(down.max(1));
        let (wide, high) = (u32::try_from(wide).unwrap_or(u32::MAX).max(1), height.max(1));
        let (width, height) = if turned { (high, wide) } else { (wide, high) };
        Self { width, height }
    }

    /// The shorter side.
    pub(crate) fn lines(self) -> u16 {
        u16::try_from(self.width.min(self.height)).unwrap_or(u16::MAX)
    }

    /// The size with so many lines: even, and no larger than can be coded.
    pub(crate) fn with_lines(self, lines: u16) -> (u16, u16) {
        let (short, long) = (self.width.min(self.height), self.width.max(self.height));
        let lines = (u64::from(lines) / 2 * 2).max(2);
        let most = u64::from(SIDE_PIXELS_MAX).min(u64::from(PICTURE_PIXELS_MAX) / lines).min(long.into());
        // To the nearest even number.
        let other = (u64::from(long) * lines + u64::from(short)) / (2 * u64::from(short)) * 2;
        let other = other.clamp(2, (most / 2 * 2).max(2));
        let side = |n: u64| u16::try_from(n).unwrap_or(SIDE_PIXELS_MAX);
        let (lines, other) = (side(lines), side(other));
        if self.width < self.height { (lines, other) } else { (other, lines) }
    }
}
