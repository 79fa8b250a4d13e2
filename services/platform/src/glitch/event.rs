//! An event as it was reported, read: nothing of it is trusted, and what cannot be used is left out.

use serde_json::Value;

use super::{group, scrub};

/// Largest event that is taken, bytes.
pub(super) const EVENT_BYTES_MAX: usize = 1 << 20;
/// Longest text in an event that is kept, characters.
const TEXT_CHARS_MAX: usize = 8192;
/// Longest name that is kept: of a release, an environment, a title.
const NAME_CHARS_MAX: usize = 200;
/// Longest list that is kept; of a longer one the end, which is where it happened.
const LIST_MAX: usize = 200;
/// How far from our clock the time of an event may be; else it is now.
const AHEAD_MS_MAX: i64 = 60_000;
const BEHIND_MS_MAX: i64 = 30 * 86_400_000;

const LEVELS: [&str; 5] = ["fatal", "error", "warning", "info", "debug"];

/// What is stored of an event.
#[derive(Debug)]
pub(super) struct Report {
    /// 32 hexadecimal digits.
    pub(super) event_id: String,
    pub(super) at_ms: i64,
    pub(super) level: String,
    /// Of the exception; empty for a message.
    pub(super) kind: String,
    pub(super) title: String,
    /// Where it happened, as far as that is known.
    pub(super) culprit: String,
    pub(super) release: Option<String>,
    pub(super) environment: String,
    /// Which issue it belongs to.
    pub(super) hash: String,
    /// The whole, scrubbed and cut to size.
    pub(super) body: Value,
}

impl Report {
    /// Reads an event that came at `now_ms`; `id` is its id where it has none.
    pub(super) fn read(json: &[u8], now_ms: i64, id: &str) -> Result<Self, String> {
        if json.len() > EVENT_BYTES_MAX {
            return Err(format!("an event has at most {EVENT_BYTES_MAX} bytes"));
        }
        let mut body: Value =
            serde_json::from_slice(json).map_err(|e| format!("the event is no JSON: {e}"))?;
        if !body.is_object() {
            return Err("the event is no object".into());
        }
        cut(&mut body);
        scrub::scrub(&mut body);
        let (kind, title) = title(&body);
        let level = LEVELS.iter().find(|l| **l == str_of(&body, "level")).unwrap_or(&"error");
        Ok(Self {
            event_id: event_id(str_of(&body, "event_id")).or_else(|| event_id(id)).unwrap_or_default(),
            at_ms: at_ms(body.get("timestamp"), now_ms),
            level: (*level).to_owned(),
            kind,
            title,
            culprit: culprit(&body),
            release: Some(name(str_of(&body, "release"))).filter(|r| !r.is_empty()),
            environment: name(str_of(&body, "environment")),
            hash: group::hash(&body),
            body,
        })
    }
}

/// A field of text, empty when it is none.
pub(super) fn str_of<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// The exceptions of an event, the one that was seen last.
pub(super) fn exceptions(event: &Value) -> &[Value] {
    let Some(exception) = event.get("exception") else { return &[] };
    match exception.get("values").unwrap_or(exception) {
        Value::Array(values) => values,
        Value::Object(_) => std::slice::from_ref(exception),
        _ => &[],
    }
}

/// The frames of a trace, the innermost last.
pub(super) fn frames(traced: &Value) -> &[Value] {
    traced.pointer("/stacktrace/frames").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// An id without its dashes.
pub(super) fn event_id(text: &str) -> Option<String> {
    let id = text.replace('-', "").to_ascii_lowercase();
    (id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())).then_some(id)
}

/// A name as it is stored: one line, not too long.
pub(super) fn name(text: &str) -> String {
    text.lines()
        .find(|l| !l.trim().is_empty())
        .unwrap_or_default()
        .trim()
        .chars()
        .take(NAME_CHARS_MAX)
        .collect()
}

fn title(event: &Value) -> (String, String) {
    if let Some(last) = exceptions(event).last() {
        let (kind, value) = (name(str_of(last, "type")), str_of(last, "value"));
        let title = if value.is_empty() { kind.clone() } else { name(&format!("{kind}: {value}")) };
        return (kind, if title.is_empty() { "Error".into() } else { title });
    }
    let entry = event.get("logentry").unwrap_or(event);
    let said = [str_of(entry, "formatted"), str_of(entry, "message"), str_of(event, "message")];
    let title = said.into_iter().map(name).find(|t| !t.is_empty());
    (String::new(), title.unwrap_or_else(|| "Without a message".into()))
}

fn culprit(event: &Value) -> String {
    let traced = exceptions(event).last().unwrap_or(event);
    let own = |f: &&Value| f.get("in_app").and_then(Value::as_bool) == Some(true);
    let all = frames(traced);
    let Some(frame) = all.iter().rev().find(own).or(all.last()) else {
        return name(str_of(event, "transaction"));
    };
    let place = [str_of(frame, "module"), str_of(frame, "filename")].into_iter().find(|p| !p.is_empty());
    match (place.unwrap_or_default(), str_of(frame, "function")) {
        (place, "") => name(place),
        (place, function) => name(&format!("{place} in {function}")),
    }
}

/// When it happened: seconds or RFC 3339. A clock that is far from ours is not believed.
fn at_ms(timestamp: Option<&Value>, now_ms: i64) -> i64 {
    let given = match timestamp {
        Some(Value::Number(seconds)) => seconds.as_f64().map(|s| (s * 1000.0) as i64),
        Some(text) => serde_json::from_value::<nx_chassis::Time>(text.clone()).ok().map(|t| t.0),
        None => None,
    };
    given.filter(|at| (now_ms - BEHIND_MS_MAX..=now_ms + AHEAD_MS_MAX).contains(at)).unwrap_or(now_ms)
}

/// Cuts texts and lists to the size that is kept.
fn cut(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some((end, _)) = text.char_indices().nth(TEXT_CHARS_MAX) {
                text.truncate(end);
                text.push('…');
            }
        }
        Value::Array(items) => {
            items.drain(..items.len().saturating_sub(LIST_MAX));
            items.iter_mut().for_each(cut);
        }
        Value::Object(fields) => fields.values_mut().for_each(cut),
        _ => {}
    }
}
