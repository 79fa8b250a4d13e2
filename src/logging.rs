//! Log lines: to standard error, for people on a terminal, as JSON elsewhere.

use std::io::IsTerminal;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use crate::cli::LogFormat;
use crate::config::LogConfig;

/// Changes the filter while the process runs.
pub(crate) type Filter = reload::Handle<EnvFilter, Registry>;

pub(crate) fn start(config: &LogConfig, format: Option<LogFormat>) -> Filter {
    let (filter, handle) = reload::Layer::new(EnvFilter::new(&config.filter));
    let terminal = std::io::stderr().is_terminal();
    let human = format.map_or(terminal, |f| f == LogFormat::Human);
    let registry = tracing_subscriber::registry().with(filter).with(nx_ring::reports());
    if human {
        registry.with(fmt::layer().with_writer(std::io::stderr).with_ansi(terminal)).init();
    } else {
        let json = fmt::layer().json().flatten_event(true).with_current_span(false).with_span_list(false);
        registry.with(json.with_writer(std::io::stderr)).init();
    }
    handle
}
