//! Where keys stand in a text.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use crate::{Fault, Kind};

/// The line of every key of a text of TOML.
#[derive(Debug, Clone, Default)]
pub struct Lines(BTreeMap<String, usize>);

impl Lines {
    pub(crate) fn read(text: &str) -> Result<Self, Fault> {
        let line_of = |at: usize| text.bytes().take(at).filter(|&b| b == b'\n').count() + 1;
        let tree = DeTable::parse(text).map_err(|e| Fault {
            line: e.span().map(|span| line_of(span.start)),
            ..Fault::new(Kind::Syntax, "", format!("is not TOML: {}", e.message()), "correct the text")
        })?;
        let mut starts = BTreeMap::new();
        note_table(tree.get_ref(), "", &mut starts);
        Ok(Self(starts.into_iter().map(|(key, at)| (key, line_of(at))).collect()))
    }

    /// Whether a key itself stands in the text.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// The line of a key such as `edge[2].region`, or of what is around it.
    #[must_use]
    pub fn of(&self, key: &str) -> Option<usize> {
        let mut key = key;
        loop {
            if let Some(line) = self.0.get(key) {
                return Some(*line);
            }
            key = key.get(..key.rfind(['.', '['])?)?;
        }
    }
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
