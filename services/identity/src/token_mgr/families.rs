//! Refresh tokens: `nxr.FAMILY.GENERATION.TAG`. All those of one log-in are a family, of which one generation is good.
//!
//! Taking the next generation is one statement that only one of several can win. The tag comes from the ring's secret and what
//! stands before it, so that the losers, and who did not get the answer, can be given the very same successor for half a
//! minute, also when a few more came after it. Later, the old one is a stolen one: the whole family is over.

use garde::Validate;
use http::HeaderMap;
use nx_chassis::{Api, Body, Caller, Ctx, DbError, Job, Json, Path, Problem, ShownOnce, Tx, Value, args};
use nx_contract::identity::{ACCESS_S, Claims, Confirmation, ISSUER};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::apps::App;
use super::keys::{self, Alg};
use crate::answer::{self, InCookie, Tokens};
use crate::{Done, Person, PersonNow, TOKENS_REFRESHED, TOKENS_REUSED};

/// How long a token that was used gives its successor again.
const AGAIN_MS: i64 = 30_000;

pub(super) fn routes(api: Api) -> Api {
    api.post("/tokens/refresh", refresh).post("/tokens", begin).post("/sessions/{id}/end", end)
}

pub(super) struct Family {
    id: String,
    pub(super) session_id: String,
    pub(super) person: Person,
    /// The app that has it, if it is not its person's own.
    pub(super) app: Option<App>,
    generation: i64,
    /// When the last one was used.
    rotated_ms: i64,
    /// What was used from `since_ms` on, in so short a time that it may still be under way.
    since: i64,
    since_ms: i64,
    pub(super) ends_ms: i64,
}

impl Family {
    /// Whether this one was used so lately that who has it may have heard no answer.
    fn has_just_used(&self, used: i64, now_ms: i64) -> bool {
        // Clocks of two that answer may be apart a little.
        let lately = |at_ms| (-AGAIN_MS..=AGAIN_MS).contains(&(now_ms - at_ms));
        let last = used + 1 == self.generation && lately(self.rotated_ms);
        let one_of_them = (self.since..self.generation).contains(&used) && lately(self.since_ms);
        last || one_of_them
    }
}

impl nx_chassis::FromRow for Family {
    fn from_row(row: &nx_chassis::Row) -> Result<Self, DbError> {
        Ok(Self {
            id: row.get("id")?,
            session_id: row.get("session_id")?,
            person: row.json("person")?,
            app: App::of(row.get("client_id")?, row.get("scope")?, row.get("jkt")?),
            generation: row.get("generation")?,
            rotated_ms: row.get("rotated_ms")?,
            since: row.get("since")?,
            since_ms: row.get("since_ms")?,
            ends_ms: row.get("ends_ms")?,
        })
    }
}

/// The first tokens of a session, for auth-service.
#[derive(Debug, Serialize, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub(crate) struct NewFamily {
    pub(crate) session_id: String,
    pub(crate) user: Person,
    /// When the session ends, Unix milliseconds.
    pub(crate) ends_ms: i64,
    /// The app that speaks for them in it.
    #[serde(default)]
    pub(crate) app: Option<App>,
}

#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Refresh {
    /// Absent where a cookie has it.
    #[garde(length(max = 300))]
    #[serde(default)]
    refresh_token: Option<String>,
}

async fn begin(
    by: Caller,
    cx: Ctx,
    mut tx: Tx,
    Body(new): Body<NewFamily>,
) -> Result<ShownOnce<Json<Tokens>>, Problem> {
    by.must_be_service()?;
    let NewFamily { session_id, user: person, ends_ms, app } = new;
    let (id, now_ms) = (cx.new_id(), cx.now_ms());
    let (generation, rotated_ms, since, since_ms) = (1, now_ms, 1, 0);
    let family = Family { id, session_id, person, app, generation, rotated_ms, since, since_ms, ends_ms };
    // Before anything is written: the first key of all is written in a transaction of its own.
    let tokens = tokens(&cx, &family).await?;
    let sql = "INSERT INTO family (id, session_id, person_id, person, generation, rotated_ms, since, since_ms, ends_ms, \
               client_id, scope, jkt) VALUES ($1, $2, $3, $4, 1, $5, 1, 0, $6, $7, $8, $9)";
    let Family { id, session_id, person, rotated_ms, ends_ms, app, .. } = family;
    let jkt = app.as_ref().and_then(|app| app.key.clone());
    let (client_id, scope) = app.map(|app| (app.client_id, app.scope)).unzip();
    let whose = (person.id.clone(), Value::json(&person));
    let row = args![id, session_id, whose.0, whose.1, rotated_ms, ends_ms, client_id, scope, jkt];
    tx.run(sql, row).await?;
    Ok(ShownOnce(Json(tokens)))
}

