//! HTTP/1.1 for what viewers ask, on plain TCP and over TLS: GET, HEAD and OPTIONS without a body. Everything else goes
//! to hyper.
//!
//! A connection that waits for its next request holds no buffer; a body in memory goes to the socket as it lies.

mod connection;
mod hand_over;
pub(crate) mod head;
mod line;
mod send;
mod wire;
pub(crate) mod write;

pub(crate) use connection::{Context, drain, run};
pub(crate) use line::{Clock, Line};

#[cfg(test)]
pub(crate) mod tests;
