//! What another description changes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use crate::network::Network;

/// One difference.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// What it is about, by name and not by number: `edge eu-1: viewers_max`.
    pub what: String,
    /// What happens.
    pub step: Step,
}

/// What happens to a thing.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// It was not there.
    Added(Value),
    /// It is there no more.
    Removed(Value),
    /// It was this, it becomes that.
    Changed(Value, Value),
}

/// `+ edge eu-2`, `- …`, `~ edge eu-1: viewers_max: 100 → 200`.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.step {
            Step::Added(to) => write!(f, "+ {}: {to}", self.what),
            Step::Removed(from) => write!(f, "- {}: {from}", self.what),
            Step::Changed(from, to) => write!(f, "~ {}: {from} → {to}", self.what),
        }
    }
}

/// What has to change to come from `old` to `new`, by kind and name. The order of lists counts only where it means
/// something: of regions, and of the origins of a route.
#[must_use]
pub fn difference(old: &Network, new: &Network) -> Vec<Change> {
    let (old, new) = (things(old), things(new));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    names.into_iter().flat_map(|name| compare(name, old.get(name), new.get(name))).collect()
}

/// Every table by kind and name, and the order of the regions.
fn things(network: &Network) -> BTreeMap<String, Value> {
    let mut things = BTreeMap::new();
    let Ok(Value::Object(kinds)) = serde_json::to_value(network) else { return things };
    for (kind, value) in kinds {
        let Value::Array(list) = value else {
            things.insert(kind, value);
            continue;
        };
        for one in list {
            let text = |key: &str| one.get(key).and_then(Value::as_str).unwrap_or_default();
            let name =
                if kind == "route" { [text("host"), text("path")].concat() } else { text("name").to_owned() };
            things.insert(format!("{kind} {name}"), one);
        }
    }
    let order: Vec<&str> = network.regions.iter().map(|r| r.name.as_str()).collect();
    things.insert("order of regions".into(), order.into());
    things
}

fn compare(name: &str, old: Option<&Value>, new: Option<&Value>) -> Vec<Change> {
    let change = |what: String, step| Change { what, step };
    match (old, new) {
        (None, Some(to)) => vec![change(name.to_owned(), Step::Added(to.clone()))],
        (Some(from), None) => vec![change(name.to_owned(), Step::Removed(from.clone()))],
        (Some(Value::Object(from)), Some(Value::Object(to))) => {
            let keys: BTreeSet<&String> = from.keys().chain(to.keys()).collect();
            keys.into_iter()
                .flat_map(|key| compare(&format!("{name}: {key}"), from.get(key), to.get(key)))
                .collect()
        }
        (Some(from), Some(to)) if from != to => {
            vec![change(name.to_owned(), Step::Changed(from.clone(), to.clone()))]
        }
        _ => Vec::new(),
    }
}
