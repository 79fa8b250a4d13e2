//! A copy of what there is of somebody: every service that keeps something gives its part.
//!
//! A job asks them, again and again for a day, and keeps what they give sealed; what is there can be read for a week. Services give
//! no secrets.

use nx_chassis::{
    Api, Caller, Created, Ctx, DbError, Job, Json, List, NewJob, Page, Path, Problem, ShownOnce, Time, Tx,
    args, row,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{erasure, orgs, scim, store};

/// The job that gathers.
pub(super) const GATHER: &str = "gather";
/// How long a copy is kept, and how long services are asked, milliseconds.
const KEPT_MS: i64 = 7 * 24 * 3_600_000;
const ASKED_MS: i64 = 24 * 3_600_000;
/// Pause between rounds of tries of one job, milliseconds.
const AGAIN_MS: i64 = 300_000;
/// Copies that one person has at a time.
const EXPORTS_MAX: i64 = 3;
/// Largest part of one service, bytes: all of them together stay below eight times as much.
const PART_BYTES_MAX: usize = 1 << 20;
const SERVICE: &str = "user-auth";

pub(super) fn routes(api: Api) -> Api {
    api.post("/users/{id}/exports", ask)
        .get("/users/{id}/exports", list)
        .get("/users/{id}/exports/{export}", read)
        .get("/users/{id}/exports/{export}/file", file)
        .get("/persons/{id}", give)
}

/// A copy that was asked for.
#[derive(Debug, Serialize, JsonSchema)]
struct Export {
    id: String,
    asked_at: Time,
    expires_at: Time,
    /// `gathering` or `ready`.
    state: &'static str,
    services: Vec<Part>,
}

/// What of it one service gives.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ExportPart")]
struct Part {
    service: String,
    /// `owing`, `given`, or `missing` when it could not be asked for a day.
    state: &'static str,
}

struct Kept {
    id: String,
    asked_ms: i64,
    ends_ms: i64,
}
row!(Kept { id, asked_ms, ends_ms });

struct KeptPart {
    service: String,
    given_ms: Option<i64>,
    sealed: Option<Vec<u8>>,
}
row!(KeptPart { service, given_ms, sealed });

impl Kept {
    fn told(self, parts: Vec<KeptPart>) -> Export {
        let ready = parts.iter().all(|part| part.given_ms.is_some());
        let state = |part: &KeptPart| match (part.given_ms, &part.sealed) {
            (None, _) => "owing",
            (Some(_), Some(_)) => "given",
            (Some(_), None) => "missing",
        };
        Export {
            services: parts
                .into_iter()
                .map(|part| Part { state: state(&part), service: part.service })
                .collect(),
            id: self.id,
            asked_at: Time(self.asked_ms),
            expires_at: Time(self.ends_ms),
            state: if ready { "ready" } else { "gathering" },
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Gather {
    export: String,
    person: String,
    until_ms: i64,
}

/// Lets only those who are signed in have what is theirs, and operators: a key that somebody has lost, or given to a directory, is not
/// worth all of that.
fn in_person(by: &Caller, id: &str) -> Result<(), Problem> {
    by.must_own(id)?;
    if by.session.is_some() || !by.is_person() {
        return Ok(());
    }
    Err(Problem::forbidden("sign in for that: a key will not do"))
}

async fn ask(by: Caller, cx: Ctx, mut tx: Tx, Path(id): Path<String>) -> Result<Created<Export>, Problem> {
    in_person(&by, &id)?;
    // Who asks twice at once waits here.
    let held = tx.run("UPDATE person SET version = version WHERE id = $1", args![&id]).await?;
    if held == 0 {
        return Err(store::unknown());
    }
    let now_ms = cx.now_ms();
    let sql = "SELECT COUNT(*) AS n FROM export WHERE person_id = $1 AND ends_ms > $2";
    if tx.one::<i64>(sql, args![&id, now_ms]).await?.unwrap_or_default() >= EXPORTS_MAX {
        let text = format!(
            "there are {EXPORTS_MAX} copies already: take one of them, or come back when one has run out"
        );
        return Err(Problem::conflict("exports-max", text));
    }
    let kept = Kept { id: cx.new_id(), asked_ms: now_ms, ends_ms: now_ms + KEPT_MS };
    let sql = "INSERT INTO export (id, person_id, asked_ms, ends_ms) VALUES ($1, $2, $3, $4)";
    tx.run(sql, args![&kept.id, &id, kept.asked_ms, kept.ends_ms]).await?;
    let mut parts = Vec::new();
    for service in erasure::keepers() {
        let sql = "INSERT INTO export_part (export_id, service) VALUES ($1, $2)";
        tx.run(sql, args![&kept.id, service]).await?;
        parts.push(KeptPart { service: service.to_owned(), given_ms: None, sealed: None });
    }
    let gather = Gather { export: kept.id.clone(), person: id, until_ms: now_ms + ASKED_MS };
    tx.enqueue(NewJob::new(GATHER, &gather)).await?;
    Ok(Created { location: kept.id.clone(), body: kept.told(parts) })
}

async fn list(by: Caller, cx: Ctx, Path(id): Path<String>, page: Page) -> Result<List<Export>, Problem> {
    in_person(&by, &id)?;
    let sql = "SELECT * FROM export WHERE person_id = $1 AND ends_ms > $2 AND id > $3 ORDER BY id LIMIT $4";
    let all: Vec<Kept> = cx.db().all(sql, args![&id, cx.now_ms(), &page.after, page.rows()]).await?;
    let mut told = Vec::new();
    for kept in all {
        let parts = parts(&cx, &kept.id).await?;
        told.push(kept.told(parts));
    }
    Ok(List::of(&page, told, |export: &Export| &export.id))
}

/// One of somebody that has not run out, and its parts.
async fn find(by: &Caller, cx: &Ctx, id: &str, export: &str) -> Result<(Kept, Vec<KeptPart>), Problem> {
    in_person(by, id)?;
    let sql = "SELECT * FROM export WHERE id = $1 AND person_id = $2 AND ends_ms > $3";
    let kept: Option<Kept> = cx.db().one(sql, args![export, id, cx.now_ms()]).await?;
    Ok((kept.ok_or_else(store::unknown)?, parts(cx, export).await?))
}

async fn parts(cx: &Ctx, export: &str) -> Result<Vec<KeptPart>, DbError> {
    cx.db().all("SELECT * FROM export_part WHERE export_id = $1 ORDER BY service", args![export]).await
}

async fn read(
    by: Caller,
    cx: Ctx,
    Path((id, export)): Path<(String, String)>,
) -> Result<Json<Export>, Problem> {
    let (kept, parts) = find(&by, &cx, &id, &export).await?;
    Ok(Json(kept.told(parts)))
}

/// All of it as one document.
async fn file(
    by: Caller,
    cx: Ctx,
    Path((id, export)): Path<(String, String)>,
) -> Result<ShownOnce<Json<Value>>, Problem> {
    let (kept, parts) = find(&by, &cx, &id, &export).await?;
    if parts.iter().any(|part| part.given_ms.is_none()) {
        return Err(Problem::conflict("not-ready", "it is still being gathered: come back in a moment"));
    }
    let mut services = Map::new();
    for KeptPart { service, sealed, .. } in parts {
        let given = match sealed {
            Some(sealed) => {
                let opened = cx.vault().open(&place(&export, &service), &sealed)?;
                serde_json::from_slice(&opened).map_err(Problem::internal)?
            }
            None => json!({"missing": "the service could not be asked: ask for another copy later"}),
        };
        services.insert(service, given);
    }
    let whole = json!({"user_id": id, "as_of": Time(kept.asked_ms), "services": services});
    Ok(ShownOnce(Json(whole)))
}

/// What a part is bound to.
fn place(export: &str, service: &str) -> String {
    format!("export/{export}/{service}")
}

/// Asks who has not given its part yet.
pub(super) async fn gather(cx: Ctx, job: Job) -> Result<(), Problem> {
    let asked: Gather = job.body()?;
    let (mut failed, over) = (None, cx.now_ms() >= asked.until_ms);
    for part in parts(&cx, &asked.export).await?.into_iter().filter(|part| part.given_ms.is_none()) {
        match given(&cx, &part.service, &asked.person).await {
            Ok(given) => keep(&cx, &asked.export, &part.service, Some(&given)).await?,
            Err(_) if over => keep(&cx, &asked.export, &part.service, None).await?,
            Err(problem) => failed = Some(problem),
        }
    }
    if failed.is_some() && job.is_last_try() {
        let mut tx = cx.begin();
        tx.enqueue(NewJob::new(GATHER, &asked).due(cx.now_ms() + AGAIN_MS)).await?;
        return Ok(tx.commit().await?);
    }
    failed.map_or(Ok(()), Err)
}

async fn given(cx: &Ctx, service: &str, person: &str) -> Result<Value, Problem> {
    if service == SERVICE {
        return own(cx, person).await;
    }
    // The catalogue names them: no needs of this one, which goes on without.
    cx.call_back(service).get(&format!("/v1/persons/{person}")).await
}

/// Keeps what a service gives, once.
async fn keep(cx: &Ctx, export: &str, service: &str, given: Option<&Value>) -> Result<(), Problem> {
    let sealed = match given.map(Value::to_string) {
        Some(text) => {
            let large = || json!({"too_large": text.len(), "bytes_max": PART_BYTES_MAX}).to_string();
            let text = if text.len() > PART_BYTES_MAX { large() } else { text };
            Some(cx.vault().close(&place(export, service), text.as_bytes())?)
        }
        None => None,
    };
    let sql = "UPDATE export_part SET given_ms = $1, sealed = $2 \
               WHERE export_id = $3 AND service = $4 AND given_ms IS NULL";
    Ok(cx.run(sql, args![cx.now_ms(), sealed, export, service]).await.map(drop)?)
}

async fn give(by: Caller, cx: Ctx, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    by.must_be_service()?;
    own(&cx, &id).await.map(Json)
}

/// What there is here.
async fn own(cx: &Ctx, person: &str) -> Result<Value, Problem> {
    let user = store::find(cx, person).await?;
    let mut given = json!({"user": user});
    given["directory"] = scim::of(cx, person).await?;
    given["organisations"] = orgs::given(cx, person).await?;
    Ok(given)
}

/// Forgets copies of somebody; how many rows there were.
pub(super) async fn erase(tx: &mut Tx, person: &str) -> Result<u64, DbError> {
    let sql = "DELETE FROM export_part WHERE export_id IN (SELECT id FROM export WHERE person_id = $1)";
    let rows = tx.run(sql, args![person]).await?;
    Ok(rows + tx.run("DELETE FROM export WHERE person_id = $1", args![person]).await?)
}

/// Forgets copies and invitations that have run out.
pub(super) async fn sweep(cx: Ctx, _: Job) -> Result<(), Problem> {
    let (mut tx, now_ms) = (cx.begin(), cx.now_ms());
    let sql = "DELETE FROM export_part WHERE export_id IN (SELECT id FROM export WHERE ends_ms <= $1)";
    tx.run(sql, args![now_ms]).await?;
    tx.run("DELETE FROM export WHERE ends_ms <= $1", args![now_ms]).await?;
    orgs::sweep(&mut tx).await?;
    Ok(tx.commit().await?)
}
