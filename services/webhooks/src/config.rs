//! Settings of what is told outside.

use ipnet::IpNet;
use nx_chassis::Secret;
use serde::{Deserialize, Serialize};

/// Where messages may go, and how mail goes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Networks that webhooks may go to although they are not public, as in `10.1.0.0/16`.
    pub allow: Vec<IpNet>,
    /// The server that takes mail, as `smtps://USER:PASSWORD@HOST:465` or `smtp://HOST:587?tls=required`; without it, mail
    /// is put into the folder `mail` below the data folder.
    pub smtp: Option<Secret>,
    /// Who mail is from.
    pub mail_from: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { allow: Vec::new(), smtp: None, mail_from: "Nexus COS <nexus@localhost>".into() }
    }
}

impl Config {
    /// What is wrong, as key within the section and a sentence that says what to do.
    #[must_use]
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        if let Some(smtp) = &self.smtp
            && let Err(error) = crate::mail::server(smtp.reveal())
        {
            faults.push((
                "smtp".into(),
                format!("cannot be used ({error}): write smtps://USER:PASSWORD@HOST:465"),
            ));
        }
        if self.mail_from.parse::<lettre::message::Mailbox>().is_err() {
            faults.push(("mail_from".into(), "is no address: write Name <who@example.org>".into()));
        }
        faults
    }
}
