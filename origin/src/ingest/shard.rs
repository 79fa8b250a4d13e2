//! A shard: one thread that owns some streams, with their publishers and RTMP players.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token, Waker};
use nx_media::StreamKey;

use crate::announce::Saying;
use crate::claims::{Claim, Role};
use crate::hub::{Entry, Hub, lock};
use crate::ingest::input::{About, Input, Wire};
use crate::ingest::pace::TICK_MS;
use crate::ingest::player::Player;
use crate::ingest::stream::{Outcome, Stream};
use crate::ladder::Ring;

const WAKER: Token = Token(usize::MAX);
/// Bytes read from a socket at a time.
const SCRATCH: usize = 256 << 10;
/// Time between two looks after the streams; milliseconds.
const LOOK_MS: i64 = 1_000;

/// Something for a stream.
pub(crate) enum Join {
    /// A publisher that has been admitted, and has the name.
    Input { key: StreamKey, entry: Arc<Entry>, about: Box<About>, claim: Arc<Claim>, wire: Wire },
    /// An RTMP player.
    Player { key: StreamKey, player: Box<Player> },
    /// A stream that an earlier process carried waits for its publisher.
    Resume { key: StreamKey, entry: Arc<Entry> },
    /// The API says something about a stream; without the stream nobody answers.
    Say { key: StreamKey, saying: Box<Saying> },
    /// A stream's worker, or another origin, has made something.
    Made { key: StreamKey },
}

impl Join {
    fn key(&self) -> &StreamKey {
        let (Self::Input { key, .. }
        | Self::Player { key, .. }
        | Self::Resume { key, .. }
        | Self::Say { key, .. }
        | Self::Made { key }) = self;
        key
    }
}

/// All shards of an origin.
#[derive(Debug, Clone)]
pub(crate) struct Shards {
    doors: Arc<Vec<Door>>,
    stop: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Door {
    inbox: mpsc::Sender<Join>,
    waker: Arc<Waker>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Shards {
    pub(crate) fn start(hub: &Arc<Hub>) -> io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let count = if hub.config.rtmp.shards > 0 { hub.config.rtmp.shards } else { (cores / 2).max(1) };
        let stop = Arc::new(AtomicBool::new(false));
        let doors = (0..count).map(|n| Door::open(n, hub, &stop)).collect::<io::Result<_>>()?;
        Ok(Self { doors: Arc::new(doors), stop })
    }

    /// Hands a connection to the shard of its stream.
    pub(crate) fn join(&self, join: Join) {
        let mut hasher = DefaultHasher::new();
        join.key().hash(&mut hasher);
        let doors = self.doors.len() as u64;
        let nth = usize::try_from(hasher.finish() % doors).unwrap_or(0);
        if let Some(door) = self.doors.get(nth)
            && door.inbox.send(join).is_ok()
        {
            let _ = door.waker.wake();
        }
    }

    /// Ends every stream and waits for the threads.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        for door in self.doors.iter() {
            let _ = door.waker.wake();
            if let Some(thread) = lock(&door.thread).take() {
                let _ = thread.join();
            }
        }
    }
}

impl Door {
    fn open(nth: usize, hub: &Arc<Hub>, stop: &Arc<AtomicBool>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let (inbox, joins) = mpsc::channel();
        let shard = Shard {
            hub: hub.clone(),
            poll,
            joins,
            inbox: inbox.clone(),
            waker: waker.clone(),
            stop: stop.clone(),
            streams: HashMap::new(),
            places: HashMap::new(),
            next_token: 0,
            looked_ms: 0,
            agenda: BinaryHeap::new(),
            scratch: Vec::new(),
            turns: Vec::new(),
        };
        let thread = std::thread::Builder::new().name(format!("shard-{nth}")).spawn(move || shard.run())?;
        Ok(Self { inbox, waker, thread: Mutex::new(Some(thread)) })
    }
}

