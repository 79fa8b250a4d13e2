//! Every service of the ring, built or planned: names, ports, what each needs and does without it.
//!
//! The table is `services.toml`; a test holds it against the documents it was merged from.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

/// A line of the catalogue.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its name, as in `/api/ID/v1/…`.
    pub id: String,
    /// What it is for, in a few words.
    pub purpose: String,
    /// The crate of services that it belongs to.
    pub domain: String,
    /// The module that people buy it as, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// Its port when it runs on its own.
    pub port: u16,
    /// Further ports, of documents that give it another one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_ports: Vec<u16>,
    /// Further names that lead to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// When it is built; 0 comes first.
    pub wave: u8,
    /// What its paths begin with that anybody may ask for, behind `/api/ID/`: the service finds out who that is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<String>,
    /// Whether all who are signed in may ask for the others, and it looks at what they may; else only operators.
    #[serde(default)]
    pub people: bool,
    /// What apps of others may ask for in somebody's name, by the scope that they have: `METHOD path`, where `*` is one part of
    /// a path or any method, and `**` the rest. What does not stand here no app may, but for who has the scope `operate`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub apps: BTreeMap<String, Vec<String>>,
    /// Whether this version has it.
    #[serde(default)]
    pub built: bool,
    /// Whether it keeps something of people: then it gives that out under `v1/persons/ID`, erases it when one is to be forgotten,
    /// and says when it has. Every service that is built says which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persons: Option<bool>,
    /// Services that it calls, each with what it does while the other is away.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub needs: BTreeMap<String, String>,
}

/// An arrow of the documents that was left out, and why.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolution {
    /// Who would have called.
    pub from: String,
    /// Whom.
    pub to: String,
    /// Why it does not.
    pub why: String,
}

/// A port that the documents give to two services.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Collision {
    /// Who does without.
    pub name: String,
    /// The port.
    pub port: u16,
    /// Whose it is.
    pub kept_by: String,
}

impl Entry {
    /// Whether an app with these scopes, behind each other, may ask for what follows `/api/ID/`. What people are and show is
    /// theirs alone, and keys are nobody's to take along: there `operate` opens nothing.
    #[must_use]
    pub fn lets_app(&self, scopes: &str, method: &str, path: &str) -> bool {
        let closed = self.domain == "identity" || ["key-service", "pv-keys"].contains(&self.id.as_str());
        let mut scopes = scopes.split(' ');
        let listed =
            |scope: &str| self.apps.get(scope).is_some_and(|all| all.iter().any(|one| is(one, method, path)));
        scopes.any(|scope| (scope == "operate" && !closed) || listed(scope))
    }
}

/// Whether a pattern of [`Entry::apps`] means this.
fn is(pattern: &str, method: &str, path: &str) -> bool {
    let Some((methods, pattern)) = pattern.split_once(' ') else { return false };
    let (mut parts, mut given) = (pattern.split('/'), path.split('/'));
    let same = loop {
        match (parts.next(), given.next()) {
            (Some("**"), Some(_)) | (None, None) => break true,
            (Some(part), Some(given)) if part == given || (part == "*" && !given.is_empty()) => {}
            _ => break false,
        }
    };
    same && (methods == "*" || methods.split(',').any(|m| m == method))
}

/// The whole table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalog {
    /// The services, in the order of the documents.
    #[serde(rename = "service")]
    pub services: Vec<Entry>,
    /// What was decided where the documents disagree.
    #[serde(rename = "resolution")]
    pub resolutions: Vec<Resolution>,
    /// Ports that went to another.
    #[serde(rename = "collision")]
    pub collisions: Vec<Collision>,
}

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
    toml::from_str(include_str!("../services.toml")).expect("the table is part of the program and tested")
});

/// The catalogue.
#[must_use]
pub fn catalog() -> &'static Catalog {
    &CATALOG
}

/// The service with this name or alias.
#[must_use]
pub fn find(name: &str) -> Option<&'static Entry> {
    CATALOG.services.iter().find(|s| s.id == name || s.aliases.iter().any(|a| a == name))
}

/// Every service behind those that it needs: an order to start them in.
#[must_use]
pub fn start_order() -> Vec<&'static Entry> {
    let mut order: Vec<&Entry> = Vec::new();
    let mut rest: Vec<&Entry> = CATALOG.services.iter().collect();
    loop {
        let started = |need: &String| order.iter().any(|s| s.id == *need);
        let (now, later): (Vec<&Entry>, Vec<_>) = rest.iter().partition(|s| s.needs.keys().all(started));
        if now.is_empty() {
            return order;
        }
        order.extend(now);
        rest = later;
    }
}

/// The list of services as JSON.
#[must_use]
pub fn json() -> String {
    serde_json::json!({"items": CATALOG.services, "next_cursor": null}).to_string()
}

/// The list of services: as JSON, or for people a line each; without a line end behind the last.
#[must_use]
pub fn text(as_json: bool) -> String {
    if as_json { json() } else { table() }
}

fn table() -> String {
    let mut text = format!("{:<31} {:<14} {:>5}  wave  state    needs", "service", "domain", "port");
    for service in &CATALOG.services {
        let state = if service.built { "built" } else { "planned" };
        let needs = service.needs.keys().map(String::as_str).collect::<Vec<_>>().join(" ");
        let Entry { id, domain, port, wave, .. } = service;
        // Writing to a string cannot fail.
        let _ = write!(text, "\n{id:<31} {domain:<14} {port:>5}  {wave:>4}  {state:<8} {needs}");
        text.truncate(text.trim_end().len());
    }
    text
}

#[cfg(test)]
mod tests;
