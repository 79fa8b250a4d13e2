//! Listeners that outlive their process: taken over from systemd or from the process before, handed to the next one.
//!
//! On SIGUSR2 the binary is started anew, with the sockets as systemd hands them over (`LISTEN_FDS`, `LISTEN_FDNAMES`).
//! When the new process has said that it is ready, the way it says so to systemd (`NOTIFY_SOCKET`), this one stops:
//! what runs is finished, and connections are told to come anew. A new process that does not get ready is ended, and
//! nothing has changed. A connection over TCP is lost by neither; those over QUIC live in one process, so they are
//! closed, and their peers connect again.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixDatagram as StdDatagram};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use listenfd::ListenFd;
use tokio::net::{TcpListener, UnixDatagram};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// The first socket that is handed over, as systemd has it.
const FIRST_FD: i32 = 3;
/// What a new process has to get ready.
const READY_MAX: Duration = Duration::from_secs(30);
/// How often it is looked whether it lives.
const LOOK: Duration = Duration::from_millis(100);

/// Sockets that this process was started with, by name.
static INHERITED: LazyLock<Mutex<Vec<(String, Inherited)>>> = LazyLock::new(|| Mutex::new(inherited()));
/// Sockets that the next process gets, by name, as long as they are open.
static LASTING: Mutex<Vec<(String, Lasting)>> = Mutex::new(Vec::new());
/// This process may be replaced while it runs; it has been.
static OFFERED: AtomicBool = AtomicBool::new(false);
static REPLACED: AtomicBool = AtomicBool::new(false);

enum Inherited {
    Tcp(StdListener),
    Udp(UdpSocket),
}

enum Lasting {
    Tcp(Weak<TcpListener>),
    Udp(UdpSocket),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A listener under the name of the setting that has its address: one that this process was started with, else a new
/// one.
///
/// # Errors
/// When the address cannot be had.
pub(crate) async fn listen(name: &str, address: SocketAddr) -> io::Result<Arc<TcpListener>> {
    let tcp = |of: &Inherited| match of {
        Inherited::Tcp(listener) => listener.local_addr().ok(),
        Inherited::Udp(_) => None,
    };
    let listener = match take(name, address, tcp) {
        Some(Inherited::Tcp(listener)) => {
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)?
        }
        _ => TcpListener::bind(address).await?,
    };
    let listener = Arc::new(listener);
    lock(&LASTING).push((name.to_owned(), Lasting::Tcp(Arc::downgrade(&listener))));
    Ok(listener)
}

/// The same for UDP.
///
/// # Errors
/// When the address cannot be had.
pub fn listen_udp(name: &str, address: SocketAddr) -> io::Result<UdpSocket> {
    let udp = |of: &Inherited| match of {
        Inherited::Udp(socket) => socket.local_addr().ok(),
        Inherited::Tcp(_) => None,
    };
    let socket = match take(name, address, udp) {
        Some(Inherited::Udp(socket)) => socket,
        _ => UdpSocket::bind(address)?,
    };
    lock(&LASTING).push((name.to_owned(), Lasting::Udp(socket.try_clone()?)));
    Ok(socket)
}

/// What was inherited under a name, or for an address, of the kind that `kind` gives the address of.
fn take(
    name: &str,
    address: SocketAddr,
    kind: impl Fn(&Inherited) -> Option<SocketAddr>,
) -> Option<Inherited> {
    let mut inherited = lock(&INHERITED);
    let fits =
        |(of, socket): &(String, Inherited)| kind(socket).is_some_and(|at| of == name || at == address);
    let at = inherited.iter().position(fits)?;
    Some(inherited.swap_remove(at).1)
}

#[expect(clippy::disallowed_methods, reason = "whoever starts the process says so, not its configuration")]
fn inherited() -> Vec<(String, Inherited)> {
    let mut sockets = ListenFd::from_env();
    let count = sockets.len();
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':').map(str::to_owned);
    // A copy each: what was inherited is inherited by every child, a copy is not.
    let one = |nth| {
        let name = names.next().unwrap_or_default();
        if let Ok(Some(listener)) = sockets.take_tcp_listener(nth) {
            return Some((name, Inherited::Tcp(listener.try_clone().ok()?)));
        }
        let socket = sockets.take_udp_socket(nth).ok()??;
        Some((name, Inherited::Udp(socket.try_clone().ok()?)))
    };
    (0..count).filter_map(one).collect()
}

/// From now on this process may be replaced; says that it is ready to whoever started it and wants to know.
pub fn ready() {
    OFFERED.store(true, Ordering::Relaxed);
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET").and_then(|at| at.into_string().ok()) else { return };
    let told = StdDatagram::unbound().and_then(|own| match socket.strip_prefix('@') {
        Some(name) => own.send_to_addr(b"READY=1", &UnixAddr::from_abstract_name(name)?),
        None => own.send_to(b"READY=1", &socket),
    });
    if let Err(error) = told {
        tracing::warn!(%error, "whoever started this process was not told that it is ready");
    }
}

