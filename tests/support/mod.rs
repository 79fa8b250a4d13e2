//! What system tests and benchmarks share: the server as a process, small clients, clips, and what it all costs.
#![allow(dead_code, unused_imports, reason = "each binary uses a part of it")]

pub(crate) mod ffmpeg;
pub(crate) mod hls;
pub(crate) mod http;
pub(crate) mod plane;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod publish;
pub(crate) mod relay;
pub(crate) mod server;
pub(crate) mod town;
pub(crate) mod upstream;
pub(crate) mod worker;

pub(crate) use server::{Server, nexus_bin};
