//! What the API says about live streams: text and date ranges, handed to the stream's shard.

mod check;
mod read;

use std::collections::VecDeque;
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use nx_container::scte35::{BreakDuration, NewInsert, splice_insert};
use nx_contract::announce::{Announce, DateRange, NewCaptions, NewDateRange, RangeState, Rendition, Shown};
use nx_contract::desired::Fault;
use nx_hls::{Announced, Rfc3339, TextRendition};
use nx_media::{StreamKey, rescale};

use crate::hub::lock;
use crate::ingest::shard::Join;
use crate::outbound::Outbound;
use crate::pipeline::Pipeline;

/// Longest wait for a shard to take what is said.
const PATIENCE: Duration = Duration::from_secs(3);
/// Idempotency keys remembered, since the start.
const ANSWERED_MAX: usize = 1_000;

/// Something for a pipeline.
#[derive(Debug)]
pub(crate) enum Said {
    Captions(Vec<Cue>),
    Range(Box<Range>),
    /// A range that goes on is over.
    End {
        id: String,
        event_id: Option<u32>,
        at_ms: i64,
    },
    Withdraw {
        id: String,
    },
}

/// Text on the wall clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cue {
    pub(crate) start_ms: i64,
    pub(crate) duration_ms: u64,
    pub(crate) text: String,
    pub(crate) language: String,
    pub(crate) name: String,
}

/// A range on the wall clock; its section is made where its time is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) range: nx_hls::DateRange,
    pub(crate) start_ms: i64,
    /// Number of the splice event that begins, and whether it returns by itself.
    pub(crate) splice: Option<(u32, bool)>,
}

/// A question to a shard, and where the answer goes: the renditions of cues, in their order.
pub(crate) struct Saying {
    pub(crate) said: Said,
    pub(crate) answer: mpsc::SyncSender<Result<Vec<usize>, Fault>>,
}

/// What idempotency keys have done, oldest first: key, stream, and what came of it.
#[derive(Default)]
pub(crate) struct Memory(Mutex<VecDeque<(String, String, Done)>>);

#[derive(Clone)]
enum Done {
    Captions(Shown),
    Range(String),
}

impl Memory {
    fn get(&self, once: Option<&str>, stream: &str) -> Result<Option<Done>, Fault> {
        let all = lock(&self.0);
        match all.iter().find(|(key, ..)| Some(key.as_str()) == once) {
            Some((_, of, done)) if of == stream => Ok(Some(done.clone())),
            Some(_) => Err(crate::outbound::reused()),
            None => Ok(None),
        }
    }

    fn put(&self, once: Option<&str>, stream: &str, done: Done) {
        let Some(once) = once else { return };
        let mut all = lock(&self.0);
        if all.len() >= ANSWERED_MAX {
            all.pop_front();
        }
        all.push_back((once.to_owned(), stream.to_owned(), done));
    }
}

impl Outbound {
    /// Reads a stream's window.
    fn window<T>(&self, stream: &str, look: impl FnOnce(&nx_hls::Window) -> T) -> Result<T, Fault> {
        let key = StreamKey::parse(stream).map_err(|e| Fault::Invalid(e.to_string()))?;
        let entry = self.hub.entry(&key).ok_or_else(|| not_live(stream))?;
        Ok(entry.live.read(look))
    }

    fn say(&self, stream: &str, said: Said) -> Result<Vec<usize>, Fault> {
        let key = StreamKey::parse(stream).map_err(|e| Fault::Invalid(e.to_string()))?;
        let (answer, heard) = mpsc::sync_channel(1);
        self.shards.join(Join::Say { key, saying: Box::new(Saying { said, answer }) });
        heard.recv_timeout(PATIENCE).unwrap_or_else(|_| Err(not_live(stream)))
    }

    fn date_range(&self, stream: &str, id: &str) -> Result<DateRange, Fault> {
        let found = self.date_ranges(stream)?.into_iter().find(|r| r.id == id);
        found.ok_or_else(|| Fault::NotFound(format!("{stream} has no date range {id:.64}")))
    }
}

impl Announce for Outbound {
    fn captions(&self, stream: &str) -> Result<Vec<Rendition>, Fault> {
        self.window(stream, |w| w.text_renditions().enumerate().map(rendition).collect())
    }

    fn add_captions(&self, stream: &str, new: NewCaptions, once: Option<&str>) -> Result<Shown, Fault> {
        if let Some(Done::Captions(shown)) = self.said.get(once, stream)? {
            return Ok(shown);
        }
        let cues = check::cues(new, nx_delivery::wall_ms()).map_err(invalid)?;
        let count = cues.len();
        let mut used = self.say(stream, Said::Captions(cues))?;
        used.sort_unstable();
        used.dedup();
        let of = |w: &nx_hls::Window| {
            let all = w.text_renditions().enumerate().filter(|(nth, _)| used.contains(nth));
            all.map(rendition).collect()
        };
        let shown = Shown { cues: count, renditions: self.window(stream, of)? };
        self.said.put(once, stream, Done::Captions(shown.clone()));
        Ok(shown)
    }

    fn date_ranges(&self, stream: &str) -> Result<Vec<DateRange>, Fault> {
        let now_ms = nx_delivery::wall_ms();
        self.window(stream, |w| w.date_ranges().map(|a| shown(a, now_ms)).collect())
    }

