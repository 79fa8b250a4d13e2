//! Settings of the object storage behind the store.

use std::path::PathBuf;
use std::sync::Arc;

use nx_cloud::{Cloud, Settings};
use nx_store::Objects;
use serde::{Deserialize, Serialize};

/// Section `origin.store.cloud`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CloudConfig {
    /// `s3://BUCKET/FOLDER`, `az://CONTAINER/FOLDER` or `file:///FOLDER`; none without it. One server for each folder.
    pub url: Option<String>,
    /// Where the storage answers, for those that are not AWS or Azure: `https://HOST:PORT`.
    pub endpoint: Option<String>,
    /// Region of S3.
    pub region: Option<String>,
    /// Takes an endpoint without TLS.
    pub allow_http: bool,
    /// File with the key's name (Azure: the account's); without, the usual environment (`AWS_*`, `AZURE_*`).
    pub access_key_file: Option<PathBuf>,
    /// File with the key.
    pub secret_key_file: Option<PathBuf>,
    /// How long streams are kept there; 0 as long as on disk. Seconds.
    pub keep_s: u32,
    /// What all streams may take there; 0 any. Bytes.
    pub bytes_max: u64,
    /// What uploads may take of the network; 0 any. Bits per second.
    pub upload_bps_max: u64,
}

impl CloudConfig {
    fn settings(&self) -> Option<Settings> {
        Some(Settings {
            url: self.url.clone()?,
            endpoint: self.endpoint.clone(),
            region: self.region.clone(),
            allow_http: self.allow_http,
            access_key_file: self.access_key_file.clone(),
            secret_key_file: self.secret_key_file.clone(),
            upload_bps: Some(self.upload_bps_max).filter(|bps| *bps > 0),
        })
    }

    /// The storage, if there is one; it is not asked whether it is there.
    ///
    /// # Errors
    /// In words: the settings make no sense, or a file of a key cannot be read.
    pub(crate) fn open(&self) -> Result<Option<Arc<dyn Objects>>, String> {
        let open = |settings: Settings| -> Result<Arc<dyn Objects>, String> {
            let cloud = Cloud::open(&settings).map_err(|e| format!("origin.store.cloud: {e}"))?;
            Ok(Arc::new(cloud))
        };
        self.settings().map(open).transpose()
    }

    /// Bytes that it may have.
    pub(crate) fn most(&self) -> u64 {
        if self.bytes_max == 0 { u64::MAX } else { self.bytes_max }
    }

    /// What is wrong, beside what is kept on disk: seconds and bytes.
    pub(crate) fn faults(&self, keep_s: u32, bytes_max: u64) -> Vec<(String, String)> {
        let url = self.url.as_deref();
        let known = |url: &str| ["s3://", "az://", "file:///"].iter().any(|scheme| url.starts_with(scheme));
        let plain = self.endpoint.as_deref().is_some_and(|e| e.starts_with("http://"));
        let rules = [
            ("url", url.is_none_or(known), "begins with s3://, az:// or file:///"),
            (
                "url",
                url.is_none() || keep_s > 0,
                "needs store.keep_s: what is uploaded is first kept on disk",
            ),
            ("endpoint", self.allow_http || !plain, "is not encrypted; set https://, or allow_http = true"),
            (
                "secret_key_file",
                self.access_key_file.is_some() == self.secret_key_file.is_some(),
                "and access_key_file come together",
            ),
            ("keep_s", self.keep_s == 0 || self.keep_s >= keep_s, "must be 0 or at least store.keep_s"),
            (
                "bytes_max",
                self.bytes_max == 0 || self.bytes_max >= bytes_max,
                "must be 0 or at least store.bytes_max",
            ),
        ];
        let wrong = rules.into_iter().filter(|(_, holds, _)| !holds);
        wrong.map(|(key, _, hint)| (format!("store.cloud.{key}"), hint.to_owned())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_said() {
        let url = |url: &str| CloudConfig { url: Some(url.into()), ..CloudConfig::default() };
        let key = |c: &CloudConfig| c.faults(60, 1 << 30).into_iter().map(|(key, _)| key).next();
        for (config, want) in [
            (CloudConfig::default(), None),
            (url("s3://bucket/folder"), None),
            (url("az://box"), None),
            (url("file:///var/far"), None),
            (url("gs://bucket"), Some("store.cloud.url")),
            (url("bucket"), Some("store.cloud.url")),
            (CloudConfig { keep_s: 59, ..url("s3://b") }, Some("store.cloud.keep_s")),
            (CloudConfig { keep_s: 60, bytes_max: 1 << 30, ..url("s3://b") }, None),
            (CloudConfig { bytes_max: 1 << 29, ..url("s3://b") }, Some("store.cloud.bytes_max")),
            (
                CloudConfig { endpoint: Some("http://h".into()), ..url("s3://b") },
                Some("store.cloud.endpoint"),
            ),
            (CloudConfig { endpoint: Some("http://h".into()), allow_http: true, ..url("s3://b") }, None),
            (
                CloudConfig { access_key_file: Some("f".into()), ..url("s3://b") },
                Some("store.cloud.secret_key_file"),
            ),
        ] {
            assert_eq!(key(&config).as_deref(), want, "{config:?}");
        }
        assert_eq!(url("s3://b").faults(0, 1).len(), 1, "nothing is kept on disk");
    }
}
