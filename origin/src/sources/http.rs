//! An endless transport stream over HTTP, and what HTTP sources share.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::OnceLock;
use std::time::Duration;

use reqwest::{Client, Response, StatusCode};
use tokio::time::timeout;

use crate::retry::Failure;
use crate::sources::SILENCE;
use crate::sources::queue::Writer;

const CONNECT: Duration = Duration::from_secs(10);

/// A request whose answer has begun.
pub(crate) struct Download(Response);

/// One client for all URLs with TLS and one for the others: they keep connections open. The environment's proxies
/// have no say.
fn client(url: &str) -> Result<&'static Client, Failure> {
    static CLIENTS: [OnceLock<Option<Client>>; 2] = [OnceLock::new(), OnceLock::new()];
    let [plain, secure] = &CLIENTS;
    let is_plain = url.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http:"));
    let make = || {
        let agent = concat!("nexus/", env!("CARGO_PKG_VERSION"));
        let builder = Client::builder().no_proxy().connect_timeout(CONNECT).user_agent(agent);
        // Without TLS the machine needs no certificates, and may have none.
        let builder = if is_plain { builder.tls_certs_only([]) } else { builder };
        builder.build().ok()
    };
    let made = if is_plain { plain.get_or_init(make) } else { secure.get_or_init(make) };
    made.as_ref().ok_or_else(|| {
        Failure::Final("the machine's certificates cannot be used: install ca-certificates".into())
    })
}

/// Asks for a URL; the answer is a good one.
pub(crate) async fn get(url: &str) -> Result<Response, Failure> {
    let asked = timeout(SILENCE, client(url)?.get(url).send()).await;
    let silent = |_| Failure::Passing(format!("the server did not answer within {} s", SILENCE.as_secs()));
    let response = asked.map_err(silent)?.map_err(broken)?;
    let status = response.status();
    let text = format!("the server answered {status}");
    match status {
        _ if status.is_success() => Ok(response),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::GONE => {
            Err(Failure::Slow(format!("{text}: check the URL and what it has to prove who asks")))
        }
        // A stream that has not begun is often not there.
        StatusCode::NOT_FOUND => {
            Err(Failure::Passing(format!("{text}: check the URL, and that the stream is on air")))
        }
        _ => Err(Failure::Passing(text)),
    }
}

/// The text of an error never has the URL, which may hold a secret.
pub(crate) fn broken(error: reqwest::Error) -> Failure {
    let error = error.without_url();
    // What lies beneath says more: a name that is not known, a certificate.
    let causes = std::iter::successors(std::error::Error::source(&error), |e| e.source());
    let cause = causes.last().map(|cause| format!(": {cause}")).unwrap_or_default();
    let text = format!("{error}{cause}; check the URL and the network");
    if error.is_builder() { Failure::Final(text) } else { Failure::Passing(text) }
}

/// Who answered.
pub(crate) fn peer(response: &Response) -> IpAddr {
    response.remote_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |a| a.ip())
}

/// Waits for the answer's head.
pub(crate) async fn open(url: &str) -> Result<Download, Failure> {
    get(url).await.map(Download)
}

impl Download {
    pub(crate) fn peer(&self) -> IpAddr {
        peer(&self.0)
    }

    /// Hands the bytes on as they come.
    pub(crate) async fn carry(mut self, writer: &Writer) -> Failure {
        loop {
            let bytes = match timeout(SILENCE, self.0.chunk()).await {
                Ok(Ok(Some(bytes))) => bytes,
                Ok(Ok(None)) => return Failure::Passing("the server ended the stream".into()),
                Ok(Err(error)) => return broken(error),
                Err(_) => return Failure::Passing(format!("nothing came for {} s", SILENCE.as_secs())),
            };
            if writer.push(bytes).await.is_err() {
                // Whoever waits for the claim says why.
                std::future::pending::<()>().await;
            }
        }
    }
}
