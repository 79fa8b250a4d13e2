//! From text to a network: every mistake at once, with line, key and remedy.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;
use toml::de::{DeTable, DeValue};

use crate::check;
use crate::network::Network;

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
    pub(crate) fn new(
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

impl Network {
    /// Reads TOML.
    ///
    /// # Errors
    /// Every mistake, in the order of the lines.
    pub fn from_toml(text: &str) -> Result<Self, Vec<Fault>> {
        let syntax = |line, why: String| {
            vec![Fault { line, ..Fault::new(Kind::Syntax, "", why, "see the samples in cdn-config/samples") }]
        };
        if text.len() > TEXT_MAX {
            return Err(syntax(None, format!("{} bytes; {TEXT_MAX} are read", text.len())));
        }
        let line_of = |at: usize| text.bytes().take(at).filter(|&b| b == b'\n').count() + 1;
        let tree = DeTable::parse(text)
            .map_err(|e| syntax(e.span().map(|s| line_of(s.start)), format!("not TOML: {}", e.message())))?;
        let mut starts = BTreeMap::new();
        note_table(tree.get_ref(), "", &mut starts);
        let value: Value = toml::from_str(text).map_err(|e| syntax(None, e.message().to_owned()))?;
        Self::from_value(value).map_err(|mut faults| {
            for fault in &mut faults {
                fault.line = nearest(&starts, &fault.key).map(line_of);
            }
            faults.sort_by_key(|fault| fault.line);
            faults
        })
    }

    /// Reads JSON of the same shape.
    ///
    /// # Errors
    /// Every mistake.
    pub fn from_json(text: &str) -> Result<Self, Vec<Fault>> {
        let syntax = |why: String| vec![Fault::new(Kind::Syntax, "", why, "send an object as GET gives it")];
        if text.len() > TEXT_MAX {
            return Err(syntax(format!("{} bytes; {TEXT_MAX} are read", text.len())));
        }
        let value: Value = serde_json::from_str(text).map_err(|e| syntax(format!("not JSON: {e}")))?;
        if value.is_object() { Self::from_value(value) } else { Err(syntax("not an object".to_owned())) }
    }

    /// What does not fit is reported and taken out, and the rest read again.
    fn from_value(mut value: Value) -> Result<Self, Vec<Fault>> {
        let mut faults: Vec<Fault> = Vec::new();
        let mut taken = Taken::default();
        loop {
            let error = match serde_path_to_error::deserialize::<_, Self>(value.clone()) {
                Ok(network) if faults.is_empty() => {
                    let faults = check::check(&network);
                    return if faults.is_empty() { Ok(network) } else { Err(faults) };
                }
                // What was taken out would be missed without need.
                Ok(network) => {
                    let further = check::check(&network)
                        .into_iter()
                        .filter(|f| !matches!(f.kind, Kind::Reference | Kind::Conflict));
                    faults.extend(further.map(|f| Fault { key: taken.original(&f.key), ..f }));
                    return Err(faults);
                }
                Err(error) => error,
            };
            let (fault, gone) = explain(&error.path().to_string(), error.inner().to_string());
            faults.push(Fault { key: taken.original(&fault.key), ..fault });
            if !remove(&mut value, &gone) || faults.len() >= FAULTS_MAX {
                return Err(faults);
            }
            taken.note(&gone);
        }
    }

    /// As TOML, as one would write it.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_default()
    }
}

/// Elements of lists that were taken out, so that those behind them have other numbers now.
#[derive(Debug, Default)]
struct Taken(Vec<(String, usize)>);

impl Taken {
    fn note(&mut self, key: &str) {
        if let Some((list, nth)) = key.rsplit_once('[')
            && let Some(nth) = index(nth)
        {
            self.0.push((format!("{list}["), nth));
        }
    }

    /// The key as it was before anything was taken out.
    fn original(&self, key: &str) -> String {
        self.0.iter().rev().fold(key.to_owned(), |key, (list, gone)| {
            let at = key.strip_prefix(list.as_str()).and_then(|rest| rest.split_once(']'));
            match at.and_then(|(nth, rest)| Some((nth.parse::<usize>().ok()?, rest))) {
                Some((nth, rest)) if nth >= *gone => format!("{list}{}]{rest}", nth + 1),
                _ => key,
            }
        })
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

/// Takes out what lies at `edge[2].region`; false when nothing does.
fn remove(value: &mut Value, path: &str) -> bool {
    let mut steps: Vec<&str> = path.split(['.', '[']).filter(|step| !step.is_empty()).collect();
    let Some(last) = steps.pop() else { return false };
    let mut at = value;
    for step in steps {
        let inner = match at {
            Value::Object(map) => map.get_mut(step),
            Value::Array(list) => index(step).and_then(|n| list.get_mut(n)),
            _ => None,
        };
        match inner {
            Some(inner) => at = inner,
            None => return false,
        }
    }
    match at {
        Value::Object(map) => map.remove(last).is_some(),
        Value::Array(list) => index(last).filter(|n| *n < list.len()).map(|n| list.remove(n)).is_some(),
        _ => false,
    }
}

fn index(step: &str) -> Option<usize> {
    step.strip_suffix(']')?.parse().ok()
}

fn note_table(table: &DeTable<'_>, prefix: &str, starts: &mut BTreeMap<String, usize>) {
    for (key, value) in table {
        let path = format!("{prefix}{}", key.get_ref());
        starts.insert(path.clone(), key.span().start);
        note_value(value.get_ref(), &path, starts);
    }
}

fn note_value(value: &DeValue<'_>, path: &str, starts: &mut BTreeMap<String, usize>) {
    match value {
        DeValue::Table(inner) => note_table(inner, &format!("{path}."), starts),
        DeValue::Array(list) => {
            for (nth, inner) in list.iter().enumerate() {
                let path = format!("{path}[{nth}]");
                starts.insert(path.clone(), inner.span().start);
                note_value(inner.get_ref(), &path, starts);
            }
        }
        _ => {}
    }
}

/// Where a key stands, or what is around it.
fn nearest(starts: &BTreeMap<String, usize>, key: &str) -> Option<usize> {
    let mut key = key;
    loop {
        if let Some(at) = starts.get(key) {
            return Some(*at);
        }
        key = &key[..key.rfind(['.', '['])?];
    }
}
