//! Brings what a client sends into the form that is kept, and what is kept into the part that a client wants.

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::eval::time;
use super::filter::AttrPath;
use super::schema::{Attr, Kind, Scope};
use super::wire::Refusal;

/// Largest resource without its members, bytes of JSON.
const BYTES_MAX: usize = 64 << 10;
/// Values of one attribute.
pub(super) const VALUES_MAX: usize = 10_000;

/// A resource as it is kept: names as the schema writes them, nothing that is unknown, read-only or empty.
///
/// # Errors
/// When a value is of another type than its attribute.
pub(super) fn conform(scope: Scope<'_>, given: &Map<String, Value>) -> Result<Map<String, Value>, Refusal> {
    let mut kept = Map::new();
    for (name, value) in given {
        let Some(attr) = scope.find(name).filter(|attr| !attr.read_only) else { continue };
        let value = conform_value(scope, attr, value)?;
        if !is_empty(&value) {
            kept.insert(attr.name.to_owned(), value);
        }
    }
    Ok(kept)
}

/// All values of an attribute as they are kept.
///
/// # Errors
/// As [`conform`], and when more than one of them is primary.
pub(super) fn conform_value(scope: Scope<'_>, attr: &Attr, value: &Value) -> Result<Value, Refusal> {
    match value {
        Value::Null => Ok(Value::Null),
        Value::Array(values) if attr.many => {
            if values.len() > VALUES_MAX {
                return Err(Refusal::value(format!("{} has at most {VALUES_MAX} values", attr.name)));
            }
            let values = values.iter().filter(|value| !value.is_null());
            let values =
                values.map(|value| conform_one(scope, attr, value)).collect::<Result<Vec<_>, _>>()?;
            if values.iter().filter(|value| is_primary(value)).count() > 1 {
                return Err(Refusal::value(format!("only one of {} is primary", attr.name)));
            }
            Ok(Value::Array(values.into_iter().filter(|value| !is_empty(value)).collect()))
        }
        value if attr.many => Ok(Value::Array(vec![conform_one(scope, attr, value)?])),
        value => conform_one(scope, attr, value),
    }
}

fn conform_one(scope: Scope<'_>, attr: &Attr, value: &Value) -> Result<Value, Refusal> {
    let wrong = |what: &str| Err(Refusal::value(format!("{} is {what}", attr.name)));
    match (&attr.kind, value) {
        (Kind::Complex(_), Value::Object(parts)) => {
            let parts = conform(scope.within(attr), parts)?;
            let nothing_to_say = parts.keys().all(|name| name == "primary");
            Ok(Value::Object(if attr.many && nothing_to_say { Map::new() } else { parts }))
        }
        (Kind::Complex(_), _) => wrong("an object"),
        (Kind::Bool, Value::Bool(_)) => Ok(value.clone()),
        // As one directory writes them.
        (Kind::Bool, Value::String(text)) if text.eq_ignore_ascii_case("true") => Ok(true.into()),
        (Kind::Bool, Value::String(text)) if text.eq_ignore_ascii_case("false") => Ok(false.into()),
        (Kind::Bool, _) => wrong("true or false"),
        (Kind::Time, value) if time(value).is_none() => wrong("a time"),
        (Kind::Binary, Value::String(text)) if !is_base64(text) => wrong("base64"),
        (_, Value::String(_)) => Ok(value.clone()),
        _ => wrong("a text"),
    }
}

fn is_base64(text: &str) -> bool {
    let of = [BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD];
    of.iter().any(|engine| engine.decode(text).is_ok())
}

/// Whether it stands for no value (RFC 7643 §2.5).
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(values) => values.is_empty(),
        Value::Object(parts) => parts.is_empty(),
        _ => false,
    }
}

pub(super) fn is_primary(value: &Value) -> bool {
    value.get("primary") == Some(&Value::Bool(true))
}

