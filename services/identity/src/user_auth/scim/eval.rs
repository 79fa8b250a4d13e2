//! What a filter means for a resource: whether it can be asked of a type, and whether a resource is such (RFC 7644 §3.4.2.2).
//!
//! Texts are compared as their attribute says, with or without case. Of several values one that fits is enough. What has no
//! value is not equal to anything but `null`.

use nx_chassis::Time;
use serde_json::{Map, Value};

use super::filter::{AttrPath, Filter, Op};
use super::schema::{Attr, Kind, Scope};

impl<'a> Scope<'a> {
    /// The attribute of a path and those that it lies in, the outermost first.
    pub(super) fn resolve(self, path: &AttrPath) -> Option<Vec<&'a Attr>> {
        let mut scope = self;
        let mut chain = Vec::with_capacity(3);
        if let Some(space) = path.space.filter(|&space| space != self.space) {
            chain.push(self.find(space)?);
            scope = self.within(chain[0]);
        }
        for step in &path.steps {
            let attr = scope.find(step)?;
            chain.push(attr);
            scope = scope.within(attr);
        }
        (!chain.is_empty()).then_some(chain)
    }
}

impl Filter {
    /// Refuses what makes no sense of these attributes.
    ///
    /// # Errors
    /// In words.
    pub(super) fn check(&self, scope: Scope<'_>) -> Result<(), String> {
        match self {
            Self::And(all) | Self::Or(all) => all.iter().try_for_each(|filter| filter.check(scope)),
            Self::Not(filter) => filter.check(scope),
            Self::Present(path) => found(scope, path).map(drop),
            Self::Any(path, filter) => {
                let chain = found(scope, path)?;
                match chain.last() {
                    Some(attr) if !attr.parts().is_empty() => filter.check(scope.within(attr)),
                    _ => Err(format!("{path} has no parts to choose by")),
                }
            }
            Self::Compare(path, op, literal) => {
                let attr =
                    compared(&found(scope, path)?).ok_or_else(|| format!("say which part of {path}"))?;
                fits(attr, *op, literal).map_err(|why| format!("{path} {why}"))
            }
        }
    }

    /// Whether something is such, by attributes against which the filter was checked, or which are of another type.
    pub(super) fn matches(&self, scope: Scope<'_>, of: &Map<String, Value>) -> bool {
        match self {
            Self::And(all) => all.iter().all(|filter| filter.matches(scope, of)),
            Self::Or(all) => all.iter().any(|filter| filter.matches(scope, of)),
            Self::Not(filter) => !filter.matches(scope, of),
            Self::Present(path) => {
                let chain = scope.resolve(path).unwrap_or_default();
                values(&chain, of).into_iter().any(is_something)
            }
            Self::Any(path, filter) => {
                let chain = scope.resolve(path).unwrap_or_default();
                let Some(inner) = chain.last().map(|attr| scope.within(attr)) else { return false };
                let such =
                    |value: &Value| value.as_object().is_some_and(|value| filter.matches(inner, value));
                values(&chain, of).into_iter().any(such)
            }
            Self::Compare(path, op, literal) => {
                let mut chain = scope.resolve(path).unwrap_or_default();
                let Some(attr) = compared(&chain) else { return none_is(*op, literal) };
                if chain.last().is_some_and(|last| !std::ptr::eq(*last, attr)) {
                    chain.push(attr);
                }
                let values = values(&chain, of);
                if values.is_empty() {
                    return none_is(*op, literal);
                }
                values.into_iter().any(|value| compare(attr, *op, value, literal))
            }
        }
    }
}

impl std::fmt::Display for AttrPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.steps.join("."))
    }
}

fn found<'a>(scope: Scope<'a>, path: &AttrPath) -> Result<Vec<&'a Attr>, String> {
    scope
        .resolve(path)
        .filter(|chain| !chain.iter().any(|attr| attr.write_only))
        .ok_or_else(|| format!("there is no attribute {path}"))
}

