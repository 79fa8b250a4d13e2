//! Keys: made, read, listed, changed, rotated, exported, trimmed, deleted.

use std::collections::BTreeMap;

use garde::Validate;
use http::StatusCode;
use nx_chassis::{Api, Caller, Ctx, Problem, ShownOnce, Time, Tx};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::root::root;
use super::rules::{Change, Key};
use super::store::{KEYS_MAX, VERSIONS_MAX};
use super::wire::{Answer, At, Sent, loose};
use super::{KEY_CHANGED, KEY_CREATED, KEY_DESTROYED, KEY_EXPORTED, KEY_ROTATED, store};
use crate::crypto::{Fault, Kind, Material, public_text};

pub(super) fn routes(api: Api) -> Api {
    let api = api
        .get("/transit/keys", list)
        .get("/transit/keys/{name}", read)
        .delete("/transit/keys/{name}", delete)
        .get("/transit/export/{what}/{name}", export)
        .get("/transit/export/{what}/{name}/{version}", export);
    writes!(api,
        "/transit/keys/{name}" => create,
        "/transit/keys/{name}/config" => configure,
        "/transit/keys/{name}/rotate" => rotate,
        "/transit/keys/{name}/trim" => trim,
    )
}

#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct NewKey {
    /// By default `aes256-gcm96`.
    #[serde(default, rename = "type")]
    #[garde(length(max = 40))]
    kind: Option<String>,
    /// Whether every context has a key of its own.
    #[serde(default, deserialize_with = "loose")]
    derived: Option<bool>,
    /// Whether its bytes may be had; for ever.
    #[serde(default, deserialize_with = "loose")]
    exportable: Option<bool>,
    #[serde(flatten)]
    refused: Refused,
}

/// What is asked for and not built, or never will be.
#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[garde(allow_unvalidated)]
struct Refused {
    #[serde(default, deserialize_with = "loose")]
    allow_plaintext_backup: Option<bool>,
    #[serde(default, deserialize_with = "loose")]
    convergent_encryption: Option<bool>,
    #[serde(default)]
    auto_rotate_period: Option<Value>,
}

impl Refused {
    fn check(&self) -> Result<(), Fault> {
        if self.allow_plaintext_backup == Some(true) {
            return Err(Fault::wrong(
                "no key of ours can be backed up in plaintext: make it exportable instead",
            ));
        }
        if self.convergent_encryption == Some(true) {
            return Err(Fault::NotBuilt(
                "no key encrypts the same into the same: leave out convergent_encryption".into(),
            ));
        }
        let never = |period: &Value| {
            matches!(period.to_string().as_str(), "0" | "\"0\"" | "\"0s\"" | "\"0h\"" | "\"\"")
        };
        match &self.auto_rotate_period {
            Some(period) if !never(period) => {
                Err(Fault::NotBuilt("no key rotates by itself: have the scheduler ask for it".into()))
            }
            _ => Ok(()),
        }
    }
}

#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct Config {
    #[serde(default, deserialize_with = "loose")]
    min_decryption_version: Option<i64>,
    /// 0 is the latest.
    #[serde(default, deserialize_with = "loose")]
    min_encryption_version: Option<i64>,
    #[serde(default, deserialize_with = "loose")]
    deletion_allowed: Option<bool>,
    /// Cannot be taken back.
    #[serde(default, deserialize_with = "loose")]
    exportable: Option<bool>,
    #[serde(flatten)]
    refused: Refused,
}

#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct Trim {
    #[serde(default, deserialize_with = "loose")]
    min_available_version: Option<i64>,
}

/// A version as everybody may know it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
enum Seen {
    /// Unix time, seconds.
    Secret(i64),
    Public {
        name: &'static str,
        public_key: String,
        creation_time: Time,
    },
}

