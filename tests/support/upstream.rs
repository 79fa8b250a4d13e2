//! An origin that does what a test says, and remembers what it was asked.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Path and query.
    pub(crate) target: String,
    /// The head in lower case.
    pub(crate) head: String,
}

impl Asked {
    /// A header by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let line =
            |line: &'_ str| line.split_once(": ").filter(|(n, _)| *n == name).map(|(_, v)| v.to_owned());
        let at = self.head.lines().position(|l| line(l).is_some())?;
        self.head.lines().nth(at)?.split_once(": ").map(|(_, value)| value)
    }
}

#[derive(Default)]
struct Shared {
    asked: Mutex<Vec<Asked>>,
    connections: Mutex<Vec<TcpStream>>,
    gone: AtomicBool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running origin; dropped, it is gone with all its connections.
pub(crate) struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Upstream {
    /// Each request is answered by `script`, which writes to the connection and says whether that stays open.
    pub(crate) fn start(
        script: impl Fn(&Asked, &mut TcpStream) -> std::io::Result<bool> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback can be bound");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (shared, script) = (Arc::new(Shared::default()), Arc::new(script));
        let of = shared.clone();
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                if of.gone.load(Ordering::SeqCst) {
                    return;
                }
                locked(&of.connections).extend(socket.try_clone());
                let (shared, script) = (of.clone(), script.clone());
                std::thread::spawn(move || while serve(&shared, &*script, &socket).unwrap_or(false) {});
            }
        });
        Self { address, shared }
    }

    /// As `http://…`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Requests for this target.
    pub(crate) fn count(&self, target: &str) -> usize {
        self.asked(target).len()
    }

    /// The same as they came.
    pub(crate) fn asked(&self, target: &str) -> Vec<Asked> {
        locked(&self.shared.asked).iter().filter(|asked| asked.target == target).cloned().collect()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.gone.store(true, Ordering::SeqCst);
        // Wakes the listener, which closes.
        let _ = TcpStream::connect(self.address);
        locked(&self.shared.connections).iter().for_each(|c| drop(c.shutdown(Shutdown::Both)));
    }
}

fn serve(
    shared: &Shared,
    script: &dyn Fn(&Asked, &mut TcpStream) -> std::io::Result<bool>,
    socket: &TcpStream,
) -> std::io::Result<bool> {
    let mut lines = BufReader::new(socket.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if lines.read_line(&mut head)? == 0 {
            return Ok(false);
        }
    }
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let asked = Asked { target, head: head.to_ascii_lowercase() };
    locked(&shared.asked).push(asked.clone());
    let stays = script(&asked, &mut socket.try_clone()?)?;
    if !stays {
        let _ = socket.shutdown(Shutdown::Both);
    }
    Ok(stays)
}

/// A whole answer with its length.
pub(crate) fn answer(
    out: &mut TcpStream,
    status: &str,
    fields: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<bool> {
    let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{fields}\r\n", body.len());
    out.write_all(&[head.as_bytes(), body].concat())?;
    Ok(true)
}

/// Holds scripts until it is opened.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(crate) fn open(&self) {
        *locked(&self.0.0) = true;
        self.0.1.notify_all();
    }

    pub(crate) fn pass(&self) {
        let held = locked(&self.0.0);
        drop(self.0.1.wait_while(held, |open| !*open));
    }
}
