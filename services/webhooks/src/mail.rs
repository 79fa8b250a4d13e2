//! A message as mail: to a server, or into a folder while there is none.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use nx_chassis::Problem;
use tokio::io::AsyncWriteExt;

use crate::Message;
use crate::config::Config;

type Smtp = AsyncSmtpTransport<Tokio1Executor>;

/// Time that a server has for one command.
const ANSWER_MAX: Duration = Duration::from_secs(15);

pub(crate) struct Mailer {
    from: Mailbox,
    way: Way,
}

enum Way {
    Server(Box<Smtp>),
    Folder(PathBuf),
}

/// The server of an address such as `smtps://USER:PASSWORD@HOST`.
pub(crate) fn server(url: &str) -> Result<Smtp, lettre::transport::smtp::Error> {
    Ok(Smtp::from_url(url)?.timeout(Some(ANSWER_MAX)).build())
}

impl Mailer {
    pub(crate) fn new(config: &Config, folder: &Path) -> Result<Self, String> {
        let from = config.mail_from.parse().map_err(|e| format!("mail_from: {e}"))?;
        let way = match &config.smtp {
            Some(url) => Way::Server(Box::new(server(url.reveal()).map_err(|e| format!("smtp: {e}"))?)),
            None => Way::Folder(folder.to_owned()),
        };
        Ok(Self { from, way })
    }

    /// Hands it to the server, or writes it down as `ID.eml`.
    pub(crate) async fn send(&self, to: &str, message: &Message) -> Result<(), Problem> {
        let to: Mailbox = to.parse().map_err(failed)?;
        let text = serde_json::from_str::<serde_json::Value>(&message.body)
            .and_then(|body| serde_json::to_string_pretty(&body))
            .map_err(failed)?;
        // The same for every try, so that who gets it twice sees that.
        let id = format!("{}.{}", message.id, message.hook);
        self.deliver(&id, to, &message.title, text).await
    }

    /// Hands a text to the server, or writes it down as `ID.eml`.
    pub(crate) async fn text(&self, id: &str, to: &str, title: &str, text: String) -> Result<(), Problem> {
        self.deliver(id, to.parse().map_err(failed)?, title, text).await
    }

    /// The folder in which mail lies; none where a server takes it.
    pub(crate) fn folder(&self) -> Option<&Path> {
        match &self.way {
            Way::Server(_) => None,
            Way::Folder(folder) => Some(folder),
        }
    }

    async fn deliver(&self, id: &str, to: Mailbox, title: &str, text: String) -> Result<(), Problem> {
        let mail = lettre::Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(title)
            .message_id(Some(format!("<{id}@nexus>")))
            .header(ContentType::TEXT_PLAIN)
            .body(text)
            .map_err(failed)?;
        match &self.way {
            Way::Server(server) => server.send(mail).await.map(drop).map_err(failed),
            Way::Folder(folder) => lay(folder, id, &mail.formatted()).await.map_err(failed),
        }
    }
}

/// Writes a mail down. It has its name when it is whole: half a mail is never listed.
async fn lay(folder: &Path, id: &str, mail: &[u8]) -> std::io::Result<()> {
    // There are links in them that let people in.
    let mut folders = tokio::fs::DirBuilder::new();
    folders.recursive(true).mode(0o700).create(folder).await?;
    let half = folder.join(format!(".{id}.half"));
    let mut options = tokio::fs::OpenOptions::new();
    let mut open = options.write(true).create(true).truncate(true).mode(0o600).open(&half).await?;
    open.write_all(mail).await?;
    open.flush().await?;
    tokio::fs::rename(half, folder.join(format!("{id}.eml"))).await
}

fn failed(why: impl std::fmt::Display) -> Problem {
    Problem::unavailable("mail", format!("the mail was not taken: {why}"), 60)
}
