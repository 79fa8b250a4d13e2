//! A new passkey of somebody who is signed in and has shown the password once more.

use std::sync::Arc;

use garde::Validate;
use nx_chassis::{Api, Body, Caller, Created, Ctx, Json, Problem, ShownOnce, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use webauthn_rs::prelude::{RegisterPublicKeyCredential, Uuid};

use super::{CEREMONY_MS, METHOD, Party, Passkey, named, store, within};
use crate::auth_service::api::{confirm, in_session};
use crate::auth_service::factors::Confirm;
use crate::auth_service::store::is_still;
use crate::{FACTOR_ADDED, gone};

/// Passkeys that one person has at most.
const PASSKEYS_MAX: usize = 20;

pub(super) fn routes(api: Api, party: &Arc<Party>) -> Api {
    let (one, two) = (party.clone(), party.clone());
    let begin = move |by: Caller, cx: Ctx, body: Body<Confirm>| begin(by, cx, body, one.clone());
    let finish = move |by: Caller, cx: Ctx, body: Body<NewPasskey>| finish(by, cx, body, two.clone());
    api.post("/webauthn/register/begin", begin).post("/webauthn/register/finish", finish)
}

#[derive(Serialize, JsonSchema)]
struct Begun {
    /// For `PublicKeyCredential.parseCreationOptionsFromJSON` of a browser.
    options: Value,
    expires_at: Time,
}

async fn begin(
    by: Caller,
    cx: Ctx,
    Body(given): Body<Confirm>,
    party: Arc<Party>,
) -> Result<ShownOnce<Json<Begun>>, Problem> {
    let session = in_session(&by)?;
    let kept = confirm(&cx, &by, "/password", given.password).await?;
    let known = store::credential_ids(&cx, &by.subject).await?;
    if known.len() >= PASSKEYS_MAX {
        return Err(too_many());
    }
    let person = Uuid::parse_str(&by.subject).map_err(Problem::internal)?;
    let begun = party.webauthn.start_passkey_registration(person, &kept.handle, &kept.handle, Some(known));
    let (mut options, state) = begun.map_err(Problem::internal)?;
    // The device is to keep whose it is, so that nobody is asked for a name when they sign in. Without a `residentKey` beside
    // it, browsers of every age go by this (§5.4.4).
    if let Some(selection) = &mut options.public_key.authenticator_selection {
        (selection.resident_key, selection.require_resident_key) = (None, true);
    }
    let options = serde_json::to_value(options.public_key).map_err(Problem::internal)?;
    let ends_ms = cx.now_ms() + CEREMONY_MS;
    let mut tx = cx.begin();
    store::begin_registration(&mut tx, (&by.subject, session), &kept.password, &state, ends_ms).await?;
    tx.commit().await?;
    Ok(ShownOnce(Json(Begun { options, expires_at: Time(ends_ms) })))
}

#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewPasskey {
    /// Where it is kept, as its owner says it.
    #[garde(length(chars, max = 100))]
    name: String,
    /// What `toJSON` of the browser's credential says.
    #[garde(custom(answer))]
    #[schemars(with = "Value")]
    credential: RegisterPublicKeyCredential,
}

fn answer(given: &RegisterPublicKeyCredential, _: &()) -> garde::Result {
    within(&given.raw_id, &[&given.response.attestation_object, &given.response.client_data_json])
}

async fn finish(
    by: Caller,
    cx: Ctx,
    Body(given): Body<NewPasskey>,
    party: Arc<Party>,
) -> Result<Created<Passkey>, Problem> {
    let session = in_session(&by)?;
    let name = named(&given.name)?;
    let over = || gone("the time for it is over, or it was used already: begin again");
    let begun = store::take_registration(&cx, (&by.subject, session)).await?.ok_or_else(over)?;
    let made = party.webauthn.finish_passkey_registration(&given.credential, &begun.state);
    let made = made.map_err(|error| Problem::invalid("/credential", party.refusal(&error).detail))?;
    let mut tx = cx.begin();
    // From here on nobody else changes what this person signs in with, and there is such a person.
    if !is_still(&mut tx, &by.subject, &begun.password).await? {
        return Err(gone("your password has changed meanwhile: begin again"));
    }
    if store::count(&mut tx, &by.subject).await? >= PASSKEYS_MAX {
        return Err(too_many());
    }
    let id = cx.new_id();
    let passkey = store::add(&mut tx, &id, &by.subject, name, made).await?;
    tx.emit(FACTOR_ADDED, &by.subject, &json!({"factor": METHOD})).await?;
    tx.commit().await?;
    Ok(Created { location: id, body: passkey })
}

fn too_many() -> Problem {
    let text = format!("{PASSKEYS_MAX} are all that one account has: remove one that you do not use");
    Problem::conflict("passkeys-max", text)
}
