//! Recordings and clips as the API shows and changes them.

use std::io;

use nx_contract::assets::{
    self as wire, AssetChange, Found, Manifest, NewCut, Room, RoomFault, State, Wanted,
};
use nx_contract::desired::Fault;
use nx_hls::Rfc3339;
use nx_media::StreamKey;
use nx_store::{Asset, Kind, Stage};

use super::{Shelf, moment, unknown};
use crate::desired::{random, uuid};
use crate::hub::{Hub, lock};
use crate::keep::{Kept, paths};
use crate::outbound::reused;

/// How far ahead the end of a clip may be, milliseconds.
const AHEAD_MS: i64 = 60_000;
/// Longest title, characters.
const TITLE_MAX: usize = 200;

impl wire::Assets for Hub {
    fn find(&self, wanted: &Wanted) -> Result<Found, Fault> {
        self.kept.as_ref().map_or(Ok(Found { items: Vec::new(), next: None }), |kept| kept.shelf.find(wanted))
    }

    fn asset(&self, id: &str) -> Result<wire::Asset, Fault> {
        let kept = self.kept.as_ref().ok_or_else(|| unknown(id))?;
        lock(&kept.shelf.book).assets.get(id).map(shown).ok_or_else(|| unknown(id))
    }

    fn room(&self) -> Room {
        let Some(kept) = &self.kept else { return Room::default() };
        let room = kept.store.room();
        Room {
            bytes: room.bytes,
            pinned_bytes: room.pinned,
            bytes_max: room.bytes_max,
            full: room.full,
            fault: room.fault.map(fault),
            trash_s: self.config.store.trash_s.into(),
        }
    }

    fn manifest(&self, id: &str) -> Result<Manifest, Fault> {
        let kept = self.kept.as_ref().ok_or_else(|| unknown(id))?;
        let asset = lock(&kept.shelf.book).assets.get(id).cloned().ok_or_else(|| unknown(id))?;
        super::manifest::manifest(kept, &asset)
    }

    fn cut(&self, new: NewCut, once: Option<&str>) -> Result<wire::Asset, Fault> {
        let now_ms = nx_delivery::wall_ms();
        let key = StreamKey::parse(&new.stream).map_err(|e| Fault::Invalid(format!("stream: {e}")))?;
        let kept = self.kept.as_ref().ok_or_else(|| nothing(&key))?;
        let _turn = lock(&kept.shelf.turn);
        if let Some(made) = kept.shelf.made_by(once) {
            return if made.stream == new.stream { Ok(shown(&made)) } else { Err(reused()) };
        }
        let asset = clip(&key, &new, once, now_ms)?;
        let found = self.settled(kept, &key, &asset, now_ms)?;
        // It may wait, but not for a stream that nobody sends or keeps.
        let comes = kept.shelf.rule(&key).keeps() && self.edge(&key, 0).until_ms.is_some();
        let begun = self.has_any(kept, &key, &asset)?;
        if found.stage == Stage::Failed || !(comes || begun) {
            return Err(nothing(&key));
        }
        let kept_now = kept.shelf.put(found)?;
        // Until it was written down, the store might drop the beginning of it.
        let again = self.settled(kept, &key, &kept_now, now_ms)?;
        let asset = if again == kept_now { again } else { kept.shelf.put(again)? };
        tracing::info!(stream = %key, id = asset.id, "clip made");
        Ok(shown(&asset))
    }

    fn change(&self, id: &str, change: AssetChange) -> Result<wire::Asset, Fault> {
        let kept = self.kept.as_ref().ok_or_else(|| unknown(id))?;
        if let Some(title) = &change.title {
            check(title)?;
        }
        let date = |text: String| {
            let date = Rfc3339::parse(&text).filter(|ms| *ms > nx_delivery::wall_ms());
            date.ok_or_else(|| Fault::Invalid("keep_until: a date that is still to come, or null".into()))
        };
        let keep_until = change.keep_until.map(|until| until.map(date).transpose()).transpose()?;
        let changed = kept.shelf.change(id, |asset| {
            asset.title = change.title.unwrap_or_else(|| std::mem::take(&mut asset.title));
            asset.keep_until_ms = keep_until.unwrap_or(asset.keep_until_ms);
        });
        changed.map(|asset| shown(&asset))
    }

    fn delete(&self, id: &str) -> Result<wire::Asset, Fault> {
        let kept = self.kept.as_ref().ok_or_else(|| unknown(id))?;
        let now_ms = nx_delivery::wall_ms();
        let deleted = kept.shelf.change(id, |asset| asset.deleted_ms = asset.deleted_ms.or(Some(now_ms)));
        deleted.map(|asset| shown(&asset))
    }

    fn restore(&self, id: &str) -> Result<wire::Asset, Fault> {
        let kept = self.kept.as_ref().ok_or_else(|| unknown(id))?;
        kept.shelf.change(id, |asset| asset.deleted_ms = None).map(|asset| shown(&asset))
    }
}

impl Hub {
    /// Whether anything of a clip is there already.
    fn has_any(&self, kept: &Kept, key: &StreamKey, asset: &Asset) -> Result<bool, Fault> {
        let held = self.edge(key, asset.end_ms).held;
        let log = kept.store.find(key);
        let stretch = log.map(|log| log.stretch(asset.start_ms, asset.end_ms, &held)).transpose();
        Ok(stretch.map_err(|e| super::unread(&e))?.flatten().is_some())
    }
}

impl Shelf {
    fn made_by(&self, once: Option<&str>) -> Option<Asset> {
        once?;
        lock(&self.book).assets.iter().find(|a| a.once.as_deref() == once).cloned()
    }

