//! The store of a service: SQLite in a file of its own, or PostgreSQL in a schema of its own, from one text of SQL.
//!
//! What runs on both: `TEXT`, `BIGINT`, `DOUBLE PRECISION` and `BYTEA` columns, `$1 … $n`, `RETURNING`, `ON CONFLICT`;
//! times are milliseconds, truth values 0 and 1, JSON is text. `SUM` of a `BIGINT` is `CAST` back to `BIGINT`. After a
//! statement that failed, PostgreSQL takes no other in the transaction: give it up.

mod lite;
mod migrate;
mod time;
mod value;

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqlitePool, SqlitePoolOptions};
use sqlx::{Postgres, Sqlite};

pub use time::Time;
pub use value::{Column, FromRow, Row, Value};
use value::{bound_lite, bound_pg};

/// Connections of one service that read; bounded, as each is a thread (SQLite) or a process (PostgreSQL).
const READERS_MAX: u32 = 2;
/// Connections of one service to PostgreSQL.
const PG_MAX: u32 = 4;

/// The store failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DbError {
    /// A statement did.
    #[error("{0}")]
    Sql(#[from] sqlx::Error),
    /// The group of transactions that ours belonged to was not committed.
    #[error("the transaction was not committed")]
    NotCommitted,
    /// A migration that has run is not the one we have.
    #[error(
        "migration {nth} of {owner} ran here in another form: another version of this program made the store; use that, or a copy of before"
    )]
    Migration {
        /// Whose.
        owner: &'static str,
        /// Which, from 0.
        nth: usize,
    },
    /// A column does not hold what it should.
    #[error("column {0} holds something else")]
    Column(String),
    /// The folder or the address cannot be used.
    #[error("the store cannot be opened: {0}")]
    Open(String),
}

impl DbError {
    /// Whether a row with the same key is there already.
    #[must_use]
    pub fn is_unique(&self) -> bool {
        matches!(self, Self::Sql(sqlx::Error::Database(e)) if e.is_unique_violation())
    }
}

/// Where a service keeps what it knows.
#[derive(Debug, Clone)]
pub struct Db(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Lite { write: lite::Writer, read: SqlitePool },
    Pg(PgPool),
}

impl Db {
    /// A file of SQLite, made when it is not there.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub async fn lite(path: &Path) -> Result<Self, DbError> {
        let write = lite::Writer::open(path).await?;
        let read =
            SqlitePoolOptions::new().max_connections(READERS_MAX).idle_timeout(Duration::from_secs(60));
        Ok(Self(Kind::Lite { write, read: read.connect_lazy_with(lite::options(path).read_only(true)) }))
    }

    /// A schema of PostgreSQL, made when it is not there. `url` is `postgres://USER@HOST/DATABASE`.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn postgres(url: &str, schema: &str) -> Result<Self, DbError> {
        let options = PgConnectOptions::from_str(url)?.options([("search_path", schema)]);
        let pool = PgPoolOptions::new().max_connections(PG_MAX).idle_timeout(Duration::from_secs(60));
        let pool = pool.acquire_timeout(Duration::from_secs(5)).connect_with(options).await?;
        // Two that make it at once: one is told that it is there.
        let made = sqlx::query(sqlx::AssertSqlSafe(format!("CREATE SCHEMA IF NOT EXISTS \"{schema}\"")));
        match made.execute(&pool).await.map_err(DbError::from) {
            Err(error) if !error.is_unique() => Err(error),
            _ => Ok(Self(Kind::Pg(pool))),
        }
    }

    /// Every row that a reading statement finds.
    ///
    /// # Errors
    /// When the statement fails or a row has another shape.
    pub async fn all<T: FromRow>(&self, sql: &'static str, args: Vec<Value>) -> Result<Vec<T>, DbError> {
        let rows: Vec<Row> = match &self.0 {
            Kind::Lite { read, .. } => lite_rows(bound_lite(sql, args).fetch_all(read).await?),
            Kind::Pg(pool) => pg_rows(bound_pg(sql, args).fetch_all(pool).await?),
        };
        rows.iter().map(T::from_row).collect()
    }

    /// The first row that a reading statement finds.
    ///
    /// # Errors
    /// As [`Db::all`].
    pub async fn one<T: FromRow>(&self, sql: &'static str, args: Vec<Value>) -> Result<Option<T>, DbError> {
        Ok(self.all(sql, args).await?.into_iter().next())
    }

    /// Begins a transaction that writes. On SQLite there is one at a time; those that wait are committed together.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn begin(&self) -> Result<Open, DbError> {
        Ok(Open(match &self.0 {
            Kind::Lite { write, .. } => Kept::Lite(write.begin().await?),
            Kind::Pg(pool) => Kept::Pg(pool.begin().await?),
        }))
    }

    /// Closes every connection.
    pub async fn close(&self) {
        match &self.0 {
            Kind::Lite { write, read } => {
                read.close().await;
                write.close().await;
            }
            Kind::Pg(pool) => pool.close().await,
        }
    }

    /// What only one of the two can say: how a row that another worker has is passed over.
    #[must_use]
    pub fn pick(&self, lite: &'static str, pg: &'static str) -> &'static str {
        if matches!(self.0, Kind::Lite { .. }) { lite } else { pg }
    }
}