    fn add_date_range(
        &self,
        stream: &str,
        new: NewDateRange,
        once: Option<&str>,
    ) -> Result<DateRange, Fault> {
        if let Some(Done::Range(id)) = self.said.get(once, stream)? {
            return self.date_range(stream, &id);
        }
        let now_ms = nx_delivery::wall_ms();
        let started = new.start.is_some();
        let id = match &new.id {
            Some(id) => id.clone(),
            None => crate::desired::uuid(now_ms, crate::desired::random()?),
        };
        let mut range = check::range(new, id.clone(), now_ms).map_err(invalid)?;
        let known = self.window(stream, |w| {
            let open = w.date_ranges().filter(|a| a.end_ms() > now_ms).count();
            (w.date_ranges().find(|a| a.range.id == id).cloned(), open)
        })?;
        match known {
            (Some(known), _) => {
                if !started {
                    range.start_ms = known.start_ms;
                }
                check::adds(&known, &range).map_err(|text| Fault::Conflict(text.join("; ")))?;
            }
            (None, open) if open >= nx_hls::RANGES_MAX => {
                return Err(Fault::Full(format!(
                    "{stream} has {open} date ranges that are not over: end one first"
                )));
            }
            (None, _) => {}
        }
        self.say(stream, Said::Range(Box::new(range)))?;
        self.said.put(once, stream, Done::Range(id.clone()));
        self.date_range(stream, &id)
    }

    fn remove_date_range(&self, stream: &str, id: &str) -> Result<(), Fault> {
        let range = self.date_range(stream, id)?;
        let id = range.id;
        match range.state {
            RangeState::Announced => self.say(stream, Said::Withdraw { id })?,
            RangeState::Active => {
                let fixed = |a: &Announced| a.range.duration_us.is_some() || a.range.end_on_next;
                if self.window(stream, |w| w.date_ranges().any(|a| a.range.id == id && fixed(a)))? {
                    return Err(Fault::Conflict(format!(
                        "the end of {id} was told and stays: announce planned_duration_ms for what may end early"
                    )));
                }
                let event_id = range.scte35_out.map(|_| check::event_id(&id));
                self.say(stream, Said::End { id, event_id, at_ms: nx_delivery::wall_ms() })?
            }
            RangeState::Over => {
                return Err(Fault::Conflict(format!("{id} is over; it leaves playlists with its segments")));
            }
        };
        Ok(())
    }
}

impl Pipeline {
    /// Takes what the API says; gives the renditions of cues.
    pub(crate) fn say(&mut self, said: Said) -> Result<Vec<usize>, Fault> {
        let at = |pipeline: &Self, wall_ms| {
            let time = pipeline.packager().time_at_ms(wall_ms);
            time.ok_or_else(|| Fault::Conflict("nobody sends the stream at the moment".into()))
        };
        if self.is_led() {
            return Err(Fault::Conflict("the other origin packages this stream: say it there".into()));
        }
        let mut used = Vec::new();
        match said {
            Said::Captions(cues) => {
                for cue in cues {
                    let start_us = at(self, cue.start_ms)?;
                    used.push(self.caption(&cue, start_us)?);
                }
            }
            Said::Range(mut new) => {
                new.range.pts_us = at(self, new.start_ms)?;
                if let Some((event_id, auto_return)) = new.splice {
                    new.range.scte35_out = Some(section(event_id, Some(&new.range), auto_return));
                }
                self.announce(new.range);
            }
            Said::End { id, event_id, at_ms } => {
                let scte35_in = event_id.map(|event_id| section(event_id, None, false));
                let pts_us = at(self, at_ms)?;
                self.announce(nx_hls::DateRange { id, pts_us, ends: true, scte35_in, ..Default::default() });
            }
            Said::Withdraw { id } => self.withdraw(&id),
        }
        Ok(used)
    }
}

/// Out of the network at a range's time, or back into it at once.
fn section(event_id: u32, out: Option<&nx_hls::DateRange>, auto_return: bool) -> bytes::Bytes {
    let ticks = |us: i64| u64::try_from(rescale(us, 1_000_000, nx_media::VIDEO_TIMESCALE)).unwrap_or(0);
    let length = out.and_then(|range| i64::try_from(range.planned_duration_us?).ok());
    splice_insert(&NewInsert {
        event_id,
        out_of_network: out.is_some(),
        pts: out.map(|range| ticks(range.pts_us)),
        duration: length.map(|us| BreakDuration { auto_return, duration_90k: ticks(us) }),
    })
}

fn invalid(faults: Vec<String>) -> Fault {
    Fault::Invalid(faults.join("; "))
}

fn not_live(stream: &str) -> Fault {
    Fault::NotFound(format!("nobody publishes {stream}; publish to it and ask again"))
}

fn rendition((nth, about): (usize, &TextRendition)) -> Rendition {
    Rendition {
        id: nx_hls::text_name(nth),
        name: about.name.clone(),
        language: about.language.clone(),
        captions: about.captions,
    }
}

fn shown(announced: &Announced, now_ms: i64) -> DateRange {
    let (range, end_ms) = (&announced.range, announced.end_ms());
    let state = match (announced.start_ms > now_ms, end_ms > now_ms) {
        (true, _) => RangeState::Announced,
        (_, true) => RangeState::Active,
        _ => RangeState::Over,
    };
    let hex = |bytes: &bytes::Bytes| bytes.iter().map(|b| format!("{b:02X}")).collect::<String>();
    DateRange {
        id: range.id.clone(),
        class: range.class.clone(),
        state,
        start: Rfc3339(announced.start_ms).to_string(),
        end: (end_ms < i64::MAX).then(|| Rfc3339(end_ms).to_string()),
        planned_duration_ms: range.planned_duration_us.map(|us| us / 1000),
        scte35_out: range.scte35_out.as_ref().map(|s| format!("0x{}", hex(s))),
        assets: range.assets.len(),
    }
}

#[cfg(test)]
mod tests;
