//! Asks two origins of one encoder for the same.

use std::sync::Arc;

use super::client::Client;
use crate::Judge;
use crate::evidence::{Fetch, Role};
use crate::m3u8::Media;

/// Newest segments in each list that are fetched from both.
const SEGMENTS: usize = 3;

/// Compares `playlists`, which lie beside `here`, with those beside `there`, and what they name.
pub(super) async fn compare(
    client: &Client,
    (here, there): (&str, &str),
    playlists: &[Arc<str>],
    judge: &mut Judge,
) {
    for ours in playlists {
        let Some(theirs) = ours.strip_prefix(folder(here)).map(|name| folder(there).to_owned() + name) else {
            continue;
        };
        let (ours, theirs) = both(client, ours, &Arc::from(theirs), Role::Playlist).await;
        judge.compare(&ours, &theirs);
        let [ours, theirs] = [ours, theirs].map(|f| Media::parse(&f.url, f.done_us, &f.body));
        for name in names(&ours, &theirs) {
            let (Some(here), Some(there)) = (ours.text.resolve(name), theirs.text.resolve(name)) else {
                continue;
            };
            let (ours, theirs) = both(client, &Arc::from(here), &Arc::from(there), Role::Init).await;
            judge.compare(&ours, &theirs);
        }
    }
}

async fn both(client: &Client, ours: &Arc<str>, theirs: &Arc<str>, role: Role) -> (Fetch, Fetch) {
    tokio::join!(client.get(ours, ours, role.clone(), &[]), client.get(theirs, theirs, role, &[]))
}

/// Header and newest segments that both list under one name.
fn names<'a>(ours: &'a Media, theirs: &Media) -> impl Iterator<Item = &'a str> {
    let both: Vec<_> = ours
        .segments
        .iter()
        .filter(|s| !s.gap && s.range.is_none())
        .filter(|s| theirs.segment(s.msn).is_some_and(|t| t.uri == s.uri))
        .collect();
    // As the list says it: its address, and behind a space the range of bytes, if it has one.
    let header = both.last().and_then(|s| s.map.as_deref()?.strip_suffix(' '));
    let newest = both.len().saturating_sub(SEGMENTS);
    header.into_iter().chain(both.into_iter().skip(newest).map(|s| s.uri.as_str()))
}

/// An address up to its last slash.
fn folder(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    path.rfind('/').and_then(|at| path.get(..=at)).unwrap_or(path)
}