    pub(super) fn find(&self, wanted: &Wanted) -> Result<Found, Fault> {
        let now_ms = nx_delivery::wall_ms();
        let ms = |name, of: &Option<wire::Moment>| of.as_ref().map(|of| time(name, of, now_ms)).transpose();
        let (from_ms, to_ms) = (ms("from", &wanted.from)?, ms("to", &wanted.to)?);
        let book = lock(&self.book);
        let words = wanted.words.as_ref().map(|words| words.to_lowercase());
        let kind = wanted.kind.map(|kind| match kind {
            wire::Kind::Recording => Kind::Recording,
            wire::Kind::Clip => Kind::Clip,
        });
        let fits = |a: &&Asset| {
            let says = |words: &str| a.title.to_lowercase().contains(words) || a.stream.contains(words);
            a.deleted_ms.is_some() == wanted.deleted
                && wanted.stream.as_ref().is_none_or(|stream| a.stream == *stream)
                && kind.is_none_or(|kind| a.kind == kind)
                && from_ms.is_none_or(|from| a.end_ms > from)
                && to_ms.is_none_or(|to| a.start_ms < to)
                && words.as_ref().is_none_or(|words| says(words))
        };
        let bad = || Fault::Invalid("cursor: take next_cursor of the page before".into());
        let behind = wanted.cursor.as_ref().map(|c| {
            let (start_ms, id) = c.split_once('.')?;
            Some((start_ms.parse::<i64>().ok()?, id))
        });
        let rest: Box<dyn Iterator<Item = &Asset>> = match behind {
            None => Box::new(book.assets.iter()),
            Some(behind) => {
                let (start_ms, id) = behind.ok_or_else(bad)?;
                Box::new(book.assets.behind(start_ms, id))
            }
        };
        let mut rest = rest.filter(fits).peekable();
        let page: Vec<&Asset> = rest.by_ref().take(wanted.limit).collect();
        let more = rest.peek().is_some();
        let next = page.last().filter(|_| more).map(|a| format!("{}.{}", a.start_ms, a.id));
        Ok(Found { items: page.into_iter().map(shown).collect(), next })
    }
}

/// A clip as it is asked for; it waits.
fn clip(key: &StreamKey, new: &NewCut, once: Option<&str>, now_ms: i64) -> Result<Asset, Fault> {
    let (start_ms, end_ms) = (time("from", &new.from, now_ms)?, time("to", &new.to, now_ms)?);
    if end_ms <= start_ms {
        return Err(Fault::Invalid("to: must be after from".into()));
    }
    if end_ms - now_ms >= AHEAD_MS {
        return Err(Fault::Invalid("to: is a minute ahead or more; cut when it is nearer".into()));
    }
    let title = new.title.clone().unwrap_or_else(|| key.name().to_owned());
    check(&title)?;
    Ok(Asset {
        id: uuid(now_ms, random()?),
        kind: Kind::Clip,
        stream: key.to_string(),
        title,
        start_ms,
        end_ms,
        created_ms: now_ms,
        keep_until_ms: None,
        deleted_ms: None,
        bytes: 0,
        duration_ms: 0,
        stage: Stage::Waiting,
        once: once.map(str::to_owned),
    })
}

fn time(name: &str, of: &wire::Moment, now_ms: i64) -> Result<i64, Fault> {
    moment::read(of, now_ms).ok_or_else(|| {
        Fault::Invalid(format!(
            "{name}: Unix seconds, a date such as 2026-11-21T04:00:00Z, or seconds before now such as -10"
        ))
    })
}

fn check(title: &str) -> Result<(), Fault> {
    let good = (1..=TITLE_MAX).contains(&title.chars().count()) && !title.chars().any(char::is_control);
    if good { Ok(()) } else { Err(Fault::Invalid(format!("title: 1 to {TITLE_MAX} characters on one line"))) }
}

fn nothing(key: &StreamKey) -> Fault {
    Fault::NotFound(format!(
        "nothing of {key} is kept for that time: see the recordings, and origin.store.keep_s"
    ))
}

fn fault(kind: io::ErrorKind) -> RoomFault {
    match kind {
        io::ErrorKind::StorageFull => RoomFault::DiskFull,
        io::ErrorKind::ReadOnlyFilesystem => RoomFault::ReadOnly,
        io::ErrorKind::NotFound => RoomFault::Away,
        _ => RoomFault::Failing,
    }
}

fn shown(asset: &Asset) -> wire::Asset {
    let date = |ms: i64| Rfc3339(ms).to_string();
    let [hls_path, dash_path, mp4_path] = paths(&asset.stream, asset.start_ms, Some(asset.end_ms));
    wire::Asset {
        id: asset.id.clone(),
        kind: match asset.kind {
            Kind::Recording => wire::Kind::Recording,
            Kind::Clip => wire::Kind::Clip,
        },
        stream: asset.stream.clone(),
        title: asset.title.clone(),
        start: date(asset.start_ms),
        end: date(asset.end_ms),
        created_at: date(asset.created_ms),
        keep_until: asset.keep_until_ms.map(date),
        deleted_at: asset.deleted_ms.map(date),
        bytes: asset.bytes,
        duration_ms: asset.duration_ms,
        state: match (asset.deleted_ms, asset.stage) {
            (Some(_), _) => State::Deleted,
            (None, Stage::Waiting) => State::Waiting,
            (None, Stage::Ready) => State::Ready,
            (None, Stage::Failed) => State::Failed,
        },
        hls_path,
        dash_path,
        mp4_path,
    }
}
