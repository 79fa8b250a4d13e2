//! The writer of SQLite: one connection, taken in turns, committed in groups.
//!
//! A turn is a savepoint of the open transaction. Who has run its statements gives the connection to the next in line and
//! lines up again, to commit; whoever comes first then commits what all have done. So sixty writers that come at once
//! cost one `fsync`, nobody sees a busy database, and a lone writer waits for nobody.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, raw_sql};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::DbError;

pub(super) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        // What is deleted is not left in the file: keys, and what people had erased.
        .pragma("secure_delete", "ON")
        .disable_statement_logging()
}

#[derive(Debug, Clone)]
pub(super) struct Writer(Arc<Mutex<State>>);

/// Whether the transaction of a group was committed; unset while it is open.
type Group = Arc<OnceLock<bool>>;

#[derive(Debug)]
struct State {
    /// `None` once closed.
    connection: Option<SqliteConnection>,
    /// Those who share the open transaction.
    group: Option<Group>,
    /// A turn has begun and not ended; it was dropped when another finds this.
    in_turn: bool,
}

impl Writer {
    pub(super) async fn open(path: &Path) -> Result<Self, DbError> {
        let connection = options(path).create_if_missing(true).connect().await?;
        Ok(Self(Arc::new(Mutex::new(State { connection: Some(connection), group: None, in_turn: false }))))
    }

    pub(super) async fn begin(&self) -> Result<Turn, DbError> {
        let mut state = self.0.clone().lock_owned().await;
        state.undo_dropped().await;
        let group = match &state.group {
            Some(group) => group.clone(),
            None => {
                let group = Group::default();
                state.group = Some(group.clone());
                if let Err(error) = state.run("BEGIN IMMEDIATE").await {
                    state.group = None;
                    return Err(error);
                }
                group
            }
        };
        state.in_turn = true;
        state.run("SAVEPOINT turn").await?;
        Ok(Turn { writer: self.clone(), state, group })
    }

    /// Commits what the group has done, unless somebody has.
    async fn commit(self, group: Group) -> Result<(), DbError> {
        // Those who were in line before us have run meanwhile.
        let mut state = self.0.lock().await;
        state.undo_dropped().await;
        if group.get().is_none() {
            let done = state.run("COMMIT").await;
            if let Err(error) = &done {
                tracing::error!(%error, "a group of transactions was not committed");
                let _ = state.run("ROLLBACK").await;
            }
            state.end(done.is_ok());
        }
        if group.get() == Some(&true) { Ok(()) } else { Err(DbError::NotCommitted) }
    }

    pub(super) async fn close(&self) {
        let mut state = self.0.lock().await;
        state.undo_dropped().await;
        if state.group.is_some() {
            let done = state.run("COMMIT").await.is_ok();
            state.end(done);
        }
        if let Some(connection) = state.connection.take() {
            let _ = connection.close().await;
        }
    }
}

impl State {
    fn connection(&mut self) -> Result<&mut SqliteConnection, DbError> {
        self.connection.as_mut().ok_or_else(|| DbError::Open("it has been closed".into()))
    }

    async fn run(&mut self, sql: &'static str) -> Result<(), DbError> {
        raw_sql(sql).execute(self.connection()?).await?;
        Ok(())
    }

    /// Undoes a turn that was given up; where that cannot be, nobody's of the group is kept.
    async fn undo_dropped(&mut self) {
        if !self.in_turn {
            return;
        }
        if self.run("ROLLBACK TO turn; RELEASE turn").await.is_err() {
            let _ = self.run("ROLLBACK").await;
            self.end(false);
        }
        self.in_turn = false;
    }

    fn end(&mut self, committed: bool) {
        if let Some(group) = self.group.take() {
            let _ = group.set(committed);
        }
    }
}

/// The connection, until it is the next one's turn.
#[derive(Debug)]
pub(crate) struct Turn {
    writer: Writer,
    state: OwnedMutexGuard<State>,
    group: Group,
}

impl Turn {
    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        self.state
            .connection
            .as_mut()
            .expect("a turn begins with a connection, which only close takes, out of turn")
    }

    pub(super) async fn commit(mut self) -> Result<(), DbError> {
        self.state.run("RELEASE turn").await?;
        self.state.in_turn = false;
        let Self { writer, state, group } = self;
        drop(state);
        // By itself, so that a caller who gives up here leaves no transaction that seems open.
        tokio::spawn(writer.commit(group)).await.unwrap_or(Err(DbError::NotCommitted))
    }
}
