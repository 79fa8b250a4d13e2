//! A listening socket.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::config::ListenerConfig;
use crate::driver::{Command, Driver};
use crate::gate::{Door, Gate};
use crate::socket::Udp;

/// A socket that takes callers in, and the thread that serves them all. Dropped, it is shut down.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    door: Door,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Listener {
    /// Binds `address` (port 0: any; an IPv6 wildcard takes IPv4 too) and starts its thread.
    ///
    /// # Errors
    /// Those of the system: the address is taken, or may not be.
    pub fn bind(address: SocketAddr, config: ListenerConfig, gate: Arc<dyn Gate>) -> io::Result<Self> {
        let udp = Udp::new(Udp::open(address, config.recv_buffer_bytes)?)?;
        let address = udp.address()?;
        let driver = Driver::new(udp, config, Some(gate))?;
        let door = driver.door();
        let thread = std::thread::Builder::new().name("srt".to_owned()).spawn(move || driver.run())?;
        Ok(Self { address, door, thread: Mutex::new(Some(thread)) })
    }

    /// The address that is bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Tells all peers goodbye, closes their links, and waits for the thread. Not to be called from it.
    pub fn shutdown(&self) {
        self.door.tell(Command::Stop);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.shutdown();
    }
}
