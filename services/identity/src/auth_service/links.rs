//! What works once: an invitation, the first administrator's, a new password for who has lost theirs.

use garde::Validate;
use nx_chassis::{
    Api, Body, Caller, Created, Ctx, DbError, Json, List, Page, Path, Problem, ShownOnce, Time, Tx, Value,
    args, row,
};
use nx_contract::identity::OPERATOR;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::api::{must_operate, until};
use super::{mail, passkeys, passwords, rules, store};
use crate::user_auth::{self, User};
use crate::{CREDENTIAL_CHANGED, Changed, Done, gone, hash};

/// How long an invitation holds, seconds, unless it says another time.
const INVITE_S: i64 = 7 * 86_400;
/// How long the others hold.
const RESET_S: i64 = 86_400;
/// How long somebody has an invitation for themselves while their account is made.
const CLAIM_MS: i64 = 60_000;
const INVITE: &str = "invite";
const FIRST: &str = "first";
pub(super) const RESET: &str = "reset";

pub(super) fn routes(api: Api) -> Api {
    api.get("/invites", list)
        .post_once("/invites", invite)
        .delete("/invites/{id}", take_back)
        .post("/first-invite", first)
        .post_once("/resets", reset)
        .post("/password/reset", new_password)
}

#[derive(Debug, Serialize, JsonSchema)]
struct Invite {
    id: String,
    /// What who accepts it will be.
    roles: Vec<String>,
    expires_at: Time,
}

impl nx_chassis::FromRow for Invite {
    fn from_row(row: &nx_chassis::Row) -> Result<Self, DbError> {
        Ok(Self { id: row.get("id")?, roles: row.json("roles")?, expires_at: row.get("ends_ms")? })
    }
}

#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewInvite {
    /// What who accepts it will be.
    #[garde(length(min = 1, max = 8))]
    roles: Vec<String>,
    /// By default a week.
    #[garde(range(min = 60, max = 2_592_000))]
    #[serde(default)]
    lasts_s: Option<i64>,
}

#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewReset {
    #[garde(length(min = 1, max = 64))]
    user_id: String,
}

/// A link as its maker gets it.
#[derive(Serialize, JsonSchema)]
struct Made {
    id: String,
    /// For `/account#invite=TOKEN` or `/account#reset=TOKEN`; it is not shown again.
    token: String,
    expires_at: Time,
}

struct Link {
    person_id: Option<String>,
    /// The address that it was sent to, if it was.
    mail: Option<String>,
}
row!(Link { person_id, mail });

async fn add(
    tx: &mut Tx,
    cx: &Ctx,
    kind: &str,
    person: Option<&str>,
    roles: &[String],
    lasts_s: i64,
) -> Result<ShownOnce<Created<Made>>, Problem> {
    let (id, token, expires_at) = (cx.new_id(), nx_chassis::fresh()?, until(cx, lasts_s));
    let sql = "INSERT INTO link (id, hash, kind, person_id, roles, claimed_ms, ends_ms) \
               VALUES ($1, $2, $3, $4, $5, 0, $6)";
    let person = person.map(str::to_owned);
    tx.run(sql, args![&id, hash(&token), kind, person, Value::json(&roles), expires_at]).await?;
    Ok(ShownOnce(Created { location: id.clone(), body: Made { id, token, expires_at } }))
}

async fn list(by: Caller, cx: Ctx, page: Page) -> Result<List<Invite>, Problem> {
    must_operate(&cx, &by).await?;
    let sql = "SELECT * FROM link WHERE kind = $1 AND ends_ms > $2 AND id > $3 ORDER BY id LIMIT $4";
    let invites = cx.db().all(sql, args![INVITE, cx.now_ms(), &page.after, page.rows()]).await?;
    Ok(List::of(&page, invites, |invite: &Invite| &invite.id))
}

async fn invite(
    by: Caller,
    cx: Ctx,
    mut tx: Tx,
    Body(new): Body<NewInvite>,
) -> Result<ShownOnce<Created<Made>>, Problem> {
    must_operate(&cx, &by).await?;
    let roles = user_auth::roles(&new.roles).map_err(|e| Problem::invalid("/roles", e))?;
    add(&mut tx, &cx, INVITE, None, &roles, new.lasts_s.unwrap_or(INVITE_S)).await
}

async fn take_back(by: Caller, cx: Ctx, mut tx: Tx, Path(id): Path<String>) -> Result<Json<Done>, Problem> {
    must_operate(&cx, &by).await?;
    match tx.run("DELETE FROM link WHERE id = $1 AND kind = $2", args![id, INVITE]).await? {
        0 => Err(Problem::not_found("there is no such invitation, or it was used")),
        _ => Ok(Json(Done {})),
    }
}

/// The invitation of who runs it all, while there is nobody; the ones before are forgotten.
async fn first(by: Caller, cx: Ctx, mut tx: Tx) -> Result<ShownOnce<Created<Made>>, Problem> {
    by.must_be_service()?;
    if cx.call("user-auth")?.get("/v1/operators").await? {
        return Err(Problem::conflict("not-first", "there is an administrator"));
    }
    tx.run("DELETE FROM link WHERE kind = $1", args![FIRST]).await?;
    add(&mut tx, &cx, FIRST, None, &[OPERATOR.to_owned()], RESET_S).await
}

