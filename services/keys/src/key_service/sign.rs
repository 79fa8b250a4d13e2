//! Signatures and HMAC, and whether they hold.

use std::collections::BTreeSet;

use garde::Validate;
use nx_chassis::{Api, Ctx, Problem, ShownOnce};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::crypt::Ready;
use super::rules::{self, Key};
use super::store;
use super::wire::{Answer, At, BATCH_MAX, Items, Sent, bytes, loose, needed};
use crate::crypto::{Fault, Form, Hash, Padding, Scheme};

pub(super) fn routes(api: Api) -> Api {
    writes!(api,
        "/transit/sign/{name}" => sign,
        "/transit/sign/{name}/{hash}" => sign,
        "/transit/verify/{name}" => verify,
        "/transit/verify/{name}/{hash}" => verify,
        "/transit/hmac/{name}" => hmac,
        "/transit/hmac/{name}/{hash}" => hmac,
    )
}

/// One thing to sign, or to hold a signature against.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct Item {
    /// Base64.
    #[serde(default)]
    input: Option<String>,
    /// `vault:vN:…`, to be verified.
    #[serde(default)]
    signature: Option<String>,
    /// The same of an HMAC.
    #[serde(default)]
    hmac: Option<String>,
    /// Base64: which of the keys of a derived key it is.
    #[serde(default)]
    context: Option<String>,
    /// Comes back with the answer.
    #[serde(default)]
    #[garde(length(max = 200))]
    reference: Option<String>,
}

#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct Signing {
    #[serde(flatten)]
    #[garde(dive)]
    one: Item,
    /// Takes the place of a single input.
    #[serde(default)]
    #[garde(length(max = BATCH_MAX), dive)]
    batch_input: Option<Vec<Item>>,
    /// Some send it again; the one in the path holds.
    #[serde(default, rename = "name")]
    #[garde(length(max = 200))]
    _name: Option<String>,
    /// By default the latest.
    #[serde(default, deserialize_with = "loose")]
    key_version: Option<i64>,
    /// By default `sha2-256`.
    #[serde(default, alias = "algorithm")]
    #[garde(length(max = 40))]
    hash_algorithm: Option<String>,
    /// Whether the input is the hash already.
    #[serde(default, deserialize_with = "loose")]
    prehashed: Option<bool>,
    /// `pss` or `pkcs1v15`, of RSA.
    #[serde(default)]
    #[garde(length(max = 40))]
    signature_algorithm: Option<String>,
    /// `asn1` or `jws`, of ECDSA.
    #[serde(default)]
    #[garde(length(max = 40))]
    marshaling_algorithm: Option<String>,
    /// Of RSA with `pss`; it is as long as the hash.
    #[serde(default)]
    #[garde(length(max = 40))]
    salt_length: Option<String>,
}

impl Signing {
    fn scheme(&self, at: &At) -> Result<Scheme, Fault> {
        let hash = at.text("hash").or(self.hash_algorithm.as_deref());
        if !matches!(self.salt_length.as_deref(), None | Some("auto" | "hash")) {
            return Err(Fault::NotBuilt("a salt is as long as the hash: leave out salt_length".into()));
        }
        Ok(Scheme {
            hash: hash.map_or(Ok(Hash::default()), Hash::parse)?,
            prehashed: self.prehashed.unwrap_or_default(),
            form: match self.marshaling_algorithm.as_deref() {
                None | Some("asn1") => Form::Asn1,
                Some("jws") => Form::Jws,
                _ => return Err(Fault::NotBuilt("marshaling_algorithm is asn1 or jws".into())),
            },
            padding: match self.signature_algorithm.as_deref() {
                None | Some("pss") => Padding::Pss,
                Some("pkcs1v15") => Padding::Pkcs1,
                _ => return Err(Fault::NotBuilt("signature_algorithm is pss or pkcs1v15".into())),
            },
        })
    }
}

