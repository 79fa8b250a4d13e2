//! The thread that owns a socket and its connections.

use std::io;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use mio::{Events, Poll, Token, Waker};

use crate::clock::Clock;
use crate::config::ListenerConfig;
use crate::gate::{Door, Gate, Verdict};
use crate::peer::Peer;
use crate::socket::Udp;
use crate::table::Table;

/// Period of rounds while there are connections: that of SRT's acknowledgements.
const TICK: Duration = Duration::from_millis(10);

const SOCKET: Token = Token(0);
const WAKER: Token = Token(1);

/// What other threads ask of the driver.
pub(crate) enum Command {
    Answer(u32, Verdict),
    Stop,
}

/// See the module.
pub(crate) struct Driver {
    udp: Udp,
    poll: Poll,
    commands: mpsc::Receiver<Command>,
    table: Table,
}

impl Driver {
    /// A driver of a listener if there is a gate, of a caller otherwise.
    pub(crate) fn new(mut udp: Udp, config: ListenerConfig, gate: Option<Arc<dyn Gate>>) -> io::Result<Self> {
        let poll = Poll::new()?;
        udp.watch(poll.registry(), SOCKET, true)?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let (sender, commands) = mpsc::channel();
        let table = Table::new(config, Door { commands: sender, waker }, gate);
        Ok(Self { udp, poll, commands, table })
    }

    pub(crate) fn door(&self) -> Door {
        self.table.door()
    }

    /// Adds a connection that a caller has made.
    pub(crate) fn adopt(&mut self, local_socket: u32, peer: Peer) {
        self.table.adopt(local_socket, peer);
    }

    /// Runs until it is stopped; without a gate, until its connections are gone.
    pub(crate) fn run(mut self) {
        let mut events = Events::with_capacity(8);
        // With connections the clock wakes, without them the socket.
        let mut watched = true;
        let mut next = Clock::read().now;
        while self.table.goes_on() {
            let busy = self.table.is_busy();
            if busy == watched {
                watched = !busy && self.udp.watch(self.poll.registry(), SOCKET, true).is_ok();
                if busy {
                    let _ = self.udp.watch(self.poll.registry(), SOCKET, false);
                }
            }
            let timeout = if busy {
                Some(next.saturating_duration_since(Clock::read().now))
            } else if !self.table.waits() {
                None
            } else {
                Some(TICK * 10)
            };
            if self.poll.poll(&mut events, timeout).is_err() {
                continue;
            }
            while let Ok(command) = self.commands.try_recv() {
                self.table.obey(Clock::read().now, command);
            }
            let clock = Clock::read();
            if busy && clock.now < next {
                self.table.reply(&self.udp);
                continue;
            }
            next = clock.now + TICK;
            self.udp.receive(clock, |arrival| self.table.receive(arrival));
            self.table.reply(&self.udp);
            self.table.tick(&self.udp, clock.now);
        }
        self.table.close_all(&self.udp, Clock::read().now);
    }
}
