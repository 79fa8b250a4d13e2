//! What is said about a live stream: `…/streams/APP/STREAM/captions` and `…/daterange`.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use nx_contract::announce::{Announce, NewCaptions, NewDateRange};
use nx_delivery::{Problem, Response};

use crate::desired::{Asked, problem, shown, text, waiting};
use crate::guard;
use crate::serve::{STREAMS, json, no_content};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    /// `APP/STREAM`.
    stream: String,
    kind: Kind,
    id: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Captions,
    DateRange,
}

/// Reads what follows `…/streams`; `None` for other resources.
pub(crate) fn route(rest: &str) -> Option<Route> {
    let mut segments = rest.strip_prefix('/')?.split('/');
    let (app, name) = (segments.next()?, segments.next()?);
    let kind = match segments.next()? {
        "captions" => Kind::Captions,
        "daterange" => Kind::DateRange,
        _ => return None,
    };
    let id = segments.next().map(str::to_owned);
    let sane = |text: &str| !text.is_empty() && !text.contains('%');
    let good = sane(app) && sane(name) && id.as_deref().is_none_or(sane) && segments.next().is_none();
    good.then(|| Route { stream: format!("{app}/{name}"), kind, id })
}

/// Answers; what changes something only whom may do everything.
pub(crate) async fn answer<B>(
    announce: &Arc<dyn Announce>,
    route: Route,
    asked: Asked<'_>,
    body: B,
) -> Result<Response, Problem>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let Asked { method, headers, who, .. } = asked;
    let allowed = match (route.kind, route.id.is_some()) {
        (_, false) => "GET, HEAD, POST",
        (Kind::Captions, true) => "GET, HEAD",
        (Kind::DateRange, true) => "GET, HEAD, DELETE",
    };
    guard::takes(method, allowed)?;
    let Route { stream, kind, id } = route;
    if matches!(*method, Method::GET | Method::HEAD) {
        let id = id.as_deref();
        return match kind {
            Kind::Captions => shown(announce.captions(&stream).map_err(problem)?, id, |r| &r.id),
            Kind::DateRange => shown(announce.date_ranges(&stream).map_err(problem)?, id, |r| &r.id),
        };
    }
    who.operator()?;
    let (announce, once) = (announce.clone(), guard::once(headers)?);
    match (id, kind) {
        (Some(id), _) => {
            waiting(move || announce.remove_date_range(&stream, &id)).await?;
            Ok(no_content())
        }
        (None, Kind::Captions) => {
            let new: NewCaptions = guard::body(headers, body).await?;
            let taken = waiting(move || announce.add_captions(&stream, new, once.as_deref())).await?;
            Ok(created(None, &text(&taken)))
        }
        (None, Kind::DateRange) => {
            let new: NewDateRange = guard::body(headers, body).await?;
            let at = stream.clone();
            let made = waiting(move || announce.add_date_range(&at, new, once.as_deref())).await?;
            let place = format!("{STREAMS}/{stream}/daterange/{}", made.id);
            Ok(created(Some(&place), &text(&made)))
        }
    }
}

fn created(place: Option<&str>, text: &str) -> Response {
    let mut response = json(text);
    *response.status_mut() = StatusCode::CREATED;
    if let Some(Ok(place)) = place.map(HeaderValue::from_str) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_address() {
        let id = Some("ad-1".to_owned());
        for (rest, want) in [
            ("/live/a/captions", Some((Kind::Captions, None))),
            ("/live/a/captions/s1", Some((Kind::Captions, Some("s1".to_owned())))),
            ("/live/a/daterange", Some((Kind::DateRange, None))),
            ("/live/a/daterange/ad-1", Some((Kind::DateRange, id))),
            ("/live/a/daterange/", None),
            ("/live/a/daterange/x/y", None),
            ("/live/a/targets", None),
            ("/live/daterange", None),
            ("", None),
        ] {
            assert_eq!(route(rest).map(|r| (r.kind, r.id)), want, "{rest}");
        }
    }
}
