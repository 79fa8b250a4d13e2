//! Brings a store to the form that the service expects: what has not run yet is run, once.

use sha2::{Digest, Sha256};

use super::{Db, DbError};
use crate::args;

const LIST: &str = "CREATE TABLE IF NOT EXISTS chassis_migration (owner TEXT, nth BIGINT, digest TEXT, PRIMARY KEY (owner, nth))";

struct Ran {
    nth: i64,
    digest: String,
}
crate::row!(Ran { nth, digest });

impl Db {
    /// Runs the migrations that have not run here, those of each owner in their order.
    ///
    /// # Errors
    /// When one fails, or one that has run is another now.
    pub async fn migrate(&self, all: &[(&'static str, &[&'static str])]) -> Result<(), DbError> {
        let mut open = self.begin().await?;
        // Several nodes may start at once: the others wait here.
        open.script(self.pick("SELECT 1", "SELECT pg_advisory_xact_lock(hashtext(current_schema()))"))
            .await?;
        open.script(LIST).await?;
        for &(owner, scripts) in all {
            let sql = "SELECT nth, digest FROM chassis_migration WHERE owner = $1";
            let ran: Vec<Ran> = open.all(sql, args![owner]).await?;
            for (nth, script) in scripts.iter().enumerate() {
                let digest =
                    Sha256::digest(script.as_bytes()).iter().map(|b| format!("{b:02x}")).collect::<String>();
                let place = i64::try_from(nth).unwrap_or(i64::MAX);
                match ran.iter().find(|r| r.nth == place) {
                    Some(before) if before.digest == digest => {}
                    Some(_) => return Err(DbError::Migration { owner, nth }),
                    None => {
                        open.script(script).await?;
                        let sql = "INSERT INTO chassis_migration (owner, nth, digest) VALUES ($1, $2, $3)";
                        open.run(sql, args![owner, place, digest]).await?;
                    }
                }
            }
        }
        open.commit().await
    }
}
