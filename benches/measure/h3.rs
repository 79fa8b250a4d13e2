//! A generator of HTTP/3: one thread, connections that ask without pause, bodies thrown away as they come.

use std::io::{Error, Result};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use super::tls::NAME;

/// Type of the control stream, and empty SETTINGS (RFC 9114 §6.2.1, §7.2.4).
const CONTROL: [u8; 3] = [0, 4, 0];
/// Frame type, length of one or two bytes, two bytes before the fields, the status.
const HEAD: usize = 6;
/// `:status: 200` in the static table of QPACK (RFC 9204 appendix A).
const OK: u8 = 0xc0 | 25;

/// Connections that ask without pause, while [`Load::run`] lets them.
pub(crate) struct Load {
    runtime: Runtime,
    callers: JoinSet<Result<()>>,
    count: Arc<Count>,
}

#[derive(Default)]
struct Count {
    answers: AtomicU64,
    bytes: AtomicU64,
}

impl Load {
    /// Every connection asks for the paths in turn.
    pub(crate) fn start(
        address: SocketAddr,
        tls: rustls::ClientConfig,
        paths: &[String],
        count: usize,
    ) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let endpoint = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
        let tls = QuicClientConfig::try_from(tls).map_err(Error::other)?;
        let config = quinn::ClientConfig::new(Arc::new(tls));
        let requests: Arc<Vec<Vec<u8>>> = Arc::new(paths.iter().map(|path| request(path)).collect());
        let (mut callers, answered) = (JoinSet::new(), Arc::<Count>::default());
        for nth in 0..count {
            let connecting = endpoint.connect_with(config.clone(), address, NAME).map_err(Error::other)?;
            callers.spawn(call(connecting, requests.clone(), nth, answered.clone()));
        }
        drop(entered);
        Ok(Self { runtime, callers, count: answered })
    }

    /// Goes on for this long.
    ///
    /// # Errors
    /// A connection broke, or an answer was not 200.
    pub(crate) fn run(&mut self, time: Duration) -> Result<()> {
        let Self { runtime, callers, .. } = self;
        let ended = runtime.block_on(async { tokio::time::timeout(time, callers.join_next()).await });
        match ended {
            Err(_) => Ok(()),
            Ok(None) => Err(Error::other("nobody calls")),
            Ok(Some(ended)) => ended.map_err(Error::other)?,
        }
    }

    /// Answers read whole, and their bytes.
    pub(crate) fn done(&self) -> (u64, u64) {
        (self.count.answers.load(Ordering::Relaxed), self.count.bytes.load(Ordering::Relaxed))
    }
}

async fn call(
    connecting: quinn::Connecting,
    requests: Arc<Vec<Vec<u8>>>,
    nth: usize,
    count: Arc<Count>,
) -> Result<()> {
    let connection = connecting.await.map_err(Error::other)?;
    let mut control = connection.open_uni().await.map_err(Error::other)?;
    control.write_all(&CONTROL).await.map_err(Error::other)?;
    for request in requests.iter().cycle().skip(nth % requests.len()) {
        let (mut out, mut answer) = connection.open_bi().await.map_err(Error::other)?;
        out.write_all(request).await.map_err(Error::other)?;
        out.finish().map_err(Error::other)?;
        let mut head = Vec::new();
        while let Some(chunk) = answer.read_chunk(usize::MAX, true).await.map_err(Error::other)? {
            count.bytes.fetch_add(chunk.bytes.len() as u64, Ordering::Relaxed);
            head.extend(chunk.bytes.iter().take(HEAD - head.len()));
        }
        if head.first() != Some(&1) || !head.contains(&OK) {
            return Err(Error::other(format!("not answered with 200: {head:02x?}")));
        }
        count.answers.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// A HEADERS frame with `GET` of a path: static table and literals (RFC 9204 §4.5).
fn request(path: &str) -> Vec<u8> {
    let mut block = vec![0, 0, 0xc0 | 17, 0xc0 | 23, 0x50, NAME.len() as u8];
    block.extend(NAME.as_bytes());
    block.extend([0x51, path.len() as u8]);
    block.extend(path.as_bytes());
    [&[1, 0x40, block.len() as u8][..], &block].concat()
}
