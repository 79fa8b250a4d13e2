//! What is wrong with a scene: all of it at once.

use nx_media::StreamKey;

use crate::{
    Canvas, INPUTS_MAX, Layout, MARGIN, PICTURES_MAX, Picture, Place, Scene, TEXT_BYTES_MAX, TEXTS_MAX, Text,
};

/// Smallest side of a place, share of the canvas.
const SHARE_MIN: f64 = 0.05;
/// Largest inset.
const INSET_MAX: f64 = 0.5;
/// Loudest that a stream is made.
const GAIN_MAX: f64 = 4.0;
/// Of shares: what adding them up may miss.
const SLACK: f64 = 1e-6;

/// Key within the scene, and a sentence that says what to do.
type Fault = (String, String);

impl Scene {
    /// What is wrong, as key within the scene and a sentence that says what to do.
    #[must_use]
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = self.canvas.faults();
        for (key, count, fitting) in [
            ("inputs", self.inputs.len(), 1..=INPUTS_MAX),
            ("pictures", self.pictures.len(), 0..=PICTURES_MAX),
            ("texts", self.texts.len(), 0..=TEXTS_MAX),
        ] {
            if !fitting.contains(&count) {
                let (min, max) = fitting.into_inner();
                faults.push((key.into(), format!("are {count}, and must be {min} to {max}")));
            }
        }
        for (nth, input) in self.inputs.iter().enumerate() {
            if let Err(error) = StreamKey::parse(&input.stream) {
                faults.push((format!("inputs.{nth}.stream"), error.to_string()));
            }
            if self.inputs.iter().take(nth).any(|other| other.stream == input.stream) {
                faults
                    .push((format!("inputs.{nth}.stream"), "is there already: name each stream once".into()));
            }
            if !(0.0..=GAIN_MAX).contains(&input.gain) {
                faults.push((format!("inputs.{nth}.gain"), format!("must be 0 to {GAIN_MAX}")));
            }
        }
        faults.extend(self.layout.faults(self.inputs.len()));
        faults.extend(self.pictures.iter().enumerate().flat_map(|(nth, picture)| picture.faults(nth)));
        faults.extend(self.texts.iter().enumerate().flat_map(|(nth, text)| text.faults(nth)));
        faults
    }
}

impl Canvas {
    fn faults(&self) -> Vec<Fault> {
        let side = |n: u16, max: u16| n.is_multiple_of(2) && (64..=max).contains(&n);
        let rules = [
            ("width", side(self.width, 3840), "must be even, 64 to 3840"),
            ("height", side(self.height, 2160), "must be even, 64 to 2160"),
            ("fps", (1..=60).contains(&self.fps), "must be 1 to 60"),
            ("bitrate_bps", (100_000..=50_000_000).contains(&self.bitrate_bps), "must be 100000 to 50000000"),
        ];
        let wrong = rules.into_iter().filter(|rule| !rule.1);
        wrong.map(|(key, _, text)| (format!("canvas.{key}"), text.to_owned())).collect()
    }
}

impl Layout {
    fn faults(&self, inputs: usize) -> Vec<Fault> {
        match self {
            Self::PictureInPicture { share, .. } => {
                let key = || "layout.picture_in_picture.share".to_owned();
                if !(SHARE_MIN..=INSET_MAX).contains(share) {
                    return vec![(key(), format!("must be {SHARE_MIN} to {INSET_MAX}"))];
                }
                let insets = inputs.saturating_sub(1) as f64;
                let room = insets * (share + MARGIN) + MARGIN;
                let text =
                    || format!("is too large for {insets} insets in a row: they need {room:.2} of the width");
                if room > 1.0 + SLACK { vec![(key(), text())] } else { Vec::new() }
            }
            Self::SideBySide => Vec::new(),
            Self::Places(places) => {
                let mut faults = Vec::new();
                if places.len() != inputs {
                    let text = format!("are {}, and must be {inputs}: one for each input", places.len());
                    faults.push(("layout.places".into(), text));
                }
                let each = places.iter().take(INPUTS_MAX).enumerate();
                faults.extend(each.flat_map(|(nth, place)| place.faults(&format!("layout.places.{nth}"))));
                faults
            }
        }
    }
}

impl Place {
    fn faults(&self, key: &str) -> Vec<Fault> {
        let side = |from: f64, share: f64| {
            from >= 0.0 && (SHARE_MIN..=1.0).contains(&share) && from + share <= 1.0 + SLACK
        };
        let rules = [("width", side(self.left, self.width)), ("height", side(self.top, self.height))];
        let text = format!("must be {SHARE_MIN} to 1, and with what is before it at most 1");
        rules
            .into_iter()
            .filter(|rule| !rule.1)
            .map(|rule| (format!("{key}.{}", rule.0), text.clone()))
            .collect()
    }
}

impl Picture {
    fn faults(&self, nth: usize) -> Vec<Fault> {
        let ending = self.file.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
        let known = ending.is_some_and(|ending| ["png", "jpg", "jpeg"].contains(&ending.as_str()));
        let plain =
            !self.file.starts_with('.') && !self.file.contains(['/', '\\', '\0']) && self.file.len() <= 255;
        let mut faults = self.place.faults(&format!("pictures.{nth}.place"));
        if !known || !plain {
            let text = "must be the name of a .png, .jpg or .jpeg file, without folders";
            faults.push((format!("pictures.{nth}.file"), text.into()));
        }
        faults
    }
}

impl Text {
    fn faults(&self, nth: usize) -> Vec<Fault> {
        let rules = [
            ("text", (1..=TEXT_BYTES_MAX).contains(&self.text.len()), "must have 1 to 128 bytes"),
            ("left", (0.0..=0.95).contains(&self.left), "must be 0 to 0.95"),
            ("top", (0.0..=0.95).contains(&self.top), "must be 0 to 0.95"),
            ("height", (0.02..=0.5).contains(&self.height), "must be 0.02 to 0.5"),
        ];
        let wrong = rules.into_iter().filter(|rule| !rule.1);
        wrong.map(|(key, _, text)| (format!("texts.{nth}.{key}"), text.to_owned())).collect()
    }
}
