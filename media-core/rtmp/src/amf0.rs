//! AMF0 values: a bounded decoder and an encoder.
//!
//! The decoder trusts no count or length from the wire: it reserves nothing ahead, nests at most
//! [`DEPTH_MAX`] deep and makes at most [`NODES_MAX`] values per call.
//!
//! Spec: Action Message Format AMF0 (2007) §2.

use bytes::BufMut;

/// Deepest nesting of objects and arrays.
pub const DEPTH_MAX: usize = 16;
/// Most values (properties and elements included) in one decode call.
pub const NODES_MAX: usize = 4096;

const NUMBER: u8 = 0x00;
const BOOLEAN: u8 = 0x01;
const STRING: u8 = 0x02;
const OBJECT: u8 = 0x03;
const NULL: u8 = 0x05;
const UNDEFINED: u8 = 0x06;
const ECMA_ARRAY: u8 = 0x08;
const OBJECT_END: u8 = 0x09;
const STRICT_ARRAY: u8 = 0x0A;
const DATE: u8 = 0x0B;
const LONG_STRING: u8 = 0x0C;

/// Properties in wire order; names may repeat.
pub type Properties = Vec<(String, Value)>;

/// One AMF0 value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// IEEE 754 double.
    Number(f64),
    /// Boolean.
    Bool(bool),
    /// String or long string; bytes that are no UTF-8 were replaced by U+FFFD.
    String(String),
    /// Anonymous object.
    Object(Properties),
    /// Null.
    Null,
    /// Undefined.
    Undefined,
    /// Associative array.
    EcmaArray(Properties),
    /// Dense array.
    StrictArray(Vec<Self>),
    /// Point in time.
    Date {
        /// Milliseconds since 1970 UTC.
        ms: f64,
        /// Time zone field, reserved: writers put 0.
        zone: i16,
    },
}

impl Value {
    /// The text of a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(s) = self { Some(s) } else { None }
    }

    /// The value of a number.
    #[must_use]
    pub fn as_number(&self) -> Option<f64> {
        if let Self::Number(n) = self { Some(*n) } else { None }
    }

    /// The whole part of a number, at the nearest end when it is out of range; 0 for NaN.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "float to integer casts saturate, which is what the doc promises"
    )]
    pub fn as_u32(&self) -> Option<u32> {
        self.as_number().map(|n| n as u32)
    }

    /// Properties of an object or an ECMA array.
    #[must_use]
    pub fn properties(&self) -> Option<&[(String, Self)]> {
        if let Self::Object(p) | Self::EcmaArray(p) = self { Some(p) } else { None }
    }

    /// First property called `name`, of an object or an ECMA array.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&Self> {
        self.properties()?.iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

/// The bytes are no AMF0 this crate reads. Offsets count from the start of the decoded slice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The input ends inside a value.
    #[error("AMF0 at byte {offset}: needs {expected} bytes, {got} left")]
    Truncated {
        /// Where the missing bytes should start.
        offset: usize,
        /// Bytes needed.
        expected: usize,
        /// Bytes left.
        got: usize,
    },
    /// A type marker outside the accepted set.
    #[error("AMF0 at byte {offset}: unsupported type marker {marker:#04x}")]
    Marker {
        /// Where the marker is.
        offset: usize,
        /// The marker.
        marker: u8,
    },
    /// Nested deeper than [`DEPTH_MAX`].
    #[error("AMF0 at byte {offset}: nested deeper than {DEPTH_MAX}")]
    Depth {
        /// Where the level too deep starts.
        offset: usize,
    },
    /// More than [`NODES_MAX`] values.
    #[error("AMF0 at byte {offset}: more than {NODES_MAX} values")]
    Nodes {
        /// Where the value too many starts.
        offset: usize,
    },
    /// A dense array claims more elements than bytes follow.
    #[error("AMF0 at byte {offset}: array claims {claimed} elements, {got} bytes left")]
    Count {
        /// Where the elements would start.
        offset: usize,
        /// Elements claimed.
        claimed: u32,
        /// Bytes left.
        got: usize,
    },
}

/// Reads values one after the other.
#[derive(Debug)]
pub struct Decoder<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: usize,
}

