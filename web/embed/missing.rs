//! Stand-ins for pages that have not been built: plain words, no script.

use crate::{Asset, Page};
use std::borrow::Cow;

const WATCH: &str = include_str!("missing-watch.html");
const STATUS: &str = include_str!("missing-status.html");
const RECORDINGS: &str = include_str!("missing-recordings.html");
const ERRORS: &str = include_str!("missing-errors.html");
const ACCOUNT: &str = include_str!("missing-account.html");
const PEOPLE: &str = include_str!("missing-people.html");
const CHANNELS: &str = include_str!("missing-channels.html");
const SERVER: &str = include_str!("missing-server.html");

pub(crate) fn page(name: Page) -> Asset {
    let (html, etag) = match name {
        Page::Watch => (WATCH, "\"missing-watch\""),
        Page::Status => (STATUS, "\"missing-status\""),
        Page::Recordings => (RECORDINGS, "\"missing-recordings\""),
        Page::Errors => (ERRORS, "\"missing-errors\""),
        Page::Account => (ACCOUNT, "\"missing-account\""),
        Page::People => (PEOPLE, "\"missing-people\""),
        Page::Channels => (CHANNELS, "\"missing-channels\""),
        Page::Server => (SERVER, "\"missing-server\""),
    };
    Asset {
        bytes: Cow::Borrowed(html.as_bytes()),
        content_type: "text/html; charset=utf-8",
        immutable: false,
        csp: name.csp(),
        etag: etag.to_owned(),
    }
}

pub(crate) const fn file(_path: &str) -> Option<Asset> {
    None
}