async fn refresh(
    cx: Ctx,
    headers: HeaderMap,
    Body(asked): Body<Refresh>,
) -> Result<ShownOnce<InCookie<Tokens>>, Problem> {
    let by_cookie = asked.refresh_token.is_none();
    let token = asked.refresh_token.or_else(|| answer::cookie(&headers)).ok_or_else(signed_out)?;
    let family = next(&cx, &token, None, None).await?;
    let mut body = tokens(&cx, &family).await?;
    let lasts_s = (family.ends_ms - cx.now_ms()).div_euclid(1000);
    let cookie = by_cookie.then(|| body.take_cookie(&headers, lasts_s));
    Ok(ShownOnce(InCookie { body, cookie }))
}

/// The family of a token, in the generation behind it: of this app, or of none. To anybody else it is no token. From now on it
/// is bound to `key`, if it was to none.
pub(super) async fn next(
    cx: &Ctx,
    token: &str,
    client: Option<&str>,
    key: Option<&str>,
) -> Result<Family, Problem> {
    let (id, used) = read(cx, token).ok_or_else(signed_out)?;
    let now_ms = cx.now_ms();
    let mut tx = cx.begin();
    let sql = "UPDATE family SET generation = generation + 1, rotated_ms = $1, \
               since = CASE WHEN since_ms > $4 THEN since ELSE generation END, \
               since_ms = CASE WHEN since_ms > $4 THEN since_ms ELSE $1 END, jkt = COALESCE(jkt, $6) \
               WHERE id = $2 AND generation = $3 AND ends_ms > $1 AND COALESCE(client_id, '') = $5 RETURNING *";
    let client = client.unwrap_or_default();
    let row = args![now_ms, id, used, now_ms - AGAIN_MS, client, key.map(str::to_owned)];
    if let Some(family) = tx.one::<Family>(sql, row).await? {
        tx.emit(TOKENS_REFRESHED, &family.session_id, &json!({"user_id": family.person.id})).await?;
        tx.commit().await?;
        return Ok(family);
    }
    let sql = "SELECT * FROM family WHERE id = $1 AND ends_ms > $2 AND COALESCE(client_id, '') = $3";
    let family: Family = tx.one(sql, args![id, now_ms, client]).await?.ok_or_else(signed_out)?;
    if family.has_just_used(used, now_ms) {
        return Ok(family);
    }
    tracing::warn!(session = family.session_id, "a refresh token came again: the session is over");
    tx.run("DELETE FROM family WHERE id = $1", args![id]).await?;
    tx.emit(TOKENS_REUSED, &family.session_id, &json!({"user_id": family.person.id})).await?;
    tx.commit().await?;
    Err(signed_out())
}

pub(super) async fn tokens(cx: &Ctx, family: &Family) -> Result<Tokens, Problem> {
    let claims = claims(cx, &family.person, Some(&family.session_id), family.app.as_ref());
    Ok(Tokens {
        access_token: keys::sign(cx, Alg::EdDsa, "JWT", &claims).await?,
        expires_in_s: ACCESS_S,
        refresh_token: Some(write(cx, family)),
        session_id: family.session_id.clone(),
        user: family.person.clone(),
    })
}

/// What an access token says, for [`ACCESS_S`] seconds: an app has of somebody's roles what its scopes name.
pub(super) fn claims(cx: &Ctx, person: &Person, session: Option<&str>, app: Option<&App>) -> Claims {
    let now_s = cx.now_ms().div_euclid(1000);
    Claims {
        iss: ISSUER.into(),
        aud: ISSUER.into(),
        sub: person.id.clone(),
        sid: session.map(str::to_owned),
        roles: app.map_or_else(|| person.roles.clone(), |app| app.roles(&person.roles)),
        client_id: app.map(|app| app.client_id.clone()),
        scope: app.map(|app| app.scope.clone()),
        cnf: app.and_then(|app| app.key.clone()).map(|jkt| Confirmation { jkt }),
        iat: now_s,
        exp: now_s + ACCESS_S,
    }
}

fn write(cx: &Ctx, family: &Family) -> String {
    let text = format!("nxr.{}.{}", family.id, family.generation);
    format!("{text}.{}", cx.vault().tag(&text))
}

