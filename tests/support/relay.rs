//! A bad network for tests: a UDP relay that loses, delays, reorders, repeats and corrupts by a seed.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What happens to datagrams of one direction. Chances are percent.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Way {
    /// Lost.
    pub(crate) loss_pct: f64,
    /// Delay of all.
    pub(crate) delay: Duration,
    /// Held back by `reorder_delay`, so that later ones overtake.
    pub(crate) reorder_pct: f64,
    /// See `reorder_pct`.
    pub(crate) reorder_delay: Duration,
    /// Sent twice.
    pub(crate) duplicate_pct: f64,
    /// One bit turned over.
    pub(crate) corrupt_pct: f64,
}

/// Both directions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Faults {
    /// From clients to the target.
    pub(crate) up: Way,
    /// From the target to clients.
    pub(crate) down: Way,
    /// Seed of all chances.
    pub(crate) seed: u64,
}

impl Faults {
    /// The same both ways.
    pub(crate) fn both(way: Way, seed: u64) -> Self {
        Self { up: way, down: way, seed }
    }

    /// A perfect network.
    pub(crate) fn none() -> Self {
        Self::both(Way::default(), 1)
    }
}

/// Datagrams so far, both directions together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub(crate) received: u64,
    pub(crate) lost: u64,
    pub(crate) reordered: u64,
    pub(crate) duplicated: u64,
    pub(crate) corrupted: u64,
    pub(crate) clients: u64,
}

#[derive(Default)]
struct Counters([AtomicU64; 6]);

struct Shared {
    faults: Mutex<Faults>,
    counters: Counters,
    stop: AtomicBool,
}

/// A running relay; dropped, it ends.
pub(crate) struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Relays between clients of [`Relay::address`] and `target`; each client has its own socket upstream.
    pub(crate) fn start(target: SocketAddr, faults: Faults) -> Self {
        let socket = bound();
        let address = socket.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            faults: Mutex::new(faults),
            counters: Counters::default(),
            stop: AtomicBool::new(false),
        });
        let line = Line {
            socket,
            target,
            shared: Arc::clone(&shared),
            random: Random(faults.seed | 1),
            clients: Vec::new(),
            places: HashMap::new(),
            waiting: BinaryHeap::new(),
            order: 0,
        };
        Self { address, shared, thread: Some(std::thread::spawn(move || line.run())) }
    }

    /// Where clients send to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Other faults from now on; the seed is that of the start.
    pub(crate) fn set(&self, faults: Faults) {
        *lock(&self.shared.faults) = faults;
    }

    /// What happened so far.
    pub(crate) fn counts(&self) -> Counts {
        let [received, lost, reordered, duplicated, corrupted, clients] =
            std::array::from_fn(|n| self.shared.counters.0[n].load(Ordering::Relaxed));
        Counts { received, lost, reordered, duplicated, corrupted, clients }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn bound() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback can be bound");
    socket.set_nonblocking(true).expect("sockets can be non-blocking");
    socket
}

/// xorshift64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn chance(&mut self, percent: f64) -> bool {
        percent > 0.0 && ((self.next() >> 11) as f64 / (1_u64 << 53) as f64) * 100.0 < percent
    }
}

struct Client {
    address: SocketAddr,
    upstream: UdpSocket,
}

/// A datagram under way: due, order of arrival, client, whether upwards, bytes.
type Waiting = Reverse<(Instant, u64, usize, bool, Vec<u8>)>;

struct Line {
    socket: UdpSocket,
    target: SocketAddr,
    shared: Arc<Shared>,
    random: Random,
    clients: Vec<Client>,
    places: HashMap<SocketAddr, usize>,
    waiting: BinaryHeap<Waiting>,
    order: u64,
}

impl Line {
    /// Wakes for clients at once, lest a burst of theirs overflow the socket, and for the rest every half
    /// millisecond: the precision of its delays.
    fn run(mut self) {
        self.socket.set_read_timeout(Some(Duration::from_micros(500))).expect("not zero");
        let mut buffer = [0; 65_536];
        while !self.shared.stop.load(Ordering::Relaxed) {
            let faults = *lock(&self.shared.faults);
            self.socket.set_nonblocking(false).expect("sockets can be blocking");
            let mut came = read(&self.socket, &mut buffer);
            self.socket.set_nonblocking(true).expect("sockets can be non-blocking");
            while let Some((length, from)) = came {
                let client = self.client(from);
                self.accept(&buffer[..length], client, true, faults.up);
                came = read(&self.socket, &mut buffer);
            }
            for client in 0..self.clients.len() {
                while let Some((length, _)) = read(&self.clients[client].upstream, &mut buffer) {
                    self.accept(&buffer[..length], client, false, faults.down);
                }
            }
            self.deliver();
        }
    }

    fn client(&mut self, address: SocketAddr) -> usize {
        if let Some(&place) = self.places.get(&address) {
            return place;
        }
        self.count(5);
        self.places.insert(address, self.clients.len());
        self.clients.push(Client { address, upstream: bound() });
        self.clients.len() - 1
    }

    fn count(&self, counter: usize) {
        self.shared.counters.0[counter].fetch_add(1, Ordering::Relaxed);
    }

    fn accept(&mut self, bytes: &[u8], client: usize, up: bool, way: Way) {
        self.count(0);
        if self.random.chance(way.loss_pct) {
            self.count(1);
            return;
        }
        let mut bytes = bytes.to_vec();
        let mut due = Instant::now() + way.delay;
        if self.random.chance(way.reorder_pct) {
            self.count(2);
            due += way.reorder_delay;
        }
        if self.random.chance(way.corrupt_pct) && !bytes.is_empty() {
            self.count(4);
            let bit = self.random.next() as usize % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        if self.random.chance(way.duplicate_pct) {
            self.count(3);
            self.push(due, client, up, bytes.clone());
        }
        self.push(due, client, up, bytes);
    }

    fn push(&mut self, due: Instant, client: usize, up: bool, bytes: Vec<u8>) {
        self.order += 1;
        self.waiting.push(Reverse((due, self.order, client, up, bytes)));
    }

    fn deliver(&mut self) {
        let now = Instant::now();
        while self.waiting.peek().is_some_and(|Reverse((due, ..))| *due <= now) {
            let Some(Reverse((_, _, client, up, bytes))) = self.waiting.pop() else { return };
            let Client { address, upstream } = &self.clients[client];
            let _ =
                if up { upstream.send_to(&bytes, self.target) } else { self.socket.send_to(&bytes, address) };
        }
    }
}

/// A datagram, if there is one; an ICMP error of a peer that is gone is passed over.
fn read(socket: &UdpSocket, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
    loop {
        match socket.recv_from(buffer) {
            Ok(datagram) => return Some(datagram),
            Err(e) if matches!(e.kind(), ErrorKind::ConnectionRefused | ErrorKind::Interrupted) => {}
            Err(_) => return None,
        }
    }
}