/// Refuses what lacks something, or is too much to be kept.
///
/// # Errors
/// In words.
pub(super) fn whole(scope: Scope<'_>, kept: &Map<String, Value>) -> Result<(), Refusal> {
    for attr in scope.attrs.iter().filter(|attr| attr.required) {
        let text = kept.get(attr.name).and_then(Value::as_str).unwrap_or_default();
        let plain = !text.trim().is_empty() && text.len() <= 256 && !text.chars().any(char::is_control);
        if !plain {
            return Err(Refusal::value(format!("{} has 1 to 256 bytes of plain text", attr.name)));
        }
    }
    // It is looked for by an index, whose entries are short.
    if kept.get("externalId").and_then(Value::as_str).is_some_and(|id| id.len() > 256) {
        return Err(Refusal::value("externalId has at most 256 bytes"));
    }
    // Members are counted, and kept by themselves.
    let bytes = |(name, value): (&String, &Value)| match name.as_str() {
        "members" => 0,
        name => name.len() + value.to_string().len(),
    };
    if kept.iter().map(bytes).sum::<usize>() > BYTES_MAX {
        return Err(Refusal::too_large(format!("a resource has at most {BYTES_MAX} bytes")));
    }
    Ok(())
}

/// Which attributes an answer has.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// Only these, if any are named.
    pub(super) only: Vec<AttrPath>,
    /// All but these.
    pub(super) not: Vec<AttrPath>,
}

impl Wanted {
    /// Whether the attribute, or a part of it, is wanted.
    pub(super) fn has(&self, name: &str) -> bool {
        let is = |path: &AttrPath| path.steps.first().is_some_and(|step| step.eq_ignore_ascii_case(name));
        let whole = |path: &AttrPath| is(path) && path.steps.len() == 1;
        (self.only.is_empty() || self.only.iter().any(is)) && !self.not.iter().any(whole)
    }

    /// The part of a resource that is wanted.
    pub(super) fn of(&self, scope: Scope<'_>, mut whole: Map<String, Value>) -> Map<String, Value> {
        if !self.only.is_empty() {
            let mut kept = Map::new();
            for attr in scope.attrs.iter().filter(|attr| attr.always) {
                if let Some(value) = whole.get(attr.name) {
                    kept.insert(attr.name.to_owned(), value.clone());
                }
            }
            for chain in self.only.iter().filter_map(|path| scope.resolve(path)) {
                take(&chain, &whole, &mut kept);
            }
            whole = kept;
        }
        for chain in self.not.iter().filter_map(|path| scope.resolve(path)) {
            if !chain[0].always {
                leave_out(&chain, &mut whole);
            }
        }
        whole
    }
}

/// Copies what a path names; values of an attribute stay apart.
fn take(chain: &[&Attr], from: &Map<String, Value>, into: &mut Map<String, Value>) {
    let Some((first, rest)) = chain.split_first() else { return };
    let Some(value) = from.get(first.name) else { return };
    if rest.is_empty() {
        into.insert(first.name.to_owned(), value.clone());
        return;
    }
    match value {
        Value::Object(parts) => {
            let kept = into.entry(first.name).or_insert_with(|| Map::new().into());
            if let Value::Object(kept) = kept {
                take(rest, parts, kept);
            }
        }
        Value::Array(values) => {
            let blank = || Value::Array(vec![Map::new().into(); values.len()]);
            let kept = into.entry(first.name).or_insert_with(blank);
            for (kept, value) in kept.as_array_mut().into_iter().flatten().zip(values) {
                if let (Value::Object(kept), Value::Object(parts)) = (kept, value) {
                    take(rest, parts, kept);
                }
            }
        }
        _ => {}
    }
}

fn leave_out(chain: &[&Attr], of: &mut Map<String, Value>) {
    let Some((first, rest)) = chain.split_first() else { return };
    if rest.is_empty() {
        of.remove(first.name);
        return;
    }
    match of.get_mut(first.name) {
        Some(Value::Object(parts)) => leave_out(rest, parts),
        Some(Value::Array(values)) => {
            values.iter_mut().filter_map(Value::as_object_mut).for_each(|parts| leave_out(rest, parts));
        }
        _ => {}
    }
}
