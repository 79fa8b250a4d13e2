//! Settings as a list, for people to read.

use serde_json::Value;

/// All values by their keys, such as `edge[2].region`; a list of plain values is one. What is secret by its type has said `***` of
/// itself; so does here who an address names before its host.
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
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (nth, value) in items.into_iter().enumerate() {
                below(value, format!("{key}[{nth}]"), all);
            }
        }
        value => all.push((key, masked(value))),
    }
}

/// A value without the user and password of an address.
fn masked(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(masked).collect(),
        Value::String(text) => {
            let server = text.split_once("://").and_then(|(_, rest)| rest.split(['/', '?', '#']).next());
            let who = server.and_then(|server| Some(server.rsplit_once('@')?.0));
            who.map_or_else(|| text.clone(), |who| text.replacen(&format!("{who}@"), "***@", 1)).into()
        }
        plain => plain,
    }
}
