//! Where errors are seen: a layer of the log, and the panic hook.

use std::fmt::Debug;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::QUEUE;
use crate::fault::Fault;

/// A layer that reports lines at level `error`; panics are reported from now on too.
pub fn layer<S: Subscriber>() -> impl Layer<S> {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let said = info.payload_as_str().unwrap_or("a panic without words");
        let (file, line) = info.location().map_or(("", 0), |l| (l.file(), l.line()));
        QUEUE.push(Fault::panic(said, file, line));
        before(info);
    }));
    Errors
}

struct Errors;

impl<S: Subscriber> Layer<S> for Errors {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let about = event.metadata();
        if *about.level() != Level::ERROR {
            return;
        }
        let mut fields = Fields(Fault::new(about.target(), about.file(), about.line()));
        event.record(&mut fields);
        QUEUE.push(fields.0);
    }
}

struct Fields(Fault);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.note(field.name(), &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.note(field.name(), value);
    }
}