struct Shard {
    hub: Arc<Hub>,
    poll: Poll,
    joins: mpsc::Receiver<Join>,
    /// Its own door, for those who work for its streams.
    inbox: mpsc::Sender<Join>,
    waker: Arc<Waker>,
    stop: Arc<AtomicBool>,
    streams: HashMap<StreamKey, Stream>,
    /// Whose socket a token is.
    places: HashMap<usize, StreamKey>,
    next_token: usize,
    looked_ms: i64,
    /// When a stream wants its turn, in milliseconds. An entry that is not the stream's `planned_ms` is out of date.
    agenda: BinaryHeap<Reverse<(i64, StreamKey)>>,
    scratch: Vec<u8>,
    /// Streams whose turn it is, kept for its memory.
    turns: Vec<StreamKey>,
}

impl Shard {
    fn run(mut self) {
        let mut events = Events::with_capacity(1024);
        while !self.stop.load(Ordering::Relaxed) {
            let timeout = self.timeout();
            if let Err(error) = self.poll.poll(&mut events, timeout) {
                if error.kind() != io::ErrorKind::Interrupted {
                    tracing::error!(%error, "shard cannot wait for sockets");
                }
                continue;
            }
            let now_ms = self.hub.clock.ms();
            while let Ok(join) = self.joins.try_recv() {
                let key = join.key().clone();
                self.take_in(join, now_ms);
                self.plan(&key);
            }
            for event in &events {
                if event.token() != WAKER {
                    self.ready(event.token().0, now_ms);
                }
            }
            self.read_due(now_ms);
            if now_ms - self.looked_ms >= LOOK_MS {
                self.look(now_ms);
            }
        }
        self.streams.values_mut().for_each(|stream| stream.say_goodbye(&self.hub));
    }

    /// Until the next read or look; for ever when there is nothing to look after.
    fn timeout(&self) -> Option<Duration> {
        if self.streams.is_empty() {
            return None;
        }
        let look = self.looked_ms + LOOK_MS;
        let at = self.agenda.peek().map_or(look, |Reverse((due, _))| look.min(*due));
        Some(self.hub.clock.until(at, TICK_MS))
    }

    fn take_in(&mut self, join: Join, now_ms: i64) {
        let token = self.next_token;
        self.next_token += 1;
        match join {
            Join::Input { key, entry, about, claim, wire } => {
                let input = Input::new(token, *about, claim, wire, now_ms);
                self.input(key, entry, input, now_ms);
            }
            Join::Player { key, mut player } => {
                let Some(stream) = self.streams.get_mut(&key) else { return };
                let interest = Interest::READABLE | Interest::WRITABLE;
                if self.poll.registry().register(player.socket.source(), Token(token), interest).is_err() {
                    return;
                }
                lock(&self.hub.totals).plays += 1;
                self.places.insert(token, key);
                stream.join(token, *player, now_ms);
                Self::watch(self.poll.registry(), stream);
            }
            Join::Say { key, saying } => {
                let Some(stream) = self.streams.get_mut(&key) else { return };
                let _ = saying.answer.try_send(stream.pipeline.say(saying.said));
            }
            Join::Resume { key, entry } => {
                let stream = self.stream(&key, entry, now_ms);
                self.streams.entry(key).or_insert(stream);
            }
            Join::Made { key } => {
                let Some(stream) = self.streams.get_mut(&key) else { return };
                stream.take_made(&self.hub, now_ms);
                self.clear_fallen(&key);
            }
        }
    }

    fn stream(&self, key: &StreamKey, entry: Arc<Entry>, now_ms: i64) -> Stream {
        let (inbox, waker, made) = (self.inbox.clone(), self.waker.clone(), key.clone());
        let ring: Ring = Arc::new(move || {
            if inbox.send(Join::Made { key: made.clone() }).is_ok() {
                let _ = waker.wake();
            }
        });
        Stream::new(&self.hub, key.clone(), entry, ring, now_ms)
    }

    fn input(&mut self, key: StreamKey, entry: Arc<Entry>, input: Input, now_ms: i64) {
        let hub = self.hub.clone();
        if self.scratch.is_empty() {
            self.scratch = vec![0; SCRATCH];
        }
        let (token, role) = (input.token, input.about.role);
        // Or the name was forgotten and taken anew in between: the window is another one.
        if self.streams.get(&key).is_none_or(|stream| !Arc::ptr_eq(&stream.entry, &entry)) {
            let stream = self.stream(&key, entry, now_ms);
            self.streams.insert(key.clone(), stream);
        }
        let Some(stream) = self.streams.get_mut(&key) else { return };
        stream.start(&hub, input, now_ms);
        self.places.insert(token, key);
        stream.drain(&hub, role, now_ms);
        Self::watch(self.poll.registry(), stream);
        stream.look(&hub, now_ms);
    }

