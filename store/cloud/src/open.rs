//! From settings to storage.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Name;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a request may take: a part of an upload through a slow line.
const REQUEST: Duration = Duration::from_secs(30);
/// Tries of a request, and how long after the first there is no other; what waits longer is for the store to try again.
const RETRIES: (usize, Duration) = (2, Duration::from_secs(6));

/// Which storage, and how it is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// `s3://BUCKET/FOLDER`, `az://CONTAINER/FOLDER` or `file:///FOLDER`.
    pub url: String,
    /// Where it answers, if not where the cloud's own does.
    pub endpoint: Option<String>,
    /// Region of S3.
    pub region: Option<String>,
    /// Takes an endpoint without TLS.
    pub allow_http: bool,
    /// File with the key's name; without, the environment.
    pub access_key_file: Option<PathBuf>,
    /// File with the key.
    pub secret_key_file: Option<PathBuf>,
    /// What uploads may take of the network, bits per second.
    pub upload_bps: Option<u64>,
}

/// Settings that lead nowhere.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Of no storage that is known.
    #[error("{url} is not s3://BUCKET/FOLDER, az://CONTAINER/FOLDER or file:///FOLDER")]
    Url {
        /// As given.
        url: String,
    },
    /// A key is not there.
    #[error("{path} cannot be read: {source}; it holds a key of object storage")]
    Key {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The library refuses them, or the folder cannot be made.
    #[error("object storage cannot be used: {0}")]
    Refused(String),
    /// No thread can be had.
    #[error("no thread for object storage: {0}")]
    Thread(#[from] io::Error),
}

/// The storage of these settings, and the folder in it.
pub(crate) fn storage(of: &Settings) -> Result<(Arc<dyn ObjectStore>, Name), OpenError> {
    let unknown = || OpenError::Url { url: of.url.clone() };
    let refused = |e: object_store::Error| OpenError::Refused(e.to_string());
    let (scheme, rest) = of.url.split_once("://").ok_or_else(unknown)?;
    if scheme == "file" {
        let folder = Path::new(rest);
        if !folder.is_absolute() {
            return Err(unknown());
        }
        fs::create_dir_all(folder).map_err(|e| OpenError::Refused(e.to_string()))?;
        let local = LocalFileSystem::new_with_prefix(folder).map_err(refused)?.with_fsync(true);
        return Ok((Arc::new(local), Name::default()));
    }
    let (container, folder) = rest.split_once('/').unwrap_or((rest, ""));
    let folder = Name::parse(folder.trim_matches('/')).map_err(|e| OpenError::Refused(e.to_string()))?;
    let (name, key) = (secret(of.access_key_file.as_deref())?, secret(of.secret_key_file.as_deref())?);
    let options = ClientOptions::new()
        .with_timeout(REQUEST)
        .with_connect_timeout(CONNECT)
        .with_allow_http(of.allow_http);
    let backoff = BackoffConfig { init_backoff: Duration::from_millis(100), ..BackoffConfig::default() };
    let retry = RetryConfig { backoff, max_retries: RETRIES.0, retry_timeout: RETRIES.1 };
    let storage: Arc<dyn ObjectStore> = match scheme {
        _ if container.is_empty() => return Err(unknown()),
        "s3" => {
            let mut s3 = AmazonS3Builder::from_env().with_bucket_name(container);
            s3 = s3.with_client_options(options).with_retry(retry);
            for (value, with) in [
                (&of.endpoint, AmazonS3Builder::with_endpoint as fn(_, String) -> _),
                (&of.region, AmazonS3Builder::with_region),
                (&name, AmazonS3Builder::with_access_key_id),
                (&key, AmazonS3Builder::with_secret_access_key),
            ] {
                s3 = value.iter().cloned().fold(s3, with);
            }
            Arc::new(s3.build().map_err(refused)?)
        }
        "az" => {
            let mut azure = MicrosoftAzureBuilder::from_env().with_container_name(container);
            azure = azure.with_client_options(options).with_retry(retry);
            for (value, with) in [
                (&of.endpoint, MicrosoftAzureBuilder::with_endpoint as fn(_, String) -> _),
                (&name, MicrosoftAzureBuilder::with_account),
                (&key, MicrosoftAzureBuilder::with_access_key),
            ] {
                azure = value.iter().cloned().fold(azure, with);
            }
            Arc::new(azure.build().map_err(refused)?)
        }
        _ => return Err(unknown()),
    };
    Ok((storage, folder))
}

fn secret(path: Option<&Path>) -> Result<Option<String>, OpenError> {
    let read = |path: &Path| {
        let text = fs::read_to_string(path);
        text.map_err(|source| OpenError::Key { path: path.to_owned(), source })
    };
    Ok(path.map(read).transpose()?.map(|text| text.trim().to_owned()))
}
