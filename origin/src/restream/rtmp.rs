//! Publishes a stream to an RTMP server.

use std::io;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use nx_rtmp::client::{Config, Event, Intent, Output, Session};
use nx_rtmp::{Limits, NONCE_LEN};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use crate::address::Rtmp;
use crate::follow::{Follower, Next, Piece};
use crate::restream::messages::Messages;
use crate::restream::target::{Over, Stop, missed_frames};
use crate::restream::tls;
use crate::restream::way::{Care, resolve};
use crate::retry::{Failure, Meter};

/// Time until the server has accepted the stream.
const CONNECT: Duration = Duration::from_secs(15);
/// A server that takes nothing for this long is gone.
const STUCK: Duration = Duration::from_secs(20);
/// Bytes written at a time, so that progress is seen.
const WRITE: usize = 64 << 10;
/// Chunk size that servers of every age take.
const CHUNK: u32 = 4_096;
/// A server that leaves within this time did not like the stream.
const DISLIKED: Duration = Duration::from_secs(10);
/// A server may send us on at most this often.
const MOVED: Duration = Duration::from_secs(10);

trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Socket for T {}

/// A connection that the server has accepted a stream on.
pub(crate) struct Line {
    socket: Box<dyn Socket>,
    session: Session,
    began: Instant,
}

/// Opens a connection and waits until the server accepts the stream.
pub(crate) async fn connect(to: &Rtmp, care: Care) -> Result<Line, Failure> {
    let deadline = Instant::now() + CONNECT;
    match timeout_at(deadline, negotiate(to, care)).await {
        Ok(result) => result,
        Err(_) => Err(Failure::Passing(format!(
            "{} did not accept the stream within {} s: check that it is an RTMP server and is well",
            to.shown(),
            CONNECT.as_secs()
        ))),
    }
}

async fn negotiate(to: &Rtmp, care: Care) -> Result<Line, Failure> {
    let mut socket = dial(to, care).await?;
    let mut nonce = [0; NONCE_LEN];
    let _ = getrandom::fill(&mut nonce);
    let config = Config {
        app: to.app.clone(),
        stream: to.stream.clone(),
        tc_url: to.tc_url(),
        intent: Intent::Publish,
        chunk_size_out: CHUNK,
        limits: Limits::default(),
    };
    let mut session = Session::new(config, nonce);
    let began = Instant::now();
    let mut buffer = [0; 4_096];
    loop {
        while let Some(output) = session.poll() {
            match output {
                Output::Send(bytes) => socket.write_all(&bytes).await.map_err(|e| lost(to, &e))?,
                Output::Event(Event::Ready) => return Ok(Line { socket, session, began }),
                Output::Event(Event::Status { code, level, description }) if level == "error" => {
                    return Err(refused(to, &code, &description));
                }
                Output::Event(_) => {}
            }
        }
        let n = socket.read(&mut buffer).await.map_err(|e| lost(to, &e))?;
        if n == 0 {
            return Err(Failure::Passing(
                "the server closed the connection before it accepted the stream: check the stream key".into(),
            ));
        }
        session.handle(since_ms(began), buffer.get(..n).unwrap_or_default()).map_err(|e| nonsense(&e))?;
    }
}

async fn dial(to: &Rtmp, care: Care) -> Result<Box<dyn Socket>, Failure> {
    let addresses = resolve(&to.host, to.port, care.public_only).await?;
    let tcp = TcpStream::connect(&addresses[..]).await.map_err(|e| {
        Failure::Passing(format!("{} port {} cannot be reached: {e}; check host and port", to.host, to.port))
    })?;
    let _ = tcp.set_nodelay(true);
    if !to.tls {
        return Ok(Box::new(tcp));
    }
    let broken = |e: &dyn std::fmt::Display| {
        Failure::Slow(format!(
            "no TLS with {}: {e}; check name and port, or set tls_insecure if its certificate is one of its own",
            to.host
        ))
    };
    let name = ServerName::try_from(to.host.clone()).map_err(|e| broken(&e))?;
    let connector = TlsConnector::from(tls::config(care.tls_insecure).map_err(|e| broken(&e))?);
    Ok(Box::new(connector.connect(name, tcp).await.map_err(|e| broken(&e))?))
}

/// What the server's status means for us.
fn refused(to: &Rtmp, code: &str, description: &str) -> Failure {
    let (code, description) = (to.scrub(code), to.scrub(description));
    let text = format!("the server refused the stream: {code:.100} {description:.300}");
    let keyed = ["BadName", "Denied", "Unauthorized", "Rejected", "InvalidApp", "Failed"];
    if keyed.iter().any(|k| code.contains(k)) || description.to_ascii_lowercase().contains("auth") {
        Failure::Slow(format!("{text}; check application and stream key, and that nobody else sends it"))
    } else {
        Failure::Passing(text)
    }
}

