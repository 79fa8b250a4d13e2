//! HPACK: fields of requests in, fields of answers out (RFC 7541).

mod decode;
mod encode;
mod huffman;
mod tables;

pub(crate) use decode::Decoder;
pub(crate) use encode::Encoder;
pub(crate) use tables::Field;

/// Bytes of either dynamic table, as §4.1 counts them: the default.
const TABLE_MAX: usize = 4096;
/// What an entry counts beside its name and its value (§4.1).
const ENTRY: usize = 32;
/// Entries of the static table.
const STATIC_LEN: usize = 61;

#[cfg(test)]
mod tests;
