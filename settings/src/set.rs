//! Single values from elsewhere, such as the environment.

use serde_json::{Map, Value};

/// Puts a value into its place, by its key with dots; what reads as a number or a truth value is one.
pub fn set(values: &mut Map<String, Value>, key: &str, text: String) {
    let mut table = values;
    let (sections, last) = key.rsplit_once('.').unwrap_or(("", key));
    for section in sections.split('.').filter(|s| !s.is_empty()) {
        let inner = table.entry(section).or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(inner) = inner else { return };
        table = inner;
    }
    let value = text.parse::<i64>().map(Value::from).or_else(|_| text.parse().map(Value::Bool));
    table.insert(last.to_owned(), value.unwrap_or(Value::String(text)));
}
