//! Settings as a list, for people to read.

use serde_json::Value;

/// What is shown of what is secret.
const HIDDEN: &str = "***";
/// The end of the key of an address that may have a token anywhere behind its host.
const HOOK: &str = "hook.url";

/// All values by their keys, such as `edge[2].region`; a list of plain values is one. What is secret by its type has said `***` of
/// itself; here so does what may be secret in an address: who it names before its host, what stands behind `?` or `#`, and of one
/// that is asked whom to let in all behind the host.
#[must_use]
pub fn flat(value: Value) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    below(value, String::new(), &mut all);
    all
}

fn below(value: Value, key: String, all: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(table) if !table.is_empty() => {
            for (name, value) in table {
                let dot = if key.is_empty() { "" } else { "." };
                below(value, format!("{key}{dot}{name}"), all);
            }
        }
        Value::Array(items) if items.iter().any(has_table) => {
            for (nth, value) in items.into_iter().enumerate() {
                below(value, format!("{key}[{nth}]"), all);
            }
        }
        value => {
            let bare = key.ends_with(HOOK);
            all.push((key, masked(value, bare)));
        }
    }
}

/// Whether there is a table in it, however deep in lists.
fn has_table(value: &Value) -> bool {
    match value {
        Value::Object(_) => true,
        Value::Array(items) => items.iter().any(has_table),
        _ => false,
    }
}

/// A value without what may be secret in its addresses; of `bare` ones only the host is shown.
fn masked(value: Value, bare: bool) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(|item| masked(item, bare)).collect(),
        Value::String(text) => address(&text, bare).unwrap_or(text).into(),
        plain => plain,
    }
}

/// An address `SCHEME://USER@HOST/PATH?QUERY` without what may be secret; none for any other text.
fn address(text: &str, bare: bool) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let (host, behind) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    // An `@` elsewhere: a password with such signs in it, or further addresses. Nobody knows where it begins.
    if scheme.contains('@') || behind.contains('@') {
        return Some(HIDDEN.to_owned());
    }
    let host = host.rsplit_once('@').map_or_else(|| host.to_owned(), |(_, host)| format!("{HIDDEN}@{host}"));
    let shown = match behind.find(['?', '#']) {
        _ if bare && !matches!(behind, "" | "/") => format!("/{HIDDEN}"),
        Some(at) => behind.split_at(at + 1).0.to_owned() + HIDDEN,
        None => behind.to_owned(),
    };
    Some(format!("{scheme}://{host}{shown}"))
}
