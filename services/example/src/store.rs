//! All SQL of the service: one text for SQLite and PostgreSQL.

use nx_chassis::{Ctx, DbError, Event, Job, Page, Problem, Tx, args};

use crate::api::Note;

pub(crate) async fn add(tx: &mut Tx, note: &Note) -> Result<u64, DbError> {
    let sql =
        "INSERT INTO note (id, author, text, remind_at, reminded, version) VALUES ($1, $2, $3, $4, 0, 1)";
    tx.run(sql, args![&note.id, &note.author, &note.text, note.remind_at]).await
}

pub(crate) async fn find(cx: &Ctx, id: &str) -> Result<Note, Problem> {
    let found = cx.db().one("SELECT * FROM note WHERE id = $1", args![id]).await?;
    found.ok_or_else(|| Problem::not_found("no such note"))
}

pub(crate) async fn list(cx: &Ctx, page: &Page) -> Result<Vec<Note>, DbError> {
    cx.db()
        .all("SELECT * FROM note WHERE id > $1 ORDER BY id LIMIT $2", args![&page.after, page.rows()])
        .await
}

pub(crate) async fn rewrite(tx: &mut Tx, id: &str, version: i64, text: String) -> Result<Note, Problem> {
    let sql = "UPDATE note SET text = $1, version = version + 1 WHERE id = $2 AND version = $3 RETURNING *";
    tx.one(sql, args![text, id, version]).await?.ok_or_else(Problem::stale)
}

/// Heard once, in one transaction with what it changes.
pub(crate) async fn erase(tx: &mut Tx, event: Event) -> Result<(), Problem> {
    Ok(tx.run("DELETE FROM note WHERE author = $1", args![event.subject]).await.map(drop)?)
}

/// Done again, with growing pauses, until it succeeds.
pub(crate) async fn remind(cx: Ctx, job: Job) -> Result<(), Problem> {
    Ok(cx.run("UPDATE note SET reminded = 1 WHERE id = $1", args![job.body::<String>()?]).await.map(drop)?)
}

/// Notes that were reminded of are done with.
pub(crate) async fn sweep(cx: Ctx, _: Job) -> Result<(), Problem> {
    Ok(cx.run("DELETE FROM note WHERE reminded = 1", vec![]).await.map(drop)?)
}