/// Whether another process has this one's listeners.
pub(crate) fn is_replaced() -> bool {
    REPLACED.load(Ordering::Relaxed)
}

/// From now on SIGUSR2 asks for an upgrade instead of killing. Turns true when another process has taken the place of
/// this one, which is to stop then.
///
/// # Errors
///
/// Those of taking a signal.
pub fn upgrades() -> io::Result<watch::Receiver<bool>> {
    let asked = signal(SignalKind::user_defined2())?;
    let (replaced, done) = watch::channel(false);
    // Its path now: later it may be another file's.
    tokio::spawn(attend(asked, std::env::current_exe(), replaced));
    Ok(done)
}

async fn attend(mut asked: Signal, binary: io::Result<PathBuf>, replaced: watch::Sender<bool>) {
    while asked.recv().await.is_some() {
        match replace(&binary).await {
            Ok(pid) => {
                tracing::info!(pid, "another process has taken over");
                REPLACED.store(true, Ordering::Relaxed);
                replaced.send_replace(true);
            }
            Err(error) => tracing::error!("not upgraded: {error}"),
        }
    }
}

/// Starts the binary with the listeners and waits until it is ready; gives its process id.
async fn replace(binary: &io::Result<PathBuf>) -> Result<u32, String> {
    if !OFFERED.load(Ordering::Relaxed) {
        return Err(
            "the publishers of an origin cannot move to another process: stop it and start it again".into()
        );
    }
    if is_replaced() {
        return Err("another process has taken over already".into());
    }
    let binary = binary.as_ref().map_err(|e| format!("its own path is not known: {e}"))?;
    let text = |e: io::Error| e.to_string();
    let name = format!("nexus-{}", crate::random_id());
    let heard =
        UnixAddr::from_abstract_name(&name).and_then(|at| StdDatagram::bind_addr(&at)).map_err(text)?;
    heard.set_nonblocking(true).map_err(text)?;
    let heard = UnixDatagram::from_std(heard).map_err(text)?;
    let sockets = lasting().map_err(text)?;
    let names: Vec<&str> = sockets.iter().map(|(name, _)| name.as_str()).collect();
    let mut command = Command::new(binary);
    command
        .args(std::env::args_os().skip(1))
        .env("LISTEN_FDS", sockets.len().to_string())
        .env("LISTEN_FDNAMES", names.join(":"))
        .env("NOTIFY_SOCKET", format!("@{name}"))
        .env_remove("LISTEN_PID");
    let map = |((_, parent_fd), child_fd)| FdMapping { parent_fd, child_fd };
    let mappings = sockets.into_iter().zip(FIRST_FD..).map(map).collect();
    command.fd_mappings(mappings).map_err(|e| e.to_string())?;
    let mut child = command.spawn().map_err(|e| format!("{} cannot be started: {e}", binary.display()))?;
    match tokio::time::timeout(READY_MAX, get_ready(&mut child, &heard)).await {
        Ok(Ok(())) => Ok(child.id()),
        Ok(Err(error)) => Err(error),
        Err(_) => {
            let _ = child.kill().and_then(|()| child.wait());
            Err("the new process did not get ready in time".into())
        }
    }
}

/// Waits until a process has said that it is ready.
async fn get_ready(child: &mut Child, heard: &UnixDatagram) -> Result<(), String> {
    let mut look = tokio::time::interval(LOOK);
    let mut word = [0; 64];
    loop {
        tokio::select! {
            len = heard.recv(&mut word) => {
                if len.is_ok_and(|len| word.get(..len).is_some_and(|word| word.starts_with(b"READY=1"))) {
                    return Ok(());
                }
            }
            _ = look.tick() => {
                if let Ok(Some(status)) = child.try_wait() {
                    return Err(format!("the new process has ended: {status}; its log says why"));
                }
            }
        }
    }
}

/// Copies of the sockets that are open still.
fn lasting() -> io::Result<Vec<(String, OwnedFd)>> {
    let mut all = lock(&LASTING);
    all.retain(|(_, socket)| !matches!(socket, Lasting::Tcp(listener) if listener.strong_count() == 0));
    let copy = |(name, socket): &(String, Lasting)| {
        let copy = match socket {
            Lasting::Tcp(listener) => listener.upgrade().map(|open| open.as_fd().try_clone_to_owned()),
            Lasting::Udp(socket) => Some(socket.as_fd().try_clone_to_owned()),
        };
        copy.map(|copy| Ok((name.clone(), copy?)))
    };
    all.iter().filter_map(copy).collect()
}
