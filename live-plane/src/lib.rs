//! The live plane: streams travel from an origin to its edges, and from edge to edge, once per edge however many watch.
//!
//! [`publish`] offers the streams of a [`Directory`] to other nodes; [`Edge`] is a directory that fetches from them what
//! its viewers ask for. An edge may publish in turn: then it is the origin of a region. [`Browsers`] lets browsers fetch
//! what a [`Directory`] finds.
//!
//! | what | where |
//! | --- | --- |
//! | messages as bytes | `nx-plane` |
//! | Media over QUIC (moq-lite 06): the only file that knows its crate | `moq` |
//! | certificates on both sides, the QUIC endpoint | `endpoint` |
//! | a stream for one edge, step by step | `publish` |
//! | a stream from one of several origins, as long as somebody watches | `follow` |
//! | where browsers connect, and the certificate that they are shown | `browsers` |
//! | a stream for one browser: what there is, picture and sound as CMAF | `watch` |

mod browsers;
mod config;
mod edge;
mod endpoint;
mod figures;
mod follow;
mod moq;
mod origin;
mod publish;
mod watch;

pub use browsers::{Browsers, Started};
pub use config::{BrowserConfig, Config};
pub use edge::{Choose, Edge, Guards};
pub use figures::Figures;
pub use nx_delivery::Directory;
pub use publish::publish;

#[cfg(test)]
mod tests;
