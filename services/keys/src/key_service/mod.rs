//! key-service: encryption as a service, in the shape of Vault's transit engine, and keys that media is encrypted with.
//!
//! ```text
//! somebody's key ─► versions: each encrypts or signs, the latest by default ─► vault:vN:…, which tells which one it was
//!                └► rotated, and what was encrypted before still opens, until its version may decrypt no more
//! asset, period  ─► 16 bytes, made when they are first asked for, the same ever after, until the asset is shredded
//! ```
//!
//! Keys are in the store under the secret of the ring, each bound to its name and version, and beneath that under a root which
//! pv-keys unwraps.
//!
//! Never: key bytes out, unless the key was made exportable; a version below the least one used; a nonce that was chosen by who
//! asks; a key that is gone and comes back.

/// Routes that write, by both methods that Vault's clients take for that.
macro_rules! writes {
    ($api:expr, $($path:literal => $handler:path),* $(,)?) => {
        $api$(.post($path, $handler).put($path, $handler))*
    };
}

mod crypt;
mod keys;
mod media;
mod plain;
mod root;
mod rules;
mod sign;
mod store;
mod wire;

use nx_chassis::{Api, Service};

/// A key is there. Subject of this and the next: `transit/NAME`.
const KEY_CREATED: &str = "cos.keys.key.created.v1";
/// It has a further version, which encrypts and signs from now on.
const KEY_ROTATED: &str = "cos.keys.key.rotated.v1";
/// What may be done with it is another.
const KEY_CHANGED: &str = "cos.keys.key.changed.v1";
/// Somebody has had its bytes.
const KEY_EXPORTED: &str = "cos.keys.key.exported.v1";
/// It is gone, and all that was encrypted with it; or all keys of an asset are, then the subject is `media/ASSET`.
const KEY_DESTROYED: &str = "cos.keys.key.destroyed.v1";

pub(crate) fn service() -> Service {
    let service = Service::new("key-service")
        .migration(include_str!("0001_init.sql"))
        .job(root::OPEN, root::open)
        .every("* * * * *", root::OPEN)
        .api(media::routes(plain::routes(sign::routes(crypt::routes(keys::routes(Api::new()))))));
    [KEY_CREATED, KEY_ROTATED, KEY_CHANGED, KEY_EXPORTED, KEY_DESTROYED]
        .into_iter()
        .fold(service, Service::emits)
}
