//! A TCP connection before it has a stream: plain or with TLS, driven by tokio.

use std::io::{self, ErrorKind};

use rustls::ServerConnection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// Bytes taken at a time.
const READ: usize = 8_192;

pub(crate) enum Line {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Line {
    /// Waits for bytes and hands them to `take`; `None` at the end. The buffer lives only while there is something
    /// to read, so that thousands of silent connections cost little.
    pub(crate) async fn read<T>(&mut self, take: impl FnOnce(&[u8]) -> T) -> io::Result<Option<T>> {
        let some = |buffer: &[u8], n: usize| buffer.get(..n).filter(|b| !b.is_empty()).map(<[u8]>::to_vec);
        let bytes = match self {
            Self::Plain(tcp) => loop {
                tcp.readable().await?;
                let mut buffer = [0; READ];
                match tcp.try_read(&mut buffer) {
                    Ok(n) => break some(&buffer, n),
                    Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                    Err(e) => return Err(e),
                }
            },
            Self::Tls(tls) => {
                let mut buffer = vec![0; READ];
                let n = tls.read(&mut buffer).await?;
                some(&buffer, n)
            }
        };
        Ok(bytes.map(|bytes| take(&bytes)))
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.write_all(bytes).await,
            Self::Tls(tls) => {
                tls.write_all(bytes).await?;
                tls.flush().await
            }
        }
    }

    pub(crate) async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.shutdown().await,
            Self::Tls(tls) => tls.shutdown().await,
        }
    }

    /// The socket, with the state of TLS, to be driven by a shard.
    pub(crate) fn into_parts(self) -> io::Result<(std::net::TcpStream, Option<Box<ServerConnection>>)> {
        match self {
            Self::Plain(tcp) => Ok((tcp.into_std()?, None)),
            Self::Tls(tls) => {
                let (tcp, state) = tls.into_inner();
                Ok((tcp.into_std()?, Some(Box::new(state))))
            }
        }
    }
}
