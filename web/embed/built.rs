//! The pages as they were built.

use crate::{Asset, CSP, Page};
use rust_embed::{EmbeddedFile, RustEmbed};
use std::fmt::Write;

/// Bytes of the content's SHA-256 that make an entity tag.
const ETAG_BYTES: usize = 12;

#[derive(RustEmbed)]
#[folder = "dist/"]
struct Dist;

pub(crate) fn page(name: Page) -> Asset {
    let path = match name {
        Page::Watch => "watch.html",
        Page::Status => "status.html",
        Page::Recordings => "recordings.html",
        Page::Errors => "errors.html",
        Page::Account => "account.html",
        Page::People => "people.html",
        Page::Channels => "channels.html",
        Page::Server => "server.html",
    };
    Asset { csp: name.csp(), ..file(path).expect("the build script saw every page") }
}

pub(crate) fn file(path: &str) -> Option<Asset> {
    Dist::get(path).map(|file| asset(path, file))
}

fn asset(path: &str, file: EmbeddedFile) -> Asset {
    Asset {
        content_type: content_type(path),
        immutable: path.starts_with("assets/"),
        csp: CSP,
        etag: etag(&file.metadata.sha256_hash()),
        bytes: file.data,
    }
}

fn etag(hash: &[u8]) -> String {
    let mut tag = String::from("\"");
    for byte in hash.iter().take(ETAG_BYTES) {
        // Writing to a string cannot fail.
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    tag
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "json" => "application/json",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}
