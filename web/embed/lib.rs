//! The web pages, built by Vite from `web/src` and embedded in the binary.
//!
//! Without `web/dist` at build time the crate builds all the same; its pages then say what is missing.

use std::borrow::Cow;

use bytes::Bytes;
use rust_embed::{EmbeddedFile, RustEmbed};

/// What a browser may load for our pages: nothing from elsewhere. Send it with every page.
pub const CSP: &str = "default-src 'self'; connect-src 'self'; media-src 'self' blob:; worker-src 'self' blob:; \
                       style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'self'; base-uri 'none'";

#[derive(RustEmbed)]
#[folder = "$NX_WEB_DIST"]
struct Dist;

/// A page, or a part of one.
#[derive(Debug, Clone)]
pub struct Asset {
    /// Its content.
    pub bytes: Bytes,
    /// For `Content-Type`.
    pub content_type: &'static str,
    /// Its name changes with its content: caches may keep it for ever.
    pub immutable: bool,
    /// For `ETag`, quotes included.
    pub etag: String,
}

/// The pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// Plays one stream.
    Watch,
    /// Lists all streams.
    Status,
}

/// A page; one that names the missing build step when the pages were not built.
#[must_use]
pub fn page(page: Page) -> Asset {
    let file = match page {
        Page::Watch => "watch.html",
        Page::Status => "status.html",
    };
    Dist::get(file).map_or_else(|| missing(page), |found| embedded(file, found))
}

/// A part of a page by its path, such as `assets/watch-1a2b.js`.
#[must_use]
pub fn asset(path: &str) -> Option<Asset> {
    Dist::get(path).filter(|_| path.starts_with("assets/")).map(|found| embedded(path, found))
}

fn embedded(path: &str, file: EmbeddedFile) -> Asset {
    let bytes = match file.data {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::from(bytes),
    };
    let hash = file.metadata.sha256_hash();
    let short: String = hash.iter().take(8).map(|b| format!("{b:02x}")).collect();
    Asset {
        bytes,
        content_type: content_type(path),
        immutable: path.starts_with("assets/"),
        etag: format!("\"{short}\""),
    }
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("json") => "application/json",
        _ => "application/octet-stream",
    }
}

fn missing(page: Page) -> Asset {
    let what = match page {
        Page::Watch => {
            "Players can open this address with <code>/watch</code> left out and <code>/index.m3u8</code> \
                        put behind it: <code>/live/cam1/index.m3u8</code>."
        }
        Page::Status => {
            "The same figures are at <a href=\"/api/streamcore/v1/streams\">/api/streamcore/v1/streams</a>."
        }
    };
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>Nexus COS</title><style>:root{{color-scheme:light dark}}body{{font:16px/1.5 \
         system-ui;max-width:40rem;margin:4rem auto;padding:0 1rem}}</style><h1>This page is not in this build</h1>\
         <p>The server was built without Node.js. Install <code>nodejs</code> and <code>npm</code>, run <code>make \
         web</code>, then build again.<p>{what}"
    );
    Asset {
        bytes: html.into(),
        content_type: "text/html; charset=utf-8",
        immutable: false,
        etag: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_html_either_way_and_name_no_other_host() {
        for which in [Page::Watch, Page::Status] {
            let page = page(which);
            let text = String::from_utf8_lossy(&page.bytes).into_owned();
            assert!(
                page.content_type.starts_with("text/html") && text.starts_with("<!doctype html>"),
                "{which:?}"
            );
            assert!(!text.contains("https://") && !text.contains("src=\"http"), "{which:?}");
            assert!(!page.immutable, "{which:?}");
        }
    }

    #[test]
    fn what_a_page_refers_to_is_there() {
        let text = String::from_utf8_lossy(&page(Page::Watch).bytes).into_owned();
        for path in
            text.split(['"', '\'']).filter_map(|p| p.strip_prefix('/')).filter(|p| p.starts_with("assets/"))
        {
            assert!(asset(path).is_some_and(|a| a.immutable), "{path}");
        }
        assert!(
            asset("watch.html").is_none()
                && asset("../Cargo.toml").is_none()
                && asset("assets/none.js").is_none()
        );
    }
}
