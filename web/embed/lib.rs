//! The web pages of Nexus COS: the watch page of the edge, and the gateway's pages of streams, of recordings, of errors, of
//! one's own account, of people, of channels and of the server itself.
//!
//! The pages are built by Node into `web/dist` and embedded in debug and release builds alike, so the
//! server has no files to lose. Where they have not been built, the crate still builds, and each page
//! says what is missing.

#[cfg(nx_web_built)]
mod built;
#[cfg(not(nx_web_built))]
mod missing;
#[cfg(test)]
mod tests;

#[cfg(nx_web_built)]
use built as source;
#[cfg(not(nx_web_built))]
use missing as source;

use std::borrow::Cow;

/// A policy: what else a page may load, and who may have it in a frame.
///
/// `blob:` is for the media source that hls.js feeds, inline styles are for the widths that scripts set.
macro_rules! policy {
    ($more:literal, $framed_by:literal) => {
        concat!(
            "default-src 'self'; connect-src 'self'; media-src 'self' blob:; worker-src 'self' blob:; ",
            "style-src 'self' 'unsafe-inline'; img-src 'self' data:; ",
            $more,
            "frame-ancestors ",
            $framed_by,
            "; base-uri 'none'"
        )
    };
}

/// Value of the `Content-Security-Policy` header, unless an [`Asset`] has another.
pub const CSP: &str = policy!("", "'self'");

/// The watch page is made to be embedded.
const CSP_WATCH: &str = policy!("", "*");

/// The page of channels has the watch page in a frame, from wherever an edge serves it.
const CSP_CHANNELS: &str = policy!("frame-src http: https:; ", "'self'");

/// Value of the `Cache-Control` header for an [`Asset`] that is `immutable`.
pub const CACHE_IMMUTABLE: &str = "public, max-age=31536000, immutable";

/// Value of the `Cache-Control` header for every other [`Asset`]: kept, and asked about by its `ETag`.
pub const CACHE_REVALIDATE: &str = "no-cache";

/// Whether the pages were built when this crate was compiled; otherwise [`page`] gives stand-ins.
pub const BUILT: bool = cfg!(nx_web_built);

/// A page of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// Plays one stream; served at `/watch/APP/STREAM` by the edge.
    Watch,
    /// Lists the live streams; served at `/` by the gateway.
    Status,
    /// Lists, plays and cuts what is kept; served at `/recordings` by the gateway.
    Recordings,
    /// Lists what went wrong; served at `/errors` by the gateway.
    Errors,
    /// Signs people in, and shows them what is theirs; served at `/account` by the gateway.
    Account,
    /// Lists who may do what; served at `/people` by the gateway.
    People,
    /// Lists channels, and is where they are made, looked after and watched; served at `/channels` by the gateway.
    Channels,
    /// Shows jobs, mail and settings; served at `/server` by the gateway.
    Server,
}

impl Page {
    const fn csp(self) -> &'static str {
        match self {
            Self::Watch => CSP_WATCH,
            Self::Channels => CSP_CHANNELS,
            _ => CSP,
        }
    }
}

/// A file to answer a request with.
#[derive(Clone, Debug)]
pub struct Asset {
    /// The body; borrowed from the binary.
    pub bytes: Cow<'static, [u8]>,
    /// Value of the `Content-Type` header.
    pub content_type: &'static str,
    /// The name holds a hash of the content: a cache may keep it for ever.
    pub immutable: bool,
    /// Value of the `Content-Security-Policy` header.
    pub csp: &'static str,
    /// Value of the `ETag` header, with its quotes.
    pub etag: String,
}

impl Asset {
    /// Value of the `Cache-Control` header that fits this file.
    #[must_use]
    pub const fn cache_control(&self) -> &'static str {
        if self.immutable { CACHE_IMMUTABLE } else { CACHE_REVALIDATE }
    }
}

/// A page; always there, as a plain stand-in when the pages have not been built.
#[must_use]
pub fn page(name: Page) -> Asset {
    source::page(name)
}

/// The file at `path` below the root of the listener, such as `assets/watch-1a2b3c4d.js`, without a
/// leading slash and exactly as the pages name it. `None` for anything else, pages included.
#[must_use]
pub fn asset(path: &str) -> Option<Asset> {
    path.starts_with("assets/").then(|| source::file(path)).flatten()
}
