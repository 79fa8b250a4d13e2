//! Keys that media is encrypted with: one for every period of an asset, for HLS with AES-128 and for Common Encryption.

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use http::StatusCode;
use nx_chassis::{Api, Ctx, Json, Problem, ShownOnce, Tx};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::root::{Root, root};
use super::wire::At;
use super::{KEY_DESTROYED, store};
use crate::crypto::Fault;

/// Bytes of a key.
const KEY_BYTES: usize = 16;
/// Periods of an asset that have keys.
const PERIODS_MAX: i64 = 100_000;

pub(super) fn routes(api: Api) -> Api {
    api.get("/media-keys/{asset}/{period}", get).delete("/media-keys/{asset}", shred)
}

#[derive(Serialize, JsonSchema)]
struct MediaKey {
    asset: String,
    period: i64,
    /// A UUID, as Common Encryption names keys.
    key_id: String,
    /// 16 bytes in base64.
    key: String,
}

/// The key of a period, made when it is first asked for.
async fn get(cx: Ctx, mut tx: Tx, at: At) -> Result<ShownOnce<Json<MediaKey>>, Problem> {
    let asset = at.name("asset")?;
    let period = at.number("period")?.unwrap_or_default();
    let root = root(&cx).await?;
    let media = match store::media(&cx, asset, period).await? {
        Some(media) => media,
        None => made(&cx, &root, &mut tx, asset, period).await?,
    };
    let key = BASE64.encode(media.open(&cx, &root, asset, period)?);
    Ok(ShownOnce(Json(MediaKey { asset: asset.into(), period, key_id: media.id, key })))
}

/// Makes it, unless somebody has meanwhile.
async fn made(cx: &Ctx, root: &Root, tx: &mut Tx, asset: &str, period: i64) -> Result<store::Media, Problem> {
    let held = store::hold_asset(tx, asset).await?;
    if held.shredded {
        return Err(Problem::new(StatusCode::GONE, "gone", "the keys of this asset were shredded"));
    }
    if let Some(media) = store::media_in(tx, asset, period).await? {
        return Ok(media);
    }
    if held.periods >= PERIODS_MAX {
        let text = format!("the asset has keys for {PERIODS_MAX} periods: begin another asset");
        return Err(Problem::conflict("periods-max", text));
    }
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    aws_lc_rs::rand::fill(key.as_mut()).map_err(|_| Fault::Failed("randomness"))?;
    store::add_media(cx, root, tx, asset, period, key.as_ref()).await
}

/// Deletes all keys of an asset for good; it has none any more.
async fn shred(mut tx: Tx, at: At) -> Result<StatusCode, Problem> {
    let asset = at.name("asset")?;
    let keys = store::shred(&mut tx, asset).await?;
    let data = json!({"asset": asset, "keys": keys, "by": at.by.subject});
    tx.emit(KEY_DESTROYED, &format!("media/{asset}"), &data).await?;
    Ok(StatusCode::NO_CONTENT)
}
