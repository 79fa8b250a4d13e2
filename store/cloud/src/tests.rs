//! Against storage that lies, loses and says nothing: what is confirmed is there, unchanged.

use std::fmt::{self, Display};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::stream::BoxStream;
use nx_store::Objects;
use object_store::memory::InMemory;
use object_store::path::Path as Name;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

use crate::{Cloud, OpenError, Settings};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Lie {
    None,
    /// A bit is turned on the way.
    Flip,
    /// The second part is lost.
    Lose,
    /// It is all there, and its tag is that of S3.
    Tag(&'static str),
    /// No answer.
    Mute,
}

/// Storage in memory.
#[derive(Debug)]
struct Liar {
    inner: InMemory,
    lie: Mutex<Lie>,
    gets: AtomicUsize,
    aborted: Arc<AtomicUsize>,
}

impl Liar {
    fn new(lie: Lie) -> Arc<Self> {
        let (gets, aborted) = (AtomicUsize::new(0), Arc::default());
        Arc::new(Self { inner: InMemory::new(), lie: Mutex::new(lie), gets, aborted })
    }

    fn lie(&self) -> Lie {
        *self.lie.lock().expect("not poisoned")
    }

    fn set(&self, lie: Lie) {
        *self.lie.lock().expect("not poisoned") = lie;
    }

    fn tagged(&self, result: PutResult) -> PutResult {
        match self.lie() {
            Lie::Tag(tag) => PutResult { e_tag: Some(format!("\"{tag}\"")), ..result },
            _ => result,
        }
    }
}

impl Display for Liar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Liar")
    }
}

fn flipped(payload: PutPayload) -> PutPayload {
    let mut bytes = Bytes::from(payload).to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    PutPayload::from(bytes)
}

fn lost() -> Error {
    Error::Generic { store: "liar", source: "lost: <Error><AWSAccessKeyId>AKIA</AWSAccessKeyId>".into() }
}

#[async_trait]
impl ObjectStore for Liar {
    async fn put_opts(&self, at: &Name, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let payload = match self.lie() {
            Lie::Flip => flipped(payload),
            Lie::Mute => std::future::pending().await,
            _ => payload,
        };
        Ok(self.tagged(self.inner.put_opts(at, payload, opts).await?))
    }

    async fn put_multipart_opts(
        &self,
        at: &Name,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let inner = self.inner.put_multipart_opts(at, opts).await?;
        Ok(Box::new(Parts { inner, lie: self.lie(), count: 0, aborted: self.aborted.clone() }))
    }

    async fn get_opts(&self, at: &Name, options: GetOptions) -> Result<GetResult> {
        self.gets.fetch_add(1, Ordering::SeqCst);
        if self.lie() == Lie::Mute {
            std::future::pending::<()>().await;
        }
        self.inner.get_opts(at, options).await
    }

