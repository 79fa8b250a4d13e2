//! Recordings and clips: `…/assets`, `…/assets/ID`, `…/assets/ID/restore`, `…/assets/ID/manifest.json` and `…/cuts`; and
//! their page.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use nx_contract::assets::{Asset, AssetChange, Assets, Kind, Moment, NewCut, Room, Wanted};
use nx_delivery::{Body, Problem, Response};
use serde::Serialize;
use tokio::sync::{Semaphore, mpsc};

use crate::api::Paging;
use crate::desired::{Asked, text, waiting};
use crate::guard;
use crate::serve::{CORE, json, json_body, no_content};

/// Manifests that are written at a time.
static MANIFESTS: Semaphore = Semaphore::const_new(2);
/// Longest text that is searched for, bytes.
const WORDS_BYTES_MAX: usize = 200;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    Cuts,
    All,
    One(String),
    Restore(String),
    Manifest(String),
}

impl Route {
    fn methods(&self) -> &'static str {
        match self {
            Self::Cuts | Self::Restore(_) => "POST",
            Self::All | Self::Manifest(_) => "GET, HEAD",
            Self::One(_) => "GET, HEAD, PATCH, DELETE",
        }
    }
}

/// Reads what follows the core's address; `None` for other resources.
pub(crate) fn route(rest: &str) -> Option<Route> {
    let mut segments = rest.strip_prefix('/')?.split('/');
    let route = match (segments.next()?, segments.next(), segments.next()) {
        ("cuts", None, None) => Route::Cuts,
        ("assets", None, None) => Route::All,
        ("assets", Some(id), None) if is_id(id) => Route::One(id.to_owned()),
        ("assets", Some(id), Some("restore")) if is_id(id) => Route::Restore(id.to_owned()),
        ("assets", Some(id), Some("manifest.json")) if is_id(id) => Route::Manifest(id.to_owned()),
        _ => return None,
    };
    segments.next().is_none().then_some(route)
}

fn is_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

#[derive(Serialize)]
struct Page {
    items: Vec<Item>,
    next_cursor: Option<String>,
    room: Room,
}

#[derive(Serialize)]
struct Item {
    #[serde(flatten)]
    asset: Asset,
    hls_url: String,
    dash_url: String,
    mp4_url: String,
}

impl Item {
    fn new(asset: Asset, edge: &str) -> Self {
        Self {
            hls_url: format!("{edge}{}", asset.hls_path),
            dash_url: format!("{edge}{}", asset.dash_path),
            mp4_url: format!("{edge}{}", asset.mp4_path),
            asset,
        }
    }
}

/// Answers; what changes something only whom may do everything, and what is of streams that who asks may not see nobody else.
/// `edge` is where assets are played.
pub(crate) async fn answer<B>(
    assets: &Arc<dyn Assets>,
    edge: &str,
    sees: impl Fn(&str) -> bool,
    route: Route,
    asked: Asked<'_>,
    body: B,
) -> Result<Response, Problem>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let Asked { method, uri, headers, who, .. } = asked;
    let allowed = route.methods();
    guard::takes(method, allowed)?;
    let reads = matches!(*method, Method::GET | Method::HEAD);
    if !reads {
        who.operator()?;
    }
    let (assets, once) = (assets.clone(), guard::once(headers)?);
    let shown = |asset| text(&Item::new(asset, edge));
    match route {
        Route::All => {
            let wanted = wanted(uri.query().unwrap_or_default())?;
            let find = move || assets.find(&wanted).map(|found| (found, assets.room()));
            let (found, room) = waiting(find).await?;
            let seen = found.items.into_iter().filter(|asset| sees(&asset.stream));
            let items = seen.map(|asset| Item::new(asset, edge)).collect();
            Ok(json(&text(&Page { items, next_cursor: found.next, room })))
        }
        Route::One(id) if reads => {
            let asset = waiting(move || assets.asset(&id)).await?;
            if !sees(&asset.stream) {
                who.operator()?;
            }
            Ok(json(&shown(asset)))
        }
        Route::One(id) if *method == Method::PATCH => {
            let change: AssetChange = guard::body(headers, body).await?;
            Ok(json(&shown(waiting(move || assets.change(&id, change)).await?)))
        }
        Route::One(id) => {
            waiting(move || assets.delete(&id)).await?;
            Ok(no_content())
        }
        Route::Manifest(id) => {
            let (all, of) = (assets.clone(), id.clone());
            if !sees(&waiting(move || all.asset(&of)).await?.stream) {
                who.operator()?;
            }
            manifest(assets, id).await
        }
        Route::Restore(id) => Ok(json(&shown(waiting(move || assets.restore(&id)).await?))),
        Route::Cuts => {
            let new: NewCut = guard::body(headers, body).await?;
            let made = waiting(move || assets.cut(new, once.as_deref())).await?;
            let place = HeaderValue::from_str(&format!("{CORE}/assets/{}", made.id));
            let mut response = json(&shown(made));
            *response.status_mut() = StatusCode::CREATED;
            if let Ok(place) = place {
                response.headers_mut().insert(header::LOCATION, place);
            }
            Ok(response)
        }
    }
}

