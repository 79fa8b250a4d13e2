//! Encryption and decryption, and data keys for those who encrypt themselves.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use garde::Validate;
use nx_chassis::{Api, Ctx, Problem, ShownOnce};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::rules::{self, Key};
use super::store;
use super::wire::{Answer, At, BATCH_MAX, Items, Sent, bytes, loose, needed};
use crate::crypto::{Fault, Material};

pub(super) fn routes(api: Api) -> Api {
    writes!(api,
        "/transit/encrypt/{name}" => encrypt,
        "/transit/decrypt/{name}" => decrypt,
        "/transit/rewrap/{name}" => rewrap,
        "/transit/datakey/{how}/{name}" => data_key,
    )
}

/// A key with the versions that a request needs.
pub(super) struct Ready {
    derived: bool,
    versions: BTreeMap<i64, Material>,
}

impl Ready {
    pub(super) async fn of(cx: &Ctx, key: &Key, versions: BTreeSet<i64>) -> Result<Self, Problem> {
        Ok(Self { derived: key.derived, versions: store::materials(cx, key, versions).await? })
    }

    /// A version, whatever the context.
    ///
    /// # Errors
    /// When it is not among them.
    pub(super) fn material(&self, version: i64) -> Result<&Material, Fault> {
        self.versions.get(&version).ok_or(Fault::Failed("finding a version"))
    }

    /// Works with a version, in the context that was given.
    ///
    /// # Errors
    /// When the key is derived and there is no context, or the other way about.
    pub(super) fn with<T>(
        &self,
        version: i64,
        context: &[u8],
        work: impl FnOnce(&Material) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let material = self.material(version)?;
        match (self.derived, context.is_empty()) {
            (false, true) => work(material),
            (true, false) => work(&material.derived(context)?),
            (true, true) => Err(Fault::wrong("the key is derived: send context as base64")),
            (false, false) => Err(Fault::wrong("the key is not derived: leave out context")),
        }
    }
}

/// One thing to encrypt, decrypt or encrypt anew.
#[derive(Debug, Default, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct Item {
    /// Base64.
    #[serde(default)]
    plaintext: Option<String>,
    /// `vault:vN:…`.
    #[serde(default)]
    ciphertext: Option<String>,
    /// Base64: which of the keys of a derived key it is.
    #[serde(default)]
    context: Option<String>,
    /// Base64: not encrypted, and to be shown again to decrypt.
    #[serde(default)]
    associated_data: Option<String>,
    /// By default the latest.
    #[serde(default, deserialize_with = "loose")]
    key_version: Option<i64>,
    /// Comes back with the answer.
    #[serde(default)]
    #[garde(length(max = 200))]
    reference: Option<String>,
}