#[derive(Debug, Serialize, JsonSchema)]
struct Signed {
    signature: String,
    key_version: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Tagged {
    hmac: String,
    key_version: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Verified {
    valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
}

/// What stands to be verified.
enum Claim {
    Signature(Vec<u8>),
    Tag(Vec<u8>),
}

/// An item, decoded.
struct Ask {
    input: Vec<u8>,
    context: Vec<u8>,
    version: i64,
    claim: Option<Claim>,
    reference: Option<String>,
}

impl Ask {
    fn of(item: Item, version: i64, claim: Option<Claim>) -> Result<Self, Fault> {
        let input = needed("input", item.input.as_ref())?;
        let context = bytes("context", item.context.as_ref())?;
        Ok(Self { input, context, version, claim, reference: item.reference })
    }
}

fn must_sign(key: &Key) -> Result<(), Fault> {
    match key.kind.signs() {
        true => Ok(()),
        false => Err(Fault::wrong(format!("a key of type {} does not sign", key.kind.name()))),
    }
}

/// Whether numbers of a signature are written in another base64.
fn is_jws(key: &Key, scheme: &Scheme) -> bool {
    key.kind.is_ecdsa() && scheme.form == Form::Jws
}

async fn sign(
    cx: Ctx,
    at: At,
    Sent(sent): Sent<Signing>,
) -> Result<ShownOnce<Answer<Items<Signed>>>, Problem> {
    let scheme = sent.scheme(&at)?;
    let key = store::key(&cx, at.name("name")?).await?;
    must_sign(&key)?;
    let version = key.writes_with(sent.key_version)?;
    let asks = Items::of(sent.one, sent.batch_input).try_map(|item| Ask::of(item, version, None))?;
    let ready = Ready::of(&cx, &key, BTreeSet::from([version])).await?;
    let mark = if is_jws(&key, &scheme) { rules::mark_jws } else { rules::mark };
    let work = move |ask: Ask| {
        let signature = ready.with(version, &ask.context, |key| key.sign(&scheme, &ask.input))?;
        Ok(Signed { signature: mark(version, &signature), key_version: version, reference: ask.reference })
    };
    Ok(ShownOnce(Answer::new(&cx, asks.work(work).await?)))
}

async fn hmac(
    cx: Ctx,
    at: At,
    Sent(sent): Sent<Signing>,
) -> Result<ShownOnce<Answer<Items<Tagged>>>, Problem> {
    let hash = sent.scheme(&at)?.hash;
    let key = store::key(&cx, at.name("name")?).await?;
    let version = key.writes_with(sent.key_version)?;
    let asks = Items::of(sent.one, sent.batch_input)
        .try_map(|item| without_context(Ask::of(item, version, None)?))?;
    let ready = Ready::of(&cx, &key, BTreeSet::from([version])).await?;
    let work = move |ask: Ask| {
        let tag = ready.material(version)?.mac(hash, &ask.input)?;
        Ok(Tagged { hmac: rules::mark(version, &tag), key_version: version, reference: ask.reference })
    };
    Ok(ShownOnce(Answer::new(&cx, asks.work(work).await?)))
}

fn without_context(ask: Ask) -> Result<Ask, Fault> {
    match ask.context.is_empty() {
        true => Ok(ask),
        false => Err(Fault::wrong("an HMAC is of the whole key: leave out context")),
    }
}

/// What an item claims, and of which version.
fn claimed(key: &Key, scheme: &Scheme, item: Item) -> Result<Ask, Fault> {
    let unmark = if is_jws(key, scheme) { rules::unmark_jws } else { rules::unmark };
    let (version, claim) = match (item.signature.as_deref(), item.hmac.as_deref()) {
        (Some(text), None) => {
            must_sign(key)?;
            let (version, bytes) = unmark("signature", text)?;
            (version, Claim::Signature(bytes))
        }
        (None, Some(text)) => {
            let (version, bytes) = rules::unmark("hmac", text)?;
            (version, Claim::Tag(bytes))
        }
        _ => return Err(Fault::wrong("send signature or hmac")),
    };
    let is_tag = matches!(claim, Claim::Tag(_));
    let ask = Ask::of(item, key.reads_with(version)?, Some(claim))?;
    if is_tag { without_context(ask) } else { Ok(ask) }
}

async fn verify(
    cx: Ctx,
    at: At,
    Sent(sent): Sent<Signing>,
) -> Result<ShownOnce<Answer<Items<Verified>>>, Problem> {
    let scheme = sent.scheme(&at)?;
    let key = store::key(&cx, at.name("name")?).await?;
    let asks = Items::of(sent.one, sent.batch_input).try_map(|item| claimed(&key, &scheme, item))?;
    let versions = asks.iter().map(|ask| ask.version).collect();
    let ready = Ready::of(&cx, &key, versions).await?;
    let work = move |ask: Ask| {
        let valid = match &ask.claim {
            Some(Claim::Signature(signature)) => {
                ready.with(ask.version, &ask.context, |key| key.verify(&scheme, &ask.input, signature))?
            }
            Some(Claim::Tag(tag)) => ready.material(ask.version)?.is_mac(scheme.hash, &ask.input, tag)?,
            None => false,
        };
        Ok(Verified { valid, reference: ask.reference })
    };
    Ok(ShownOnce(Answer::new(&cx, asks.work(work).await?)))
}
