//! Stand-in until the pages are built.
#![expect(missing_docs)]
pub struct Asset {
    pub bytes: bytes::Bytes,
    pub content_type: &'static str,
    pub immutable: bool,
    pub etag: String,
}
pub enum Page {
    Watch,
    Status,
}
pub const CSP: &str = "default-src 'self'";
pub fn page(_: Page) -> Asset {
    Asset { bytes: bytes::Bytes::new(), content_type: "text/html", immutable: false, etag: String::new() }
}
pub fn asset(_: &str) -> Option<Asset> {
    None
}
