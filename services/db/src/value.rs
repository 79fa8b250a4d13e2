//! What goes into statements and comes out of rows, on either store.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Postgres, Row as _, Sqlite};

use super::DbError;

/// An argument of a statement. What is absent has a type too: PostgreSQL asks.
#[derive(Debug, Clone)]
pub enum Value {
    /// `BIGINT`: numbers, times in milliseconds, truth values.
    Int(Option<i64>),
    /// `DOUBLE PRECISION`.
    Real(Option<f64>),
    /// `TEXT`.
    Text(Option<String>),
    /// `BYTEA`.
    Bytes(Option<Vec<u8>>),
}

macro_rules! values {
    ($($from:ty => $to:ident, $convert:expr;)*) => {$(
        impl From<$from> for Value {
            fn from(value: $from) -> Self {
                Self::$to(Some($convert(value)))
            }
        }
        impl From<Option<$from>> for Value {
            fn from(value: Option<$from>) -> Self {
                Self::$to(value.map($convert))
            }
        }
    )*};
}
values! {
    i64 => Int, std::convert::identity;
    i32 => Int, i64::from;
    u32 => Int, i64::from;
    u16 => Int, i64::from;
    bool => Int, i64::from;
    f64 => Real, std::convert::identity;
    String => Text, std::convert::identity;
    &String => Text, String::clone;
    &str => Text, str::to_owned;
    Vec<u8> => Bytes, std::convert::identity;
}

impl Value {
    /// JSON in a `TEXT` column.
    pub fn json(value: &impl Serialize) -> Self {
        Self::Text(serde_json::to_string(value).ok())
    }
}

macro_rules! bound {
    ($name:ident, $db:ty, $arguments:ty) => {
        /// The statement with its arguments.
        pub(super) fn $name(sql: &'static str, args: Vec<Value>) -> Query<'static, $db, $arguments> {
            args.into_iter().fold(sqlx::query::<$db>(sql), |query, value| match value {
                Value::Int(v) => query.bind(v),
                Value::Real(v) => query.bind(v),
                Value::Text(v) => query.bind(v),
                Value::Bytes(v) => query.bind(v),
            })
        }
    };
}
bound!(bound_lite, Sqlite, SqliteArguments);
bound!(bound_pg, Postgres, PgArguments);

/// A row that a statement found.
#[derive(Debug)]
pub enum Row {
    /// Of SQLite.
    Lite(SqliteRow),
    /// Of PostgreSQL.
    Pg(PgRow),
}

impl Row {
    /// The value of a column.
    ///
    /// # Errors
    /// When there is no such column, or it holds something else.
    pub fn get<T: Column>(&self, name: &str) -> Result<T, DbError> {
        T::read(self, name)
    }

    /// A column of JSON.
    ///
    /// # Errors
    /// As [`Row::get`].
    pub fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T, DbError> {
        serde_json::from_str(&self.get::<String>(name)?).map_err(|_| DbError::Column(name.to_owned()))
    }
}

/// What a column can hold.
pub trait Column: Sized {
    /// Reads it.
    ///
    /// # Errors
    /// When there is no such column, or it holds something else.
    fn read(row: &Row, name: &str) -> Result<Self, DbError>;
}

macro_rules! columns {
    ($($t:ty),*) => {$(
        impl Column for $t {
            fn read(row: &Row, name: &str) -> Result<Self, DbError> {
                Ok(match row {
                    Row::Lite(row) => row.try_get(name)?,
                    Row::Pg(row) => row.try_get(name)?,
                })
            }
        }
    )*};
}
columns!(i64, f64, String, Vec<u8>, Option<i64>, Option<f64>, Option<String>, Option<Vec<u8>>);

impl Column for bool {
    fn read(row: &Row, name: &str) -> Result<Self, DbError> {
        Ok(i64::read(row, name)? != 0)
    }
}

/// What a row is read into; [`row!`](crate::row) writes it.
pub trait FromRow: Sized {
    /// Reads it.
    ///
    /// # Errors
    /// When a column is missing or holds something else.
    fn from_row(row: &Row) -> Result<Self, DbError>;
}

impl FromRow for () {
    fn from_row(_: &Row) -> Result<Self, DbError> {
        Ok(())
    }
}

/// A row of one column, which is called `n`.
impl FromRow for i64 {
    fn from_row(row: &Row) -> Result<Self, DbError> {
        row.get("n")
    }
}

/// Arguments of a statement: `args![id, now_ms]`.
#[macro_export]
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$($crate::Value::from($value)),*] };
}

/// Says that the columns of a row have the names of the fields: `row!(Note { id, text })`; `json field` is a column of
/// JSON.
#[macro_export]
macro_rules! row {
    ($name:ident { $($field:ident),* $(,)? } $(json { $($json:ident),* $(,)? })?) => {
        impl $crate::FromRow for $name {
            fn from_row(row: &$crate::Row) -> Result<Self, $crate::DbError> {
                Ok(Self {
                    $($field: row.get(stringify!($field))?,)*
                    $($($json: row.json(stringify!($json))?,)*)?
                })
            }
        }
    };
}
