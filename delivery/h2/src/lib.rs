//! The server side of HTTP/2 for those who watch: bytes in, requests and bytes out. No sockets, no clocks.
//!
//! A [`Server`] is one connection. What came is given to [`Server::next`], which finds requests in it; answers go in by
//! [`Server::respond`], and [`Server::transmit`] takes as much of them as the peer's windows allow. Everything that is
//! to be sent is put into an [`Out`]: bodies as the shared slices that they are.
//!
//! A request comes with its whole body, which is as long as a window at most. Priorities are not looked at: streams take
//! turns, frame by frame.
//!
//! Spec: RFC 9113, RFC 7541.

mod draft;
mod frame;
pub mod fuzz;
mod hpack;
mod out;
mod patience;
mod server;

pub use frame::Reason;
pub use out::Out;
pub use server::{Event, Fault, Limits, Server};
