//! Files that are played as streams: `…/titles`, `…/titles/NAME`, `…/titles/NAME/ladder`.

use std::sync::Arc;

use http::{Method, StatusCode};
use nx_contract::titles::{Title, Titles};
use nx_delivery::{Problem, Response};
use serde::Serialize;

use crate::api::Paging;
use crate::desired::{self, Asked};
use crate::guard;
use crate::serve::{json, no_content};

#[derive(Serialize)]
struct Page {
    items: Vec<Item>,
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct Item {
    #[serde(flatten)]
    title: Title,
    hls_url: String,
    dash_url: String,
    mp4_url: String,
}

/// Answers; `rest` is what follows `…/titles`, `edge` is where titles are played.
pub(crate) async fn answer(
    titles: &Arc<dyn Titles>,
    rest: &str,
    asked: Asked<'_>,
    edge: String,
) -> Result<Response, Problem> {
    let Asked { method, uri, who, .. } = asked;
    let titles = titles.clone();
    match (method, rest.strip_prefix('/')) {
        (&(Method::GET | Method::HEAD), None) => {
            let paging = Paging::parse(uri.query().unwrap_or_default())?;
            let page = desired::waiting(move || Ok(page(&*titles, &paging, &edge))).await?;
            Ok(json(&desired::text(&page)))
        }
        (method, Some(below)) if below.ends_with("/ladder") => {
            guard::takes(method, "GET, HEAD, POST, DELETE")?;
            let name = below.strip_suffix("/ladder").unwrap_or(below).to_owned();
            if matches!(*method, Method::GET | Method::HEAD) {
                let ladder = desired::waiting(move || titles.ladder(&name)).await?;
                return Ok(json(&desired::text(&ladder)));
            }
            who.operator()?;
            if *method == Method::POST {
                let ladder = desired::waiting(move || titles.begin_ladder(&name)).await?;
                let mut response = json(&desired::text(&ladder));
                *response.status_mut() = StatusCode::ACCEPTED;
                return Ok(response);
            }
            desired::waiting(move || titles.remove_ladder(&name)).await?;
            Ok(no_content())
        }
        (&Method::DELETE, Some(name)) if !name.is_empty() => {
            who.operator()?;
            let name = name.to_owned();
            desired::waiting(move || titles.remove_title(&name)).await?;
            Ok(no_content())
        }
        (_, None) => Err(Problem::method("this resource takes GET, HEAD")),
        (_, Some(_)) => Err(Problem::method("a title takes DELETE; the list has what is known of it")),
    }
}

fn page(titles: &dyn Titles, paging: &Paging, edge: &str) -> Page {
    let (all, more) = titles.titles(paging.after(), paging.limit());
    let next_cursor = all.last().filter(|_| more).map(|t| t.name.clone());
    let item = |title: Title| Item {
        hls_url: format!("{edge}{}", title.hls_path),
        dash_url: format!("{edge}{}", title.dash_path),
        mp4_url: format!("{edge}{}", title.mp4_path),
        title,
    };
    Page { items: all.into_iter().map(item).collect(), next_cursor }
}
