//! Reads keys: from a file, or from a service.

use std::path::Path;
use std::time::Duration;

use nx_admission::Secret;
use nx_crypt::{HlsKey, System, parse_hex};
use nx_media::StreamKey;
use reqwest::Client;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::config::{EncryptionConfig, Source};
use super::{From, Given};

/// Largest file, and largest answer. Bytes.
const BYTES_MAX: usize = 1 << 20;
/// Keys in a file at most.
const KEYS_MAX: usize = 10_000;

/// A service that gives a key for a stream and a period.
#[derive(Clone)]
pub(crate) struct Service {
    client: Client,
    url: reqwest::Url,
    timeout: Duration,
    cpix: bool,
}

/// The answer of a service of keys.
#[derive(Deserialize)]
struct Answer {
    key_id: String,
    key: Secret,
    #[serde(default)]
    iv: Option<String>,
    #[serde(default)]
    systems: Vec<Way>,
}

/// A way to get the key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Way {
    system_id: String,
    /// The whole box, base64.
    #[serde(default)]
    pssh: Option<String>,
    #[serde(default)]
    hls: Option<HlsKey>,
    #[serde(default)]
    licence_url: Option<String>,
}

/// Where the keys of a section come from.
pub(super) fn source(config: &EncryptionConfig) -> Result<From, String> {
    match (config.keys, &config.file, &config.url) {
        (Source::Static, Some(file), _) => Ok(From::List(lines(&read(file)?).map_err(|e| at(file, &e))?)),
        (Source::Cpix, Some(file), _) => {
            let all = cpix(&read(file)?).map_err(|e| at(file, &e))?;
            if all.is_empty() { Err(at(file, "holds no content key")) } else { Ok(From::List(all)) }
        }
        (_, _, Some(url)) => {
            let url =
                reqwest::Url::parse(url.reveal()).map_err(|e| format!("its url cannot be used: {e}"))?;
            let mut builder =
                Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).user_agent("nexus");
            if url.scheme() == "http" {
                // Without TLS the machine needs no certificates, and may have none.
                builder = builder.tls_certs_only([]);
            }
            let client = builder
                .build()
                .map_err(|e| format!("its url cannot be asked: {e}; install ca-certificates"))?;
            let timeout = Duration::from_millis(config.timeout_ms);
            Ok(From::Service(Service { client, url, timeout, cpix: config.keys == Source::Cpix }))
        }
        _ => Err("it says neither file nor url".into()),
    }
}

fn at(file: &Path, text: &str) -> String {
    format!("{} {text}", file.display())
}

fn read(file: &Path) -> Result<Zeroizing<String>, String> {
    let text = std::fs::read_to_string(file).map(Zeroizing::new);
    let text = text.map_err(|e| at(file, &format!("cannot be read: {e}; check name and rights")))?;
    if text.len() > BYTES_MAX { Err(at(file, "is larger than a mebibyte")) } else { Ok(text) }
}

/// Lines of `KEYID:KEY` or `KEYID:KEY:IV`, hexadecimal; `#` begins a remark.
pub(super) fn lines(text: &str) -> Result<Vec<Given>, String> {
    let mut all: Vec<Given> = Vec::new();
    for (nth, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        // No word of what is in the line: it may be a key.
        let wrong = |what: &str| format!("line {}: {what}", nth + 1);
        let mut fields = line.split(':').map(|field| parse_hex(field.trim()));
        let (Some(Some(id)), Some(Some(key))) = (fields.next(), fields.next()) else {
            return Err(wrong("must be KEYID:KEY, 32 hexadecimal digits each"));
        };
        let iv = match fields.next() {
            None => None,
            Some(Some(iv)) => Some(iv),
            Some(None) => return Err(wrong("the third field must be an IV of 32 hexadecimal digits")),
        };
        if all.iter().any(|given| given.id == id) {
            return Err(wrong("this key id stands twice in the file"));
        }
        if fields.next().is_some() || all.len() >= KEYS_MAX {
            return Err(wrong("at most three fields, and 10000 lines"));
        }
        all.push(Given { id, key: Zeroizing::new(key), iv, systems: Vec::new() });
    }
    if all.is_empty() {
        Err("holds no key: lines of KEYID:KEY in hexadecimal are needed".into())
    } else {
        Ok(all)
    }
}

/// Keys of a CPIX document.
fn cpix(text: &str) -> Result<Vec<Given>, String> {
    let document =
        nx_crypt::cpix::parse(text).map_err(|e| format!("is no CPIX document that can be used: {e}"))?;
    let given = |key: nx_crypt::cpix::ContentKey| Given {
        id: key.id,
        key: key.key,
        iv: key.iv,
        systems: key.systems,
    };
    Ok(document.into_iter().map(given).collect())
}

impl Service {
    /// The key of a stream in a period.
    pub(super) async fn ask(&self, stream: &StreamKey, period: u64) -> Result<Given, String> {
        let late = || format!("no answer within {} ms", self.timeout.as_millis());
        tokio::time::timeout(self.timeout, self.get(stream, period)).await.unwrap_or_else(|_| Err(late()))
    }

    async fn get(&self, stream: &StreamKey, period: u64) -> Result<Given, String> {
        let mut url = self.url.clone();
        url.query_pairs_mut()
            .append_pair("stream", stream.as_str())
            .append_pair("period", &period.to_string());
        let sent = self.client.get(url).send().await;
        let mut response =
            sent.map_err(|e| format!("the key service cannot be reached: {}", causes(&e.without_url())))?;
        if !response.status().is_success() {
            return Err(format!("the key service answered {}", response.status()));
        }
        let mut body = Zeroizing::new(Vec::new());
        while let Some(more) = response.chunk().await.map_err(|e| causes(&e.without_url()))? {
            if body.len() + more.len() > BYTES_MAX {
                return Err("the key service answered more than a mebibyte".into());
            }
            body.extend_from_slice(&more);
        }
        if self.cpix {
            let text =
                std::str::from_utf8(&body).map_err(|_| "the key service's answer is no text".to_owned())?;
            return cpix(text)?.into_iter().next().ok_or_else(|| "the document holds no content key".into());
        }
        json(&body)
    }
}

/// Why, without what was asked or answered.
fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

/// Reads `{"key_id": …, "key": …, "iv": …, "systems": […]}`.
pub(super) fn json(body: &[u8]) -> Result<Given, String> {
    // Errors of the parser quote what they stumble over.
    let answer: Answer = serde_json::from_slice(body).map_err(|e| {
        format!("the key service's answer cannot be read: line {} column {}", e.line(), e.column())
    })?;
    let hex = |what: &str, text: &str| {
        parse_hex(text).ok_or_else(|| format!("the key service's {what} is not 32 hexadecimal digits"))
    };
    let system = |way: Way| {
        let decoded = way.pssh.map(|text| {
            nx_crypt::from_base64(&text).ok_or_else(|| "the key service's pssh is no base64".to_owned())
        });
        Ok(System {
            id: hex("system_id", &way.system_id)?,
            pssh: decoded.transpose()?.unwrap_or_default(),
            hls: way.hls.map(nx_crypt::cpix::checked).transpose().map_err(str::to_owned)?,
            licence_url: way.licence_url,
            dash: String::new(),
        })
    };
    Ok(Given {
        id: hex("key_id", &answer.key_id)?,
        key: Zeroizing::new(hex("key", answer.key.reveal())?),
        iv: answer.iv.as_deref().map(|iv| hex("iv", iv)).transpose()?,
        systems: answer.systems.into_iter().map(system).collect::<Result<_, String>>()?,
    })
}
