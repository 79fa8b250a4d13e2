//! What needs no key: random bytes and hashes.

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use garde::Validate;
use nx_chassis::{Api, Ctx, Problem, ShownOnce, hex};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::wire::{Answer, At, Sent, loose, needed};
use crate::crypto::{Fault, Hash};

/// Random bytes that are asked for at a time.
const RANDOM_MAX: i64 = 128 << 10;

pub(super) fn routes(api: Api) -> Api {
    writes!(api,
        "/transit/random" => random,
        "/transit/random/{bytes}" => random,
        "/transit/hash" => hash,
        "/transit/hash/{hash}" => hash,
    )
}

#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct Wanted {
    /// By default 32.
    #[serde(default, deserialize_with = "loose")]
    bytes: Option<i64>,
    /// `base64` or `hex`; by default `base64`.
    #[serde(default)]
    #[garde(length(max = 40))]
    format: Option<String>,
}

#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct ToHash {
    /// Base64.
    #[serde(default)]
    input: Option<String>,
    /// By default `sha2-256`.
    #[serde(default, alias = "hash_algorithm")]
    #[garde(length(max = 40))]
    algorithm: Option<String>,
    /// `hex` or `base64`; by default `hex`.
    #[serde(default)]
    #[garde(length(max = 40))]
    format: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Random {
    random_bytes: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Sum {
    sum: String,
}

fn text(bytes: &[u8], format: &str) -> Result<String, Fault> {
    match format {
        "hex" => Ok(hex(bytes)),
        "base64" => Ok(BASE64.encode(bytes)),
        _ => Err(Fault::wrong("format is base64 or hex")),
    }
}

async fn random(cx: Ctx, at: At, Sent(wanted): Sent<Wanted>) -> Result<ShownOnce<Answer<Random>>, Problem> {
    let length = at.number("bytes")?.or(wanted.bytes).unwrap_or(32);
    let length = usize::try_from(length).ok().filter(|_| (1..=RANDOM_MAX).contains(&length));
    let length = length.ok_or_else(|| Fault::wrong(format!("bytes is 1 to {RANDOM_MAX}")))?;
    let mut bytes = Zeroizing::new(vec![0; length]);
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Fault::Failed("randomness"))?;
    let random_bytes = text(&bytes, wanted.format.as_deref().unwrap_or("base64"))?;
    Ok(ShownOnce(Answer::new(&cx, Random { random_bytes })))
}

async fn hash(cx: Ctx, at: At, Sent(sent): Sent<ToHash>) -> Result<ShownOnce<Answer<Sum>>, Problem> {
    let hash = at.text("hash").or(sent.algorithm.as_deref()).map_or(Ok(Hash::default()), Hash::parse)?;
    let input = needed("input", sent.input.as_ref())?;
    let sum = text(hash.of(&input).as_ref(), sent.format.as_deref().unwrap_or("hex"))?;
    Ok(ShownOnce(Answer::new(&cx, Sum { sum })))
}