impl<'a> Decoder<'a> {
    /// Starts at the first byte.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, nodes: 0 }
    }

    /// Bytes read so far.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.at
    }

    /// The next value, `None` at the end of the input.
    ///
    /// # Errors
    ///
    /// See [`Error`]; the decoder must not be used afterwards.
    pub fn value(&mut self) -> Result<Option<Value>, Error> {
        if self.left().is_empty() { Ok(None) } else { self.read(0).map(Some) }
    }

    fn left(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let left = self.left();
        let taken =
            left.get(..len).ok_or(Error::Truncated { offset: self.at, expected: len, got: left.len() })?;
        self.at += len;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    fn text(&mut self, len: usize) -> Result<String, Error> {
        self.take(len).map(|raw| String::from_utf8_lossy(raw).into_owned())
    }

    fn short_text(&mut self) -> Result<String, Error> {
        let len = u16::from_be_bytes(self.array()?);
        self.text(usize::from(len))
    }

    fn number(&mut self) -> Result<f64, Error> {
        self.array().map(f64::from_be_bytes)
    }

    fn read(&mut self, depth: usize) -> Result<Value, Error> {
        let offset = self.at;
        if self.nodes >= NODES_MAX {
            return Err(Error::Nodes { offset });
        }
        self.nodes += 1;
        let [marker] = self.array()?;
        if depth >= DEPTH_MAX && matches!(marker, OBJECT | ECMA_ARRAY | STRICT_ARRAY) {
            return Err(Error::Depth { offset });
        }
        Ok(match marker {
            NUMBER => Value::Number(self.number()?),
            BOOLEAN => Value::Bool(self.array()? != [0u8]),
            STRING => Value::String(self.short_text()?),
            LONG_STRING => {
                let len = u32::from_be_bytes(self.array()?);
                Value::String(self.text(usize::try_from(len).unwrap_or(usize::MAX))?)
            }
            OBJECT => Value::Object(self.pairs(depth, false)?),
            ECMA_ARRAY => {
                let _count: [u8; 4] = self.array()?; // a hint that many writers get wrong
                Value::EcmaArray(self.pairs(depth, true)?)
            }
            STRICT_ARRAY => Value::StrictArray(self.elements(depth)?),
            DATE => Value::Date { ms: self.number()?, zone: i16::from_be_bytes(self.array()?) },
            NULL => Value::Null,
            UNDEFINED => Value::Undefined,
            _ => return Err(Error::Marker { offset, marker }),
        })
    }

    /// Name-value pairs up to the end marker. `open_end`: old encoders leave the marker of an ECMA array out
    /// when nothing follows it.
    fn pairs(&mut self, depth: usize, open_end: bool) -> Result<Properties, Error> {
        let mut out = vec![];
        loop {
            if open_end && self.left().is_empty() {
                return Ok(out);
            }
            let name = self.short_text()?;
            if name.is_empty() && self.left().first() == Some(&OBJECT_END) {
                self.at += 1;
                return Ok(out);
            }
            out.push((name, self.read(depth + 1)?));
        }
    }

    fn elements(&mut self, depth: usize) -> Result<Vec<Value>, Error> {
        let claimed = u32::from_be_bytes(self.array()?);
        let got = self.left().len();
        if usize::try_from(claimed).map_or(true, |n| n > got) {
            return Err(Error::Count { offset: self.at, claimed, got });
        }
        let mut out = vec![];
        for _ in 0..claimed {
            out.push(self.read(depth + 1)?);
        }
        Ok(out)
    }
}

/// Decodes every value of `bytes`.
///
/// # Errors
///
/// See [`Error`].
pub fn decode_all(bytes: &[u8]) -> Result<Vec<Value>, Error> {
    let mut decoder = Decoder::new(bytes);
    let mut out = vec![];
    while let Some(value) = decoder.value()? {
        out.push(value);
    }
    Ok(out)
}

/// Appends `value`. What could not be decoded again is cut: levels past [`DEPTH_MAX`] become null and
/// property names stop at 65 535 bytes.
pub fn encode(out: &mut impl BufMut, value: &Value) {
    write(out, value, 0);
}

/// Encodes `values` one after the other.
#[must_use]
pub fn encode_all(values: &[Value]) -> Vec<u8> {
    let mut out = vec![];
    for value in values {
        encode(&mut out, value);
    }
    out
}

fn write(out: &mut impl BufMut, value: &Value, depth: usize) {
    match value {
        Value::Object(_) | Value::EcmaArray(_) | Value::StrictArray(_) if depth >= DEPTH_MAX => {
            out.put_u8(NULL)
        }
        Value::Number(n) => {
            out.put_u8(NUMBER);
            out.put_f64(*n);
        }
        Value::Bool(b) => out.put_slice(&[BOOLEAN, u8::from(*b)]),
        Value::String(s) => write_string(out, s),
        Value::Object(properties) => {
            out.put_u8(OBJECT);
            write_pairs(out, properties, depth);
        }
        Value::EcmaArray(properties) => {
            out.put_u8(ECMA_ARRAY);
            out.put_u32(count(properties.len()));
            write_pairs(out, properties, depth);
        }
        Value::StrictArray(items) => {
            out.put_u8(STRICT_ARRAY);
            out.put_u32(count(items.len()));
            for item in items {
                write(out, item, depth + 1);
            }
        }
        Value::Null => out.put_u8(NULL),
        Value::Undefined => out.put_u8(UNDEFINED),
        Value::Date { ms, zone } => {
            out.put_u8(DATE);
            out.put_f64(*ms);
            out.put_i16(*zone);
        }
    }
}

fn write_string(out: &mut impl BufMut, text: &str) {
    if let Ok(len) = u16::try_from(text.len()) {
        out.put_u8(STRING);
        out.put_u16(len);
    } else {
        out.put_u8(LONG_STRING);
        out.put_u32(count(text.len()));
    }
    out.put_slice(text.as_bytes());
}

fn write_pairs(out: &mut impl BufMut, properties: &[(String, Value)], depth: usize) {
    for (name, value) in properties {
        let name = name.get(..name.floor_char_boundary(usize::from(u16::MAX))).unwrap_or_default();
        out.put_u16(u16::try_from(name.len()).unwrap_or(u16::MAX));
        out.put_slice(name.as_bytes());
        write(out, value, depth + 1);
    }
    out.put_slice(&[0, 0, OBJECT_END]);
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
