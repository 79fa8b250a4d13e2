//! What was done with which key, by whom: written in the transaction that does it.

use nx_chassis::{Api, Caller, Ctx, DbError, Job, List, Page, Problem, Time, Tx, args};
use schemars::JsonSchema;
use serde::Serialize;

use super::Operator;

/// How long a line is kept, milliseconds: 400 days.
const KEPT_MS: i64 = 400 * 86_400_000;

pub(super) fn routes(api: Api) -> Api {
    api.get("/audit", list)
}

/// One line.
#[derive(Debug, Serialize, JsonSchema)]
struct Line {
    id: String,
    at: Time,
    who: String,
    what: String,
    key: String,
    detail: String,
}

impl nx_chassis::FromRow for Line {
    fn from_row(row: &nx_chassis::Row) -> Result<Self, DbError> {
        Ok(Self {
            id: row.get("id")?,
            at: row.get("at_ms")?,
            who: row.get("who")?,
            what: row.get("what")?,
            key: row.get("key")?,
            detail: row.get("detail")?,
        })
    }
}

/// Oldest first.
async fn list(cx: Ctx, _: Operator, page: Page) -> Result<List<Line>, Problem> {
    let sql = "SELECT * FROM audit WHERE id > $1 ORDER BY id LIMIT $2";
    let lines = cx.db().all(sql, args![&page.after, page.rows()]).await?;
    Ok(List::of(&page, lines, |line: &Line| &line.id))
}

/// Writes a line.
pub(super) async fn note(
    tx: &mut Tx,
    by: &Caller,
    what: &str,
    key: &str,
    detail: &str,
) -> Result<(), DbError> {
    let sql = "INSERT INTO audit (id, at_ms, who, what, key, detail) VALUES ($1, $2, $3, $4, $5, $6)";
    let (id, now_ms) = (nx_chassis::new_id(tx.now_ms()), tx.now_ms());
    tx.run(sql, args![id, now_ms, &by.subject, what, key, detail]).await.map(drop)
}

pub(super) async fn sweep(cx: Ctx, _: Job) -> Result<(), Problem> {
    cx.run("DELETE FROM audit WHERE at_ms < $1", args![cx.now_ms() - KEPT_MS]).await?;
    cx.run("DELETE FROM changed WHERE until_ms <= $1", args![cx.now_ms()]).await?;
    Ok(())
}
