//! Follows one media playlist: reloads it, fetches what is new, and puts the questions that players do not.

use std::sync::Arc;

use tokio::sync::mpsc::Sender;
use tokio::time::{Duration, Instant};

use super::client::Client;
use crate::evidence::{Fetch, Role};
use crate::m3u8::{self, Kind, Media, Part, Segment};

/// Segments of a playlist that does not grow that are looked at.
const VOD_SEGMENTS_MAX: usize = 12;
/// Reloads between two questions that players do not ask.
const PROBE_EVERY: u64 = 3;
/// Shortest time between two reloads of a playlist that does not block.
const RELOAD_MIN: Duration = Duration::from_millis(250);

/// Watches the playlist at `url` until `until`, or until its end.
pub(super) async fn follow(client: Client, url: Arc<str>, judge: Sender<Fetch>, until: Instant) {
    let mut follower =
        Follower { client, url, judge, fetched: 0, parts: (0, 0), map: None, round: 0, hinting: None };
    // The judge being gone is the other end.
    let _ = follower.run(until).await;
}

/// The judge is gone.
struct Gone;

struct Follower {
    client: Client,
    url: Arc<str>,
    judge: Sender<Fetch>,
    /// Number behind the last segment fetched.
    fetched: u64,
    /// Segment and index behind the last part fetched.
    parts: (u64, u64),
    map: Option<String>,
    round: u64,
    hinting: Option<tokio::task::JoinHandle<()>>,
}

impl Follower {
    async fn run(&mut self, until: Instant) -> Result<(), Gone> {
        let Some(mut list) = self.reload("").await? else { return Ok(()) };
        self.fetched = list.segments.iter().rev().nth(2).or(list.segments.first()).map_or(0, |s| s.msn);
        self.parts = (list.open.msn, 0);
        while Instant::now() < until {
            let removed = self.media(&list).await?;
            if !list.is_live() {
                self.probe(&list, removed).await?;
                break;
            }
            self.round += 1;
            if self.round % PROBE_EVERY == 1 {
                self.probe(&list, removed).await?;
            }
            let before = Instant::now();
            let blocks = list.control.as_ref().is_some_and(|c| c.yes("CAN-BLOCK-RELOAD"));
            let next = if blocks {
                self.hint(&list);
                self.reload(&self.next(&list)).await?
            } else {
                let wait = Duration::from_micros(list.target_us() / 2).max(RELOAD_MIN);
                tokio::time::sleep(wait).await;
                self.reload("").await?
            };
            match next {
                Some(next) => list = next,
                None => tokio::time::sleep(Duration::from_secs(1)).await,
            }
            // A server that should hold and does not must not be hammered.
            tokio::time::sleep(Duration::from_millis(40).saturating_sub(before.elapsed())).await;
        }
        Ok(())
    }

    /// Directives for the next version.
    fn next(&self, list: &Media) -> String {
        let (msn, part) = list.next_part();
        match list.part_target_us() {
            Some(_) => format!("_HLS_msn={msn}&_HLS_part={part}"),
            None => format!("_HLS_msn={msn}"),
        }
    }

    fn with(&self, directives: &str) -> Arc<str> {
        if directives.is_empty() {
            return Arc::clone(&self.url);
        }
        let join = if self.url.contains('?') { '&' } else { '?' };
        Arc::from(format!("{}{join}{directives}", self.url))
    }

    async fn reload(&self, directives: &str) -> Result<Option<Media>, Gone> {
        let fetch = self.client.get(&self.with(directives), &self.url, Role::Playlist, &[]).await;
        let good = fetch.is_good() && m3u8::kind(&fetch.body) == Kind::Media;
        let list = good.then(|| Media::parse(&self.url, fetch.done_us, &fetch.body));
        self.show(fetch).await?;
        Ok(list)
    }

    async fn show(&self, fetch: Fetch) -> Result<(), Gone> {
        self.judge.send(fetch).await.map_err(|_| Gone)
    }

