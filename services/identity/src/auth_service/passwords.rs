//! Passwords: Argon2id (RFC 9106) with 19 MiB and two passes, one at a time.
//!
//! A crowd that signs in must not take the machine from viewers: one thread hashes, at the lowest priority, and so many wait
//! for it at most. (Idle priority spares viewers no more, and keeps everybody out of a machine that is never idle.)
//! Who does not exist is hashed for too.

use std::sync::LazyLock;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use nx_chassis::Problem;
use tokio::sync::oneshot;

/// Passwords that wait for the thread: some ten seconds of its work.
const WAITING_MAX: usize = 256;

enum Work {
    Hash { password: String, done: oneshot::Sender<Option<String>> },
    Verify { password: String, hash: Option<String>, done: oneshot::Sender<bool> },
}

static THREAD: LazyLock<SyncSender<Work>> = LazyLock::new(|| {
    let (sender, receiver) = sync_channel(WAITING_MAX);
    let started = std::thread::Builder::new().name("passwords".into()).spawn(move || serve(&receiver));
    if let Err(error) = started {
        tracing::error!(%error, "there is no thread for passwords: nobody can sign in");
    }
    sender
});

fn serve(work: &Receiver<Work>) {
    #[cfg(target_os = "linux")] // Elsewhere it is the priority of the whole process.
    let _ = rustix::process::setpriority_process(None, 19);
    let argon2 = Argon2::default();
    let hash = |password: &str| {
        argon2.hash_password(password.as_bytes()).ok().map(|hash: PasswordHash| hash.to_string())
    };
    // Of nobody.
    let decoy = hash("nobody has this password").unwrap_or_default();
    while let Ok(work) = work.recv() {
        match work {
            // Who asked has gone.
            Work::Hash { done, .. } if done.is_closed() => {}
            Work::Verify { done, .. } if done.is_closed() => {}
            Work::Hash { password, done } => drop(done.send(hash(&password))),
            Work::Verify { password, hash, done } => {
                let known = hash.is_some();
                let hash = hash.as_ref().unwrap_or(&decoy);
                let right = PasswordHash::new(hash)
                    .is_ok_and(|hash| argon2.verify_password(password.as_bytes(), &hash).is_ok());
                let _ = done.send(right && known);
            }
        }
    }
}

/// What is kept of a password.
///
/// # Errors
/// 503 when too many wait.
pub(super) async fn hash(password: String) -> Result<String, Problem> {
    let (done, answer) = oneshot::channel();
    ask(Work::Hash { password, done })?;
    answer.await.ok().flatten().ok_or_else(|| Problem::internal("a password could not be hashed"))
}

/// Whether `password` is the one of `hash`; never, where there is none, and that takes as long.
///
/// # Errors
/// 503 when too many wait.
pub(super) async fn is(password: String, hash: Option<String>) -> Result<bool, Problem> {
    let (done, answer) = oneshot::channel();
    ask(Work::Verify { password, hash, done })?;
    answer.await.map_err(Problem::internal)
}

fn ask(work: Work) -> Result<(), Problem> {
    THREAD.try_send(work).map_err(|error| match error {
        TrySendError::Full(_) => {
            Problem::unavailable("busy", "too many sign in at this moment: try again", 5)
        }
        TrySendError::Disconnected(_) => Problem::internal("there is no thread for passwords"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_known_again_and_nobody_has_none() {
        let kept = hash("correct horse".into()).await.expect("hashed");
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
        for (password, hash, right) in [
            ("correct horse", Some(kept.clone()), true),
            ("correct horsf", Some(kept), false),
            ("nobody has this password", None, false),
            ("x", Some("no hash at all".into()), false),
        ] {
            assert_eq!(is(password.into(), hash).await.expect("looked at"), right, "{password}");
        }
    }
}
