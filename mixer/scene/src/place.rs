//! From shares of the canvas to its pixels.

use crate::{Canvas, Corner, Layout, MARGIN, Place, Scene};

/// A rectangle of the canvas in pixels, all even, as pictures of 4:2:0 need it; never empty, never beyond the canvas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "they say it")]
pub struct Rect {
    pub left: u16,
    pub top: u16,
    pub width: u16,
    pub height: u16,
}

impl Scene {
    /// Where the inputs of a scene without faults lie, in their order.
    #[must_use]
    pub fn rects(&self) -> Vec<Rect> {
        let place = |nth| self.layout.place(nth, self.inputs.len());
        (0..self.inputs.len()).map(|nth| self.canvas.rect(place(nth))).collect()
    }
}

impl Layout {
    /// The place of one of `count` inputs.
    fn place(&self, nth: usize, count: usize) -> Place {
        const ALL: Place = Place { left: 0.0, top: 0.0, width: 1.0, height: 1.0 };
        match self {
            Self::PictureInPicture { corner, share } if nth > 0 => inset(*corner, *share, nth - 1),
            Self::PictureInPicture { .. } => ALL,
            Self::SideBySide => {
                let width = 1.0 / count as f64;
                Place { left: nth as f64 * width, width, ..ALL }
            }
            Self::Places(places) => places.get(nth).copied().unwrap_or(ALL),
        }
    }
}

fn inset(corner: Corner, share: f64, nth: usize) -> Place {
    let near = MARGIN + nth as f64 * (share + MARGIN);
    let right = matches!(corner, Corner::TopRight | Corner::BottomRight);
    let bottom = matches!(corner, Corner::BottomLeft | Corner::BottomRight);
    Place {
        left: if right { 1.0 - near - share } else { near },
        top: if bottom { 1.0 - MARGIN - share } else { MARGIN },
        width: share,
        height: share,
    }
}

impl Canvas {
    /// The pixels of a place, each edge moved to the nearest even one.
    #[must_use]
    pub fn rect(&self, Place { left, top, width, height }: Place) -> Rect {
        let (left, width) = span(left, width, self.width);
        let (top, height) = span(top, height, self.height);
        Rect { left, top, width, height }
    }
}

/// Where a share of `all` pixels begins, and how many it has.
fn span(from: f64, share: f64, all: u16) -> (u16, u16) {
    // A cast from a float saturates.
    let even = |at: f64| 2 * (at.clamp(0.0, 1.0) * f64::from(all) / 2.0).round() as u16;
    let begin = even(from).min(all.saturating_sub(2));
    (begin, even(from + share).min(all).saturating_sub(begin).max(2))
}
