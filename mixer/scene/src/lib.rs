//! What a programme is mixed of: live streams, pictures and text, where they lie, and how loud they are.
//!
//! ```text
//! Scene ─► faults: every mistake at once ─► rects: places in pixels
//!    └───► Order, News: lines of JSON between the origin and `nexus-mixer` (`said.rs`)
//! ```
//!
//! Places are shares of the canvas, from its top left corner, so that a scene looks the same on any canvas. Places may
//! overlap: what comes later in the scene lies above what came before.

mod faults;
mod place;
mod said;

use serde::{Deserialize, Serialize};

pub use place::Rect;
pub use said::{Begin, InputState, LINE_BYTES_MAX, LineError, News, Order, Seen, VERSION, line, read};

/// Live streams in a scene.
pub const INPUTS_MAX: usize = 8;
/// Pictures in a scene.
pub const PICTURES_MAX: usize = 8;
/// Texts in a scene.
pub const TEXTS_MAX: usize = 16;
/// Of one text.
pub const TEXT_BYTES_MAX: usize = 128;
/// Between an inset and the edges of the canvas, and between insets. Share of the canvas.
const MARGIN: f64 = 0.03;

/// What a programme shows and plays. [`Scene::faults`] says whether it can be had.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scene {
    /// The picture that is made.
    #[serde(default)]
    pub canvas: Canvas,
    /// The streams in it, the lowest first.
    pub inputs: Vec<Input>,
    /// Where they lie.
    #[serde(default)]
    pub layout: Layout,
    /// Above the streams, the lowest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pictures: Vec<Picture>,
    /// Above everything else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub texts: Vec<Text>,
}

/// The picture that is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Canvas {
    /// Pixels; even.
    pub width: u16,
    /// Pixels; even.
    pub height: u16,
    /// Frames per second.
    pub fps: u8,
    /// Of the picture; sound has 128 kbit/s.
    pub bitrate_bps: u32,
}

impl Default for Canvas {
    fn default() -> Self {
        Self { width: 1280, height: 720, fps: 30, bitrate_bps: 3_000_000 }
    }
}

/// A live stream of the same server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// `APP/STREAM`.
    pub stream: String,
    /// Its sound is multiplied by this; 0 is silence.
    #[serde(default = "whole")]
    pub gain: f64,
}

fn whole() -> f64 {
    1.0
}

/// Where the streams lie. Each keeps its aspect ratio within its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Layout {
    /// The first fills the canvas, the others stand in a row that begins in a corner.
    PictureInPicture {
        /// Where the second is.
        #[serde(default)]
        corner: Corner,
        /// Width and height of each, share of the canvas.
        #[serde(default = "third")]
        share: f64,
    },
    /// Columns of equal width, from the left.
    SideBySide,
    /// As these say, one for each.
    Places(Vec<Place>),
}

fn third() -> f64 {
    0.3
}

impl Default for Layout {
    fn default() -> Self {
        Self::PictureInPicture { corner: Corner::default(), share: third() }
    }
}

/// A corner of the canvas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "they say it")]
pub enum Corner {
    TopLeft,
    TopRight,
    BottomLeft,
    #[default]
    BottomRight,
}

/// A rectangle in shares of the canvas, within it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "they say it")]
pub struct Place {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
}

/// A still.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Picture {
    /// PNG or JPEG in the server's folder of pictures: a name without folders.
    pub file: String,
    /// It is stretched to this.
    pub place: Place,
}

/// A line of text, white on a dark bar.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// ASCII; what else there is shows as `?`.
    pub text: String,
    /// Of the bar, share of the canvas.
    pub left: f64,
    /// Of the bar, share of the canvas.
    pub top: f64,
    /// Of the bar, share of the canvas; its width follows from the text.
    #[serde(default = "twentieth")]
    pub height: f64,
}

fn twentieth() -> f64 {
    0.05
}

#[cfg(test)]
mod tests;
