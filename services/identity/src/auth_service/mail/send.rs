//! The job that sends a link: it finds out whether there is somebody to send it to, and whether they are who asked.

use nx_chassis::{Ctx, Job, NewJob, Problem, args};
use nx_webhooks::Sender;
use serde::{Deserialize, Serialize};

use super::Kept;
use crate::auth_service::links;
use crate::auth_service::store::Credential;
use crate::hash;

pub(crate) const JOB: &str = "mail";
/// Pause between rounds of tries, milliseconds: servers that make strangers wait do so for minutes.
const AGAIN_MS: i64 = 300_000;

/// What a link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Purpose {
    Confirm,
    Enter,
    Reset,
}

impl Purpose {
    /// Its name in the store and in the fragment of the page.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Confirm => "confirm",
            Self::Enter => "enter",
            Self::Reset => links::RESET,
        }
    }

    /// How long it holds, milliseconds, and in words; what the mail is called, and what the link does.
    fn about(self) -> (i64, &'static str, &'static str, &'static str) {
        match self {
            Self::Confirm => {
                (86_400_000, "a day", "Confirm your address", "confirms that this is the address of")
            }
            Self::Enter => (900_000, "15 minutes", "Sign in", "signs you in as"),
            Self::Reset => {
                (3_600_000, "an hour", "Choose a new password", "lets you choose a new password for")
            }
        }
    }
}

/// What a job is told. Addresses of people do not lie about in the list of jobs.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Wish {
    purpose: Purpose,
    /// Where it goes, if anybody has it, sealed.
    mail: Vec<u8>,
    /// Whose it shall be, and what they had to sign in with when they asked.
    own: Option<(String, String)>,
    /// Where links lead.
    site: String,
    asked_ms: i64,
}

const PLACE: &str = "address of a wish";

impl Wish {
    pub(super) fn new(
        cx: &Ctx,
        purpose: Purpose,
        mail: &str,
        own: Option<(String, String)>,
        site: String,
    ) -> Result<Self, Problem> {
        let mail = cx.vault().close(PLACE, mail.as_bytes())?;
        Ok(Self { purpose, mail, own, site, asked_ms: cx.now_ms() })
    }
}

/// What somebody signs in with, as it can be compared and not be read.
pub(super) fn standing(cx: &Ctx, kept: &Credential) -> String {
    cx.vault().tag(&kept.password)
}

/// Sends a link, if there is somebody to send it to.
pub(crate) async fn send(cx: Ctx, job: Job, sender: Sender) -> Result<(), Problem> {
    let wish: Wish = job.body()?;
    let sent = try_to(&cx, &job, &wish, &sender).await;
    if sent.is_err() && job.is_last_try() {
        let mut tx = cx.begin();
        tx.enqueue(NewJob::new(JOB, &wish).due(cx.now_ms() + AGAIN_MS)).await?;
        return Ok(tx.commit().await?);
    }
    sent
}

async fn try_to(cx: &Ctx, job: &Job, wish: &Wish, sender: &Sender) -> Result<(), Problem> {
    let (lasts_ms, lasts, title, does) = wish.purpose.about();
    let ends_ms = wish.asked_ms + lasts_ms;
    if ends_ms <= cx.now_ms() {
        return Ok(());
    }
    let mail = String::from_utf8(cx.vault().open(PLACE, &wish.mail)?).map_err(Problem::internal)?;
    let kind = wish.purpose.kind();
    // Another in every try, so that none works twice, whatever became of the last.
    let token = nx_chassis::fresh()?;
    let mut tx = cx.begin();
    let person = match &wish.own {
        Some((person, _)) => person.clone(),
        None => {
            let sql = "UPDATE address SET mail = mail WHERE mail = $1 RETURNING person_id, mail";
            let Some(kept) = tx.one::<Kept>(sql, args![&mail]).await? else { return Ok(()) };
            kept.person_id
        }
    };
    let sql = "UPDATE credential SET handle = handle WHERE person_id = $1 RETURNING *";
    let Some(kept) = tx.one::<Credential>(sql, args![&person]).await? else { return Ok(()) };
    // Whoever has another password now has not asked for this.
    if wish.own.as_ref().is_some_and(|(_, stood)| *stood != standing(cx, &kept)) {
        return Ok(());
    }
    let sql = "DELETE FROM link WHERE kind = $1 AND person_id = $2 AND mail IS NOT NULL";
    tx.run(sql, args![kind, &person]).await?;
    let sql = "INSERT INTO link (id, hash, kind, person_id, roles, claimed_ms, ends_ms, mail) \
               VALUES ($1, $2, $3, $4, '[]', 0, $5, $6)";
    tx.run(sql, args![cx.new_id(), hash(&token), kind, &person, ends_ms, &mail]).await?;
    tx.commit().await?;
    let (site, handle) = (&wish.site, &kept.handle);
    let text = format!(
        "Somebody, you we hope, has asked for this link at {site}. It {does} {handle}, once, within {lasts}:\n\n\
         {site}/account#{kind}={token}\n\n\
         If that was not you, there is nothing to do: without the link nothing happens.\n"
    );
    sender.mail(&job.id, &mail, &format!("Nexus COS: {title}"), text).await
}
