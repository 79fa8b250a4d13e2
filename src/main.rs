//! The `nexus` binary: reads the command line and the configuration, runs the roles, leaves with a clear code.

mod cli;
mod config;
mod logging;
mod wiring;

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};
use config::Loaded;

/// Parts of a hundred streams come and go in sizes that never repeat: glibc's allocator spends a quarter of ingest's
/// CPU on finding room among them.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Failed at run time.
const FAILED: u8 = 1;
/// Bad usage or bad configuration.
const MISUSED: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match &cli.command {
        Command::Check { file } => check(file),
        Command::Doctor(args) => nx_doctor::cli::run(args),
        Command::Cdn(args) => nx_cdn_config::cli::run(args),
        Command::Token(args) => nx_access::cli::run(args, nx_delivery::wall_s()),
        Command::Catalog { json } => println_out(&nx_catalog::text(*json)),
        _ => run(&cli),
    }
}

fn check(file: &std::path::Path) -> ExitCode {
    match config::load(Some(file), std::iter::empty()) {
        Ok(_) => println_out(&format!("{}: good", file.display())),
        Err(errors) => complain(&errors),
    }
}

fn run(cli: &Cli) -> ExitCode {
    let loaded = match config::load(cli.config.as_deref(), config::environment()) {
        Ok(loaded) => loaded,
        Err(errors) => return complain(&errors),
    };
    if matches!(cli.command, Command::Edge) && loaded.config.edge.knows_nobody() {
        let key = "edge.plane.origins".to_owned();
        let text = "is empty: name nodes as HOST:PORT, or set edge.upstream or edge.network.file".to_owned();
        return complain(&[config::Fault { place: loaded.place(&key), key, text }]);
    }
    if let Err(errors) = allowed(&loaded, cli) {
        return complain(&errors);
    }
    let filter = logging::start(&loaded.config.log, cli.log_format);
    match wiring::run(cli, loaded.config, &filter) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::from(FAILED)
        }
    }
}

/// Without authentication only this machine may reach a listener, unless the operator insists. With rules for
/// publishers, or without any, the listeners for media are safe to open; the gateway, which tells who publishes, is not.
fn allowed(loaded: &Loaded, cli: &Cli) -> Result<(), Vec<config::Fault>> {
    let guarded = loaded.config.origin.admission.is_configured() || matches!(cli.command, Command::Edge);
    let harmless = |key: &str, a: SocketAddr| a.ip().is_loopback() || (guarded && key != "gateway.listen");
    let open: Vec<_> = loaded.config.listeners().into_iter().filter(|(key, a)| !harmless(key, *a)).collect();
    if open.is_empty() || cli.insecure_open {
        return Ok(());
    }
    let fault = |(key, address)| config::Fault {
        place: loaded.place(key),
        key: key.to_owned(),
        text: format!(
            "{address} can be reached by others and no authentication is configured; listen on 127.0.0.1, say in \
             [origin.admission] who may publish, or give --insecure-open if that is what you want"
        ),
    };
    Err(open.into_iter().map(fault).collect())
}

fn complain(errors: &[config::Fault]) -> ExitCode {
    errors.iter().for_each(|error| eprintln!("{error}"));
    ExitCode::from(MISUSED)
}

/// One line on standard output, at once; whoever has closed it does not want to know.
fn println_out(line: &str) -> ExitCode {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    ExitCode::SUCCESS
}
