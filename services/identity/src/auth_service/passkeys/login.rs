//! Signing in with a passkey: the device says whose it is, so nobody is asked for a name, and nothing tells who exists.

use std::sync::Arc;

use garde::Validate;
use http::HeaderMap;
use nx_chassis::{Api, Body, Ctx, Json, Problem, ShownOnce, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use webauthn_rs::prelude::{PublicKeyCredential, WebauthnError};

use super::{CEREMONY_MS, METHOD, Party, store, within};
use crate::answer::{InCookie, Tokens};
use crate::auth_service::api::{Basis, Place, Proof, sign_in};
use crate::auth_service::attempts::{self, Names};
use crate::auth_service::rules;
use crate::client::Client;
use crate::{PASSKEY_CLONED, gone, hash};

pub(super) fn routes(api: Api, party: &Arc<Party>) -> Api {
    let (one, two) = (party.clone(), party.clone());
    let begin = move |cx: Ctx, from: Client| begin(cx, from, one.clone());
    let finish = move |cx: Ctx, from: Client, headers: HeaderMap, body: Body<Shown>| {
        finish(cx, from, headers, body, two.clone())
    };
    api.post("/webauthn/login/begin", begin).post("/webauthn/login/finish", finish)
}

#[derive(Serialize, JsonSchema)]
struct Begun {
    /// For the end of it.
    ceremony: String,
    /// For `PublicKeyCredential.parseRequestOptionsFromJSON` of a browser.
    options: Value,
    expires_at: Time,
}

async fn begin(cx: Ctx, Client(from): Client, party: Arc<Party>) -> Result<ShownOnce<Json<Begun>>, Problem> {
    let (options, state) = party.webauthn.start_discoverable_authentication().map_err(Problem::internal)?;
    let options = serde_json::to_value(options.public_key).map_err(Problem::internal)?;
    let (ceremony, ends_ms) = (nx_chassis::fresh()?, cx.now_ms() + CEREMONY_MS);
    let mut tx = cx.begin();
    if !store::begin_login(&mut tx, hash(&ceremony), &rules::network(from), &state, ends_ms).await? {
        let text = "too many sign-ins are open from where you are: wait some minutes";
        let problem = Problem::new(http::StatusCode::TOO_MANY_REQUESTS, "too-many-tries", text);
        return Err(Problem { retry_after_s: Some(60), ..problem });
    }
    tx.commit().await?;
    Ok(ShownOnce(Json(Begun { ceremony, options, expires_at: Time(ends_ms) })))
}

/// What is shown counts for its network until it turns out to be good.
fn names(network: &str) -> Names {
    vec![(format!("w|{network}"), rules::NETWORK)]
}

#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Shown {
    #[garde(length(max = 100))]
    ceremony: String,
    /// What `toJSON` of the browser's credential says.
    #[garde(custom(answer))]
    #[schemars(with = "Value")]
    credential: PublicKeyCredential,
    #[garde(dive)]
    #[serde(flatten)]
    place: Place,
}

fn answer(given: &PublicKeyCredential, _: &()) -> garde::Result {
    let response = &given.response;
    let whose = response.user_handle.as_deref().unwrap_or_default();
    let parts = [whose, &response.authenticator_data, &response.client_data_json, &response.signature];
    within(&given.raw_id, &parts)
}

async fn finish(
    cx: Ctx,
    Client(from): Client,
    headers: HeaderMap,
    Body(given): Body<Shown>,
    party: Arc<Party>,
) -> Result<ShownOnce<InCookie<Tokens>>, Problem> {
    let over = || gone("the time for it is over, or it was used already: begin again");
    let network = rules::network(from);
    attempts::count(&cx, &names(&network)).await?;
    let state = store::take_login(&cx, hash(&given.ceremony)).await?.ok_or_else(over)?;
    let refused = |error| party.refusal(&error);
    let (person, id) =
        party.webauthn.identify_discoverable_authentication(&given.credential).map_err(refused)?;
    let kept = store::by_credential(&cx, &person.to_string(), id).await?;
    let kept = kept.ok_or(WebauthnError::CredentialNotFound).map_err(refused)?;
    let shown =
        party.webauthn.finish_discoverable_authentication_v2(&given.credential, state, &kept.credential);
    let shown = match shown {
        Ok(shown) => shown,
        Err(WebauthnError::CredentialPossibleCompromise) => return Err(cloned(&cx, &kept).await?),
        Err(error) => return Err(refused(error)),
    };
    let mut tx = cx.begin();
    let (id, person) = (kept.id.clone(), kept.person_id.clone());
    // Removed meanwhile, or shown elsewhere with a higher counter.
    if !store::used(&mut tx, kept, &shown).await? {
        return Err(refused(WebauthnError::CredentialNotFound));
    }
    for (name, _) in names(&network) {
        attempts::one_less(&mut tx, &name).await?;
    }
    tx.commit().await?;
    let proof = Proof { person, basis: Basis::Passkey(id), method: METHOD, network };
    sign_in(&cx, proof, &headers, given.place).await
}

/// Its counter went back: there may be two of it, and nobody can tell which one this is.
async fn cloned(cx: &Ctx, kept: &store::Kept) -> Result<Problem, Problem> {
    tracing::warn!(
        person = kept.person_id,
        passkey = kept.id,
        "a passkey's counter went back: is it a copy?"
    );
    let mut tx = cx.begin();
    tx.emit(PASSKEY_CLONED, &kept.person_id, &json!({"passkey_id": kept.id})).await?;
    tx.commit().await?;
    let text = "this passkey may be a copy of yours: sign in with the password, and remove it";
    Ok(Problem::unauthorized(text))
}
