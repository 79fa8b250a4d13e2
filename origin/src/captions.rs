//! Text of a stream: what its picture carries, CEA-608 as subtitles, and what the API adds.

use std::collections::BTreeMap;

use nx_codec::captions::cea608::{Decoder, Row, Run, Screen};
use nx_codec::captions::{self, Pair, Seen, Service};
use nx_hls::{Captions, Embedded, Packager, RENDITIONS_MAX, TextCue, TextRendition};
use nx_media::{Params, Sample, VIDEO_TIMESCALE, rescale};
use serde::{Deserialize, Serialize};

/// Pictures whose captions wait for one that is shown before them.
const WAITING_MAX: usize = 32;

/// Section `origin.stream.captions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CaptionsConfig {
    /// Language (BCP 47) of captions in the picture: `CC1` to `CC4`, `SERVICE1` to `SERVICE63`. Others are `und`.
    pub languages: BTreeMap<String, String>,
    /// CEA-608 is shown as WebVTT subtitles too.
    pub subtitles: bool,
}

impl Default for CaptionsConfig {
    fn default() -> Self {
        Self { languages: BTreeMap::new(), subtitles: true }
    }
}

impl CaptionsConfig {
    /// Every service and language is one.
    pub(crate) fn is_valid(&self) -> bool {
        self.languages
            .iter()
            .all(|(service, language)| service.parse::<Service>().is_ok() && is_tag(language))
    }

    fn language(&self, service: &str) -> String {
        self.languages.get(service).map_or("und", String::as_str).to_owned()
    }
}

/// Whether a text may be a language tag (RFC 5646 §2.1, its alphabet and lengths).
pub(crate) fn is_tag(text: &str) -> bool {
    let part = |p: &str| (1..=8).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_alphanumeric());
    text.len() <= 35 && text.split('-').all(part) && text.bytes().take(2).all(|b| b.is_ascii_alphabetic())
}

/// State of one stream's text.
#[derive(Debug, Default)]
pub(crate) struct TextTrack {
    config: CaptionsConfig,
    seen: Seen,
    fields: [Decoder; 2],
    /// Captions of pictures that are not shown yet, by presentation time in microseconds.
    waiting: Vec<(i64, Vec<Pair>)>,
    /// Something was found once: from then on time matters.
    awake: bool,
    captions: Captions,
    /// Rendition of each CEA-608 channel.
    channels: [Option<usize>; 4],
}

impl TextTrack {
    pub(crate) fn new(config: &CaptionsConfig) -> Self {
        Self { config: config.clone(), ..Self::default() }
    }

    /// The time of what follows has nothing to do with what was before.
    pub(crate) fn break_run(&mut self) {
        (self.fields, self.waiting) = (<[Decoder; 2]>::default(), Vec::new());
    }

    /// Looks at a picture of the leading track, before the packager gets it.
    pub(crate) fn see(&mut self, params: &Params, sample: &Sample, packager: &mut Packager) {
        let Params::Video(video) = params else { return };
        let mut pairs = Vec::new();
        captions::pairs(video.codec, &sample.payload, &mut pairs);
        self.awake |= !pairs.is_empty();
        if !self.awake {
            return;
        }
        let us = |ticks: i64| rescale(ticks, VIDEO_TIMESCALE, 1_000_000);
        if sample.key {
            // What was sent before a key frame is shown before it.
            self.show(i64::MAX, packager);
        }
        self.waiting.push((us(sample.pts), pairs));
        let full = self.waiting.len() > WAITING_MAX;
        // No picture to come is shown before it is decoded.
        self.show(if full { i64::MAX } else { us(sample.dts) }, packager);
    }

