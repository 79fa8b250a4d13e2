//! What is done with keys: signatures, certificate requests, secrets wrapped and unwrapped. Every use is written down: what was
//! done leaves only with the line that says so.

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use garde::Validate;
use nx_chassis::{Api, Body, Ctx, Json, Path, Problem, ShownOnce, Tx};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::private::waiting;
use super::x509::{self, Subject};
use super::{Operator, audit, store};
use crate::crypto::Form;

/// Longest secret that is wrapped, bytes: keys, not files.
const SECRET_BYTES_MAX: usize = 4096;
/// What is in front of a wrapped secret, so that it is known again.
const WRAPPED: &str = "pv1:";

pub(super) fn routes(api: Api) -> Api {
    api.post("/keys/{name}/sign", sign)
        .post("/keys/{name}/csr", request)
        .post("/wrap", wrap)
        .post("/unwrap", unwrap)
}

fn bytes(pointer: &str, text: &str) -> Result<Zeroizing<Vec<u8>>, Problem> {
    BASE64.decode(text).map(Zeroizing::new).map_err(|_| Problem::invalid(pointer, "is no base64"))
}

#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ToSign {
    /// Base64.
    #[garde(length(max = 900_000))]
    input: String,
    /// Whether the input is the hash of the curve already: SHA-256 of P-256, SHA-384 of P-384.
    #[serde(default)]
    #[garde(skip)]
    prehashed: bool,
    /// `asn1`, or `jws` for both numbers of ECDSA behind each other.
    #[serde(default)]
    #[garde(skip)]
    marshaling: Marshaling,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Marshaling {
    #[default]
    Asn1,
    Jws,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Signed {
    /// Base64.
    signature: String,
}

async fn sign(
    Operator(by): Operator,
    cx: Ctx,
    mut tx: Tx,
    Path(name): Path<String>,
    Body(given): Body<ToSign>,
) -> Result<Json<Signed>, Problem> {
    let input = bytes("/input", &given.input)?;
    let key = store::key(&cx, &name).await?;
    if key.root {
        let text = "certificates rest on this key, and its authority alone signs with it";
        return Err(Problem::forbidden(text));
    }
    let private = key.private(&cx, &by)?;
    let form = if matches!(given.marshaling, Marshaling::Jws) { Form::Jws } else { Form::Asn1 };
    let digest = crate::crypto::Hash::Sha256.of(&input);
    let signature = waiting(move || private.signature(&input, given.prehashed, form)).await?;
    audit::note(&mut tx, &by, "signed", &name, &format!("SHA-256 {}", nx_chassis::hex(digest.as_ref())))
        .await?;
    Ok(Json(Signed { signature: BASE64.encode(signature) }))
}

#[derive(Debug, Serialize, JsonSchema)]
struct Requested {
    /// PEM.
    csr: String,
}

/// A request for a certificate, for authorities elsewhere.
async fn request(
    Operator(by): Operator,
    cx: Ctx,
    mut tx: Tx,
    Path(name): Path<String>,
    Body(subject): Body<Subject>,
) -> Result<Json<Requested>, Problem> {
    let private = store::key(&cx, &name).await?.private(&cx, &by)?;
    let asked = subject.common_name.clone();
    let csr = waiting(move || x509::request(&private, &subject)).await?;
    audit::note(&mut tx, &by, "requested a certificate", &name, &asked).await?;
    Ok(Json(Requested { csr }))
}

#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ToWrap {
    #[garde(length(max = 100))]
    key: String,
    /// Base64.
    #[garde(length(min = 1, max = 6000))]
    plaintext: String,
    /// What must be said again to unwrap it.
    #[serde(default)]
    #[garde(length(max = 1000))]
    context: String,
}

#[derive(Serialize, JsonSchema)]
struct Wrapped {
    wrapped: String,
}

/// What a wrapped secret is bound to: no key of the same name later, and no other context.
fn bound(key: &store::Key, context: &str) -> Vec<u8> {
    format!("{}\n{context}", key.id).into_bytes()
}

async fn wrap(
    Operator(by): Operator,
    cx: Ctx,
    mut tx: Tx,
    Body(given): Body<ToWrap>,
) -> Result<Json<Wrapped>, Problem> {
    let plain = bytes("/plaintext", &given.plaintext)?;
    if plain.len() > SECRET_BYTES_MAX {
        return Err(Problem::invalid(
            "/plaintext",
            format!("has more than {SECRET_BYTES_MAX} bytes: wrap a key"),
        ));
    }
    let key = store::key(&cx, &given.key).await?;
    let (private, aad) = (key.private(&cx, &by)?, bound(&key, &given.context));
    let sealed = waiting(move || private.seal(&plain, &aad)).await?;
    audit::note(&mut tx, &by, "wrapped", &key.name, &given.context).await?;
    Ok(Json(Wrapped { wrapped: format!("{WRAPPED}{}", BASE64.encode(sealed)) }))
}

#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ToUnwrap {
    #[garde(length(max = 100))]
    key: String,
    #[garde(length(max = 8000))]
    wrapped: String,
    #[serde(default)]
    #[garde(length(max = 1000))]
    context: String,
}

#[derive(Serialize, JsonSchema)]
struct Unwrapped {
    /// Base64.
    plaintext: String,
}

async fn unwrap(
    Operator(by): Operator,
    cx: Ctx,
    mut tx: Tx,
    Body(given): Body<ToUnwrap>,
) -> Result<ShownOnce<Json<Unwrapped>>, Problem> {
    let told = || Problem::invalid("/wrapped", "is nothing that was wrapped here");
    let sealed = bytes("/wrapped", given.wrapped.strip_prefix(WRAPPED).ok_or_else(told)?)?;
    let key = store::key(&cx, &given.key).await?;
    let (private, aad) = (key.private(&cx, &by)?, bound(&key, &given.context));
    let plain = waiting(move || private.open(&sealed, &aad)).await?;
    audit::note(&mut tx, &by, "unwrapped", &key.name, &given.context).await?;
    Ok(ShownOnce(Json(Unwrapped { plaintext: BASE64.encode(plain) })))
}
