//! Ceremonies: what several custodians of a key decide together, each for themselves, in time.

use nx_chassis::{Api, Caller, Ctx, DbError, Event, Json, List, Page, Path, Problem, Time, Tx, args, row};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::authorities::{self, NewAuthority};
use super::quorum::{Quorum, is_enough};
use super::store::{self, Key};
use super::{CEREMONY_DONE, CEREMONY_OPENED, CEREMONY_WITHDRAWN, Operator, audit, keys};

/// How long it may take, milliseconds: a day.
const OPEN_MS: i64 = 86_400_000;
/// Ceremonies about one key that are open at a time.
const OPEN_MAX: i64 = 10;

pub(super) fn routes(api: Api) -> Api {
    api.get("/ceremonies", list)
        .get("/ceremonies/{id}", read)
        .post("/ceremonies/{id}/approvals", approve)
        .delete("/ceremonies/{id}", withdraw)
}

/// What is decided.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Action {
    /// The key ends.
    Destroy,
    /// Others watch over it.
    Custodians(Quorum),
    /// It signs certificates.
    Authority(NewAuthority),
}

impl Action {
    fn name(&self) -> &'static str {
        match self {
            Self::Destroy => "destroy",
            Self::Custodians(_) => "custodians",
            Self::Authority(_) => "authority",
        }
    }
}

struct Ceremony {
    id: String,
    key: String,
    action: Action,
    needs: i64,
    opened_by: String,
    state: String,
    at_ms: i64,
    expires_ms: i64,
    ended_ms: Option<i64>,
}
row!(Ceremony { id, key, needs, opened_by, state, at_ms, expires_ms, ended_ms } json { action });

/// A ceremony, as operators see it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Ceremony")]
struct About {
    id: String,
    key: String,
    action: Action,
    /// `open`, `done`, `withdrawn`, `expired`, or `void` since the key or its custodians have changed.
    state: String,
    needs: i64,
    approved_by: Vec<String>,
    opened_by: String,
    opened_at: Time,
    expires_at: Time,
    ended_at: Option<Time>,
}

struct Approval {
    person: String,
}
row!(Approval { person });

impl Ceremony {
    fn is_over(&self, now_ms: i64) -> bool {
        self.state != "open" || self.expires_ms <= now_ms
    }
}

async fn about(cx: &Ctx, ceremony: Ceremony) -> Result<About, DbError> {
    let sql = "SELECT person FROM approval WHERE ceremony = $1 ORDER BY at_ms, person";
    let approved: Vec<Approval> = cx.db().all(sql, args![&ceremony.id]).await?;
    let expired = ceremony.state == "open" && ceremony.is_over(cx.now_ms());
    Ok(About {
        state: if expired { "expired".into() } else { ceremony.state },
        id: ceremony.id,
        key: ceremony.key,
        action: ceremony.action,
        needs: ceremony.needs,
        approved_by: approved.into_iter().map(|row| row.person).collect(),
        opened_by: ceremony.opened_by,
        opened_at: Time(ceremony.at_ms),
        expires_at: Time(ceremony.expires_ms),
        ended_at: ceremony.ended_ms.map(Time),
    })
}

async fn list(cx: Ctx, _: Operator, page: Page) -> Result<List<About>, Problem> {
    let sql = "SELECT * FROM ceremony WHERE id > $1 ORDER BY id LIMIT $2";
    let mut all = Vec::new();
    for ceremony in cx.db().all(sql, args![&page.after, page.rows()]).await? {
        all.push(about(&cx, ceremony).await?);
    }
    Ok(List::of(&page, all, |ceremony: &About| &ceremony.id))
}

fn none() -> Problem {
    Problem::not_found("there is no such ceremony")
}

async fn read(cx: Ctx, _: Operator, Path(id): Path<String>) -> Result<Json<About>, Problem> {
    let ceremony = cx.db().one("SELECT * FROM ceremony WHERE id = $1", args![id]).await?.ok_or_else(none)?;
    Ok(Json(about(&cx, ceremony).await?))
}

/// Asks the custodians of a key that is held.
pub(super) async fn open(tx: &mut Tx, by: &Caller, key: &Key, action: &Action) -> Result<String, Problem> {
    let (id, now_ms) = (nx_chassis::new_id(tx.now_ms()), tx.now_ms());
    let sql = "SELECT COUNT(*) AS n FROM ceremony WHERE key = $1 AND state = 'open' AND expires_ms > $2";
    if tx.one::<i64>(sql, args![&key.name, now_ms]).await? >= Some(OPEN_MAX) {
        let text = format!("{OPEN_MAX} ceremonies about this key are open: approve or withdraw some");
        return Err(Problem::conflict("ceremonies-max", text));
    }
    let sql = "INSERT INTO ceremony (id, key, action, needs, opened_by, state, at_ms, expires_ms) \
               VALUES ($1, $2, $3, $4, $5, 'open', $6, $7)";
    let text = serde_json::to_string(action).map_err(Problem::internal)?;
    tx.run(sql, args![&id, &key.name, text, key.approvals, &by.subject, now_ms, now_ms + OPEN_MS]).await?;
    audit::note(tx, by, "asked its custodians", &key.name, action.name()).await?;
    let data = json!({"key": key.name, "action": action.name(), "by": by.subject});
    tx.emit(CEREMONY_OPENED, &id, &data).await?;
    Ok(id)
}