    /// Takes the captions of the pictures up to that time, in the order in which they are shown.
    fn show(&mut self, until_us: i64, packager: &mut Packager) {
        self.waiting.sort_by_key(|(at_us, _)| *at_us);
        let due = self.waiting.partition_point(|(at_us, _)| *at_us <= until_us);
        let due: Vec<_> = self.waiting.drain(..due).collect();
        for (at_us, pairs) in due {
            let mut news = false;
            for pair in pairs {
                news |= self.seen.push(pair);
                if let Pair::Line21 { field, bytes } = pair
                    && let Some(decoder) = self.fields.get_mut(usize::from(field))
                {
                    decoder.push(bytes);
                }
            }
            if news {
                self.declare(packager);
            }
            if self.config.subtitles {
                self.subtitle(at_us, packager);
            }
        }
    }

    fn declare(&mut self, packager: &mut Packager) {
        let embedded = |service: Service| {
            let instream_id = service.to_string();
            Embedded { language: self.config.language(&instream_id), name: instream_id.clone(), instream_id }
        };
        self.captions.embedded = self.seen.services().map(embedded).collect();
        packager.declare_text(self.captions.clone());
    }

    fn subtitle(&mut self, at_us: i64, packager: &mut Packager) {
        let mut screens: Vec<(usize, Screen)> = Vec::new();
        for (field, decoder) in self.fields.iter_mut().enumerate() {
            screens.extend(decoder.poll(at_us).map(|(nth, screen)| (2 * field + nth, screen)));
        }
        for (channel, screen) in screens {
            let known = self.channels.get(channel).copied().flatten();
            let rendition = known.or_else(|| {
                let service = format!("CC{}", channel + 1);
                let language = self.config.language(&service);
                self.rendition(&service, &language, true, packager)
            });
            let Some(rendition) = rendition else { continue };
            if let Some(place) = self.channels.get_mut(channel) {
                *place = Some(rendition);
            }
            cues(&screen).into_iter().for_each(|cue| packager.text(rendition, cue));
        }
    }

    /// Index of a rendition, which is made if there is none of that name and language; `None` when there are too many.
    pub(crate) fn rendition(
        &mut self,
        name: &str,
        language: &str,
        captions: bool,
        packager: &mut Packager,
    ) -> Option<usize> {
        let renditions = &mut self.captions.renditions;
        let same = |r: &TextRendition| r.name == name && r.language == language;
        if let Some(at) = renditions.iter().position(same) {
            return Some(at);
        }
        if renditions.len() >= RENDITIONS_MAX {
            return None;
        }
        let (name, language) = (name.to_owned(), language.to_owned());
        renditions.push(TextRendition { language, name, captions, forced: false, default: false });
        packager.declare_text(self.captions.clone());
        Some(self.captions.renditions.len() - 1)
    }
}

/// A screen as cues: rows that follow each other are one box.
fn cues(screen: &Screen) -> Vec<TextCue> {
    let cue = |text: String, settings: String| TextCue {
        start_us: screen.at_us,
        duration_us: None,
        text,
        settings,
    };
    if screen.rows.is_empty() {
        return vec![cue(String::new(), String::new())];
    }
    let boxes = screen.rows.chunk_by(|above, below| above.row + 1 == below.row);
    let text = |rows: &[Row]| rows.iter().map(markup).collect::<Vec<_>>().join("\n");
    boxes.map(|rows| cue(text(rows), settings(rows))).collect()
}

/// Where a box stands. The 15 rows and 32 columns fill the middle 80 % of the picture (47 CFR §15.119).
fn settings(rows: &[Row]) -> String {
    let row = rows.first().map_or(15, |r| u32::from(r.row));
    let column = rows.iter().map(|r| u32::from(r.column)).min().unwrap_or(0);
    format!("line:{}% position:{}% align:start", 10 + (row - 1) * 80 / 15, 10 + column * 80 / 32)
}

fn markup(row: &Row) -> String {
    let run = |run: &Run| {
        let mut text = nx_hls::escape(&run.text);
        if run.underline {
            text = format!("<u>{text}</u>");
        }
        if run.italic { format!("<i>{text}</i>") } else { text }
    };
    row.text.iter().map(run).collect()
}

#[cfg(test)]
mod tests;
