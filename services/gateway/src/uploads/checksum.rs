//! Checksums of what is uploaded: the extension of the same name.

use aws_lc_rs::digest;
use http::HeaderMap;
use nx_delivery::Problem;

/// For `Tus-Checksum-Algorithm`.
pub(super) const ALGORITHMS: &str = "sha1,sha256,crc32";

/// What the bytes of a request must come to.
pub(super) struct Checksum {
    sum: Sum,
    want: Vec<u8>,
}

enum Sum {
    Digest(digest::Context),
    Crc32(crc32fast::Hasher),
}

impl Checksum {
    /// What `Upload-Checksum` says, if it is there.
    pub(super) fn asked(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let Some(value) = headers.get("upload-checksum") else { return Ok(None) };
        let unknown = || {
            Problem::bad_request(format!("Upload-Checksum is one of {ALGORITHMS}, a space, and it in base64"))
        };
        let (name, want) = value.to_str().ok().and_then(|v| v.split_once(' ')).ok_or_else(unknown)?;
        let sum = match name {
            "sha1" => Sum::Digest(digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY)),
            "sha256" => Sum::Digest(digest::Context::new(&digest::SHA256)),
            "crc32" => Sum::Crc32(crc32fast::Hasher::new()),
            _ => return Err(unknown()),
        };
        let want = base64(want.trim()).ok_or_else(unknown)?;
        Ok(Some(Self { sum, want }))
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match &mut self.sum {
            Sum::Digest(sum) => sum.update(bytes),
            Sum::Crc32(sum) => sum.update(bytes),
        }
    }

    /// Whether the bytes came to it.
    pub(super) fn fits(self) -> bool {
        match self.sum {
            Sum::Digest(sum) => sum.finish().as_ref() == self.want,
            Sum::Crc32(sum) => sum.finalize().to_be_bytes()[..] == self.want,
        }
    }
}

/// Base64 with or without padding.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    let plain = text.trim_end_matches('=');
    base64::engine::general_purpose::STANDARD_NO_PAD.decode(plain).ok()
}
