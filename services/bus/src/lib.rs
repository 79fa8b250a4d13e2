//! The bus: carries events from the outbox of one service to the inbox of another, at least once, those about one subject
//! in their order.
//!
//! Within a process ([`Local`]) that is a call. Between processes it is RabbitMQ ([`Rabbit`]). What comes twice is told apart
//! by the inbox; what a service cannot make sense of is laid aside there, to be seen and replayed.

mod letter;
mod local;
mod rabbit;

use std::pin::Pin;
use std::sync::Arc;

pub use letter::Letter;
pub use local::Local;
pub use rabbit::{Publisher, Rabbit, Topic};

/// Why events were not carried.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BusError {
    /// The broker failed, or is away.
    #[error("the bus: {0}")]
    Broker(#[from] lapin::Error),
    /// The broker did not take an event.
    #[error("the bus did not take event {0}")]
    Refused(String),
    /// A service that hears of it is being stopped; it will hear of it after its next start.
    #[error("a service that hears of it is being stopped")]
    Stopping,
    /// The inbox of a service did not take it.
    #[error("an inbox did not take it: {0}")]
    Inbox(String),
}

/// What is being done.
pub type Done<'a> = Pin<Box<dyn Future<Output = Result<(), BusError>> + Send + 'a>>;

/// Where a service keeps events until it has heard them.
pub trait Inbox: Send + Sync {
    /// Keeps letters, all of them or none; those that it has are passed over.
    fn keep<'a>(&'a self, letters: &'a [Letter]) -> Done<'a>;
}

/// The bus of a process.
#[derive(Debug)]
pub enum Bus {
    /// Within the process.
    Local(Local),
    /// A broker between processes.
    Rabbit(Rabbit),
}

impl Default for Bus {
    fn default() -> Self {
        Self::Local(Local::default())
    }
}

impl Bus {
    /// A service of this process hears of these kinds of events.
    pub fn join(&self, kinds: impl Iterator<Item = &'static str>, inbox: &Arc<dyn Inbox>) {
        if let Self::Local(local) = self {
            local.join(kinds, inbox);
        }
    }

    /// Hands letters on, in their order; returns when each is where it will not be lost.
    ///
    /// # Errors
    /// When one is not: hand all of them on again.
    pub async fn publish(&self, publisher: &Publisher, letters: &[Letter]) -> Result<(), BusError> {
        match self {
            Self::Local(local) => local.publish(letters).await,
            Self::Rabbit(rabbit) => publisher.publish(rabbit, letters).await,
        }
    }

    /// Takes in what comes for a service, until the broker fails; within a process nothing comes this way.
    ///
    /// # Errors
    /// When the broker or the inbox fails: begin again.
    pub async fn fetch(&self, service: &str, inbox: &dyn Inbox) -> Result<(), BusError> {
        match self {
            Self::Local(_) => std::future::pending().await,
            Self::Rabbit(rabbit) => rabbit.fetch(service, inbox).await,
        }
    }
}

#[cfg(test)]
mod tests;
