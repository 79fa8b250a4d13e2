//! What every service of the ring stands on, so that a service is its entities, its rules, its routes and its events.
//!
//! | a service declares ([`Service`]) | and gets ([`Ctx`]) |
//! | --- | --- |
//! | its name in the catalogue | a place under `/api/NAME`, calls to what the catalogue says it needs ([`Call`]) |
//! | migrations | a store: SQLite or PostgreSQL from one text of SQL ([`Db`], [`Tx`]) |
//! | routes ([`Api`]) | OpenAPI, validation, problem documents, request ids, traces, deadlines, health, metrics |
//! | events out and in | an outbox and an inbox: the effect of each exactly once, in the order of its subject |
//! | jobs | durable, leased, tried again; at the times of a cron expression |
//!
//! What is between processes lies beside it: the bus in `nx-bus`; instances, breakers and the clock in `nx-mesh`.

mod caller;
mod ctx;
mod events;
mod http;
mod jobs;
mod mesh;
mod problem;
mod pulse;
mod ring;
mod service;
#[cfg(any(test, feature = "test-util"))]
pub mod test;
mod tx;

pub use axum::Json;
pub use axum::body::Body as RawBody;
pub use axum::extract::Path;
pub use chrono_tz::Tz;

pub use caller::{CLIENT, Caller, REACHED};
pub use ctx::Ctx;
pub use events::{Event, Reaction};
pub use http::{Api, Created, Describe, IfMatch, JsonBody as Body, List, Operation, Page, ShownOnce, Tagged};
pub use jobs::{Job, NewJob};
pub use mesh::Call;
pub use nx_db::{Column, Db, DbError, FromRow, Row, Time, Value, args, row};
pub use nx_mesh::{Clock, Config, Cron, Secret, Threads, Vault, VaultError, fresh, hex, new_id, zone};
pub use problem::Problem;
pub use pulse::Pulse;
pub use ring::{Ring, Run};
pub use service::Service;
pub use tx::Tx;

#[cfg(test)]
mod tests;
