//! Real servers that tests of services stand on: each in a folder of its own, as an ordinary user, on loopback, stopped
//! when dropped. What is not installed is a panic that says so, never a test that passes without it.

#![expect(clippy::panic, reason = "a test without its server is over")]

mod home;
mod postgres;
mod rabbit;
mod redis;

pub use postgres::Postgres;
pub use rabbit::Rabbit;
pub use redis::Redis;
