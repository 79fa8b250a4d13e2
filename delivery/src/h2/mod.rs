//! HTTP/2 over TLS for viewers: `nx_h2` reads and writes the frames, here are the socket, the deadlines and the answers.
//!
//! An answer that is ready leaves in the turn of the connection that read its request, with all others of that turn, in
//! full records. What waits is a future in a list: it holds up no other stream. A connection that waits for its next
//! request holds no buffer of its own.

mod connection;
mod jobs;

pub(crate) use connection::run;

#[cfg(test)]
mod tests;