/// The ceremony; whoever else approves waits until the end of the transaction, and then sees that this one has.
async fn hold(tx: &mut Tx, id: &str) -> Result<Ceremony, Problem> {
    let sql = "UPDATE ceremony SET state = state WHERE id = $1 RETURNING *";
    let ceremony: Ceremony = tx.one(sql, args![id]).await?.ok_or_else(none)?;
    match ceremony.is_over(tx.now_ms()) {
        true => Err(Problem::conflict("over", "this ceremony is over: begin another one")),
        false => Ok(ceremony),
    }
}

/// Says that it shall be so. Nobody does for another: neither a key nor a service, nor who is no custodian. The last one that it
/// takes has it done; when that fails nobody has approved a thing with them.
async fn approve(
    Operator(by): Operator,
    cx: Ctx,
    mut tx: Tx,
    Path(id): Path<String>,
) -> Result<Json<Approved>, Problem> {
    keys::themselves(&by)?;
    if !keys::is_operator(&cx, &by.subject).await? {
        return Err(Problem::forbidden("you are no operator any more"));
    }
    // What is decided about is held first, as everywhere.
    let about = cx.db().one::<Ceremony>("SELECT * FROM ceremony WHERE id = $1", args![&id]).await?;
    let key = store::hold(&mut tx, &about.ok_or_else(none)?.key).await?;
    let ceremony = hold(&mut tx, &id).await?;
    if !store::is_custodian(&mut tx, &key.name, &by.subject).await? {
        return Err(Problem::forbidden("only custodians of the key approve"));
    }
    if !store::is_trusted(&mut tx, &by.subject).await? {
        let text = "what you sign in with has changed within the last day: approve tomorrow";
        return Err(Problem::forbidden(text));
    }
    let now_ms = tx.now_ms();
    let sql = "INSERT INTO approval (ceremony, person, at_ms) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    tx.run(sql, args![&id, &by.subject, now_ms]).await?;
    audit::note(&mut tx, &by, "approved", &key.name, ceremony.action.name()).await?;
    // Who is no custodian any more does not count: then it is void, and nobody comes here.
    let sql = "SELECT COUNT(*) AS n FROM approval WHERE ceremony = $1";
    let approved = tx.one::<i64>(sql, args![&id]).await?.unwrap_or_default();
    if !is_enough(approved, ceremony.needs) {
        return Ok(Json(Approved { done: false, missing: ceremony.needs - approved }));
    }
    let sql = "UPDATE ceremony SET state = 'done', ended_ms = $2 WHERE id = $1";
    tx.run(sql, args![&id, now_ms]).await?;
    match &ceremony.action {
        Action::Destroy => keys::destroyed(&mut tx, &by, &key).await?,
        Action::Custodians(quorum) => keys::entrusted(&mut tx, &by, &key, quorum).await?,
        Action::Authority(new) => authorities::made(&cx, &mut tx, &by, &key, new).await?,
    }
    tx.emit(CEREMONY_DONE, &id, &json!({"key": key.name, "action": ceremony.action.name()})).await?;
    Ok(Json(Approved { done: true, missing: 0 }))
}

#[derive(Debug, Serialize, JsonSchema)]
struct Approved {
    /// Whether it was the last approval that it took, and all is done.
    done: bool,
    /// How many are missing.
    missing: i64,
}

/// Somebody has another password, or a second step less. They approve nothing for a day, and nothing that is open yet: whoever has
/// done that to them could be them.
pub(super) async fn changed(tx: &mut Tx, event: Event) -> Result<(), Problem> {
    let until_ms = tx.now_ms() + OPEN_MS;
    Ok(store::distrust(tx, &event.subject, until_ms).await?)
}

/// By who has opened it, or by a custodian.
async fn withdraw(
    Operator(by): Operator,
    mut tx: Tx,
    Path(id): Path<String>,
) -> Result<http::StatusCode, Problem> {
    let ceremony = hold(&mut tx, &id).await?;
    if ceremony.opened_by != by.subject && !store::is_custodian(&mut tx, &ceremony.key, &by.subject).await? {
        return Err(Problem::forbidden("who has opened it or is a custodian withdraws it"));
    }
    let now_ms = tx.now_ms();
    tx.run("UPDATE ceremony SET state = 'withdrawn', ended_ms = $2 WHERE id = $1", args![&id, now_ms])
        .await?;
    audit::note(&mut tx, &by, "withdrew", &ceremony.key, ceremony.action.name()).await?;
    tx.emit(CEREMONY_WITHDRAWN, &id, &json!({"key": ceremony.key, "by": by.subject})).await?;
    Ok(http::StatusCode::NO_CONTENT)
}
