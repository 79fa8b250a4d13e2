//! Manifests of assets: hashes of what is stored, chained, the last of them signed by this node.
//!
//! What is hashed is text, lines that end in `\n`, so that a shell can follow it. The chain begins with the hash of what
//! the asset is; each entry's is that of the hash before and of the entry. The signature is over the last one, in hex.

use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use nx_contract::assets::Manifest;
use nx_contract::desired::Fault;
use nx_hls::Rfc3339;
use nx_media::StreamKey;
use nx_store::{Asset, Entries, Entry, Stage};
use serde::Serialize;

use super::{unknown, unread};
use crate::desired::place;
use crate::hub::lock;
use crate::keep::Kept;

const FORMAT: &str = "nexus-manifest-1";

/// The key of this node, made when it is used first: `manifest.key` (PKCS #8) in the data folder, for its owner alone, and
/// `manifest.pem`, the public key that verifies.
#[derive(Debug)]
pub(crate) struct Signer {
    folder: PathBuf,
    pair: Mutex<Option<Arc<Ed25519KeyPair>>>,
}

impl Signer {
    pub(crate) fn new(data: &Path) -> Self {
        Self { folder: data.to_owned(), pair: Mutex::default() }
    }

    fn pair(&self) -> io::Result<Arc<Ed25519KeyPair>> {
        let mut known = lock(&self.pair);
        if let Some(pair) = &*known {
            return Ok(pair.clone());
        }
        let path = self.folder.join("manifest.key");
        let pair = match std::fs::read(&path) {
            Ok(key) => Ed25519KeyPair::from_pkcs8(&key).map_err(|e| {
                let text =
                    format!("{} holds no Ed25519 key ({e}); remove it to have one made", path.display());
                io::Error::new(io::ErrorKind::InvalidData, text)
            })?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let pair = Ed25519KeyPair::generate().map_err(io::Error::other)?;
                place(&self.folder.join("manifest.pem"), public(&pair)?.as_bytes())?;
                place(&path, pair.to_pkcs8().map_err(io::Error::other)?.as_ref())?;
                pair
            }
            Err(e) => return Err(e),
        };
        Ok(known.insert(Arc::new(pair)).clone())
    }
}

/// The public key as PEM.
fn public(pair: &Ed25519KeyPair) -> io::Result<String> {
    let der: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(io::Error::other)?;
    Ok(format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", nx_crypt::base64(der.as_ref())))
}

/// The manifest of an asset as JSON, piece by piece: a segment is read when its entry is wanted.
pub(super) fn manifest(kept: &Kept, asset: &Asset) -> Result<Manifest, Fault> {
    let late = || Fault::Conflict("it is not all on disk yet; ask again in a few seconds".into());
    if asset.stage != Stage::Ready {
        return Err(late());
    }
    let key = StreamKey::parse(&asset.stream).map_err(|_| unknown(&asset.id))?;
    let log = kept.store.find(&key).ok_or_else(|| unknown(&asset.id))?;
    let entries = log.entries(asset.start_ms, asset.end_ms).map_err(|e| unread(&e))?;
    if entries.ends_ms < asset.end_ms {
        return Err(late());
    }
    let pair = kept.signer.pair().map_err(|error| {
        tracing::error!(%error, "the key that signs manifests can be neither read nor made: check the data folder");
        Fault::Storage(error.to_string())
    })?;
    Ok(Box::new(Writing { stream: asset.stream.clone(), entries, pair, at: At::Head(Head::of(asset)) }))
}

/// What the asset is; the order is that in which it is hashed.
#[derive(Serialize)]
struct Head {
    format: &'static str,
    asset: String,
    stream: String,
    start: String,
    end: String,
}

impl Head {
    fn of(asset: &Asset) -> Self {
        let date = |ms| Rfc3339(ms).to_string();
        let (start, end) = (date(asset.start_ms), date(asset.end_ms));
        Self { format: FORMAT, asset: asset.id.clone(), stream: asset.stream.clone(), start, end }
    }
}

/// A header or a segment; the order is that in which it is hashed, behind the hash before.
#[derive(Serialize)]
struct Link {
    path: String,
    /// Empty of a header.
    begins_at: String,
    bytes: usize,
    sha256: String,
}

#[derive(Serialize)]
struct Tail {
    chain: String,
    public_key: String,
    signature: String,
}

struct Writing {
    stream: String,
    entries: Entries,
    pair: Arc<Ed25519KeyPair>,
    at: At,
}

enum At {
    Head(Head),
    /// Behind an entry: the hash so far, and whether it was the first.
    Chain(String, bool),
    Over,
}

impl Writing {
    fn link(&self, entry: &Entry) -> Link {
        Link {
            path: format!("/{}/{}", self.stream, entry.name),
            begins_at: entry.begins_ms.map(|ms| Rfc3339(ms).to_string()).unwrap_or_default(),
            bytes: entry.bytes.len(),
            sha256: sha256(&entry.bytes),
        }
    }

    fn step(&mut self) -> io::Result<Option<String>> {
        match std::mem::replace(&mut self.at, At::Over) {
            At::Head(head) => {
                let Head { format, asset, stream, start, end } = &head;
                self.at = At::Chain(lines(&[format, asset, stream, start, end]), true);
                let text = serde_json::to_string(&head)?;
                Ok(Some(format!("{},\n\"entries\":[", text.trim_end_matches('}'))))
            }
            At::Chain(chain, first) => match self.entries.next().transpose()? {
                Some(entry) => {
                    let link = self.link(&entry);
                    let Link { path, begins_at, bytes, sha256 } = &link;
                    self.at = At::Chain(lines(&[&chain, path, begins_at, &bytes.to_string(), sha256]), false);
                    let comma = if first { "" } else { "," };
                    Ok(Some(format!("{comma}\n{}", serde_json::to_string(&link)?)))
                }
                None => {
                    let signature = nx_crypt::base64(self.pair.sign(chain.as_bytes()).as_ref());
                    let tail = Tail { chain, public_key: public(&self.pair)?, signature };
                    Ok(Some(format!("],\n{}\n", serde_json::to_string(&tail)?.trim_start_matches('{'))))
                }
            },
            At::Over => Ok(None),
        }
    }
}

impl Iterator for Writing {
    type Item = Result<String, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().map_err(|e| unread(&e)).transpose()
    }
}

/// The hash of some lines.
fn lines(of: &[&str]) -> String {
    sha256(of.iter().flat_map(|line| [line, "\n"]).collect::<String>().as_bytes())
}

/// In hex.
fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
