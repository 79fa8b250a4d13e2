//! What services tell people and programs outside: webhooks (Standard Webhooks 1.0) and mail.
//!
//! A service takes [`MIGRATION`], [`routes`] and [`Sender::serve`], and calls [`send`] in the transaction that made true what
//! it tells. For each address that wants to hear of it there is then a job: tried again with growing pauses, laid aside
//! after a day, listed and replayed under `/dead-letters` like every job.

mod api;
mod config;
mod folder;
mod guard;
mod mail;
mod post;
mod sign;
mod store;

use std::path::Path;
use std::sync::Arc;

use nx_chassis::{Ctx, Job, NewJob, Problem, Service, Time, Tx};
use serde::{Deserialize, Serialize};
use serde_json::json;

pub use api::routes;
pub use config::Config;
pub use folder::{Listed, Mail};
use mail::Mailer;
use post::Poster;

/// The table of addresses.
pub const MIGRATION: &str = include_str!("0001_webhooks.sql");
/// The kind of job.
const JOB: &str = "webhook";
/// Pauses between rounds of tries, milliseconds: a round is the tries of one job, about two minutes.
const ROUNDS_MS: [i64; 6] = [300_000, 1_800_000, 7_200_000, 14_400_000, 28_800_000, 36_000_000];

/// Carries messages out. Cheap to clone.
#[derive(Clone)]
pub struct Sender {
    poster: Arc<Poster>,
    mailer: Arc<Mailer>,
}

impl Sender {
    /// A sender; mail goes into `data/mail` while no server for it is configured.
    ///
    /// # Errors
    /// In words, when a setting cannot be used.
    pub fn new(config: &Config, data: &Path) -> Result<Self, String> {
        let mailer = Mailer::new(config, &data.join("mail"))?;
        Ok(Self { poster: Arc::new(Poster::new(config.allow.clone())), mailer: Arc::new(mailer) })
    }

    /// Has a service do the jobs that [`send`] makes.
    pub fn serve(&self, service: Service) -> Service {
        let sender = self.clone();
        service.job(JOB, move |cx, job| {
            let sender = sender.clone();
            async move { sender.work(&cx, &job).await }
        })
    }

    /// Posts a form to an address that an operator has set, where addresses of webhooks may be; anything but a success is an error.
    ///
    /// # Errors
    /// Why it was not taken: worth another try.
    pub async fn post_form(&self, url: &str, form: String) -> Result<(), Problem> {
        self.poster.form(url, form).await
    }

    /// Sends a mail to one address; `id` is its own, the same for every try.
    ///
    /// # Errors
    /// Why it was not taken: worth another try.
    pub async fn mail(&self, id: &str, to: &str, title: &str, text: String) -> Result<(), Problem> {
        self.mailer.text(id, to, title, text).await
    }

    /// The newest mails of this process's folder; none where a server takes mail. They have links in them that let people in.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub async fn mails(&self) -> Result<Option<Vec<Listed>>, Problem> {
        self.in_folder(folder::newest).await?.transpose().map_err(Problem::internal)
    }

    /// One of them, if there is one of that id.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn read_mail(&self, id: &str) -> Result<Option<Mail>, Problem> {
        let id = id.to_owned();
        Ok(self.in_folder(move |folder| folder::read(folder, &id)).await?.flatten())
    }

    async fn in_folder<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Path) -> T + Send + 'static,
    ) -> Result<Option<T>, Problem> {
        let Some(folder) = self.mailer.folder().map(Path::to_owned) else { return Ok(None) };
        let looked = tokio::task::spawn_blocking(move || look(&folder)).await;
        looked.map(Some).map_err(Problem::internal)
    }

    async fn work(&self, cx: &Ctx, job: &Job) -> Result<(), Problem> {
        let mut message: Message = job.body()?;
        let Some(hook) = store::active(cx, &message.hook).await? else { return Ok(()) };
        let outcome = match hook.url.strip_prefix("mailto:") {
            Some(to) => self.mailer.send(to, &message).await,
            None => self.poster.send(cx, &hook, &message).await,
        };
        if outcome.is_err()
            && job.is_last_try()
            && let Some(pause_ms) = ROUNDS_MS.get(message.round)
        {
            message.round += 1;
            let mut tx = cx.begin();
            tx.enqueue(NewJob::new(JOB, &message).due(cx.now_ms() + pause_ms)).await?;
            return Ok(tx.commit().await?);
        }
        outcome
    }
}

/// Whether this is a bare address of mail.
#[must_use]
pub fn is_address(text: &str) -> bool {
    text.parse::<lettre::Address>().is_ok()
}

/// What is carried to one address.
#[derive(Debug, Serialize, Deserialize)]
struct Message {
    hook: String,
    /// The same for every address and every try.
    id: String,
    /// One line for people.
    title: String,
    /// JSON, as it is signed.
    body: String,
    round: usize,
}

/// Tells everybody who wants to hear of `kind`, once `tx` is committed; `title` is a line for people.
///
/// # Errors
/// When the store fails.
pub async fn send(
    cx: &Ctx,
    tx: &mut Tx,
    kind: &'static str,
    title: &str,
    data: &impl Serialize,
) -> Result<(), Problem> {
    let id = format!("msg_{}", cx.new_id());
    let body = json!({"type": kind, "timestamp": Time(cx.now_ms()), "data": data}).to_string();
    for hook in store::wanting(tx, kind).await? {
        let title = format!("{kind}: {title}");
        let message = Message { hook, id: id.clone(), title, body: body.clone(), round: 0 };
        tx.enqueue(NewJob::new(JOB, &message)).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
