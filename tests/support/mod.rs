//! What system tests and benchmarks share: the server as a process, a small HTTP client.
#![allow(dead_code, reason = "each binary uses a part of it")]

pub(crate) mod http;
mod server;

pub(crate) use server::{Server, nexus_bin};
