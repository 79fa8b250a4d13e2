//! The chassis under two small services: a till that sells, and a book that hears of it. Every scene on both stores.

mod kill;
mod scenes;

use garde::Validate;
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::test::{Postgres, TestApp};
use crate::{
    Api, Body, Created, Ctx, Event, IfMatch, Job, List, NewJob, Page, Path, Problem, Service, Tagged, Tx,
    args, row,
};

const SOLD: &str = "cos.test.item.sold.v1";

/// `item` `"bad"` is refused after it was written; `"panic"` and `"hang"` do what they say.
#[derive(Debug, Serialize, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewSale {
    #[garde(length(min = 1, max = 20))]
    item: String,
    #[garde(range(min = 1, max = 100))]
    count: i64,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Sale {
    id: String,
    item: String,
    count: i64,
    version: i64,
}
row!(Sale { id, item, count, version });

pub(crate) fn till() -> Service {
    Service::new("till")
        .migration("CREATE TABLE sale (id TEXT PRIMARY KEY, item TEXT NOT NULL, count BIGINT NOT NULL, version BIGINT NOT NULL)")
        .emits(SOLD)
        .api(Api::new().post_once("/sales", sell).get("/sales", sales).get("/sales/{id}", sale).patch("/sales/{id}", amend))
}

async fn sell(mut tx: Tx, cx: Ctx, Body(new): Body<NewSale>) -> Result<Created<Sale>, Problem> {
    let sale = Sale { id: crate::new_id(cx.now_ms()), item: new.item, count: new.count, version: 1 };
    let args = args![&sale.id, &sale.item, sale.count];
    tx.run("INSERT INTO sale (id, item, count, version) VALUES ($1, $2, $3, 1)", args).await?;
    match sale.item.as_str() {
        "bad" => return Err(Problem::conflict("bad", "nobody sells that")),
        "panic" => panic!("as asked for"),
        "hang" => std::future::pending().await,
        _ => {}
    }
    tx.emit(SOLD, &sale.item, &sale).await?;
    Ok(Created { location: sale.id.clone(), body: sale })
}

async fn sales(cx: Ctx, page: Page) -> Result<List<Sale>, Problem> {
    let sql = "SELECT * FROM sale WHERE id > $1 ORDER BY id LIMIT $2";
    Ok(List::of(&page, cx.db().all(sql, args![&page.after, page.rows()]).await?, |sale| &sale.id))
}

async fn sale(cx: Ctx, Path(id): Path<String>) -> Result<Tagged<Sale>, Problem> {
    if id == "fault" {
        return Err(Problem::internal("as asked for"));
    }
    let found: Option<Sale> = cx.db().one("SELECT * FROM sale WHERE id = $1", args![id]).await?;
    let body = found.ok_or_else(|| Problem::not_found("no such sale"))?;
    Ok(Tagged { version: body.version, body })
}

async fn amend(
    mut tx: Tx,
    Path(id): Path<String>,
    IfMatch(version): IfMatch,
    Body(new): Body<NewSale>,
) -> Result<Tagged<Sale>, Problem> {
    let sql = "UPDATE sale SET item = $1, count = $2, version = version + 1 WHERE id = $3 AND version = $4 RETURNING *";
    let changed: Option<Sale> = tx.one(sql, args![new.item, new.count, id, version]).await?;
    let body = changed.ok_or_else(Problem::stale)?;
    Ok(Tagged { version: body.version, body })
}

/// One heard sale: `nth` in the order of hearing.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Line {
    nth: i64,
    item: String,
    count: i64,
}
row!(Line { nth, item, count });

pub(crate) fn book() -> Service {
    Service::new("book")
        .migration("CREATE TABLE line (nth BIGINT PRIMARY KEY, item TEXT NOT NULL, count BIGINT NOT NULL)")
        .migration("CREATE TABLE broken (item TEXT PRIMARY KEY)")
        .on(SOLD, heard)
        .job("audit", audit)
        .every("0 3 * * *", "audit")
        .needs("till")
        .api(
            Api::new()
                .get("/lines", lines)
                .get("/sales/{id}", look_up)
                .post("/broken/{item}", break_item)
                .post("/audits", ask),
        )
}

async fn heard(tx: &mut Tx, event: Event) -> Result<(), Problem> {
    let sale: Sale = event.data()?;
    write(tx, &sale.item, sale.count).await?;
    fail_if_broken(tx, &sale.item).await
}

