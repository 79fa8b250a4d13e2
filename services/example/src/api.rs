//! Routes: what they take and answer is written in their signatures, and OpenAPI says the same.

use garde::Validate;
use nx_chassis::{
    Api, Body, Caller, Created, Ctx, IfMatch, Json, List, NewJob, Page, Path, Problem, Tagged, Time, Tx, row,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{REMIND, WRITTEN, store};

pub(crate) fn routes() -> Api {
    Api::new()
        .get("/notes", list)
        .post_once("/notes", add)
        .get("/notes/{id}", read)
        .patch("/notes/{id}", rewrite)
        .get("/notes/{id}/author", author)
}

#[derive(Debug, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewNote {
    #[garde(length(min = 1, max = 1000))]
    text: String,
    #[garde(skip)]
    remind_at: Option<Time>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Note {
    pub(crate) id: String,
    pub(crate) author: String,
    pub(crate) text: String,
    pub(crate) remind_at: Option<Time>,
    pub(crate) reminded: bool,
    pub(crate) version: i64,
}
row!(Note { id, author, text, remind_at, reminded, version });

async fn list(cx: Ctx, page: Page) -> Result<List<Note>, Problem> {
    Ok(List::of(&page, store::list(&cx, &page).await?, |note| &note.id))
}

/// The note, its event, its reminder and the answer to its key: all of them or none.
async fn add(cx: Ctx, by: Caller, mut tx: Tx, Body(new): Body<NewNote>) -> Result<Created<Note>, Problem> {
    if new.remind_at.is_some_and(|at| at.0 <= cx.now_ms()) {
        return Err(Problem::invalid("/remind_at", "lies in the past"));
    }
    let (id, NewNote { text, remind_at }) = (cx.new_id(), new);
    let note = Note { id: id.clone(), author: by.subject, text, remind_at, reminded: false, version: 1 };
    store::add(&mut tx, &note).await?;
    tx.emit(WRITTEN, &id, &note).await?;
    if let Some(at) = remind_at {
        tx.enqueue(NewJob::new(REMIND, &id).due(at.0)).await?;
    }
    Ok(Created { location: id, body: note })
}

async fn read(cx: Ctx, Path(id): Path<String>) -> Result<Tagged<Note>, Problem> {
    let body = store::find(&cx, &id).await?;
    Ok(Tagged { version: body.version, body })
}

async fn rewrite(
    mut tx: Tx,
    Path(id): Path<String>,
    IfMatch(version): IfMatch,
    Body(new): Body<NewNote>,
) -> Result<Tagged<Note>, Problem> {
    let body = store::rewrite(&mut tx, &id, version, new.text).await?;
    Ok(Tagged { version: body.version, body })
}

/// Asks another service; while that is away, the name is all that is known.
async fn author(cx: Ctx, Path(id): Path<String>) -> Result<Json<String>, Problem> {
    let author = store::find(&cx, &id).await?.author;
    let known = cx.call("user-auth")?.get(&format!("/v1/users/{author}/handle")).await;
    Ok(Json(known.unwrap_or(author)))
}