fn lost(to: &Rtmp, error: &io::Error) -> Failure {
    Failure::Passing(format!("the connection to {} broke: {error}", to.host))
}

fn nonsense(error: &nx_rtmp::Error) -> Failure {
    Failure::Passing(format!("the server does not speak RTMP as it should: {error}; check host and port"))
}

fn since_ms(began: Instant) -> u32 {
    u32::try_from(began.elapsed().as_millis()).unwrap_or(u32::MAX)
}

impl Line {
    /// Sends the stream until something ends it.
    pub(crate) async fn run(
        mut self,
        to: &Rtmp,
        follower: &mut Follower,
        meter: &Meter,
        stop: &mut Stop,
    ) -> Over {
        let mut messages = Messages::default();
        let mut buffer = vec![0; 4_096];
        let live = Instant::now();
        follower.restart();
        let over = loop {
            let over = tokio::select! {
                biased;
                () = stop.asked() => Some(Over::Stopped),
                read = self.socket.read(&mut buffer) => match read {
                    Ok(0) => Some(Over::Failed(left(live, &messages))),
                    Ok(n) => self.heard(to, buffer.get(..n).unwrap_or_default(), live).await,
                    Err(error) => Some(Over::Failed(lost(to, &error))),
                },
                next = follower.next() => match next {
                    Next::End => Some(Over::StreamEnded),
                    Next::Quiet => None,
                    Next::Piece(piece) => self.send(to, &mut messages, &piece, meter, stop).await,
                },
            };
            if let Some(over) = over {
                break over;
            }
        };
        if !matches!(over, Over::Failed(_)) {
            self.goodbye().await;
        }
        over
    }

    async fn send(
        &mut self,
        to: &Rtmp,
        messages: &mut Messages,
        piece: &Piece,
        meter: &Meter,
        stop: &mut Stop,
    ) -> Option<Over> {
        meter.dropped(missed_frames(piece));
        let mut out = BytesMut::new();
        let session = &self.session;
        messages.piece(piece, &mut |kind, at_ms, parts| out.put(session.write(kind, at_ms, parts)));
        while !out.is_empty() {
            let bytes = out.split_to(out.len().min(WRITE));
            let written = tokio::select! {
                biased;
                () = stop.asked() => return Some(Over::Stopped),
                written = timeout(STUCK, self.socket.write_all(&bytes)) => written,
            };
            match written {
                Ok(Ok(())) => meter.passed(bytes.len()),
                Ok(Err(error)) => return Some(Over::Failed(lost(to, &error))),
                Err(_) => {
                    let text =
                        format!("the server took nothing for {} s: check its network", STUCK.as_secs());
                    return Some(Over::Failed(Failure::Passing(text)));
                }
            }
        }
        // What TLS holds back is not under way.
        let _ = timeout(STUCK, self.socket.flush()).await;
        None
    }

    async fn heard(&mut self, to: &Rtmp, bytes: &[u8], live: Instant) -> Option<Over> {
        if let Err(error) = self.session.handle(since_ms(self.began), bytes) {
            return Some(Over::Failed(nonsense(&error)));
        }
        while let Some(output) = self.session.poll() {
            match output {
                Output::Send(bytes) => match timeout(STUCK, self.socket.write_all(&bytes)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return Some(Over::Failed(lost(to, &error))),
                    Err(_) => return Some(Over::Failed(Failure::Passing("the server takes nothing".into()))),
                },
                Output::Event(Event::Status { code, level, description }) if level == "error" => {
                    return Some(Over::Failed(refused(to, &code, &description)));
                }
                Output::Event(Event::ReconnectRequest { tc_url, .. }) if live.elapsed() >= MOVED => {
                    return Some(Over::Moved(tc_url));
                }
                Output::Event(_) => {}
            }
        }
        None
    }

    async fn goodbye(&mut self) {
        self.session.close();
        while let Some(Output::Send(bytes)) = self.session.poll() {
            let _ = timeout(Duration::from_secs(1), self.socket.write_all(&bytes)).await;
        }
        let _ = timeout(Duration::from_secs(1), self.socket.shutdown()).await;
    }
}

/// Why a server that had accepted closed the connection, as far as one can guess.
fn left(live: Instant, messages: &Messages) -> Failure {
    let hint = match messages.unusual() {
        Some(codec) if live.elapsed() < DISLIKED => {
            format!("; it may not take {codec} over RTMP: send H.264 and AAC, which all take")
        }
        _ if live.elapsed() < DISLIKED => "; check the stream key, and what the server takes".into(),
        _ => String::new(),
    };
    Failure::Passing(format!("the server closed the connection{hint}"))
}