/// A line in the book.
async fn write(tx: &mut Tx, item: &str, count: i64) -> Result<(), Problem> {
    let sql = "INSERT INTO line (nth, item, count) SELECT COALESCE(MAX(nth), 0) + 1, $1, $2 FROM line";
    tx.run(sql, args![item, count]).await?;
    Ok(())
}

async fn fail_if_broken(tx: &mut Tx, item: &str) -> Result<(), Problem> {
    let broken: Option<()> = tx.one("SELECT 1 AS n FROM broken WHERE item = $1", args![item]).await?;
    broken.map_or(Ok(()), |()| Err(Problem::internal("broken")))
}

async fn lines(cx: Ctx) -> Result<crate::Json<Vec<Line>>, Problem> {
    Ok(crate::Json(cx.db().all("SELECT * FROM line ORDER BY nth", Vec::new()).await?))
}

/// Asks the till.
async fn look_up(cx: Ctx, Path(id): Path<String>) -> Result<crate::Json<Sale>, Problem> {
    Ok(crate::Json(cx.call("till")?.get(&format!("/v1/sales/{id}")).await?))
}

/// Breaks an item, or mends it.
async fn break_item(mut tx: Tx, Path(item): Path<String>) -> Result<StatusCode, Problem> {
    if tx.run("DELETE FROM broken WHERE item = $1", args![&item]).await? == 0 {
        tx.run("INSERT INTO broken (item) VALUES ($1)", args![&item]).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn ask(mut tx: Tx) -> Result<crate::Json<Option<String>>, Problem> {
    Ok(crate::Json(tx.enqueue(NewJob::new("audit", &()).unique("asked")).await?))
}

async fn audit(cx: Ctx, job: Job) -> Result<(), Problem> {
    job.progress(&cx, 50).await?;
    let mut tx = cx.begin();
    write(&mut tx, "audit", job.attempts).await?;
    fail_if_broken(&mut tx, "audit").await?;
    Ok(tx.commit().await?)
}

fn sale_of(item: &str, count: i64) -> NewSale {
    NewSale { item: item.into(), count }
}

impl TestApp {
    async fn sell(&self, key: &str, item: &str, count: i64) -> crate::test::Answer {
        self.send(http::Method::POST, "/till/v1/sales", &[("idempotency-key", key)], &sale_of(item, count))
            .await
    }

    /// Items and counts in the book, in the order of hearing.
    async fn lines(&self) -> Vec<(String, i64)> {
        let lines: Vec<Line> =
            serde_json::from_value(self.get("/book/v1/lines").await.is(200).clone()).expect("lines");
        lines.into_iter().map(|l| (l.item, l.count)).collect()
    }
}

/// Runs each scene on SQLite, and all of them on one PostgreSQL.
macro_rules! scenes {
    ($($name:ident),*) => {
        $(#[tokio::test]
        async fn $name() {
            scenes::$name(TestApp::new(vec![till(), book()]).await).await;
        })*

        #[tokio::test]
        async fn the_same_on_postgresql() {
            let postgres = Postgres::start();
            $(scenes::$name(TestApp::on(&postgres, vec![till(), book()]).await).await;)*
        }
    };
}
scenes!(
    fifty_equal_requests_have_one_effect,
    a_key_is_for_one_request,
    an_error_undoes_everything,
    the_second_of_two_changes_is_told,
    lists_come_in_pages,
    what_is_wrong_is_named,
    events_come_in_order_and_once,
    what_fails_for_good_is_laid_aside_and_replayed,
    jobs_are_tried_again_and_come_by_themselves,
    many_writers_get_no_error,
    a_panic_and_a_hang_cost_their_own_requests,
    a_breaker_stands_before_a_service_that_fails
);

#[tokio::test]
async fn a_store_of_another_version_is_said_in_words() {
    let app = TestApp::new(vec![]).await;
    let open = |script| {
        let (config, folder) = (crate::Config::default(), app.folder().join("versions"));
        let till = vec![Service::new("till").migration(script)];
        async move { crate::Ring::start(&config, &folder, till, crate::Run::All).await }
    };
    drop(open("CREATE TABLE sale (id TEXT)").await.expect("starts"));
    let said = open("CREATE TABLE sale (id BIGINT)").await.err().expect("it does not start");
    assert!(said.starts_with("service till: ") && said.contains("another version of this program"), "{said}");
}
