//! What services and the streaming core tell each other: wire types only, no behaviour.

pub mod streams;
