//! The store's blocking calls on asynchronous storage.

use std::fmt::{self, Debug, Write as _};
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use md5::{Digest, Md5};
use nx_store::{Objects, Source};
use object_store::path::Path as Name;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, PutResult};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::open::{self, OpenError, Settings};

/// A part of an upload, the least that S3 takes; shorter objects are sent in one. Also what is read back at a time.
const PART: u64 = 5 << 20;
/// How long a read may take, all tries together. Somebody waits for it.
const READ: Duration = Duration::from_secs(8);
/// How long anything may take, lest a thread hang for ever on what was not thought of.
const WHOLE: Duration = Duration::from_secs(900);
/// What is said of an error.
const ERROR_CHARS: usize = 300;

/// Object storage.
pub struct Cloud {
    storage: Arc<dyn ObjectStore>,
    folder: Name,
    /// There until it is dropped.
    runtime: Option<Runtime>,
    stopped: watch::Sender<bool>,
    upload_bps: Option<u64>,
    /// When the network is free for the next part.
    free: Mutex<Option<Instant>>,
}

impl Debug for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The storage's own would tell of keys.
        f.debug_struct("Cloud").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Cloud {
    /// Storage of these settings; it is not asked whether it is there.
    ///
    /// # Errors
    /// The settings make no sense, or a key cannot be read.
    pub fn open(settings: &Settings) -> Result<Self, OpenError> {
        let (storage, folder) = open::storage(settings)?;
        Self::over(storage, folder, settings.upload_bps)
    }

    pub(crate) fn over(
        storage: Arc<dyn ObjectStore>,
        folder: Name,
        upload_bps: Option<u64>,
    ) -> Result<Self, OpenError> {
        let runtime =
            Builder::new_multi_thread().worker_threads(1).thread_name("cloud").enable_all().build()?;
        let (stopped, _) = watch::channel(false);
        Ok(Self { storage, folder, runtime: Some(runtime), stopped, upload_bps, free: Mutex::new(None) })
    }

    /// Waits for `work`, for the time that it may take, or for the end of it all.
    fn block<T>(&self, limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let away = |why| Err(io::Error::new(io::ErrorKind::HostUnreachable, why));
        let Some(runtime) = &self.runtime else { return away("object storage is closed") };
        let mut stopped = self.stopped.subscribe();
        runtime.block_on(async {
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => away("object storage is closed"),
                done = timeout(limit, work) => match done {
                    Ok(done) => done,
                    Err(_) => away("object storage did not answer in time"),
                },
            }
        })
    }

    fn name(&self, name: &str) -> Name {
        let mut whole = self.folder.clone();
        for part in name.split('/').filter(|part| !part.is_empty()) {
            whole = whole.join(part);
        }
        whole
    }

    async fn upload(&self, name: &Name, content: &dyn Source, bytes: u64) -> io::Result<()> {
        let mut sum = Sum::default();
        let stored = if bytes <= PART {
            let part = content.read(0, bytes)?;
            sum.add(&part);
            self.pace(bytes).await;
            self.storage.put(name, PutPayload::from_bytes(part)).await.map_err(away)?
        } else {
            self.in_parts(name, content, bytes, &mut sum).await?
        };
        self.compare(name, &stored, &sum, bytes).await
    }

    /// One part at a time, so that one is in memory.
    async fn in_parts(
        &self,
        name: &Name,
        content: &dyn Source,
        bytes: u64,
        sum: &mut Sum,
    ) -> io::Result<PutResult> {
        let mut upload = self.storage.put_multipart(name).await.map_err(away)?;
        let mut at = 0;
        while at < bytes {
            let len = PART.min(bytes - at);
            self.pace(len).await;
            let sent = match content.read(at, len) {
                Ok(part) => {
                    sum.add(&part);
                    upload.put_part(PutPayload::from_bytes(part)).await.map_err(away)
                }
                Err(e) => Err(e),
            };
            if let Err(error) = sent {
                // Parts that nobody puts together cost money.
                let _ = timeout(READ, upload.abort()).await;
                return Err(error);
            }
            at += len;
        }
        upload.complete().await.map_err(away)
    }

    /// Whether the storage has what was sent.
    async fn compare(&self, name: &Name, stored: &PutResult, sum: &Sum, bytes: u64) -> io::Result<()> {
        let tag = stored.e_tag.as_deref().map(|tag| tag.trim_matches('"'));
        if tag.is_some_and(|tag| tag.eq_ignore_ascii_case(&sum.tag())) {
            return Ok(());
        }
        let has = self.storage.head(name).await.map_err(away)?.size;
        let (mut crc, mut at) = (crc32fast::Hasher::new(), 0);
        while at < bytes && has == bytes {
            let end = bytes.min(at + PART);
            crc.update(&self.storage.get_range(name, at..end).await.map_err(away)?);
            at = end;
        }
        if has != bytes || crc.finalize() != sum.crc.clone().finalize() {
            let why =
                format!("object storage has something else in {name} than was sent: {has} of {bytes} bytes");
            return Err(io::Error::new(io::ErrorKind::HostUnreachable, why));
        }
        Ok(())
    }

    /// Waits until so many bytes may be sent.
    async fn pace(&self, bytes: u64) {
        let Some(bps) = self.upload_bps else { return };
        let takes = Duration::from_secs_f64(bytes as f64 * 8.0 / bps as f64);
        let begins = {
            let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let begins = free.unwrap_or(now).max(now);
            *free = Some(begins + takes);
            begins
        };
        sleep_until(begins).await;
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        // It may be dropped where waiting is not allowed.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Objects for Cloud {
    fn put(&self, name: &str, content: &dyn Source, bytes: u64) -> io::Result<()> {
        self.block(WHOLE, self.upload(&self.name(name), content, bytes))
    }

    fn create(&self, name: &str, content: Bytes) -> io::Result<bool> {
        let (name, len) = (self.name(name), content.len() as u64);
        let mut sum = Sum::default();
        sum.add(&content);
        self.block(WHOLE, async {
            let options = PutOptions::from(PutMode::Create);
            let stored = match self.storage.put_opts(&name, PutPayload::from_bytes(content), options).await {
                Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => return Ok(false),
                stored => stored.map_err(away)?,
            };
            let compared = self.compare(&name, &stored, &sum, len).await;
            if compared.is_err() {
                let _ = self.storage.delete(&name).await;
            }
            compared.map(|()| true)
        })
    }

    fn get(&self, name: &str, range: Option<(u64, u64)>) -> io::Result<Bytes> {
        let name = self.name(name);
        self.block(READ, async {
            match range {
                Some((at, len)) => {
                    let bytes =
                        self.storage.get_range(&name, at..at.saturating_add(len)).await.map_err(away)?;
                    let short = || format!("{name} has {} of {len} bytes at {at}", bytes.len());
                    let whole = bytes.len() as u64 == len;
                    if whole { Ok(bytes) } else { Err(io::Error::new(io::ErrorKind::UnexpectedEof, short())) }
                }
                None => self.storage.get(&name).await.map_err(away)?.bytes().await.map_err(away),
            }
        })
    }

    fn list(&self, folder: &str, folders: bool) -> io::Result<Vec<String>> {
        let folder = self.name(folder);
        let found = self.block(WHOLE, async {
            match self.storage.list_with_delimiter(Some(&folder)).await {
                Err(Error::NotFound { .. }) => Ok(None),
                found => found.map(Some).map_err(away),
            }
        })?;
        let Some(found) = found else { return Ok(Vec::new()) };
        let names: Vec<Name> = if folders {
            found.common_prefixes
        } else {
            found.objects.into_iter().map(|object| object.location).collect()
        };
        Ok(names.iter().filter_map(|name| name.filename().map(str::to_owned)).collect())
    }

    fn delete(&self, name: &str) -> io::Result<()> {
        let name = self.name(name);
        self.block(READ, async {
            match self.storage.delete(&name).await {
                Err(Error::NotFound { .. }) => Ok(()),
                done => done.map_err(away),
            }
        })
    }

    fn stop(&self) {
        self.stopped.send_replace(true);
    }
}

/// An error in a line, without what the storage's answer repeats of the request: a key's name may be in it.
fn away(error: Error) -> io::Error {
    let kind = match error {
        Error::NotFound { .. } => io::ErrorKind::NotFound,
        _ => io::ErrorKind::HostUnreachable,
    };
    let text = error.to_string();
    let line = text.split(['<', '\n']).next().unwrap_or_default();
    io::Error::new(kind, line.chars().take(ERROR_CHARS).collect::<String>())
}

/// What was sent, in short.
#[derive(Default)]
struct Sum {
    crc: crc32fast::Hasher,
    parts: Vec<[u8; 16]>,
}

impl Sum {
    fn add(&mut self, part: &[u8]) {
        self.crc.update(part);
        self.parts.push(Md5::digest(part).into());
    }

    /// The entity tag that S3 gives to an object of these parts.
    fn tag(&self) -> String {
        let (mut text, of) = match self.parts.as_slice() {
            [one] => (String::new(), *one),
            many => (format!("-{}", many.len()), Md5::digest(many.concat()).into()),
        };
        let hex = of.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        text.insert_str(0, &hex);
        text
    }
}