#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct Crypt {
    #[serde(flatten)]
    #[garde(dive)]
    one: Item,
    /// Takes the place of all the others.
    #[serde(default)]
    #[garde(length(max = BATCH_MAX), dive)]
    batch_input: Option<Vec<Item>>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Encrypted {
    ciphertext: String,
    key_version: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Decrypted {
    plaintext: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
}

/// An item, decoded.
struct Ask {
    body: Zeroizing<Vec<u8>>,
    context: Vec<u8>,
    aad: Vec<u8>,
    /// The version that decrypts.
    from: i64,
    /// The version that encrypts.
    to: i64,
    reference: Option<String>,
}

impl Ask {
    fn of(item: Item, body: Vec<u8>, from: i64, to: i64) -> Result<Self, Fault> {
        let context = bytes("context", item.context.as_ref())?;
        let aad = bytes("associated_data", item.associated_data.as_ref())?;
        Ok(Self { body: Zeroizing::new(body), context, aad, from, to, reference: item.reference })
    }

    fn encrypt(self, ready: &Ready, plain: &[u8]) -> Result<Encrypted, Fault> {
        let sealed = ready.with(self.to, &self.context, |key| key.encrypt(plain, &self.aad))?;
        let ciphertext = rules::mark(self.to, &sealed);
        Ok(Encrypted { ciphertext, key_version: self.to, reference: self.reference })
    }

    fn decrypt(&self, ready: &Ready) -> Result<Zeroizing<Vec<u8>>, Fault> {
        ready.with(self.from, &self.context, |key| key.decrypt(&self.body, &self.aad))
    }
}

/// The key and what is asked of it, each with the versions that it takes.
async fn prepared(
    cx: &Ctx,
    at: &At,
    sent: Crypt,
    read: impl Fn(&Key, Item) -> Result<Ask, Fault>,
) -> Result<(Ready, Items<Ask>), Problem> {
    let key = store::key(cx, at.name("name")?).await?;
    if !key.kind.encrypts() {
        return Err(Fault::wrong(format!("a key of type {} does not encrypt", key.kind.name())).into());
    }
    let asks = Items::of(sent.one, sent.batch_input).try_map(|item| read(&key, item))?;
    let versions = asks.iter().flat_map(|ask| [ask.from, ask.to]).collect();
    Ok((Ready::of(cx, &key, versions).await?, asks))
}

fn to_encrypt(key: &Key, item: Item) -> Result<Ask, Fault> {
    let to = key.writes_with(item.key_version)?;
    let plain = needed("plaintext", item.plaintext.as_ref())?;
    Ask::of(item, plain, to, to)
}

fn to_decrypt(key: &Key, item: Item) -> Result<Ask, Fault> {
    let (from, sealed) = ciphertext(key, &item)?;
    Ask::of(item, sealed, from, from)
}

fn to_rewrap(key: &Key, item: Item) -> Result<Ask, Fault> {
    let (from, sealed) = ciphertext(key, &item)?;
    let to = key.writes_with(item.key_version)?;
    Ask::of(item, sealed, from, to)
}

fn ciphertext(key: &Key, item: &Item) -> Result<(i64, Vec<u8>), Fault> {
    let told = || Fault::wrong("send ciphertext, or batch_input");
    let (version, sealed) = rules::unmark("ciphertext", item.ciphertext.as_deref().ok_or_else(told)?)?;
    Ok((key.reads_with(version)?, sealed))
}

async fn encrypt(
    cx: Ctx,
    at: At,
    Sent(sent): Sent<Crypt>,
) -> Result<ShownOnce<Answer<Items<Encrypted>>>, Problem> {
    let (ready, asks) = prepared(&cx, &at, sent, to_encrypt).await?;
    let work = move |mut ask: Ask| {
        let plain = std::mem::take(&mut ask.body);
        ask.encrypt(&ready, &plain)
    };
    Ok(ShownOnce(Answer::new(&cx, asks.work(work).await?)))
}

async fn decrypt(
    cx: Ctx,
    at: At,
    Sent(sent): Sent<Crypt>,
) -> Result<ShownOnce<Answer<Items<Decrypted>>>, Problem> {
    let (ready, asks) = prepared(&cx, &at, sent, to_decrypt).await?;
    let work = move |ask: Ask| {
        let plaintext = BASE64.encode(ask.decrypt(&ready)?);
        Ok(Decrypted { plaintext, reference: ask.reference })
    };
    Ok(ShownOnce(Answer::new(&cx, asks.work(work).await?)))
}

/// Encrypts anew under the latest version, and nobody sees what.
async fn rewrap(
    cx: Ctx,
    at: At,
    Sent(sent): Sent<Crypt>,
) -> Result<ShownOnce<Answer<Items<Encrypted>>>, Problem> {
    let (ready, asks) = prepared(&cx, &at, sent, to_rewrap).await?;
    let work = move |ask: Ask| {
        let plain = ask.decrypt(&ready)?;
        ask.encrypt(&ready, &plain)
    };
    Ok(ShownOnce(Answer::new(&cx, asks.work(work).await?)))
}

#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct NewDataKey {
    /// 128, 256 or 512; by default 256.
    #[serde(default, deserialize_with = "loose")]
    bits: Option<i64>,
    /// As for encryption.
    #[serde(default)]
    context: Option<String>,
    /// As for encryption.
    #[serde(default)]
    associated_data: Option<String>,
}

/// A data key under a key.
#[derive(Serialize, JsonSchema)]
struct DataKey {
    /// What `decrypt` makes the data key of.
    ciphertext: String,
    key_version: i64,
    /// The data key in base64, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    plaintext: Option<String>,
}

async fn data_key(
    cx: Ctx,
    at: At,
    Sent(new): Sent<NewDataKey>,
) -> Result<ShownOnce<Answer<DataKey>>, Problem> {
    let shown = match at.text("how").unwrap_or_default() {
        "plaintext" => true,
        "wrapped" => false,
        _ => return Err(Fault::wrong("ask for datakey/plaintext or datakey/wrapped").into()),
    };
    let length = match new.bits.unwrap_or(256) {
        128 => 16,
        256 => 32,
        512 => 64,
        _ => return Err(Fault::wrong("bits is 128, 256 or 512").into()),
    };
    let mut fresh = Zeroizing::new(vec![0; length]);
    aws_lc_rs::rand::fill(&mut fresh).map_err(|_| Fault::Failed("randomness"))?;
    let text = BASE64.encode(&fresh);
    let NewDataKey { context, associated_data, .. } = new;
    let item = Item { plaintext: Some(text.clone()), context, associated_data, ..Item::default() };
    let (ready, asks) = prepared(&cx, &at, Crypt { one: item, batch_input: None }, to_encrypt).await?;
    let work = move |ask: Ask| {
        let Encrypted { ciphertext, key_version, .. } = ask.encrypt(&ready, &fresh)?;
        Ok(DataKey { ciphertext, key_version, plaintext: shown.then(|| text.clone()) })
    };
    match asks.work(work).await? {
        Items::One(made) => Ok(ShownOnce(Answer::new(&cx, made))),
        Items::Many { .. } => Err(Problem::internal("one data key became many")),
    }
}
