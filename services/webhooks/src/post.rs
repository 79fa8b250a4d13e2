//! A message posted to a webhook.

use std::error::Error as _;
use std::sync::OnceLock;
use std::time::Duration;

use http::StatusCode;
use ipnet::IpNet;
use nx_chassis::{Ctx, Problem};
use reqwest::{Client, Url, redirect};

use crate::guard::Guard;
use crate::store::{self, Hook};
use crate::{Message, sign};

/// Time that the other side has.
const ANSWER_MAX: Duration = Duration::from_secs(15);
const CONNECT_MAX: Duration = Duration::from_secs(5);

pub(crate) struct Poster {
    guard: Guard,
    /// Without TLS, and with the machine's certificates, which it may not have.
    clients: [OnceLock<Client>; 2],
}

impl Poster {
    pub(crate) fn new(allow: Vec<IpNet>) -> Self {
        Self { guard: Guard::new(allow), clients: Default::default() }
    }

    /// Posts it; anything but a success is an error.
    pub(crate) async fn send(&self, cx: &Ctx, hook: &Hook, message: &Message) -> Result<(), Problem> {
        let url = Url::parse(&hook.url).map_err(failed)?;
        self.guard.check(&url).map_err(failed)?;
        let now_ms = cx.now_ms();
        let old = hook.old_secret.as_deref().filter(|_| hook.old_until.is_some_and(|until| until.0 > now_ms));
        let secrets: Vec<&str> = [Some(hook.secret.as_str()), old].into_iter().flatten().collect();
        let unix_s = now_ms / 1000;
        let request = self
            .client(&url)?
            .post(url)
            .header("content-type", "application/json")
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", unix_s)
            .header("webhook-signature", sign::signatures(&secrets, &message.id, unix_s, &message.body))
            .body(message.body.clone());
        let status = request.send().await.map_err(|e| failed(causes(&e)))?.status();
        if status == StatusCode::GONE {
            return Ok(store::deactivate(cx, &hook.id).await?);
        }
        if status.is_success() { Ok(()) } else { Err(failed(format!("it answered {status}"))) }
    }

    /// Posts a form.
    pub(crate) async fn form(&self, url: &str, form: String) -> Result<(), Problem> {
        let url = Url::parse(url).map_err(failed)?;
        self.guard.check(&url).map_err(failed)?;
        let kind = "application/x-www-form-urlencoded";
        let request = self.client(&url)?.post(url).header("content-type", kind).body(form);
        let status = request.send().await.map_err(|e| failed(causes(&e)))?.status();
        if status.is_success() { Ok(()) } else { Err(failed(format!("it answered {status}"))) }
    }

    fn client(&self, url: &Url) -> Result<Client, Problem> {
        let [plain, secure] = &self.clients;
        let (place, is_plain) = if url.scheme() == "http" { (plain, true) } else { (secure, false) };
        if let Some(client) = place.get() {
            return Ok(client.clone());
        }
        let builder = Client::builder().no_proxy().redirect(redirect::Policy::none()).user_agent("nexus");
        let builder =
            builder.connect_timeout(CONNECT_MAX).timeout(ANSWER_MAX).dns_resolver(self.guard.clone());
        let builder = if is_plain { builder.tls_certs_only([]) } else { builder };
        let client = builder.build().map_err(|e| failed(format!("{e}: install ca-certificates")))?;
        Ok(place.get_or_init(|| client).clone())
    }
}

fn failed(why: impl std::fmt::Display) -> Problem {
    Problem::unavailable("webhook", format!("the webhook was not taken: {why}"), 60)
}

/// The error without the address, which may hold a secret, and what is behind it.
fn causes(error: &reqwest::Error) -> String {
    let mut text =
        if error.is_timeout() { "it took too long".to_owned() } else { "it cannot be asked".to_owned() };
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
