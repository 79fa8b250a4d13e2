//! The list of live streams as JSON, once or again every second.

use nx_contract::desired::Desired;
use nx_contract::sources::Source;
use nx_contract::streams::{Server, Stream, Streams};
use nx_contract::targets::Target;
use nx_delivery::Problem;
use serde::Serialize;

const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 200;

/// A page of a list, and the node it comes from.
#[derive(Debug, Serialize)]
pub(crate) struct Page {
    items: Vec<Item>,
    next_cursor: Option<String>,
    server: Server,
    /// Where viewers go.
    viewers_url: String,
}

#[derive(Debug, Serialize)]
struct Item {
    #[serde(flatten)]
    stream: Stream,
    watch_url: String,
    targets: Vec<Target>,
    sources: Vec<Source>,
}

/// Which page is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Paging {
    limit: usize,
    after: Option<String>,
    /// The one that is asked for.
    only: Option<String>,
}

impl Paging {
    /// Everything that a page may hold.
    pub(crate) fn first() -> Self {
        Self { limit: LIMIT_MAX, after: None, only: None }
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// What stands before the page.
    pub(crate) fn after(&self) -> Option<&str> {
        self.after.as_deref()
    }

    /// Reads `limit` and `cursor` of a query string.
    pub(crate) fn parse(query: &str) -> Result<Self, Problem> {
        let mut paging = Self { limit: LIMIT_DEFAULT, after: None, only: None };
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match name {
                "limit" => {
                    paging.limit = value
                        .parse()
                        .ok()
                        .filter(|l| (1..=LIMIT_MAX).contains(l))
                        .ok_or_else(|| Problem::bad_request(format!("limit must be 1 to {LIMIT_MAX}")))?;
                }
                // The cursor is the last key of the page before, with a mark in place of its slash that no name has.
                "cursor" => paging.after = Some(value.replacen('!', "/", 1)),
                "stream" => paging.only = Some(value.replace("%2F", "/")),
                _ => {}
            }
        }
        Ok(paging)
    }
}

/// Cuts the page out of the streams that who asks may see, which are sorted by key; where they are sent and where they come from only
/// for who may know it. `edge` is where viewers go.
pub(crate) fn page(
    streams: &dyn Streams,
    desired: &dyn Desired,
    paging: &Paging,
    edge: &str,
    sees: impl Fn(&str) -> bool,
    knows: bool,
) -> Page {
    let after = |s: &Stream| paging.after.as_ref().is_none_or(|after| s.key > *after);
    let wanted = |s: &Stream| paging.only.as_ref().is_none_or(|only| s.key == *only);
    let mut rest = streams.list().into_iter().filter(wanted).filter(after).filter(|s| sees(&s.key));
    let item = |stream: Stream| Item {
        watch_url: format!("{edge}/watch/{}", stream.key),
        targets: if knows { desired.targets(&stream.key).unwrap_or_default() } else { Vec::new() },
        sources: if knows { desired.sources(&stream.key).unwrap_or_default() } else { Vec::new() },
        stream,
    };
    let items: Vec<Item> = rest.by_ref().take(paging.limit).map(item).collect();
    let more = rest.next().is_some();
    let next_cursor = items.last().filter(|_| more).map(|i| i.stream.key.replacen('/', "!", 1));
    Page { items, next_cursor, server: streams.server(), viewers_url: edge.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_paging_and_refuses_limits_out_of_range() {
        for (query, want) in [
            ("", Some((50, None))),
            ("limit=200", Some((200, None))),
            ("limit=1&cursor=a~~b!cam1", Some((1, Some("a~~b/cam1")))),
            ("limit=0", None),
            ("limit=201", None),
            ("limit=x", None),
        ] {
            let got = Paging::parse(query).ok();
            let got = got.as_ref().map(|p| (p.limit, p.after.as_deref()));
            assert_eq!(got, want, "{query}");
        }
    }
}
