//! What services and the streaming core tell each other: wire types and the traits that give them, no behaviour.

pub mod announce;
pub mod assets;
pub mod desired;
pub mod hardware;
pub mod identity;
pub mod keys;
pub mod mixes;
pub mod playback;
pub mod recordings;
pub mod sources;
pub mod streams;
pub mod targets;
pub mod titles;
