//! Who may watch, decided by Common Access Tokens (CTA-5007) without asking anybody.
//!
//! ```text
//! request ─► its token, taken off its address ─► proved by a key ─► what it says ─► taken back? ─► Pass, or Denial
//! ```
//!
//! | what | where |
//! | --- | --- |
//! | how a token comes, and for what | `visit` |
//! | how it is wrapped and proved | `cose`, `keys` |
//! | what it says | `claims`, `uri` |
//! | what was taken back | `revoked` |
//! | which streams ask for one; the one question that every door puts | `gate` |
//! | the command `nexus token` | `cli` |
//!
//! A token is text of base64url: a CBOR Web Token in a `COSE_Mac0` (HS256) or a `COSE_Sign1` (ES256, `EdDSA`). What a claim
//! might forbid and is not understood here refuses it.

mod claims;
pub mod cli;
mod config;
mod cose;
mod denial;
pub mod fuzz;
mod gate;
mod keys;
mod revoked;
mod uri;
mod visit;

#[cfg(test)]
mod tests;

pub use claims::{Claims, NODE, below, network, random};
pub use config::Config;
pub use denial::Denial;
pub use gate::{Gate, Pass, Terms, VIEWER, make, mark, read_keys};
pub use keys::{Algorithm, Key, Keys, KeysError, generate};
pub use revoked::{List, Page, REVOCATIONS, REVOCATIONS_MAX, Revocation, RevokeError, What};
pub use uri::{Match, Part};
pub use visit::{HEADER, Shown, Visit, Way, stream_of, unfold, without_token};
