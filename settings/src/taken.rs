//! What was taken out of values so that the rest could be read.

use serde_json::Value;

/// Elements of lists that were taken out, so that those behind them have other numbers now.
#[derive(Debug, Default)]
pub struct Taken(Vec<(String, usize)>);

impl Taken {
    pub(crate) fn note(&mut self, key: &str) {
        if let Some((list, nth)) = key.rsplit_once('[')
            && let Some(nth) = index(nth)
        {
            self.0.push((format!("{list}["), nth));
        }
    }

    /// The key as it was before anything was taken out.
    #[must_use]
    pub fn original(&self, key: &str) -> String {
        self.0.iter().rev().fold(key.to_owned(), |key, (list, gone)| {
            let at = key.strip_prefix(list.as_str()).and_then(|rest| rest.split_once(']'));
            match at.and_then(|(nth, rest)| Some((nth.parse::<usize>().ok()?, rest))) {
                Some((nth, rest)) if nth >= *gone => format!("{list}{}]{rest}", nth + 1),
                _ => key,
            }
        })
    }
}

/// Takes out what lies at `edge[2].region`; false when nothing does.
pub(crate) fn remove(value: &mut Value, path: &str) -> bool {
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