    fn delete_stream(&self, at: BoxStream<'static, Result<Name>>) -> BoxStream<'static, Result<Name>> {
        self.inner.delete_stream(at)
    }

    fn list(&self, prefix: Option<&Name>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Name>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Name, to: &Name, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct Parts {
    inner: Box<dyn MultipartUpload>,
    lie: Lie,
    count: usize,
    aborted: Arc<AtomicUsize>,
}

#[async_trait]
impl MultipartUpload for Parts {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.count += 1;
        match (self.lie, self.count) {
            (Lie::Flip, 2) => self.inner.put_part(flipped(data)),
            (Lie::Lose, 2) => async { Err(lost()) }.boxed(),
            _ => self.inner.put_part(data),
        }
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let result = self.inner.complete().await?;
        Ok(match self.lie {
            Lie::Tag(tag) => PutResult { e_tag: Some(format!("\"{tag}\"")), ..result },
            _ => result,
        })
    }

    async fn abort(&mut self) -> Result<()> {
        self.aborted.fetch_add(1, Ordering::SeqCst);
        self.inner.abort().await
    }
}

fn cloud(liar: &Arc<Liar>) -> Cloud {
    Cloud::over(liar.clone(), Name::from("a/b"), None).expect("opens")
}

/// Bytes that are nowhere the same.
fn content(len: u32) -> Bytes {
    (0..len).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

const LONG: u32 = (12 << 20) + 7;

#[test]
fn what_is_confirmed_is_there_unchanged_and_nothing_else_is_confirmed() {
    for len in [1, 5 << 20, (5 << 20) + 1, LONG] {
        let (liar, bytes) = (Liar::new(Lie::Flip), content(len));
        let cloud = cloud(&liar);
        let error = cloud.put("x/y", &bytes, u64::from(len)).expect_err("a bit was turned");
        assert_eq!(error.kind(), io::ErrorKind::HostUnreachable, "{error}");
        liar.set(Lie::None);
        cloud.put("x/y", &bytes, u64::from(len)).expect("puts over it");
        assert!(cloud.get("x/y", None).expect("reads") == bytes, "{len}");
        let last = u64::from(len) - 1;
        assert_eq!(cloud.get("x/y", Some((last, 1))).expect("reads")[..], bytes[last as usize..]);
        let error = cloud.get("x/y", Some((last, 2))).expect_err("is not there");
        assert_ne!(error.kind(), io::ErrorKind::NotFound, "{error}");
    }
}

#[test]
fn the_tag_of_s3_saves_reading_back() {
    // By md5sum; of two parts of 5 MiB and the rest: md5 of the three, one behind the other.
    let abc = ("900150983cd24fb0d6963f7d28e17f72", Bytes::from_static(b"abc"));
    let zeros = ("0f343b0931126a20f133d67c2b018a3b", Bytes::from(vec![0; 1024]));
    for (tag, bytes) in [abc, zeros] {
        let liar = Liar::new(Lie::Tag(tag));
        cloud(&liar).put("x", &bytes, bytes.len() as u64).expect("puts");
        assert_eq!(liar.gets.load(Ordering::SeqCst), 0, "{tag}");
    }
    let parts = Bytes::from(vec![0; (10 << 20) + 1024]);
    let liar = Liar::new(Lie::Tag(PARTS_TAG));
    cloud(&liar).put("x", &parts, parts.len() as u64).expect("puts");
    assert_eq!(liar.gets.load(Ordering::SeqCst), 0);
    // Of something else, as of an object encrypted with a key of its own: it is read.
    let liar = Liar::new(Lie::Tag("900150983cd24fb0d6963f7d28e17f73"));
    cloud(&liar).put("x", &Bytes::from_static(b"abc"), 3).expect("puts");
    assert!(liar.gets.load(Ordering::SeqCst) > 0);
}

const PARTS_TAG: &str = "46ae845bed7238416ccfb1b8e5a7a512-3";

#[test]
fn a_part_that_is_lost_ends_the_upload_and_nothing_is_left_of_it() {
    let (liar, bytes) = (Liar::new(Lie::Lose), content(LONG));
    let cloud = cloud(&liar);
    let error = cloud.put("x", &bytes, u64::from(LONG)).expect_err("is lost");
    assert!(!error.to_string().contains("AKIA"), "keys are not for logs: {error}");
    assert_eq!(liar.aborted.load(Ordering::SeqCst), 1);
    assert_eq!(cloud.get("x", None).expect_err("is not there").kind(), io::ErrorKind::NotFound);
    // Content that is shorter than it was said to be, as of a file that was cut off.
    liar.set(Lie::None);
    assert!(cloud.put("x", &bytes, u64::from(LONG) + 1).is_err());
    assert_eq!(liar.aborted.load(Ordering::SeqCst), 2);
}

#[test]
fn what_is_made_once_is_not_written_over() {
    let liar = Liar::new(Lie::Flip);
    let cloud = cloud(&liar);
    let (one, two) = (Bytes::from_static(b"one"), Bytes::from_static(b"two"));
    assert!(cloud.create("r", one.clone()).is_err());
    liar.set(Lie::None);
    assert!(cloud.create("r", one.clone()).expect("what was wrong is gone"));
    assert!(!cloud.create("r", two).expect("is refused"));
    assert_eq!(cloud.get("r", None).expect("reads"), one);
}

#[test]
fn names_are_listed_level_by_level_and_removed_once_or_twice() {
    let folder = std::env::temp_dir().join(format!("nx-cloud-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    let url = format!("file://{}", folder.display());
    let local = Cloud::open(&Settings { url, ..Settings::default() }).expect("opens");
    for cloud in [local, cloud(&Liar::new(Lie::None))] {
        assert_eq!(cloud.list("", true).expect("lists"), Vec::<String>::new());
        for name in ["live/a/1.index", "live/a/1.media", "live/b/run-0", "vod/c/2.index"] {
            cloud.put(name, &content(6 << 20), 6 << 20).expect("puts");
        }
        let list = |folder: &str, folders| {
            let mut found = cloud.list(folder, folders).expect("lists");
            found.sort();
            found.join(" ")
        };
        assert_eq!((list("", true).as_str(), list("", false).as_str()), ("live vod", ""));
        assert_eq!((list("live", true).as_str(), list("nobody", true).as_str()), ("a b", ""));
        assert_eq!(list("live/a", false), "1.index 1.media");
        assert!(cloud.create("live/b/run-1", content(9)).expect("makes"));
        assert!(!cloud.create("live/b/run-1", content(8)).expect("is refused"));
        for _ in 0..2 {
            cloud.delete("live/a/1.index").expect("removes, or it is gone");
        }
        assert_eq!(list("live/a", false), "1.media");
        assert_eq!(cloud.get("live/a/1.media", Some((5 << 20, 9))).expect("reads").len(), 9);
    }
    std::fs::remove_dir_all(folder).expect("removes");
}

#[test]
fn the_end_of_the_process_ends_every_wait() {
    let cloud = cloud(&Liar::new(Lie::Mute));
    std::thread::scope(|scope| {
        let put = scope.spawn(|| cloud.put("x", &content(9), 9));
        let get = scope.spawn(|| cloud.get("x", None));
        cloud.stop();
        assert!(put.join().expect("no panic").is_err() && get.join().expect("no panic").is_err());
    });
    assert!(cloud.get("x", None).is_err(), "and nothing begins any more");
}

#[test]
fn settings_that_lead_nowhere_are_said_so() {
    let open = |url: &str| Cloud::open(&Settings { url: url.into(), ..Settings::default() });
    for url in ["", "s3:/bucket", "s3://", "gs://bucket", "file://relative/folder", "bucket"] {
        assert!(matches!(open(url), Err(OpenError::Url { .. })), "{url}");
    }
    let key = Settings {
        url: "s3://bucket/folder".into(),
        secret_key_file: Some("/nowhere/key".into()),
        access_key_file: Some("/nowhere/name".into()),
        ..Settings::default()
    };
    let error = Cloud::open(&key).expect_err("no key").to_string();
    assert!(error.contains("/nowhere/name") && error.contains("holds a key"), "{error}");
    let region = Some("eu-central-1".into());
    for url in ["s3://bucket", "s3://bucket/a/folder/"] {
        let cloud = Cloud::open(&Settings { url: url.into(), region: region.clone(), ..Settings::default() });
        assert!(cloud.is_ok(), "{url}");
    }
}
