//! The root: what all keys are encrypted with, beneath the seal of the store. It is kept wrapped, and pv-keys alone unwraps it, in
//! hardware where there is some: who has the store and the secret of the ring has no keys.
//!
//! Once opened it stays in memory, so that keys go on while pv-keys is away.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use nx_chassis::{Ctx, Job, Problem, args, row};
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::crypto::{Kind, Material};

/// Who unwraps it.
const KEEPER: &str = "pv-keys";
/// What the wrapped one is bound to.
const CONTEXT: &str = "root of key-service";
/// The job that opens it before it is needed.
pub(super) const OPEN: &str = "open-root";

/// Roots that are open, by id: of each ring in this process.
static OPENED: Mutex<BTreeMap<String, Root>> = Mutex::new(BTreeMap::new());

struct Kept {
    id: String,
    key: String,
    wrapped: String,
}
row!(Kept { id, key, wrapped });

/// The root, open.
#[derive(Clone)]
pub(super) struct Root(Arc<Material>);

impl Root {
    /// What is kept of `plain` at `place`.
    pub(super) fn close(&self, cx: &Ctx, place: &str, plain: &[u8]) -> Result<Vec<u8>, Problem> {
        Ok(cx.vault().close(place, &self.0.encrypt(plain, place.as_bytes())?)?)
    }

    /// What was kept there.
    pub(super) fn open(&self, cx: &Ctx, place: &str, kept: &[u8]) -> Result<Zeroizing<Vec<u8>>, Problem> {
        self.0.decrypt(&cx.vault().open(place, kept)?, place.as_bytes()).map_err(Problem::internal)
    }
}

/// The root, opened if it is not, and made if there is none. It may wait for pv-keys: before a transaction, never within.
///
/// # Errors
/// 503 while pv-keys is away, or does not unwrap it.
pub(super) async fn root(cx: &Ctx) -> Result<Root, Problem> {
    let kept = match kept(cx).await? {
        Some(kept) => kept,
        None => made(cx).await?,
    };
    let opened = OPENED.lock().ok().and_then(|opened| opened.get(&kept.id).cloned());
    match opened {
        Some(root) => Ok(root),
        None => unwrapped(cx, kept).await,
    }
}

async fn kept(cx: &Ctx) -> Result<Option<Kept>, Problem> {
    Ok(cx.db().one("SELECT id, key, wrapped FROM root WHERE nth = 1", args![]).await?)
}

#[derive(Deserialize)]
struct Wrapped {
    wrapped: String,
}

#[derive(Deserialize)]
struct Unwrapped {
    plaintext: Zeroizing<String>,
}

/// What pv-keys says is for who looks after the system, not for who wants a key.
fn told(problem: Problem) -> Problem {
    tracing::warn!(%problem, "pv-keys does not give the root of key-service");
    Problem::unavailable("root", "the key that all keys rest on cannot be had: see that pv-keys is well", 5)
}

/// Makes a key with pv-keys, which it gives to nobody else, and a root that is wrapped with it. Of several that do at once, one
/// has made the root.
async fn made(cx: &Ctx) -> Result<Kept, Problem> {
    let id = cx.new_id();
    let key = format!("key-service.{id}");
    let new = json!({"name": key, "type": Kind::Aes256.name()});
    cx.call(KEEPER)?.post::<Value>("/v1/keys", &id, &new).await.map_err(told)?;
    let plain = Zeroizing::new(BASE64.encode(Material::generate(Kind::Aes256)?.secrets()));
    let asked = json!({"key": key, "plaintext": plain.as_str(), "context": CONTEXT});
    let Wrapped { wrapped } = cx.call(KEEPER)?.post("/v1/wrap", &cx.new_id(), &asked).await.map_err(told)?;
    let sql = "INSERT INTO root (nth, id, key, wrapped, at_ms) VALUES (1, $1, $2, $3, $4) ON CONFLICT (nth) DO NOTHING";
    cx.run(sql, args![id, key, wrapped, cx.now_ms()]).await?;
    kept(cx).await?.ok_or_else(|| Problem::internal("a root is not there"))
}

async fn unwrapped(cx: &Ctx, kept: Kept) -> Result<Root, Problem> {
    let asked = json!({"key": kept.key, "wrapped": kept.wrapped, "context": CONTEXT});
    let answer = cx.call(KEEPER)?.post("/v1/unwrap", &cx.new_id(), &asked).await;
    let Unwrapped { plaintext } = answer.map_err(told)?;
    let secrets = Zeroizing::new(BASE64.decode(plaintext.as_bytes()).map_err(Problem::internal)?);
    let root = Root(Arc::new(Material::restore(Kind::Aes256, &secrets, Vec::new())?));
    if let Ok(mut opened) = OPENED.lock() {
        opened.insert(kept.id, root.clone());
    }
    Ok(root)
}

/// Opens it as soon as there is somebody who can, so that it is here when they are not. The next minute tries again.
pub(super) async fn open(cx: Ctx, _: Job) -> Result<(), Problem> {
    if kept(&cx).await?.is_some() {
        // What went wrong is told there.
        let _ = root(&cx).await;
    }
    Ok(())
}