/// A key as everybody may know it.
#[derive(Debug, Serialize, JsonSchema)]
struct About {
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    keys: BTreeMap<String, Seen>,
    latest_version: i64,
    min_available_version: i64,
    min_decryption_version: i64,
    min_encryption_version: i64,
    deletion_allowed: bool,
    derived: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    kdf: Option<&'static str>,
    exportable: bool,
    allow_plaintext_backup: bool,
    auto_rotate_period: i64,
    imported_key: bool,
    supports_encryption: bool,
    supports_decryption: bool,
    supports_derivation: bool,
    supports_signing: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Names {
    keys: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
struct Exported {
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    keys: BTreeMap<String, String>,
}

async fn about(tx: &mut Tx, key: Key) -> Result<About, Problem> {
    let Key { name, kind, derived, exportable, deletable, .. } = key.clone();
    let versions = store::versions(tx, &key).await?;
    let seen = |version: store::Version| {
        let seen = match version.public.is_empty() {
            true => Seen::Secret(version.at_ms.div_euclid(1000)),
            false => Seen::Public {
                name: kind.name(),
                // A derived key has as many as there are contexts.
                public_key: if derived { String::new() } else { public_text(kind, &version.public) },
                creation_time: Time(version.at_ms),
            },
        };
        (version.version.to_string(), seen)
    };
    Ok(About {
        name,
        kind: kind.name(),
        keys: versions.into_iter().map(seen).collect(),
        latest_version: key.latest,
        min_available_version: key.min_available,
        min_decryption_version: key.min_decryption,
        min_encryption_version: key.min_encryption,
        deletion_allowed: deletable,
        derived,
        kdf: derived.then_some("hkdf_sha256"),
        exportable,
        allow_plaintext_backup: false,
        auto_rotate_period: 0,
        imported_key: false,
        supports_encryption: kind.encrypts(),
        supports_decryption: kind.encrypts(),
        supports_derivation: kind.derives(),
        supports_signing: kind.signs(),
    })
}

/// One is made at a time: what encrypts and signs meanwhile needs threads too.
static TURN: Semaphore = Semaphore::const_new(1);

/// A new key, made beside the threads that answer requests: RSA takes a while.
async fn generate(kind: Kind) -> Result<Material, Problem> {
    let _turn = TURN.acquire().await.map_err(Problem::internal)?;
    let made = tokio::task::spawn_blocking(move || Material::generate(kind)).await;
    Ok(made.map_err(Problem::internal)??)
}

async fn tell(tx: &mut Tx, fact: &'static str, key: &Key, by: &Caller) -> Result<(), Problem> {
    let Key { name, kind, latest, min_available, min_decryption, min_encryption, .. } = key;
    let Key { derived, exportable, deletable, .. } = key;
    let data = json!({
        "name": name, "type": kind.name(), "latest_version": latest, "min_available_version": min_available,
        "min_decryption_version": min_decryption, "min_encryption_version": min_encryption, "derived": derived,
        "exportable": exportable, "deletion_allowed": deletable, "by": by.subject,
    });
    tx.emit(fact, &format!("transit/{name}"), &data).await
}

async fn list(cx: Ctx, _: At) -> Result<Answer<Names>, Problem> {
    let keys = store::names(&cx).await?;
    Ok(Answer::new(&cx, Names { keys }))
}

async fn read(cx: Ctx, mut tx: Tx, at: At) -> Result<Answer<About>, Problem> {
    let key = store::key_in(&mut tx, at.name("name")?).await?.ok_or_else(store::no_key)?;
    Ok(Answer::new(&cx, about(&mut tx, key).await?))
}

/// Makes a key. One that is there already and is such a key stays as it is, and that is said.
async fn create(cx: Ctx, mut tx: Tx, at: At, Sent(new): Sent<NewKey>) -> Result<Answer<About>, Problem> {
    new.refused.check()?;
    let kind = new.kind.as_deref().map_or(Ok(Kind::Aes256), Kind::parse)?;
    let derived = new.derived.unwrap_or_default();
    if derived && !kind.derives() {
        return Err(Fault::wrong(format!("no key of type {} can be derived", kind.name())).into());
    }
    let key = Key {
        id: cx.new_id(),
        name: at.name("name")?.to_owned(),
        kind,
        derived,
        exportable: new.exportable.unwrap_or_default(),
        deletable: false,
        latest: 1,
        min_available: 1,
        min_decryption: 1,
        min_encryption: 0,
    };
    let material = match store::key(&cx, &key.name).await {
        Ok(there) => return existing(&cx, tx, &key, there).await,
        Err(_) => generate(kind).await?,
    };
    let root = root(&cx).await?;
    if store::add(&mut tx, &key).await? {
        store::keep(&cx, &root, &mut tx, &key, 1, &material).await?;
        tell(&mut tx, KEY_CREATED, &key, &at.by).await?;
        return Ok(Answer::new(&cx, about(&mut tx, key).await?));
    }
    let Some(there) = store::key_in(&mut tx, &key.name).await? else {
        let text = format!("there are {KEYS_MAX} keys: delete those that nothing uses");
        return Err(Problem::conflict("keys-max", text));
    };
    existing(&cx, tx, &key, there).await
}

/// What is said of one that is there already.
async fn existing(cx: &Ctx, mut tx: Tx, wanted: &Key, there: Key) -> Result<Answer<About>, Problem> {
    let same = (there.kind, there.derived) == (wanted.kind, wanted.derived);
    if !same || (wanted.exportable && !there.exportable) {
        return Err(Problem::conflict("taken", "there is another key of that name: take another name"));
    }
    let text = format!("key {} already existed", wanted.name);
    Ok(Answer::new(cx, about(&mut tx, there).await?).warn(text))
}

async fn rotate(cx: Ctx, mut tx: Tx, at: At) -> Result<Answer<About>, Problem> {
    let key = store::key(&cx, at.name("name")?).await?;
    let (root, material) = (root(&cx).await?, generate(key.kind).await?);
    let Some(now) = store::advance(&mut tx, &key).await? else {
        // Perhaps it has gone meanwhile.
        store::key_in(&mut tx, &key.name)
            .await?
            .filter(|there| there.id == key.id)
            .ok_or_else(store::no_key)?;
        let text = format!("the key has {VERSIONS_MAX} versions: trim those that are used no more");
        return Err(Problem::conflict("versions-max", text));
    };
    store::keep(&cx, &root, &mut tx, &now, now.latest, &material).await?;
    tell(&mut tx, KEY_ROTATED, &now, &at.by).await?;
    Ok(Answer::new(&cx, about(&mut tx, now).await?))
}

async fn configure(
    cx: Ctx,
    mut tx: Tx,
    at: At,
    Sent(config): Sent<Config>,
) -> Result<Answer<About>, Problem> {
    config.refused.check()?;
    let change = Change {
        // As for Vault, none is the first.
        min_decryption: config.min_decryption_version.map(|version| if version == 0 { 1 } else { version }),
        min_encryption: config.min_encryption_version,
        deletable: config.deletion_allowed,
        exportable: config.exportable,
    };
    let name = at.name("name")?;
    let Some(key) = store::change(&mut tx, name, &change).await? else {
        let key = store::key_in(&mut tx, name).await?.ok_or_else(store::no_key)?;
        return Err(key.refusal(&change).into());
    };
    tell(&mut tx, KEY_CHANGED, &key, &at.by).await?;
    Ok(Answer::new(&cx, about(&mut tx, key).await?))
}

/// Deletes versions that are used no more, for good.
async fn trim(cx: Ctx, mut tx: Tx, at: At, Sent(trim): Sent<Trim>) -> Result<Answer<About>, Problem> {
    let name = at.name("name")?;
    let wanted = trim.min_available_version.unwrap_or_default();
    let Some(key) = store::trim(&mut tx, name, wanted).await? else {
        let key = store::key_in(&mut tx, name).await?.ok_or_else(store::no_key)?;
        let (from, to) = (key.min_available, key.min_decryption);
        return Err(
            Fault::wrong(format!("min_available_version is {from} to min_decryption_version, {to}")).into()
        );
    };
    tell(&mut tx, KEY_CHANGED, &key, &at.by).await?;
    Ok(Answer::new(&cx, about(&mut tx, key).await?))
}

/// Deletes a key, and with it whatever was encrypted with it.
async fn delete(mut tx: Tx, at: At) -> Result<StatusCode, Problem> {
    let name = at.name("name")?;
    let Some(key) = store::delete(&mut tx, name).await? else {
        store::key_in(&mut tx, name).await?.ok_or_else(store::no_key)?;
        let text = "deletion is not allowed for this key: set deletion_allowed at its config first";
        return Err(Problem::conflict("deletion-not-allowed", text));
    };
    tell(&mut tx, KEY_DESTROYED, &key, &at.by).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The bytes of a key that was made for that.
async fn export(cx: Ctx, mut tx: Tx, at: At) -> Result<ShownOnce<Answer<Exported>>, Problem> {
    let key = store::key_in(&mut tx, at.name("name")?).await?.ok_or_else(store::no_key)?;
    let Key { name, kind, exportable, .. } = key.clone();
    let (fits, mac) = match at.text("what").unwrap_or_default() {
        "encryption-key" => (kind.encrypts(), false),
        "signing-key" => (kind.signs(), false),
        "hmac-key" => (true, true),
        _ => return Err(Fault::NotBuilt("export encryption-key, signing-key or hmac-key".into()).into()),
    };
    if !exportable {
        return Err(Problem::forbidden("the key is not exportable"));
    }
    if !fits {
        return Err(Fault::wrong(format!("a key of type {} has no such key", kind.name())).into());
    }
    let only = match at.text("version") {
        Some("latest") => Some(key.latest),
        _ => at.number("version")?.map(|version| key.reads_with(version)).transpose()?,
    };
    let root = root(&cx).await?;
    let materials = store::all_materials(&cx, &root, &mut tx, &key, only).await?;
    let text = |material: &Material| if mac { material.export_mac() } else { material.export() };
    let keys = materials.iter().map(|(version, material)| (version.to_string(), text(material).to_string()));
    let keys = keys.collect();
    tell(&mut tx, KEY_EXPORTED, &key, &at.by).await?;
    Ok(ShownOnce(Answer::new(&cx, Exported { name, kind: kind.name(), keys })))
}
