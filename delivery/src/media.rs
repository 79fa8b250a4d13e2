//! Answers to requests for media.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use http::Method;
use nx_hls::{Ask, Lookup, Segment, Skip, Window};
use nx_media::{Params, rescale};

use crate::audience::Viewer;
use crate::blocking::{self, QUERY_MAX};
use crate::caching::Keep;
use crate::cmcd::{self, Object};
use crate::cmsd::Node;
use crate::directory::Directory;
use crate::growing::Growing;
use crate::holds::Holds;
use crate::images::{self, Painter};
use crate::listen::{Request, Response};
use crate::live::{LiveStream, Text};
use crate::metrics::Metrics;
use crate::past::View;
use crate::problem::Problem;
use crate::reply::{self, About, Content, Reply};
use crate::route::{self, Image, PATH_MAX, Resource};

mod absent;

pub(crate) use absent::{encrypted, not_in_time, not_in_ts, not_live, nothing_stored};
use absent::{no_keys, not_held, too_long, unknown};

/// Seconds that nothing at a path without meaning is remembered for: a target duration at most (RFC 8216bis B.1).
const NOTHING_S: u32 = 1;

/// The media handler of an origin or an edge.
pub struct Media {
    directory: Arc<dyn Directory>,
    role: &'static str,
    node: Node,
    holds: Holds,
    steered: AtomicBool,
    requests: AtomicU64,
    errors: AtomicU64,
    bytes: AtomicU64,
}

