//! From text to typed settings: every mistake at once, each with its line, its key and what to do.
//!
//! What does not fit its type is told, taken out, and the rest read again. Spec: TOML 1.0, RFC 8259.
#![warn(clippy::indexing_slicing)]

mod flat;
mod lines;
mod places;
mod set;
mod taken;

use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::Value;

pub use flat::flat;
pub use lines::Lines;
pub use places::Places;
pub use set::set;
pub use taken::Taken;

/// Mistakes that are reported; a file with more is another kind of file.
const FAULTS_MAX: usize = 100;
/// Longest text, bytes.
const TEXT_MAX: usize = 4 << 20;

/// What sort of mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The text is not TOML or JSON, or far too long.
    Syntax,
    /// A key that there is not.
    Unknown,
    /// A key that must be there.
    Missing,
    /// A value of another type or form.
    Value,
    /// A name that nothing has.
    Reference,
    /// A name that two have.
    Duplicate,
    /// Values that do not go together.
    Conflict,
}

/// A mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// From 1; `None` for JSON, which people do not write.
    pub line: Option<usize>,
    /// Such as `edge[2].region`; empty when it is the text as a whole.
    pub key: String,
    /// What sort.
    pub kind: Kind,
    /// What is wrong.
    pub text: String,
    /// What to do.
    pub remedy: String,
}

impl Fault {
    /// A mistake that has no line yet.
    pub fn new(
        kind: Kind,
        key: impl Into<String>,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { line: None, key: key.into(), kind, text: text.into(), remedy: remedy.into() }
    }
}

/// `LINE: KEY: TEXT; REMEDY`.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "{line}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}; {}", self.text, self.remedy)
    }
}

/// Reads TOML as values, and where each key stands.
///
/// # Errors
/// [`Kind::Syntax`].
pub fn toml(text: &str) -> Result<(Value, Lines), Fault> {
    short(text)?;
    let lines = Lines::read(text)?;
    let value =
        toml::from_str(text).map_err(|e| Fault::new(Kind::Syntax, "", e.message(), "correct the text"))?;
    Ok((value, lines))
}

/// Reads an object of JSON.
///
/// # Errors
/// [`Kind::Syntax`].
pub fn json(text: &str) -> Result<Value, Fault> {
    short(text)?;
    let syntax = |why: String| Fault::new(Kind::Syntax, "", why, "send an object");
    let value: Value = serde_json::from_str(text).map_err(|e| syntax(format!("is not JSON: {e}")))?;
    if value.is_object() { Ok(value) } else { Err(syntax("is not an object".to_owned())) }
}

fn short(text: &str) -> Result<(), Fault> {
    if text.len() <= TEXT_MAX {
        return Ok(());
    }
    let what = format!("has {} bytes; {TEXT_MAX} are read", text.len());
    Err(Fault::new(Kind::Syntax, "", what, "name another file"))
}

/// What values are as a type.
#[derive(Debug)]
pub struct Fitted<T> {
    /// What fits; `None` when too little does.
    pub value: Option<T>,
    /// What does not.
    pub faults: Vec<Fault>,
    /// For keys of `value`, which has lost some.
    pub taken: Taken,
}

/// Reads values as a type.
#[must_use]
pub fn fit<T: DeserializeOwned>(mut value: Value) -> Fitted<T> {
    let (mut faults, mut taken) = (Vec::new(), Taken::default());
    loop {
        let error = match serde_path_to_error::deserialize::<_, T>(value.clone()) {
            Ok(value) => return Fitted { value: Some(value), faults, taken },
            Err(error) => error,
        };
        let (fault, gone) = explain(&error.path().to_string(), error.inner().to_string());
        faults.push(Fault { key: taken.original(&fault.key), ..fault });
        if !taken::remove(&mut value, &gone) || faults.len() >= FAULTS_MAX {
            return Fitted { value: None, faults, taken };
        }
        taken.note(&gone);
    }
}

/// The mistake that serde found, and the key that has to go so that the rest can be read.
fn explain(path: &str, text: String) -> (Fault, String) {
    let path = if path == "." { "" } else { path };
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    let quoted = |text: &str| text.split('`').nth(1).map(str::to_owned).unwrap_or_default();
    if text.starts_with("unknown field") {
        let field = quoted(&text);
        let known: Vec<&str> = text.split('`').skip(3).step_by(2).collect();
        let key =
            if path.rsplit('.').next() == Some(field.as_str()) { path.to_owned() } else { below(&field) };
        let remedy = match closest(&field, &known) {
            Some(near) => format!("write `{near}`"),
            None => format!("known here: {}", known.join(", ")),
        };
        return (Fault::new(Kind::Unknown, &key, "there is no such key", remedy), key);
    }
    if text.starts_with("missing field") {
        let key = below(&quoted(&text));
        return (
            Fault::new(Kind::Missing, key, "is missing", "it has no default: write it"),
            path.to_owned(),
        );
    }
    let remedy = match text.split_once(", expected ") {
        Some((_, wanted)) => format!("write {wanted}"),
        None => "correct the value".to_owned(),
    };
    (Fault::new(Kind::Value, path, text, remedy), path.to_owned())
}

/// What was probably meant: one, two letters off.
fn closest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let near = known.iter().map(|k| (distance(word, k), *k)).min()?;
    (near.0 <= 2).then_some(near.1)
}

/// Letters to change, add or drop.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut next = vec![i + 1];
        for ((y, above), (left_above, left)) in b.iter().zip(row.iter().skip(1)).zip(row.iter().zip(0..)) {
            let beside = next.get(left).copied().unwrap_or(usize::MAX);
            let change = left_above + usize::from(x != *y);
            next.push(change.min(above + 1).min(beside.saturating_add(1)));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests;
