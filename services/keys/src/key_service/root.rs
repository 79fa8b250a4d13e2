//! The root: what all keys are encrypted with, beneath the seal of the store. It is kept wrapped, and pv-keys alone unwraps it, in
//! hardware where there is some: who has the store and the secret of the ring has no keys.
//!
//! Once opened it stays in memory, so that keys go on while pv-keys is away. A ring that has never had a pv-keys has no root; one
//! that has had one makes no keys without.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use http::StatusCode;
use nx_chassis::{Ctx, Job, Problem, Tx, args, row};
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::crypto::{Kind, Material};

/// Who unwraps it.
const KEEPER: &str = "pv-keys";
/// The key of theirs that it is wrapped with.
const KEY: &str = "key-service";
/// What that is bound to.
const CONTEXT: &str = "root of key-service";
/// The job that opens it before it is needed.
pub(super) const OPEN: &str = "open-root";

/// Those that are open, by id.
static OPENED: Mutex<BTreeMap<String, Arc<Material>>> = Mutex::new(BTreeMap::new());

struct Kept {
    id: String,
    wrapped: String,
}
row!(Kept { id, wrapped });

const NEWEST: &str = "SELECT id, wrapped FROM root ORDER BY id DESC LIMIT 1";

/// Under which root something is kept. Without one, the seal of the store is all.
pub(super) struct Root {
    /// Empty without one.
    pub(super) id: String,
    material: Option<Arc<Material>>,
}

impl Root {
    /// What is kept of `plain` at `place`.
    pub(super) fn close(&self, cx: &Ctx, place: &str, plain: &[u8]) -> Result<Vec<u8>, Problem> {
        Ok(match &self.material {
            Some(root) => cx.vault().close(place, &root.encrypt(plain, place.as_bytes())?)?,
            None => cx.vault().close(place, plain)?,
        })
    }

    /// What was kept there.
    pub(super) fn open(&self, cx: &Ctx, place: &str, kept: &[u8]) -> Result<Zeroizing<Vec<u8>>, Problem> {
        let inner = Zeroizing::new(cx.vault().open(place, kept)?);
        match &self.material {
            Some(root) => Ok(root.decrypt(&inner, place.as_bytes()).map_err(Problem::internal)?),
            None => Ok(inner),
        }
    }
}

fn opened(id: &str) -> Option<Arc<Material>> {
    OPENED.lock().ok()?.get(id).cloned()
}

/// The root of something that is kept.
///
/// # Errors
/// 503 while pv-keys is away and has not opened it here before.
pub(super) async fn of(cx: &Ctx, id: &str) -> Result<Root, Problem> {
    if id.is_empty() {
        return Ok(Root { id: String::new(), material: None });
    }
    let material = match opened(id) {
        Some(material) => material,
        None => {
            let sql = "SELECT id, wrapped FROM root WHERE id = $1";
            let kept: Option<Kept> = cx.db().one(sql, args![id]).await?;
            unwrapped(cx, kept.ok_or_else(|| Problem::internal("a root is not there"))?).await?
        }
    };
    Ok(Root { id: id.to_owned(), material: Some(material) })
}

/// The root of what is kept from now on, made when there is none.
///
/// # Errors
/// 503 while pv-keys is away.
pub(super) async fn newest(cx: &Ctx, tx: &mut Tx) -> Result<Root, Problem> {
    let kept = match tx.one::<Kept>(NEWEST, args![]).await? {
        Some(kept) => kept,
        None if !cx.knows(KEEPER) => return of(cx, "").await,
        None => made(cx, tx).await?,
    };
    let id = kept.id.clone();
    let material = match opened(&id) {
        Some(material) => material,
        None => unwrapped(cx, kept).await?,
    };
    Ok(Root { id, material: Some(material) })
}

#[derive(Deserialize)]
struct Wrapped {
    wrapped: String,
}

#[derive(Deserialize)]
struct Unwrapped {
    plaintext: Zeroizing<String>,
}

async fn made(cx: &Ctx, tx: &mut Tx) -> Result<Kept, Problem> {
    let key = json!({"name": KEY, "type": Kind::Aes256.name()});
    match cx.call(KEEPER)?.post::<Value>("/v1/keys", CONTEXT, &key).await {
        Err(problem) if problem.status != StatusCode::CONFLICT => return Err(problem),
        _ => {}
    }
    let plain = Zeroizing::new(BASE64.encode(Material::generate(Kind::Aes256)?.secrets()));
    let asked = json!({"key": KEY, "plaintext": plain.as_str(), "context": CONTEXT});
    let Wrapped { wrapped } = cx.call(KEEPER)?.post("/v1/wrap", &cx.new_id(), &asked).await?;
    let (id, now_ms) = (cx.new_id(), tx.now_ms());
    let sql = "INSERT INTO root (id, wrapped, at_ms) VALUES ($1, $2, $3)";
    tx.run(sql, args![&id, &wrapped, now_ms]).await?;
    Ok(Kept { id, wrapped })
}

async fn unwrapped(cx: &Ctx, kept: Kept) -> Result<Arc<Material>, Problem> {
    let asked = json!({"key": KEY, "wrapped": kept.wrapped, "context": CONTEXT});
    let Unwrapped { plaintext } = cx.call(KEEPER)?.post("/v1/unwrap", &cx.new_id(), &asked).await?;
    let secrets = Zeroizing::new(BASE64.decode(plaintext.as_bytes()).map_err(Problem::internal)?);
    let material = Arc::new(Material::restore(Kind::Aes256, &secrets, Vec::new())?);
    if let Ok(mut opened) = OPENED.lock() {
        opened.insert(kept.id, material.clone());
    }
    Ok(material)
}

/// Opens it as soon as there is somebody who can, so that it is here when they are not.
pub(super) async fn open(cx: Ctx, _: Job) -> Result<(), Problem> {
    match cx.db().one::<Kept>(NEWEST, args![]).await? {
        Some(kept) if opened(&kept.id).is_none() => unwrapped(&cx, kept).await.map(drop),
        _ => Ok(()),
    }
}
