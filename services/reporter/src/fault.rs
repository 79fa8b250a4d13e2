//! An error of ours, and the event that it becomes.

use nx_chassis::Clock;
use serde_json::{Map, Value, json};

/// Longest text that is reported, characters.
const TEXT_CHARS_MAX: usize = 2000;
/// Most fields of a line that are reported.
const FIELDS_MAX: usize = 32;

/// An error of ours.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    at_ms: i64,
    is_panic: bool,
    /// The module that says it.
    target: String,
    message: String,
    /// File and line.
    pub(crate) place: Option<(String, u32)>,
    thread: String,
    fields: Map<String, Value>,
}

impl Fault {
    pub(crate) fn new(target: &str, file: Option<&str>, line: Option<u32>) -> Self {
        Self {
            at_ms: Clock::default().now_ms(),
            is_panic: false,
            target: target.to_owned(),
            message: String::new(),
            place: file.map(|file| (file.to_owned(), line.unwrap_or_default())),
            thread: std::thread::current().name().unwrap_or_default().to_owned(),
            fields: Map::new(),
        }
    }

    pub(crate) fn panic(message: &str, file: &str, line: u32) -> Self {
        let mut fault = Self { is_panic: true, ..Self::new("panic", Some(file), Some(line)) };
        fault.note("message", message);
        fault
    }

    /// Takes a field of the line; the one called `message` is what it says.
    pub(crate) fn note(&mut self, name: &str, value: &str) {
        let value: String = value.chars().take(TEXT_CHARS_MAX).collect();
        if name == "message" {
            self.message = value;
        } else if self.fields.len() < FIELDS_MAX {
            self.fields.insert(name.to_owned(), value.into());
        }
    }

    /// As an event; `dropped` errors were not reported before it.
    pub(crate) fn event(&self, dropped: u64) -> Value {
        let mut event = json!({
            "timestamp": self.at_ms as f64 / 1000.0,
            "platform": "other",
            "level": if self.is_panic { "fatal" } else { "error" },
            "logger": self.target,
            "release": concat!("nexus@", env!("CARGO_PKG_VERSION")),
            "tags": {"thread": self.thread},
            "extra": self.fields,
        });
        if let Some((file, line)) = &self.place {
            event["transaction"] = format!("{file}:{line}").into();
        }
        if dropped > 0 {
            event["extra"]["dropped_before"] = dropped.into();
        }
        if self.is_panic {
            let (file, line) = self.place.clone().unwrap_or_default();
            let frame = json!({"filename": file, "lineno": line, "in_app": true, "function": self.thread});
            let stack = json!({"frames": [frame]});
            event["exception"] =
                json!({"values": [{"type": "panic", "value": self.message, "stacktrace": stack}]});
        } else {
            event["logentry"] = json!({"formatted": self.message});
        }
        event
    }

    /// As an envelope.
    pub(crate) fn envelope(&self, dropped: u64) -> String {
        let event = self.event(dropped).to_string();
        format!("{{}}\n{{\"type\":\"event\",\"length\":{}}}\n{event}\n", event.len())
    }
}