impl Media {
    /// Serves what `directory` finds, as an `origin` or an `edge`; at most `held_max` requests wait at a time,
    /// further ones get 503.
    #[must_use]
    pub fn new(directory: Arc<dyn Directory>, role: &'static str, held_max: u64) -> Self {
        Self {
            directory,
            role,
            node: Node::new(role),
            holds: Holds::new(held_max),
            steered: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// Whether players are told from now on to ask at [`STEERING`](crate::STEERING) which edge to take.
    pub fn steer(&self, steered: bool) {
        self.steered.store(steered, Ordering::Relaxed);
    }

    /// See [`Directory::viewers`].
    #[must_use]
    pub fn viewers(&self) -> usize {
        self.directory.viewers()
    }

    /// Whether this path is a stream's.
    #[must_use]
    pub fn owns(path: &str) -> bool {
        route::parse(path).is_some()
    }

    /// Whether this path is that of a stream which is known here.
    #[must_use]
    pub fn finds(&self, path: &str) -> bool {
        route::parse(path).is_some_and(|route| self.directory.find(&route.key).is_some())
    }

    /// Answers a request for a stream's resource.
    ///
    /// # Errors
    /// A [`Problem`] for the client.
    pub async fn answer(&self, request: &Request, peer: SocketAddr) -> Result<Response, Problem> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let answer = self.try_answer(request, peer).await;
        match &answer {
            Ok(response) => {
                self.bytes.fetch_add(response.body().size().unwrap_or(0), Ordering::Relaxed);
            }
            Err(_) => {
                self.errors.fetch_add(1, Ordering::Relaxed);
            }
        }
        answer
    }

    /// Counters of this handler.
    pub fn metrics(&self, out: &mut Metrics) {
        let labels = [("role", self.role)];
        for (name, help, value) in [
            ("nexus_http_media_requests_total", "Requests for media.", &self.requests),
            ("nexus_http_media_errors_total", "Requests for media that got an error.", &self.errors),
            ("nexus_http_media_bytes_total", "Bytes of media answers.", &self.bytes),
        ] {
            out.family(name, "counter", help);
            out.value(name, &labels, value.load(Ordering::Relaxed));
        }
        self.directory.metrics(out);
        out.family("nexus_http_held_requests", "gauge", "Requests that wait for a part or a playlist.");
        out.value("nexus_http_held_requests", &labels, self.holds.count());
    }

    /// See [`Directory::health`].
    #[must_use]
    pub fn health(&self) -> Option<serde_json::Value> {
        self.directory.health()
    }

    async fn try_answer(&self, request: &Request, peer: SocketAddr) -> Result<Response, Problem> {
        let method = request.method();
        if *method == Method::OPTIONS {
            return Ok(reply::preflight());
        }
        // A licence is asked for with POST; what is in it does not matter here.
        let licence = *method == Method::POST && request.uri().path().ends_with("/keys/licence.json");
        if !licence && !matches!(*method, Method::GET | Method::HEAD) {
            return Err(Problem::method("media is read with GET or HEAD"));
        }
        let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
        for (what, len, max) in [("path", path.len(), PATH_MAX), ("query", query.len(), QUERY_MAX)] {
            if len > max {
                return Err(too_long(what, len, max));
            }
        }
        let nothing = || Problem::not_found(format!("nothing is served at {path:.200}")).kept(NOTHING_S);
        let route = route::parse(path).ok_or_else(nothing)?;
        if !self.directory.has_stored() && is_stored(route.resource, query)? {
            return Err(Problem::not_built(
                "this edge has what is live; ask an origin for the past and for pictures",
            ));
        }
        let stream = match self.directory.find(&route.key) {
            Some(stream) => stream,
            None => self.directory.seek(&route.key).await?.ok_or_else(|| unknown(&route.key))?,
        };
        let report = cmcd::read(query, request.headers());
        if let Some(report) = &report {
            stream.quality().take(report);
        }
        let view = view_of(&stream, route.resource, query).await?;
        let view = view.as_ref().unwrap_or(&stream);
        let image = matches!(route.resource, Resource::Image(_));
        let painter = image.then(|| self.directory.painter()).flatten();
        let steered = self.steered.load(Ordering::Relaxed);
        let reply = reply((view, &stream), &self.holds, painter, route.resource, query, steered).await?;
        if matches!(reply.content, Content::Text(..)) && !image {
            let session = report.as_ref().and_then(|r| r.session.as_deref());
            let viewer = Viewer::of(session, peer.ip(), request.headers());
            stream.audience().note(viewer, crate::wall_ms());
        }
        let (target_s, ended) = stream.read(|w| (w.target_s(), w.is_ended()));
        let about = About { target_s, ended, node: &self.node, duress: self.holds.near_full() };
        Ok(reply.respond(method, request.headers(), about))
    }
}

/// Whether that lies in a store, or is made from what does.
fn is_stored(resource: Resource<'_>, query: &str) -> Result<bool, Problem> {
    match resource {
        Resource::Film => Ok(true),
        // Pages do without a poster.
        Resource::Image(image) => Ok(image != Image::Poster),
        _ if is_list(resource) => {
            View::parse(query, crate::wall_ms()).map(|view| view.is_some()).map_err(Problem::bad_request)
        }
        _ => Ok(false),
    }
}

/// Playlists and manifests, which can be had of a time.
fn is_list(resource: Resource<'_>) -> bool {
    matches!(
        resource,
        Resource::Multivariant
            | Resource::Playlist { .. }
            | Resource::IFrames { .. }
            | Resource::Manifest
            | Resource::TsPlaylist
    )
}

/// Whether the stream can be had in MPEG-TS at all.
fn fits_ts(stream: &LiveStream) -> Result<(), Problem> {
    stream.read(Window::fits_ts).map_err(not_in_ts)
}

/// `live` is `stream`, or that of which it is a view.
async fn reply(
    (stream, live): (&Arc<LiveStream>, &LiveStream),
    holds: &Holds,
    painter: Option<Arc<dyn Painter>>,
    resource: Resource<'_>,
    query: &str,
    steered: bool,
) -> Result<Reply, Problem> {
    // As after a restart: players that know it from before wait. Many never ask again after a 404.
    let begun = |w: &Window| w.tracks().next().is_some().then_some(());
    let stored = matches!(
        resource,
        Resource::Init { .. }
            | Resource::Segment { .. }
            | Resource::TsSegment { .. }
            | Resource::Text { .. }
            | Resource::Film
            | Resource::Image(_)
    ) && stream.past().is_some();
    let waits = !matches!(
        resource,
        Resource::Time | Resource::Key { .. } | Resource::Licence | Resource::Image(Image::Poster)
    );
    if waits && !stored && holds.until(stream, 0, begun).await?.found.is_none() {
        return Err(not_live(stream.key()));
    }
    if shows_clear(resource) && stream.read(Window::is_encrypted) {
        return Err(encrypted(stream.key()));
    }
    if let Resource::Playlist { track } | Resource::Segment { track, .. } | Resource::Part { track, .. } =
        resource
    {
        stream.note_asked(track);
    }
    match resource {
        Resource::Multivariant => multivariant(stream, holds, steered).await,
        Resource::Playlist { track } => media_playlist((stream, live), holds, named, track, query).await,
        Resource::IFrames { track } => media_playlist((stream, live), holds, key_frames, track, query).await,
        Resource::Init { track, run, key } => {
            let init = match (stream.read(|w| w.init(track, run, key)), stream.past()) {
                (None, Some(past)) => past.init(stream, track, (run, key)).await?,
                (held, _) => held,
            };
            let init = init.ok_or_else(|| not_held(stream, false))?;
            Ok(Reply::media(VecDeque::from([init]), "video/mp4", Object::Init))
        }
        Resource::Part { track, msn, part, run } => self::part(stream, holds, track, (msn, part, run)).await,
        Resource::Segment { track, msn, run } => segment(stream, holds, track, msn, run).await,
        Resource::TsPlaylist => {
            fits_ts(stream)?;
            let text = Text::Media(Ask::Ts, Skip::None);
            let text = stream.text(text).ok_or_else(|| not_live(stream.key()))?;
            Ok(Reply::text(text, Keep::Now))
        }
        Resource::TsSegment { msn, run } => ts_segment(stream, msn, run).await,
        Resource::Text { track, msn } => text(stream, holds, track, msn).await,
        Resource::Break { id } => {
            let list = stream.asset_list(id).ok_or_else(|| not_held(stream, false))?;
            Ok(Reply::asset_list(Arc::new(list)))
        }
        Resource::Film => film(stream, query).await,
        Resource::Key { id } => {
            let key = stream.keys().and_then(|keys| keys.key(&id));
            let key = key.ok_or_else(|| no_keys(stream.key()))?;
            Ok(Reply::key(Bytes::copy_from_slice(&*key)))
        }
        Resource::Licence => {
            let keys = stream.keys().map(|keys| keys.all()).filter(|all| !all.is_empty());
            Ok(Reply::licence(&keys.ok_or_else(|| no_keys(stream.key()))?))
        }
        Resource::Manifest => manifest(stream, holds, steered).await,
        Resource::Time => Ok(Reply::clock()),
        Resource::Image(image) => images::reply(painter, stream, image, query).await,
    }
}

/// What would show pictures or sound of an encrypted stream to who has no key. Every resource is named here, so that a
/// new one is thought about.
fn shows_clear(resource: Resource<'_>) -> bool {
    match resource {
        // Made from what is in the clear.
        Resource::Film => true,
        // For a page that does without there is an empty one.
        Resource::Image(image) => image != Image::Poster,
        // As encrypted as the packager made it.
        Resource::Init { .. } | Resource::Segment { .. } | Resource::Part { .. } => false,
        // Encrypted again, or refused.
        Resource::TsPlaylist | Resource::TsSegment { .. } => false,
        // No pictures and no sound. Text is in the clear, as everywhere.
        Resource::Multivariant
        | Resource::Playlist { .. }
        | Resource::IFrames { .. }
        | Resource::Manifest
        | Resource::Time
        | Resource::Text { .. }
        | Resource::Break { .. } => false,
        // Answered only where the configuration says so.
        Resource::Key { .. } | Resource::Licence => false,
    }
}

/// The view of the past that a playlist or manifest is asked of, if it is; a stream that is not on shows its last time.
async fn view_of(
    stream: &Arc<LiveStream>,
    resource: Resource<'_>,
    query: &str,
) -> Result<Option<Arc<LiveStream>>, Problem> {
    if !is_list(resource) {
        return Ok(None);
    }
    let asked = View::parse(query, crate::wall_ms()).map_err(Problem::bad_request)?;
    let Some(past) = stream.past() else {
        return match asked {
            None => Ok(None),
            Some(_) => Err(nothing_stored(stream.key())),
        };
    };
    let off = || stream.read(|w| w.tracks().next().is_none() && w.is_ended());
    let Some(view) = asked.or_else(|| off().then(|| past.newest()).flatten()) else { return Ok(None) };
    let view = past.view(stream, view).await?;
    if view.read(|w| w.tracks().next().is_none()) {
        return Err(nothing_stored(stream.key()));
    }
    Ok(Some(view))
}

/// A stretch as one MP4; without start and end, all of the last time that the stream was on.
async fn film(stream: &LiveStream, query: &str) -> Result<Reply, Problem> {
    let asked = View::parse(query, crate::wall_ms()).map_err(Problem::bad_request)?;
    let past = stream.past().ok_or_else(|| nothing_stored(stream.key()))?;
    let view = asked.or_else(|| past.newest()).ok_or_else(|| nothing_stored(stream.key()))?;
    let film = past.film(stream, view).await?.ok_or_else(|| nothing_stored(stream.key()))?;
    let begins = match view {
        View::Between(start @ 1.., _) => format!("-{}", nx_hls::Rfc3339(start).to_string().replace(':', "")),
        _ => String::new(),
    };
    let kind = if query.split('&').any(|part| part == "download") { "attachment" } else { "inline" };
    let name = format!("{}{begins}.mp4", stream.key().as_str().replace('/', "-"));
    Ok(Reply::film(film, format!("{kind}; filename=\"{name}\"")))
}

/// Waits for the first part of a stream that is just starting.
async fn multivariant(stream: &LiveStream, holds: &Holds, steered: bool) -> Result<Reply, Problem> {
    let held = holds.until(stream, 0, |w| w.is_playable().then_some(())).await?;
    let text = stream.text(Text::Multivariant(steered)).ok_or_else(|| not_live(stream.key()))?;
    Ok(Reply::text(text, Keep::Now).held(held.time))
}

async fn manifest(stream: &LiveStream, holds: &Holds, steered: bool) -> Result<Reply, Problem> {
    let held = holds.until(stream, 0, |w| w.is_playable().then_some(())).await?;
    let text = stream.text(Text::Manifest(steered)).ok_or_else(|| not_live(stream.key()))?;
    Ok(Reply::manifest(text).held(held.time))
}

/// The media playlist of a name, and the track with which it goes on: text goes on with the leader's segments.
fn named(window: &Window, name: &str) -> Option<(usize, Ask)> {
    let text = || window.text_index(name).map(|text| (window.leader(), Ask::Text(text)));
    window.track_index(name).map(|track| (track, Ask::Track(track))).or_else(text)
}

/// The key frames of a track.
fn key_frames(window: &Window, name: &str) -> Option<(usize, Ask)> {
    window.track_index(name).map(|track| (track, Ask::IFrames(track)))
}

/// The index of a track. It is another after each run: waits look it up by name.
fn index(stream: &LiveStream, name: &str) -> Result<usize, Problem> {
    stream.read(|w| w.track_index(name)).ok_or_else(|| not_held(stream, false))
}

async fn media_playlist(
    (stream, live): (&LiveStream, &LiveStream),
    holds: &Holds,
    named: fn(&Window, &str) -> Option<(usize, Ask)>,
    name: &str,
    query: &str,
) -> Result<Reply, Problem> {
    let find = || stream.read(|w| named(w, name)).ok_or_else(|| not_held(stream, false));
    let (track, _) = find()?;
    let target_s = stream.read(Window::target_s);
    let never = |why| Problem::bad_request(why).kept(u32::try_from(target_s * 4).unwrap_or(1));
    let directives = blocking::parse(query).map_err(never)?;
    // A view of what is stored is not waited for.
    let want = directives.want.filter(|_| stream.read(Window::has_edge));
    if let Some(want) = want {
        // What is too far ahead today is right soon: not to be kept.
        stream.read(|w| want.check(w, track)).map_err(Problem::bad_request)?;
    }
    // The edge of a view of the past is that of the live stream.
    let mut waited = None;
    if let Some(want) = want.filter(|_| stream.read(Window::is_past)) {
        let met = |w: &Window| match named(w, name) {
            Some((track, _)) => (want.is_met(w, track) || w.is_ended()).then_some(()),
            None => Some(()),
        };
        waited = holds.until(live, track, met).await?.time;
        stream.refill(Vec::new(), false, Some(live));
    }
    let want = want.filter(|_| stream.read(Window::has_edge));
    // A track that is just starting: its first part is worth waiting for.
    let ready = |w: &Window| {
        let Some((track, ask)) = named(w, name) else { return Some(false) };
        let begun = match ask {
            Ask::Text(_) => w.has_text(),
            Ask::IFrames(_) => w.has_i_frames(track),
            // One that was not wanted begins with the next key frame.
            Ask::Track(_) | Ask::Ts => {
                let offered = w.tracks().nth(track).is_some_and(|t| w.is_offered(&t.id));
                w.has_parts(track) && w.is_back(track) && (!offered || w.has_media(track))
            }
        };
        let shown = begun && want.is_none_or(|want| want.is_met(w, track));
        (shown || w.is_ended()).then_some(!w.is_ended())
    };
    let held = holds.until(stream, track, ready).await?;
    let text = stream.text(Text::Media(find()?.1, directives.skip)).ok_or_else(|| match held.found {
        Some(_) => not_held(stream, true),
        None => not_in_time(stream.key()),
    })?;
    let keep = match held.found {
        None => Keep::Check,
        Some(true) if want.is_some() => Keep::Shown,
        // One that is over may be taken up again.
        Some(_) => Keep::Now,
    };
    Ok(Reply::text(text, keep).held(waited.or(held.time)))
}

/// A segment of text is there when the leader's is.
async fn text(stream: &LiveStream, holds: &Holds, name: &str, msn: u64) -> Result<Reply, Problem> {
    let look = |w: &Window| match w.text_index(name).map(|index| w.text_segment(index, msn)) {
        Some(Lookup::Found(bytes)) => Some(Some(bytes)),
        Some(Lookup::Soon) => None,
        Some(Lookup::Missing) | None => Some(None),
    };
    let left = |w: &Window| matches!(look(w), Some(None));
    if let (Some(past), Some(rendition)) =
        (stream.past().filter(|_| stream.read(left)), nx_hls::text_index(name))
        && let Some(bytes) = past.text(stream, rendition, msn).await?
    {
        return Ok(Reply::media(VecDeque::from([bytes]), "text/vtt", Object::Other));
    }
    let held = holds.until(stream, stream.read(Window::leader), look).await?;
    let found = held.found.ok_or_else(|| not_in_time(stream.key()))?;
    let has_been = |w: &Window| w.next(w.leader()).is_some_and(|next| msn < next.msn);
    let bytes = found.ok_or_else(|| not_held(stream, stream.read(has_been)))?;
    Ok(Reply::media(VecDeque::from([bytes]), "text/vtt", Object::Other).held(held.time))
}

async fn part(
    stream: &LiveStream,
    holds: &Holds,
    name: &str,
    (msn, part, run): (u64, u32, Option<u32>),
) -> Result<Reply, Problem> {
    if stream.read(|w| w.is_cut_off(name, msn, None)) {
        return Ok(Reply::nothing("video/mp4", kind(stream, name)));
    }
    let track = index(stream, name)?;
    // Under its one name: what was hinted in one run is not the first part of the next.
    let named = |w: &Window, t: usize| w.seam(t, msn).filter(|_| part == 0) == run;
    let look = |w: &Window| match w.track_index(name).filter(|t| named(w, *t)).map(|t| w.part(t, msn, part)) {
        Some(Lookup::Found(bytes)) => Some(Some(bytes)),
        Some(Lookup::Soon) => None,
        Some(Lookup::Missing) | None => Some(None),
    };
    let held = holds.until(stream, track, look).await?;
    let found = held.found.ok_or_else(|| not_in_time(stream.key()))?;
    let vain = |w: &Window| w.track_index(name).is_some_and(|t| w.is_vain(t, msn, part, run));
    if found.is_none() && stream.read(vain) {
        return Ok(Reply::nothing("video/mp4", kind(stream, name)));
    }
    let bytes = found.ok_or_else(|| not_held(stream, has_been(stream, name, msn)))?;
    Ok(Reply::media(VecDeque::from([bytes]), "video/mp4", kind(stream, name)).held(held.time))
}

async fn segment(
    stream: &Arc<LiveStream>,
    holds: &Holds,
    name: &str,
    msn: u64,
    run: Option<u32>,
) -> Result<Reply, Problem> {
    let left = |w: &Window| match w.track_index(name) {
        Some(track) => {
            let begun = w.next(track).is_some_and(|next| msn < next.msn);
            begun && matches!(w.segment(track, msn), Lookup::Missing)
        }
        None => true,
    };
    if let Some(past) = stream.past().filter(|_| stream.read(left))
        && let Some(bytes) = past.segment(stream, name, msn, run).await?
    {
        return Ok(Reply::media(VecDeque::from([bytes]), "video/mp4", kind(stream, name)));
    }
    let cut_off = |w: &Window| w.is_cut_off(name, msn, run);
    if let Some(segment) = Growing::open(stream, holds, name, msn, &cut_off).await? {
        return Ok(Reply::growing(segment, kind(stream, name)));
    }
    // A player that was told of it goes on behind it; after a 404 it would ask for it again and again.
    if stream.read(cut_off) {
        return Ok(Reply::nothing("video/mp4", kind(stream, name)));
    }
    let track = index(stream, name)?;
    let whole = |s: &Segment| -> (VecDeque<Bytes>, Option<u64>) {
        let ticks = s.duration.and_then(|d| i64::try_from(d).ok());
        let ms = ticks.map(|d| rescale(d, s.track.params.timescale(), 1000));
        (s.parts.iter().map(|p| p.bytes.clone()).collect(), ms.and_then(|ms| u64::try_from(ms).ok()))
    };
    let look = |w: &Window| match w.track_index(name).map(|t| w.segment(t, msn)) {
        Some(Lookup::Found(s)) => Some(Some(whole(s))),
        Some(Lookup::Soon) => None,
        Some(Lookup::Missing) | None => Some(None),
    };
    let held = holds.until(stream, track, look).await?;
    let found = held.found.ok_or_else(|| not_in_time(stream.key()))?;
    let (slices, ms) = found.ok_or_else(|| not_held(stream, has_been(stream, name, msn)))?;
    Ok(Reply::media(slices, "video/mp4", kind(stream, name)).lasting(ms).held(held.time))
}

async fn ts_segment(stream: &LiveStream, msn: u64, run: Option<u32>) -> Result<Reply, Problem> {
    let mut bytes = if run.is_none() { stream.ts_segment(msn).await } else { None };
    if let (None, Some(past)) = (&bytes, stream.past()) {
        bytes = past.ts_segment(stream, msn, run).await?;
    }
    let Some(bytes) = bytes else {
        fits_ts(stream)?;
        let has_been = stream.read(|w| msn < w.ts_next_msn());
        return Err(not_held(stream, has_been));
    };
    Ok(Reply::media(VecDeque::from([bytes]), "video/mp2t", Object::Muxed))
}

fn has_been(stream: &LiveStream, name: &str, msn: u64) -> bool {
    let next = |w: &Window| w.track_index(name).and_then(|t| w.next(t));
    stream.read(next).is_some_and(|next| msn < next.msn)
}

fn kind(stream: &LiveStream, name: &str) -> Object {
    let video = |w: &Window| {
        let track = w.tracks().find(|t| t.name == name);
        // One that has vanished is told by its name: pictures are v1, v2, …
        track.map_or(name.starts_with('v'), |t| matches!(t.params, Params::Video(_)))
    };
    if stream.read(video) { Object::Video } else { Object::Audio }
}

#[cfg(test)]
mod tests;
