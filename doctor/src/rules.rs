//! The rules and their checkers.

pub mod media;
mod media_codecs;
mod media_parts;
mod media_rules;
mod media_span;