    async fn ask(&self, url: &Arc<str>, role: Role, range: Option<String>) -> Result<(), Gone> {
        let headers: Vec<(&'static str, &str)> = range.iter().map(|r| ("range", r.as_str())).collect();
        let fetch = self.client.get(url, &self.url, role, &headers).await;
        self.show(fetch).await
    }

    /// Fetches what is new. Returns the address of a segment that a live playlist listed first.
    async fn media(&mut self, list: &Media) -> Result<Option<Arc<str>>, Gone> {
        if let Some(map) = list.maps.last() {
            let key = format!("{:?} {:?}", map.get("URI"), map.get("BYTERANGE"));
            if self.map.as_ref() != Some(&key)
                && let Some(url) = map.get("URI").and_then(|uri| list.text.resolve(uri))
            {
                let range = map.get("BYTERANGE").and_then(|r| header(r, 0));
                self.ask(&Arc::from(url), Role::Init, range.map(|(h, _)| h)).await?;
                self.map = Some(key);
            }
        }
        let from = self.parts;
        for segment in list.with_open().filter(|s| s.msn >= from.0) {
            for (index, part) in (0_u64..).zip(&segment.parts) {
                if (segment.msn, index) >= from && !part.gap && part.range.is_none() {
                    self.part(list, segment.msn, index, part).await?;
                }
            }
        }
        let from = self.fetched;
        let behind = list.segments.iter().filter(|s| s.msn >= from && !s.gap);
        let mut end = 0;
        for segment in behind.take(VOD_SEGMENTS_MAX) {
            end = self.segment(list, segment, end).await?;
            self.fetched = segment.msn.saturating_add(1);
        }
        let first = list.segments.first().filter(|s| s.range.is_none() && !s.gap);
        Ok(first.and_then(|s| list.text.resolve(&s.uri)).map(Arc::from))
    }

    async fn part(&mut self, list: &Media, msn: u64, index: u64, part: &Part) -> Result<(), Gone> {
        if let Some(url) = list.text.resolve(&part.uri) {
            self.ask(&Arc::from(url), Role::Part { msn, part: index }, None).await?;
        }
        self.parts = (msn, index.saturating_add(1));
        Ok(())
    }

    /// Fetches a segment; `end` is where the byte range before it ended.
    async fn segment(&self, list: &Media, segment: &Segment, end: u64) -> Result<u64, Gone> {
        let range = segment.range.as_ref().and_then(|r| header(r, end));
        if let Some(url) = list.text.resolve(&segment.uri) {
            let role = Role::Segment { msn: segment.msn };
            self.ask(&Arc::from(url), role, range.as_ref().map(|(h, _)| h.clone())).await?;
        }
        Ok(range.map_or(0, |(_, end)| end))
    }

    /// Asks for the announced part, beside the reload.
    fn hint(&mut self, list: &Media) {
        let Some(hint) = list.hints.iter().find(|h| h.kind == "PART" && !h.ranged) else { return };
        if self.hinting.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let Some(url) = list.text.resolve(&hint.uri) else { return };
        let (client, playlist, judge) = (self.client.clone(), Arc::clone(&self.url), self.judge.clone());
        let (msn, part) = list.next_part();
        self.hinting = Some(tokio::spawn(async move {
            let fetch = client.get(&Arc::from(url), &playlist, Role::Hint { msn, part }, &[]).await;
            // Without a judge nobody wants to know.
            let _ = judge.send(fetch).await;
        }));
    }

    /// What no player asks.
    async fn probe(&self, list: &Media, first: Option<Arc<str>>) -> Result<(), Gone> {
        let gzip = [("accept-encoding", "gzip")];
        self.show(self.client.get(&self.url, &self.url, Role::Compressed, &gzip).await).await?;
        self.ask(&self.url, Role::PlaylistRange, Some("bytes=0-15".to_owned())).await?;
        let last = list.segments.iter().rev().find(|s| s.range.is_none() && !s.gap);
        if let Some(url) = last.and_then(|s| list.text.resolve(&s.uri)) {
            let url: Arc<str> = Arc::from(url);
            self.ask(&url, Role::Range { first: 4, last: 35 }, Some("bytes=4-35".to_owned())).await?;
            let missing = list.text.resolve("nexus-doctor-asks-for-nothing.m4s").map(Arc::from);
            if let Some(missing) = missing {
                self.ask(&missing, Role::Missing, None).await?;
            }
        }
        let control = list.control.as_ref();
        if list.is_live() && control.is_some_and(|c| c.get("CAN-SKIP-UNTIL").is_some()) {
            self.reload("_HLS_skip=YES").await?;
            self.reload("").await?;
        }
        if list.is_live() && control.is_some_and(|c| c.yes("CAN-BLOCK-RELOAD")) {
            self.directives(list).await?;
        }
        if self.round > 1
            && let Some(first) = first
        {
            let listed = self.reload("").await?.is_some_and(|now| {
                now.segments.iter().any(|s| now.text.resolve(&s.uri).as_deref() == Some(&*first))
            });
            if !listed {
                self.ask(&first, Role::Removed, None).await?;
            }
        }
        Ok(())
    }

    /// Directives that must be refused, that are stale, or that are written in another order.
    async fn directives(&self, list: &Media) -> Result<(), Gone> {
        let Some(last) = list.segments.last() else { return Ok(()) };
        self.ask(&self.with("_HLS_part=0"), Role::BadDirectives, None).await?;
        let far = format!("_HLS_msn={}", last.msn.saturating_add(60));
        self.ask(&self.with(&far), Role::BadDirectives, None).await?;
        self.reload(&format!("_HLS_msn={}", list.first_msn())).await?;
        if let Some(count) = u64::try_from(last.parts.len()).ok().filter(|n| *n > 0) {
            self.reload(&format!("_HLS_msn={}&_HLS_part={count}", last.msn)).await?;
            let odd = format!("_HLS_part=0&doctor=1&_HLS_msn={}", last.msn);
            self.ask(&self.with(&odd), Role::Reordered, None).await?;
        }
        Ok(())
    }
}

/// A `Range` header for `length@offset`, and where the range ends; without an offset it begins at `end`.
fn header(range: &str, end: u64) -> Option<(String, u64)> {
    let (length, offset) = range.split_once('@').map_or((range, None), |(l, o)| (l, Some(o)));
    let first = offset.map_or(Some(end), |o| o.parse().ok())?;
    let behind = first.checked_add(length.parse().ok()?)?;
    Some((format!("bytes={first}-{}", behind.checked_sub(1)?), behind))
}
