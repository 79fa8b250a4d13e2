//! How a picture is shown: turned, and in which shape.

use ffmpeg_next::frame::{Video, side_data};

/// How a picture is turned before it is shown, in quarters clockwise.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Turn(u8);

impl Turn {
    /// As its display matrix says (`av_display_rotation_get`), to the quarter.
    pub(crate) fn of(frame: &Video) -> Self {
        let Some(matrix) = frame.side_data(side_data::Type::DisplayMatrix) else { return Self(0) };
        let (numbers, _) = matrix.data().as_chunks::<4>();
        let number = |at: usize| numbers.get(at).map_or(0, |n| i32::from_ne_bytes(*n));
        let (a, b) = (number(0), number(1));
        Self(match (a.unsigned_abs() >= b.unsigned_abs(), a < 0, b < 0) {
            (true, false, _) => 0,
            (false, _, false) => 1,
            (true, true, _) => 2,
            (false, _, true) => 3,
        })
    }

    /// Width and height as shown, in pixels of which as many lie in a width as in a height.
    pub(crate) fn shape(self, frame: &Video) -> (u32, u32) {
        let (width, height) = (u64::from(frame.width()), u64::from(frame.height()));
        let aspect = frame.aspect_ratio();
        let positive = |n: i32| u64::try_from(n).unwrap_or(0);
        let (across, down) = match (positive(aspect.numerator()), positive(aspect.denominator())) {
            (0, _) | (_, 0) => (1, 1),
            // One that is far from square is a mistake.
            (n, d) if n > d * 16 || d > n * 16 => (1, 1),
            other => other,
        };
        let wide = u32::try_from(width * across / down).unwrap_or(u32::MAX).max(1);
        let high = u32::try_from(height).unwrap_or(u32::MAX);
        if self.0 % 2 == 1 { (high, wide) } else { (wide, high) }
    }

    pub(crate) fn filter(self) -> &'static str {
        match self.0 {
            1 => "transpose=clock,",
            2 => "hflip,vflip,",
            3 => "transpose=cclock,",
            _ => "",
        }
    }
}

pub(crate) fn even(n: u64) -> u32 {
    u32::try_from(n.div_ceil(2) * 2).unwrap_or(u32::MAX).max(2)
}

/// The largest even size of this shape in another.
pub(crate) fn inside((width, height): (u32, u32), (wide, high): (u32, u32)) -> (u32, u32) {
    let (w, h) = (u64::from(width), u64::from(height));
    let (down, across) = (w * u64::from(high) / u64::from(wide), h * u64::from(wide) / u64::from(high));
    if down <= h { (width, even(down).min(height)) } else { (even(across).min(width), height) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_fits_into_another_with_an_even_size() {
        for (cell, shape, want) in [
            ((160, 90), (1920, 1080), (160, 90)),
            ((160, 90), (720, 1280), (50, 90)),
            ((160, 90), (640, 480), (120, 90)),
            ((160, 90), (2560, 1080), (160, 68)),
            ((160, 120), (640, 480), (160, 120)),
            ((160, 90), (1, 8192), (2, 90)),
        ] {
            assert_eq!(inside(cell, shape), want, "{shape:?} in {cell:?}");
        }
    }
}