    /// Watches the publishers' sockets, or stops watching them, as the stream wants.
    fn watch(registry: &mio::Registry, stream: &mut Stream) {
        let wanted = stream.eager;
        stream.inputs.iter_mut().flatten().for_each(|input| input.watch(registry, wanted));
    }

    fn ready(&mut self, token: usize, now_ms: i64) {
        let Some(key) = self.places.get(&token).cloned() else { return };
        let Some(stream) = self.streams.get_mut(&key) else { return };
        if let Some(role) = stream.role_of(token) {
            self.read(&key, role, now_ms);
            self.plan(&key);
        } else if let Some(player) = stream.players.get_mut(&token) {
            // Reading also flushes: the socket may have become writable.
            if let Err(closed) = player.read(&mut self.scratch, now_ms) {
                tracing::info!(stream = %key, peer = %player.peer, reason = closed.0, "player left");
                stream.fallen.push(token);
            }
            self.clear_fallen(&key);
        }
    }

    /// Gives every stream its turn that wants one by now. There are hundreds of streams, and as many ticks a second:
    /// the others are not touched.
    fn read_due(&mut self, now_ms: i64) {
        let mut turns = std::mem::take(&mut self.turns);
        while self.agenda.peek().is_some_and(|Reverse((due, _))| *due <= now_ms) {
            let Some(Reverse((due, key))) = self.agenda.pop() else { break };
            let Some(stream) = self.streams.get_mut(&key).filter(|s| s.planned_ms == due) else { continue };
            stream.planned_ms = i64::MAX;
            stream.show_slate(&self.hub, now_ms);
            stream.show_still(now_ms);
            turns.push(key);
        }
        for key in turns.drain(..) {
            for role in Role::ALL {
                let input = self.streams.get(&key).and_then(|s| s.input_of(role));
                if input.and_then(Input::due_ms).is_some_and(|due| due <= now_ms) {
                    self.read(&key, role, now_ms);
                }
            }
            self.plan(&key);
        }
        self.turns = turns;
    }

    /// Notes when a stream wants its turn, if that is earlier than what is noted.
    fn plan(&mut self, key: &StreamKey) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let due = stream.due_ms();
        if due < stream.planned_ms {
            stream.planned_ms = due;
            self.agenda.push(Reverse((due, key.clone())));
        }
    }

    fn read(&mut self, key: &StreamKey, role: Role, now_ms: i64) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let token = stream.inputs.iter().flatten().find(|i| i.about.role == role).map(|i| i.token);
        if stream.read(&self.hub, role, &mut self.scratch, now_ms) == Outcome::Over
            && let Some(token) = token
        {
            self.places.remove(&token);
        }
        Self::watch(self.poll.registry(), stream);
        self.clear_fallen(key);
    }

    fn clear_fallen(&mut self, key: &StreamKey) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        for token in std::mem::take(&mut stream.fallen) {
            stream.players.remove(&token);
            self.places.remove(&token);
        }
    }

    fn look(&mut self, now_ms: i64) {
        self.looked_ms = now_ms;
        let mut forgotten = Vec::new();
        for (key, stream) in &mut self.streams {
            if !stream.look(&self.hub, now_ms) {
                forgotten.push(key.clone());
            }
        }
        let keys: Vec<StreamKey> = self.streams.keys().cloned().collect();
        for key in &keys {
            self.clear_fallen(key);
            self.plan(key);
        }
        let streams = &self.streams;
        let alive = |token: usize, key: &StreamKey| {
            streams.get(key).is_some_and(|s| s.players.contains_key(&token) || s.role_of(token).is_some())
        };
        self.places.retain(|&token, key| alive(token, key));
        for key in forgotten.into_iter().filter(|key| self.hub.remove(key)) {
            self.streams.remove(&key);
        }
    }
}