/// Reads everything that is stored of an asset: few at a time.
async fn manifest(assets: Arc<dyn Assets>, id: String) -> Result<Response, Problem> {
    let busy = || {
        let detail = "other manifests are being written; ask again shortly";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "Busy", detail).retry_after(5)
    };
    let permit = MANIFESTS.try_acquire().map_err(|_| busy())?;
    let pieces = waiting(move || assets.manifest(&id)).await?;
    let (sender, receiver) = mpsc::channel(4);
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        // After an error it breaks off: what is missing then is the signature.
        for piece in pieces.map_while(Result::ok) {
            if sender.blocking_send(piece.into()).is_err() {
                return;
            }
        }
    });
    Ok(json_body(Body::Channel(receiver)))
}

fn wanted(query: &str) -> Result<Wanted, Problem> {
    let mut wanted = Wanted { limit: Paging::parse(query)?.limit(), ..Wanted::default() };
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        let value = decoded(value);
        let value = value.ok_or_else(|| Problem::bad_request(format!("{name} is not UTF-8")))?;
        match name {
            "cursor" => wanted.cursor = Some(value),
            "stream" => wanted.stream = Some(value),
            "kind" => {
                wanted.kind = Some(match value.as_str() {
                    "recording" => Kind::Recording,
                    "clip" => Kind::Clip,
                    _ => return Err(Problem::bad_request("kind is recording or clip")),
                });
            }
            "from" => wanted.from = Some(Moment::Text(value)),
            "to" => wanted.to = Some(Moment::Text(value)),
            "q" if value.len() > WORDS_BYTES_MAX => {
                return Err(Problem::bad_request(format!("q has at most {WORDS_BYTES_MAX} bytes")));
            }
            "q" => wanted.words = Some(value),
            "deleted" => {
                wanted.deleted = match value.as_str() {
                    "true" => true,
                    "false" => false,
                    _ => return Err(Problem::bad_request("deleted is true or false")),
                }
            }
            _ => {}
        }
    }
    Ok(wanted)
}

/// A value of a query; `None` when it is no text.
fn decoded(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [char::from(rest.next()?), char::from(rest.next()?)].map(|d| d.to_digit(16));
                let [high, low] = digits;
                u8::try_from(high? << 4 | low?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// The page of recordings: it plays what the edge has.
pub(crate) fn page(headers: &HeaderMap, edge: &str) -> Response {
    let mut page = nx_delivery::page(&nx_web::page(nx_web::Page::Recordings), headers);
    let policy = nx_web::CSP
        .replace("connect-src 'self'", &format!("connect-src 'self' {edge}"))
        .replace("media-src 'self'", &format!("media-src 'self' {edge}"));
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        page.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    page
}

#[cfg(test)]
mod tests;