/// What a comparison looks at: the attribute itself, or its `value`, where it has parts.
fn compared<'a>(chain: &[&'a Attr]) -> Option<&'a Attr> {
    let attr = *chain.last()?;
    match attr.parts() {
        [] => Some(attr),
        parts => parts.iter().find(|part| attr.many && part.name == "value"),
    }
}

fn fits(attr: &Attr, op: Op, literal: &Value) -> Result<(), &'static str> {
    let equality = matches!(op, Op::Eq | Op::Ne);
    match (&attr.kind, literal) {
        (_, Value::Null) if equality => Ok(()),
        (Kind::Bool, Value::Bool(_)) | (Kind::Binary, Value::String(_)) if equality => Ok(()),
        (Kind::Bool, Value::Bool(_)) | (Kind::Binary, Value::String(_)) => Err("is only equal, or it is not"),
        (Kind::Bool, _) => Err("is true or false"),
        (Kind::Text | Kind::Reference(_), Value::String(_)) => Ok(()),
        (Kind::Time, literal) if time(literal).is_some() => Ok(()),
        (Kind::Time, _) => Err("is a time, as in \"2026-01-31T12:00:00Z\""),
        _ => Err("is a text"),
    }
}

/// Every value that an attribute has in a resource.
pub(super) fn values<'v>(chain: &[&Attr], of: &'v Map<String, Value>) -> Vec<&'v Value> {
    let Some((first, rest)) = chain.split_first() else { return Vec::new() };
    let mut found = flat(of.get(first.name));
    for attr in rest {
        found = found.into_iter().flat_map(|value| flat(value.get(attr.name))).collect();
    }
    found
}

fn flat(value: Option<&Value>) -> Vec<&Value> {
    match value {
        None => Vec::new(),
        Some(Value::Array(values)) => values.iter().collect(),
        Some(value) => vec![value],
    }
}

fn is_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Object(parts) => parts.values().any(is_something),
        _ => true,
    }
}

/// Whether it holds where there is no value.
fn none_is(op: Op, literal: &Value) -> bool {
    match op {
        Op::Eq => literal.is_null(),
        Op::Ne => !literal.is_null(),
        _ => false,
    }
}

fn compare(attr: &Attr, op: Op, value: &Value, literal: &Value) -> bool {
    if let (Kind::Time, Some(a), Some(b)) = (&attr.kind, time(value), time(literal)) {
        return match op {
            Op::Co | Op::Sw | Op::Ew => by_text(op, &folded(value, true), &folded(literal, true)),
            op => ordered(op, &a, &b),
        };
    }
    match (value, literal) {
        (Value::String(_), Value::String(_)) => {
            by_text(op, &folded(value, attr.exact), &folded(literal, attr.exact))
        }
        _ => match op {
            Op::Eq => value == literal,
            Op::Ne => value != literal,
            _ => false,
        },
    }
}

fn by_text(op: Op, value: &str, literal: &str) -> bool {
    match op {
        Op::Co => value.contains(literal),
        Op::Sw => value.starts_with(literal),
        Op::Ew => value.ends_with(literal),
        op => ordered(op, &value, &literal),
    }
}

fn ordered<T: PartialOrd>(op: Op, value: &T, literal: &T) -> bool {
    match op {
        Op::Eq => value == literal,
        Op::Ne => value != literal,
        Op::Gt => value > literal,
        Op::Ge => value >= literal,
        Op::Lt => value < literal,
        Op::Le => value <= literal,
        Op::Co | Op::Sw | Op::Ew => false,
    }
}

fn folded(value: &Value, exact: bool) -> String {
    let text = value.as_str().unwrap_or_default();
    if exact { text.to_owned() } else { fold(text) }
}

/// A text without its case.
pub(super) fn fold(text: &str) -> String {
    text.to_lowercase()
}

pub(super) fn time(value: &Value) -> Option<Time> {
    serde_json::from_value(value.clone()).ok()
}