/// The family of a refresh token, whichever generation of it that is.
pub(super) async fn of(cx: &Ctx, token: &str) -> Result<Option<Family>, Problem> {
    let Some((id, used)) = read(cx, token) else { return Ok(None) };
    let sql = "SELECT * FROM family WHERE id = $1 AND generation = $2 AND ends_ms > $3";
    Ok(cx.db().one(sql, args![id, used, cx.now_ms()]).await?)
}

/// The app that has the family of a refresh token, of whatever generation: what it may is the same in all.
pub(super) async fn app_of(cx: &Ctx, token: &str) -> Result<Option<App>, Problem> {
    let Some((id, _)) = read(cx, token) else { return Ok(None) };
    let family: Option<Family> = cx.db().one("SELECT * FROM family WHERE id = $1", args![id]).await?;
    Ok(family.and_then(|family| family.app))
}

/// The family of a session.
pub(super) async fn in_session(cx: &Ctx, session: &str) -> Result<Option<Family>, Problem> {
    let sql = "SELECT * FROM family WHERE session_id = $1 AND ends_ms > $2";
    Ok(cx.db().one(sql, args![session, cx.now_ms()]).await?)
}

/// Family and generation of a token that we have written.
fn read<'t>(cx: &Ctx, token: &'t str) -> Option<(&'t str, i64)> {
    let (text, tag) = token.rsplit_once('.')?;
    let (id, generation) = text.strip_prefix("nxr.")?.split_once('.')?;
    let generation = generation.parse().ok()?;
    cx.vault().is_tag(text, tag).then_some((id, generation))
}

fn signed_out() -> Problem {
    Problem::unauthorized("you are not signed in, or not any more: sign in")
}

/// For who has begun a session that must not go on, and cannot wait until that is heard here.
async fn end(by: Caller, mut tx: Tx, Path(session): Path<String>) -> Result<Json<Done>, Problem> {
    by.must_be_service()?;
    end_of_session(&mut tx, &session).await?;
    Ok(Json(Done {}))
}

/// What somebody in this session is now, for a change that must not rest on what their token says.
pub(super) async fn person_in(tx: &mut Tx, by: &Caller) -> Result<Person, Problem> {
    // Touched, so that nobody changes it meanwhile.
    let sql = "UPDATE family SET rotated_ms = rotated_ms WHERE session_id = $1 AND person_id = $2 AND client_id IS NULL RETURNING *";
    let session = by.session.as_deref().unwrap_or_default();
    let family: Option<Family> = tx.one(sql, args![session, &by.subject]).await?;
    family.map(|family| family.person).ok_or_else(signed_out)
}

pub(super) async fn end_of_session(tx: &mut Tx, session: &str) -> Result<(), Problem> {
    Ok(tx.run("DELETE FROM family WHERE session_id = $1", args![session]).await.map(drop)?)
}

pub(super) async fn end_of_person(tx: &mut Tx, person: &str) -> Result<u64, DbError> {
    tx.run("DELETE FROM family WHERE person_id = $1", args![person]).await
}

/// Name and roles as they are now stand in the next tokens.
pub(super) async fn changed(tx: &mut Tx, now: &PersonNow) -> Result<(), Problem> {
    if now.disabled {
        end_of_person(tx, &now.person.id).await?;
        return Ok(());
    }
    let sql = "UPDATE family SET person = $1 WHERE person_id = $2";
    Ok(tx.run(sql, args![Value::json(&now.person), &now.person.id]).await.map(drop)?)
}

pub(super) async fn sweep(cx: Ctx, _: Job) -> Result<(), Problem> {
    let now_ms = cx.now_ms();
    cx.run("DELETE FROM family WHERE ends_ms <= $1", args![now_ms]).await?;
    cx.run("DELETE FROM api_key WHERE ends_ms <= $1", args![now_ms]).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_a_moment_ago_is_not_stolen() {
        let person =
            Person { id: String::new(), handle: String::new(), name: String::new(), roles: Vec::new() };
        let (id, session_id, ends_ms, app) = Default::default();
        // Generation 4 was used at 100 s, 2 and 3 from 80 s on.
        let (generation, rotated_ms, since, since_ms) = (5, 100_000, 2, 80_000);
        let family = Family { id, session_id, person, app, generation, rotated_ms, since, since_ms, ends_ms };
        for (used, now_ms, is) in [
            (4, 100_000, true),
            (4, 99_999, true),
            (4, 130_000, true),
            (4, 130_001, false),
            (2, 110_000, true),
            (2, 110_001, false),
            (1, 100_000, false),
            (5, 100_000, false),
            (6, 100_000, false),
            (4, 40_000, false),
        ] {
            assert_eq!(family.has_just_used(used, now_ms), is, "{used} at {now_ms}");
        }
    }
}
