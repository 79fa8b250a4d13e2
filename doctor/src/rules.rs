//! The rules and their checkers.

pub mod dash;
mod dash_http;
mod dash_manifest;
mod dash_media;
mod dash_rules;
mod dash_update;
pub mod media;
mod media_codecs;
mod media_parts;
mod media_rules;
mod media_span;
