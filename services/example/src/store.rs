//! All SQL of the service: one text for SQLite and PostgreSQL.

use nx_chassis::{Ctx, DbError, Page, Problem, Tx, args};

use crate::api::Note;

pub(crate) async fn add(tx: &mut Tx, note: &Note) -> Result<u64, DbError> {
    let sql =
        "INSERT INTO note (id, author, text, remind_at, reminded, version) VALUES ($1, $2, $3, $4, 0, 1)";
    tx.run(sql, args![&note.id, &note.author, &note.text, note.remind_at.map(|t| t.0)]).await
}

pub(crate) async fn find(cx: &Ctx, id: &str) -> Result<Note, Problem> {
    let found = cx.db().one("SELECT * FROM note WHERE id = $1", args![id]).await?;
    found.ok_or_else(|| Problem::not_found("no such note"))
}

pub(crate) async fn list(cx: &Ctx, page: &Page) -> Result<Vec<Note>, DbError> {
    let sql = "SELECT * FROM note WHERE id > $1 ORDER BY id LIMIT $2";
    cx.db().all(sql, args![&page.after, page.rows()]).await
}

/// Changes the text, if the note still has this version.
pub(crate) async fn rewrite(tx: &mut Tx, id: &str, version: i64, text: String) -> Result<Note, Problem> {
    let sql = "UPDATE note SET text = $1, version = version + 1 WHERE id = $2 AND version = $3 RETURNING *";
    tx.one(sql, args![text, id, version]).await?.ok_or_else(Problem::stale)
}

pub(crate) async fn erase(tx: &mut Tx, author: &str) -> Result<(), Problem> {
    tx.run("DELETE FROM note WHERE author = $1", args![author]).await?;
    Ok(())
}

pub(crate) async fn reminded(cx: &Ctx, id: &str) -> Result<(), Problem> {
    let mut tx = cx.begin();
    tx.run("UPDATE note SET reminded = 1 WHERE id = $1", args![id]).await?;
    Ok(tx.commit().await?)
}

/// Notes that were reminded of are done with.
pub(crate) async fn sweep(cx: &Ctx) -> Result<(), Problem> {
    let mut tx = cx.begin();
    tx.run("DELETE FROM note WHERE reminded = 1", vec![]).await?;
    Ok(tx.commit().await?)
}
