//! A bad line for tests: a TCP proxy that cuts, holds up and answers in place of the server.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What happens to connections, those that are open too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// Nothing.
    Good,
    /// Bytes go no further.
    Stalled,
    /// Each ends after so many bytes towards the server.
    Cut(u64),
    /// Each ends at once.
    Dead,
    /// Each request is answered with 500.
    Failing,
    /// Bytes per second towards the server and back, of each connection.
    Slow(u64),
}

struct Shared {
    line: Mutex<Line>,
    stop: AtomicBool,
    connections: AtomicU64,
}

/// A running proxy; dropped, it ends.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Between clients of [`Proxy::address`] and `target`.
    pub(crate) fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback can be bound");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            line: Mutex::new(Line::Good),
            stop: AtomicBool::new(false),
            connections: AtomicU64::new(0),
        });
        let of = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if of.stop.load(Ordering::Relaxed) {
                    break;
                }
                of.connections.fetch_add(1, Ordering::Relaxed);
                let shared = of.clone();
                std::thread::spawn(move || serve(&shared, client, target));
            }
        });
        Self { address, shared }
    }

    /// Where clients go.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Another line from now on.
    pub(crate) fn set(&self, line: Line) {
        *self.shared.line() = line;
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn serve(shared: &Shared, client: TcpStream, target: SocketAddr) {
    let Ok(server) = TcpStream::connect(target) else { return };
    std::thread::scope(|scope| {
        scope.spawn(|| pump(shared, &client, &server, true));
        pump(shared, &server, &client, false);
    });
}

/// Carries bytes one way, until either end or the line has enough.
fn pump(shared: &Shared, mut from: &TcpStream, mut to: &TcpStream, up: bool) {
    let wait = Duration::from_millis(20);
    from.set_read_timeout(Some(wait)).expect("not zero");
    let (mut buffer, mut carried) = (vec![0; 16 << 10], 0);
    while !shared.stop.load(Ordering::Relaxed) {
        let line = *shared.line();
        let end = match line {
            Line::Stalled => {
                std::thread::sleep(wait);
                continue;
            }
            Line::Dead => true,
            Line::Cut(most) => up && carried >= most,
            _ => false,
        };
        let count = match from.read(&mut buffer) {
            _ if end => break,
            Ok(0) => break,
            Ok(count) => count,
            Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                continue;
            }
            Err(_) => break,
        };
        if let (Line::Failing, true) = (line, up) {
            let answer =
                "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let _ = from.write_all(answer.as_bytes());
            break;
        }
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
        carried += count as u64;
        if let Line::Slow(rate) = line {
            std::thread::sleep(Duration::from_secs_f64(count as f64 / rate as f64));
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
