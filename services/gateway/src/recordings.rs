//! What is kept of streams: `…/recordings`.

use nx_contract::recordings::{Recording, Recordings};
use nx_delivery::Problem;
use serde::Serialize;

use crate::api::Paging;

#[derive(Debug, Serialize)]
pub(crate) struct Page {
    items: Vec<Item>,
    next_cursor: Option<String>,
}

#[derive(Debug, Serialize)]
struct Item {
    #[serde(flatten)]
    recording: Recording,
    hls_url: String,
    dash_url: String,
    mp4_url: String,
}

/// Which recordings are wanted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Filter {
    stream: Option<String>,
    /// They go on behind this time; RFC 3339 in UTC, as dates compare as text then.
    from: Option<String>,
    /// They begin before this time.
    to: Option<String>,
}

impl Filter {
    fn parse(query: &str) -> Result<Self, Problem> {
        let mut filter = Self::default();
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let value = value.replace("%2F", "/").replace("%2f", "/").replace("%3A", ":").replace("%3a", ":");
            let place = match name {
                "stream" => &mut filter.stream,
                "from" => &mut filter.from,
                "to" => &mut filter.to,
                _ => continue,
            };
            let dated = name == "stream"
                || (value.len() >= 20 && value.ends_with('Z') && value.as_bytes().get(10) == Some(&b'T'));
            if !dated {
                return Err(Problem::bad_request(format!(
                    "{name} is a date in UTC such as 2026-11-21T04:00:00Z, not {value:.40}"
                )));
            }
            *place = Some(value);
        }
        Ok(filter)
    }

    fn fits(&self, recording: &Recording) -> bool {
        let ends = recording.ends_at.as_ref();
        self.stream.as_ref().is_none_or(|stream| recording.stream == *stream)
            && self.from.as_ref().is_none_or(|from| ends.is_none_or(|ends| ends > from))
            && self.to.as_ref().is_none_or(|to| recording.begins_at < *to)
    }
}

/// The cursor names the last recording of the page before.
fn cursor(of: &Recording) -> String {
    format!("{}!{}", of.begins_at, of.stream.replacen('/', "!", 1))
}

/// A page of the recordings that a query asks for and who asks may see, the newest first. `edge` is where they are played.
pub(crate) fn page(
    recordings: &dyn Recordings,
    query: &str,
    edge: &str,
    sees: impl Fn(&str) -> bool,
) -> Result<Page, Problem> {
    let (paging, filter) = (Paging::parse(query)?, Filter::parse(query)?);
    let all = recordings.recordings();
    let begin = match paging.after() {
        None => 0,
        Some(after) => {
            all.iter().position(|r| cursor(r).replacen('!', "/", 1) == after).map_or(all.len(), |at| at + 1)
        }
    };
    let mut rest = all.into_iter().skip(begin).filter(|r| filter.fits(r) && sees(&r.stream));
    let item = |recording: Recording| Item {
        hls_url: format!("{edge}{}", recording.hls_path),
        dash_url: format!("{edge}{}", recording.dash_path),
        mp4_url: format!("{edge}{}", recording.mp4_path),
        recording,
    };
    let items: Vec<Item> = rest.by_ref().take(paging.limit()).map(item).collect();
    let more = rest.next().is_some();
    let next_cursor = items.last().filter(|_| more).map(|i| cursor(&i.recording));
    Ok(Page { items, next_cursor })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fake(Vec<Recording>);

    impl Recordings for Fake {
        fn recordings(&self) -> Vec<Recording> {
            self.0.clone()
        }
    }

    fn recording(stream: &str, begins: &str, ends: Option<&str>) -> Recording {
        Recording {
            stream: stream.into(),
            begins_at: begins.into(),
            ends_at: ends.map(str::to_owned),
            duration_ms: 1_000,
            bytes: 1,
            hls_path: format!("/{stream}/index.m3u8?start=1"),
            dash_path: format!("/{stream}/manifest.mpd?start=1"),
            mp4_path: format!("/{stream}/video.mp4?start=1"),
        }
    }

    #[test]
    fn recordings_are_found_by_stream_and_time_and_page_by_page() {
        let (morning, noon, night) =
            ("2026-11-21T06:00:00.000Z", "2026-11-21T12:00:00.000Z", "2026-11-21T23:00:00.000Z");
        let all = Fake(vec![
            recording("live/a", night, None),
            recording("live/b", noon, Some("2026-11-21T13:00:00.000Z")),
            recording("live/a", morning, Some("2026-11-21T07:00:00.000Z")),
        ]);
        let begins = |query: &str| -> Vec<String> {
            let page = page(&all, query, "http://e", |_| true).expect("a page");
            page.items.iter().map(|i| i.recording.begins_at.clone()).collect()
        };
        for (query, want) in [
            ("", vec![night, noon, morning]),
            ("stream=live/a", vec![night, morning]),
            ("stream=live%2Fa&to=2026-11-21T10:00:00Z", vec![morning]),
            ("from=2026-11-21T12:30:00Z", vec![night, noon]),
            ("from=2026-11-21T08%3A00:00Z&to=2026-11-21T20:00:00Z", vec![noon]),
            ("stream=live/nobody", vec![]),
        ] {
            assert_eq!(begins(query), want, "{query}");
        }
        let (mut seen, mut query) = (Vec::new(), "limit=1".to_owned());
        loop {
            let page = page(&all, &query, "http://e", |_| true).expect("a page");
            seen.extend(page.items.iter().map(|i| i.hls_url.clone()));
            let Some(next) = page.next_cursor else { break };
            query = format!("limit=1&cursor={next}");
        }
        assert_eq!(seen.len(), 3, "{seen:?}");
        assert_eq!(seen[0], "http://e/live/a/index.m3u8?start=1");
        assert!(
            page(&all, "from=yesterday", "", |_| true).is_err()
                && page(&all, "limit=0", "", |_| true).is_err()
        );
    }
}
