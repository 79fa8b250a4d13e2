//! What processes of the ring share: who is where ([`Registry`]), which instance is asked next ([`Balance`]), whether a way
//! is open ([`Link`]), who asks ([`Seal`]), what only the ring can read ([`Vault`]), the [`Clock`] times that come again ([`Cron`]),
//! what belongs to one request ([`trace`]) and what was answered ([`Traffic`]). [`Mesh`] asks services of other processes over HTTP/1.1; [`beat`] has a process known, and knows of the
//! others. What can be set of it is [`Config`]. Services run on [`Threads`] behind those of streams, and so does a gateway beside streams.

mod balance;
pub mod beat;
mod breaker;
mod clock;
mod config;
mod cron;
mod link;
mod registry;
mod seal;
mod send;
mod threads;
pub mod trace;
mod traffic;
mod vault;

pub use balance::Balance;
pub use clock::{Clock, hex, new_id};
pub use config::{Config, Secret};
pub use cron::{Cron, zone};
pub use link::{Asked, Link, Links};
pub use registry::{BEAT, Instance, Listed, Registry, RegistryError};
pub use seal::Seal;
pub use send::{CALLER, Mesh, SendError};
pub use threads::Threads;
pub use traffic::Traffic;
pub use vault::{Vault, VaultError, fresh};
