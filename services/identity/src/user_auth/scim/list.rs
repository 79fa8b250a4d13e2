//! Lists and searches (RFC 7644 §3.4.2): what a filter picks, page by page.
//!
//! What an index finds is looked at alone; any other filter reads all there is, a chunk at a time, and so bounded in memory. Pages
//! may be shorter than they were wanted: `startIndex` plus what came is where the next begins. They are in the order in which
//! things were made, and in no other.

use axum::extract::FromRequestParts;
use http::request::Parts;
use nx_chassis::{Ctx, Describe, Operation};
use schemars::SchemaGenerator;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::eval::fold;
use super::filter::{Filter, Op};
use super::schema::{GROUPS, Type, USERS};
use super::shape::Wanted;
use super::store::{self, By, GroupRow, UserRow};
use super::wire::{Asked, Doc, Given, Refusal, names, query};
use super::{groups, users};

/// Most on a page.
pub(super) const PAGE_MAX: i64 = 200;
/// A page ends behind the resource with which it has so many bytes.
const PAGE_BYTES_MAX: usize = 4 << 20;
/// Resources that are read at a time.
const CHUNK: i64 = 200;
/// Lists that are made at the same time: what they take in memory is bounded by it.
static PLACES: Semaphore = Semaphore::const_new(4);
const LIST: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";

/// Which resources are asked for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Listed {
    pub(super) filter: Option<String>,
    start_index: Option<i64>,
    count: Option<i64>,
}

impl<S: Sync> FromRequestParts<S> for Listed {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        query(parts)
    }
}

impl Describe for Listed {
    fn describe(operation: &mut Operation, _: &mut SchemaGenerator) {
        operation.query("filter", &json!({"type": "string"}));
        operation.query("startIndex", &json!({"type": "integer", "default": 1}));
        operation.query("count", &json!({"type": "integer", "maximum": PAGE_MAX, "default": PAGE_MAX}));
    }
}

/// The same as a body.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Search {
    #[serde(flatten)]
    listed: Listed,
    #[serde(default)]
    attributes: Vec<String>,
    #[serde(default)]
    excluded_attributes: Vec<String>,
}

pub(super) async fn all_users(asked: Asked, cx: Ctx, listed: Listed) -> Result<Doc, Refusal> {
    list(&cx, &[&USERS], &listed, &asked.wanted, &asked.base).await
}

pub(super) async fn all_groups(asked: Asked, cx: Ctx, listed: Listed) -> Result<Doc, Refusal> {
    list(&cx, &[&GROUPS], &listed, &asked.wanted, &asked.base).await
}

pub(super) async fn search_users(
    asked: Asked,
    cx: Ctx,
    Given(search): Given<Search>,
) -> Result<Doc, Refusal> {
    search_in(&asked, &cx, &[&USERS], search).await
}

pub(super) async fn search_groups(
    asked: Asked,
    cx: Ctx,
    Given(search): Given<Search>,
) -> Result<Doc, Refusal> {
    search_in(&asked, &cx, &[&GROUPS], search).await
}

pub(super) async fn search(asked: Asked, cx: Ctx, Given(search): Given<Search>) -> Result<Doc, Refusal> {
    search_in(&asked, &cx, &[&USERS, &GROUPS], search).await
}

