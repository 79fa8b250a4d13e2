//! Attribute lists: `NAME=value,NAME="value"`.
//!
//! Spec: rfc8216bis §4.2.

use super::values;

/// Attributes kept per tag.
const ATTRIBUTES_MAX: usize = 64;

/// The attributes of one tag, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    /// Line of the tag, counted from 1.
    pub(crate) line: u32,
    list: Vec<(String, String, bool)>,
}

impl Attributes {
    /// Reads a list to its end, whatever is wrong with it, and says what is.
    pub(super) fn parse(line: u32, list: &str) -> (Self, Vec<String>) {
        let mut found = Self { line, list: Vec::new() };
        let mut wrong = Vec::new();
        let mut rest = list.trim();
        while !rest.is_empty() && found.list.len() < ATTRIBUTES_MAX {
            let Some((name, after)) = rest.split_once('=') else {
                wrong.push(format!("'{rest}' in an attribute list has no '='"));
                break;
            };
            let name = name.trim();
            if name.is_empty()
                || !name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-')
            {
                wrong.push(format!("'{name}' is not an attribute name"));
            }
            let (value, quoted, after) = match after.strip_prefix('"') {
                Some(inside) => match inside.split_once('"') {
                    Some((value, after)) => (value, true, after),
                    None => {
                        wrong.push(format!("the value of {name} has no closing quote"));
                        (inside, true, "")
                    }
                },
                None => {
                    let end = after.find(',').unwrap_or(after.len());
                    let (value, after) = after.split_at(end);
                    (value.trim(), false, after)
                }
            };
            if value.is_empty() && !quoted {
                wrong.push(format!("{name} has no value"));
            }
            if found.get(name).is_some() {
                wrong.push(format!("{name} stands twice in one list"));
            }
            found.list.push((name.to_owned(), value.to_owned(), quoted));
            rest = match after.trim_start().strip_prefix(',') {
                Some(next) => next.trim_start(),
                None => {
                    if !after.trim().is_empty() {
                        wrong.push(format!("no comma behind the value of {name}"));
                    }
                    ""
                }
            };
        }
        (found, wrong)
    }

    /// Value of an attribute, without its quotes.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.list.iter().find(|(n, ..)| n == name).map(|(_, value, _)| value.as_str())
    }

    /// Whether the value stands in quotes; `None` without the attribute.
    pub(crate) fn is_quoted(&self, name: &str) -> Option<bool> {
        self.list.iter().find(|(n, ..)| n == name).map(|(.., quoted)| *quoted)
    }

    /// Whether the value is the enumerated string `YES`.
    pub(crate) fn yes(&self, name: &str) -> bool {
        self.get(name) == Some("YES")
    }

    pub(crate) fn integer(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }

    /// Decimal seconds as microseconds.
    pub(crate) fn micros(&self, name: &str) -> Option<u64> {
        values::micros(self.get(name)?)
    }

    /// An ISO 8601 date as microseconds since 1970.
    pub(crate) fn date(&self, name: &str) -> Option<i64> {
        values::date(self.get(name)?)
    }

    /// `1280x720`.
    pub(crate) fn resolution(&self) -> Option<(u64, u64)> {
        let (width, height) = self.get("RESOLUTION")?.split_once('x')?;
        Some((width.parse().ok()?, height.parse().ok()?))
    }

    /// Name and value of each attribute.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.list.iter().map(|(name, value, _)| (name.as_str(), value.as_str()))
    }
}
