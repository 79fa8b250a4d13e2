//! Attempts to get in, counted before they are looked at: who asks fifty times at once has asked fifty times.

use nx_chassis::{Ctx, DbError, Problem, Tx, args, row};

use super::rules::{Attempts, Patience};

row!(Attempts { count, next_ms, last_ms });

/// Names under which failures of one attempt count, in the order in which they are locked.
pub(super) type Names = Vec<(String, Patience)>;

/// Lets an attempt pass, and counts it under every name as a failure, which [`succeeded`] takes back.
///
/// # Errors
/// 429 with the time to wait.
pub(super) async fn count(cx: &Ctx, names: &Names) -> Result<(), Problem> {
    let (mut tx, now_ms) = (cx.begin(), cx.now_ms());
    for (name, patience) in names {
        let so_far = lock(&mut tx, name).await?;
        let now = so_far.another(*patience, now_ms).map_err(too_many)?;
        let sql = "UPDATE attempt SET count = $1, next_ms = $2, last_ms = $3 WHERE name = $4";
        tx.run(sql, args![now.count, now.next_ms, now.last_ms, name]).await?;
    }
    Ok(tx.commit().await?)
}

/// It was no failure: under the first name nothing is held against them any more, under the others one less.
pub(super) async fn succeeded(tx: &mut Tx, names: &Names) -> Result<(), DbError> {
    for (at, (name, _)) in names.iter().enumerate() {
        match at {
            0 => tx.run("DELETE FROM attempt WHERE name = $1", args![name]).await?,
            _ => one_less(tx, name).await?,
        };
    }
    Ok(())
}

/// One of those under this name was no failure.
pub(super) async fn one_less(tx: &mut Tx, name: &str) -> Result<u64, DbError> {
    tx.run("UPDATE attempt SET count = count - 1 WHERE name = $1 AND count > 0", args![name]).await
}

/// What is known under a name; nobody else counts there until the transaction ends.
async fn lock(tx: &mut Tx, name: &str) -> Result<Attempts, DbError> {
    let sql = "INSERT INTO attempt (name, count, next_ms, last_ms) VALUES ($1, 0, 0, 0) \
               ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING count, next_ms, last_ms";
    Ok(tx.one(sql, args![name]).await?.unwrap_or_default())
}

fn too_many(wait_ms: i64) -> Problem {
    let seconds = u32::try_from(wait_ms.div_euclid(1000) + 1).unwrap_or(u32::MAX);
    let text = format!("too many tries that failed: wait {seconds} seconds");
    let problem = Problem::new(http::StatusCode::TOO_MANY_REQUESTS, "too-many-tries", text);
    Problem { retry_after_s: Some(seconds), ..problem }
}