async fn search_in(asked: &Asked, cx: &Ctx, types: &[&'static Type], search: Search) -> Result<Doc, Refusal> {
    let only = names(search.attributes.iter().map(String::as_str))?;
    let not = names(search.excluded_attributes.iter().map(String::as_str))?;
    list(cx, types, &search.listed, &Wanted { only, not }, &asked.base).await
}

/// Answers with a list of what there is of these types.
async fn list(
    cx: &Ctx,
    types: &[&'static Type],
    listed: &Listed,
    wanted: &Wanted,
    base: &str,
) -> Result<Doc, Refusal> {
    let filter = listed.filter.as_deref().map(Filter::parse).transpose();
    let filter = filter.map_err(|slip| Refusal::filter(slip.to_string()))?;
    let start = listed.start_index.unwrap_or(1).max(1);
    let left = listed.count.unwrap_or(PAGE_MAX).clamp(0, PAGE_MAX);
    let Ok(_place) = PLACES.acquire().await else { return Err(Refusal::unknown()) };
    let mut page = Page { cx, wanted, base, skip: start - 1, left, bytes: 0, total: 0, items: vec![] };
    let mut unfit = None;
    for of in types {
        match &filter {
            None => page.take_all(of).await?,
            // One that has no such attribute has no value for it; if none has, it is a slip.
            Some(filter) => match filter.check(of.scope) {
                Ok(()) => page.take_such(of, filter).await?,
                Err(why) if types.len() == 1 => return Err(Refusal::filter(why)),
                Err(why) => match unfit.replace(why) {
                    Some(why) => return Err(Refusal::filter(why)),
                    None => page.take_such(of, filter).await?,
                },
            },
        }
    }
    Ok(Doc(of_all(page.items, page.total, start)))
}

/// A list as SCIM writes it.
pub(super) fn of_all(items: Vec<Value>, total: i64, start: i64) -> Value {
    json!({
        "schemas": [LIST],
        "totalResults": total,
        "startIndex": start,
        "itemsPerPage": items.len(),
        "Resources": items,
    })
}

/// A resource of either type.
enum Found {
    User(UserRow),
    Group(GroupRow),
}

impl Found {
    fn id(&self) -> &str {
        match self {
            Self::User(row) => &row.user.id,
            Self::Group(row) => &row.id,
        }
    }

    /// What clients see of it, with members or groups if they are wanted.
    async fn document(&self, cx: &Ctx, base: &str, links: bool) -> Result<super::wire::Resource, Refusal> {
        Ok(match self {
            Self::User(row) => {
                let groups = if links { store::groups_of(cx, &row.user.id).await? } else { vec![] };
                users::document(row, base, &groups)
            }
            Self::Group(row) => {
                let members = if links { store::members_of(cx, &row.id).await? } else { vec![] };
                groups::document(row, base, &members)
            }
        })
    }
}

struct Page<'a> {
    cx: &'a Ctx,
    wanted: &'a Wanted,
    base: &'a str,
    /// Those that come before it.
    skip: i64,
    left: i64,
    bytes: usize,
    total: i64,
    items: Vec<Value>,
}

impl Page<'_> {
    /// Takes of all of a type what is on the page.
    async fn take_all(&mut self, of: &Type) -> Result<(), Refusal> {
        let (skip, limit) = (self.skip, self.left);
        let (count, found): (i64, Vec<Found>) = if of.name == USERS.name {
            let (count, rows) = store::users_at(self.cx, skip, limit).await?;
            (count, rows.into_iter().map(Found::User).collect())
        } else {
            let (count, rows) = store::groups_at(self.cx, skip, limit).await?;
            (count, rows.into_iter().map(Found::Group).collect())
        };
        self.total += count;
        self.skip = (skip - count).max(0);
        for found in found {
            self.put(of, &found).await?;
        }
        Ok(())
    }

    /// Takes of those of a type that a filter picks what is on the page, and counts them all.
    async fn take_such(&mut self, of: &Type, filter: &Filter) -> Result<(), Refusal> {
        let (by, mut after) = (index(filter), String::new());
        let links = filter.mentions(links(of));
        loop {
            let found: Vec<Found> = if of.name == USERS.name {
                let rows = store::users(self.cx, &by, &after, CHUNK).await?;
                rows.into_iter().map(Found::User).collect()
            } else {
                let rows = store::groups(self.cx, &by, &after, CHUNK).await?;
                rows.into_iter().map(Found::Group).collect()
            };
            let Some(last) = found.last() else { return Ok(()) };
            after = last.id().to_owned();
            for found in &found {
                let document = found.document(self.cx, self.base, links).await?;
                if !filter.matches(of.scope, &document) {
                    continue;
                }
                self.total += 1;
                match self.skip {
                    0 => self.put(of, found).await?,
                    _ => self.skip -= 1,
                }
            }
        }
    }

    async fn put(&mut self, of: &Type, found: &Found) -> Result<(), Refusal> {
        if self.left == 0 || self.bytes >= PAGE_BYTES_MAX {
            return Ok(());
        }
        let document = found.document(self.cx, self.base, self.wanted.has(links(of))).await?;
        let item = Value::from(self.wanted.of(of.scope, document));
        self.bytes += item.to_string().len();
        self.left -= 1;
        self.items.push(item);
        Ok(())
    }
}

/// What a resource has of those of the other type.
fn links(of: &Type) -> &'static str {
    if of.name == USERS.name { "groups" } else { "members" }
}

/// What an index finds of all that a filter may pick.
fn index(filter: &Filter) -> By {
    match filter {
        Filter::Compare(path, Op::Eq, Value::String(text)) => {
            let is = |name: &str| matches!(&path.steps[..], [step] if step.eq_ignore_ascii_case(name));
            match () {
                () if is("id") => By::Id(text.clone()),
                () if is("externalId") => By::ExternalId(text.clone()),
                () if is("userName") => By::UserName(fold(text)),
                () => By::Anything,
            }
        }
        Filter::And(all) => all.iter().map(index).find(|by| *by != By::Anything).unwrap_or(By::Anything),
        _ => By::Anything,
    }
}