struct Claim {
    kind: String,
    roles: Vec<String>,
    claim: String,
    /// Somebody has tried before.
    again: bool,
}
row!(Claim { kind, claim, again } json { roles });

/// Has an invitation for oneself alone for a minute: the id that its account will have, and its roles. The id stays the same
/// for whoever tries again, so that an account that was half made is made whole.
pub(super) async fn claim(cx: &Ctx, token: &str) -> Result<(String, Vec<String>), Problem> {
    let (mut tx, now_ms) = (cx.begin(), cx.now_ms());
    let sql = "UPDATE link SET claim = COALESCE(claim, $1), claimed_ms = $2 WHERE hash = $3 AND kind <> $4 \
               AND person_id IS NULL AND ends_ms > $2 AND claimed_ms <= $5 RETURNING kind, roles, claim, \
               CAST(CASE WHEN claim = $1 THEN 0 ELSE 1 END AS BIGINT) AS again";
    let found: Option<Claim> =
        tx.one(sql, args![cx.new_id(), now_ms, hash(token), RESET, now_ms - CLAIM_MS]).await?;
    let Claim { kind, roles, claim, again } = found.ok_or_else(used)?;
    tx.commit().await?;
    if kind == FIRST {
        still_first(cx, token, &claim, again).await?;
    }
    Ok((claim, roles))
}

/// Refuses the link of the first administrator when there is one: but for the one whom it has half made.
async fn still_first(cx: &Ctx, token: &str, claim: &str, again: bool) -> Result<(), Problem> {
    match cx.call("user-auth")?.get("/v1/operators").await {
        Ok(false) => return Ok(()),
        Ok(true) => {}
        Err(error) => {
            give_back(cx, token, claim).await?;
            return Err(error);
        }
    }
    if again && cx.call("user-auth")?.get::<User>(&format!("/v1/users/{claim}")).await.is_ok() {
        return Ok(());
    }
    cx.run("DELETE FROM link WHERE hash = $1", args![hash(token)]).await?;
    Err(gone("somebody else is the first administrator already: ask them for an invitation"))
}

/// The account was not made: somebody may try again.
pub(super) async fn give_back(cx: &Ctx, token: &str, claim: &str) -> Result<(), DbError> {
    let sql = "UPDATE link SET claimed_ms = 0 WHERE hash = $1 AND claim = $2";
    cx.run(sql, args![hash(token), claim]).await.map(drop)
}

/// The account was made.
pub(super) async fn use_up(tx: &mut Tx, token: &str, claim: &str) -> Result<(), Problem> {
    match tx.run("DELETE FROM link WHERE hash = $1 AND claim = $2", args![hash(token), claim]).await? {
        0 => Err(used()),
        _ => Ok(()),
    }
}

async fn reset(
    by: Caller,
    cx: Ctx,
    mut tx: Tx,
    Body(new): Body<NewReset>,
) -> Result<ShownOnce<Created<Made>>, Problem> {
    must_operate(&cx, &by).await?;
    let nobody = || Problem::not_found("there is nobody of that id");
    // It becomes part of a path.
    if !new.user_id.bytes().all(|c| c.is_ascii_hexdigit() || c == b'-') {
        return Err(nobody());
    }
    let user: Result<User, _> = cx.call("user-auth")?.get(&format!("/v1/users/{}", new.user_id)).await;
    let user = user.map_err(|e| if e.slug == "refused" { nobody() } else { e })?;
    tx.run("DELETE FROM link WHERE kind = $1 AND person_id = $2", args![RESET, &user.id]).await?;
    add(&mut tx, &cx, RESET, Some(&user.id), &[], RESET_S).await
}

#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewPassword {
    #[garde(length(max = 100))]
    token: String,
    #[garde(length(max = 1024))]
    password: String,
}

async fn new_password(cx: Ctx, Body(given): Body<NewPassword>) -> Result<Json<Done>, Problem> {
    let sql = "SELECT * FROM link WHERE hash = $1 AND kind = $2 AND ends_ms > $3";
    let link: Option<Link> = cx.db().one(sql, args![hash(&given.token), RESET, cx.now_ms()]).await?;
    let (person, mail) = link.and_then(|link| Some((link.person_id?, link.mail))).ok_or_else(used)?;
    let user: User = cx.call("user-auth")?.get(&format!("/v1/users/{person}")).await?;
    rules::password(&given.password, &user.handle).map_err(|e| Problem::invalid("/password", e))?;
    let kept = passwords::hash(given.password).await?;
    let mut tx = cx.begin();
    let sql = "DELETE FROM link WHERE hash = $1 AND kind = $2";
    if tx.run(sql, args![hash(&given.token), RESET]).await? == 0 {
        return Err(used());
    }
    store::put(&mut tx, &person, &user.handle, &kept).await?;
    store::end_challenges(&mut tx, &person).await?;
    // Who knows who was in: what they have left behind must not let them in again.
    passkeys::remove_all(&mut tx, &person).await?;
    mail::forget(&mut tx, &person, mail.as_deref().unwrap_or_default()).await?;
    tx.emit(CREDENTIAL_CHANGED, &person, &Changed { keep: None }).await?;
    tx.commit().await?;
    Ok(Json(Done {}))
}

fn used() -> Problem {
    gone("this link was used, taken back or ran out: ask for another")
}