/// An open transaction; dropped, it is undone.
#[derive(Debug)]
pub struct Open(Kept);

#[derive(Debug)]
enum Kept {
    Lite(lite::Turn),
    Pg(sqlx::Transaction<'static, Postgres>),
}

impl Open {
    /// Every row that a statement finds or returns.
    ///
    /// # Errors
    /// When the statement fails or a row has another shape.
    pub async fn all<T: FromRow>(&mut self, sql: &'static str, args: Vec<Value>) -> Result<Vec<T>, DbError> {
        let rows: Vec<Row> = match &mut self.0 {
            Kept::Lite(turn) => lite_rows(bound_lite(sql, args).fetch_all(turn.connection()).await?),
            Kept::Pg(tx) => pg_rows(bound_pg(sql, args).fetch_all(&mut **tx).await?),
        };
        rows.iter().map(T::from_row).collect()
    }

    /// Runs a statement and says how many rows it touched.
    ///
    /// # Errors
    /// When it fails.
    pub async fn run(&mut self, sql: &'static str, args: Vec<Value>) -> Result<u64, DbError> {
        Ok(match &mut self.0 {
            Kept::Lite(turn) => bound_lite(sql, args).execute(turn.connection()).await?.rows_affected(),
            Kept::Pg(tx) => bound_pg(sql, args).execute(&mut **tx).await?.rows_affected(),
        })
    }

    /// Runs statements without arguments.
    async fn script(&mut self, sql: &'static str) -> Result<(), DbError> {
        match &mut self.0 {
            Kept::Lite(turn) => sqlx::raw_sql(sql).execute(turn.connection()).await.map(|_| ())?,
            Kept::Pg(tx) => sqlx::raw_sql(sql).execute(&mut **tx).await.map(|_| ())?,
        }
        Ok(())
    }

    /// Returns when it is on disk.
    ///
    /// # Errors
    /// When it could not be kept; then nothing is.
    pub async fn commit(self) -> Result<(), DbError> {
        match self.0 {
            Kept::Lite(turn) => turn.commit().await,
            Kept::Pg(tx) => Ok(tx.commit().await?),
        }
    }
}

fn lite_rows(rows: Vec<<Sqlite as sqlx::Database>::Row>) -> Vec<Row> {
    rows.into_iter().map(Row::Lite).collect()
}

fn pg_rows(rows: Vec<<Postgres as sqlx::Database>::Row>) -> Vec<Row> {
    rows.into_iter().map(Row::Pg).collect()
}
