//! The command `nexus doctor`.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use tokio::time::Duration;

use crate::report::{Profile, Report, Severity};
use crate::watch::{Options, WatchError, watch};
use crate::{Judge, all_rules, dash_watch};

/// Shown below the help.
pub const EXAMPLES: &str = "\
Examples:
  nexus doctor http://127.0.0.1:8888/live/cam1/index.m3u8
  nexus doctor --profile ll-hls --seconds 60 https://example.com/live.m3u8
  nexus doctor --format junit --output doctor.xml --ignore HLS-12c URL
  nexus doctor http://a.example/live/cam1/index.m3u8 --twin http://b.example/live/cam1/index.m3u8
  nexus doctor --rules                      the table of all rules

Exit codes: 0 no errors, 1 errors found (with --strict: or warnings), 2 bad usage or nothing to watch.";

/// What to watch and how to say it.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Address of a multivariant or media playlist, or of an MPD
    #[arg(required_unless_present = "rules")]
    url: Option<String>,
    /// How long to watch
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// How the report looks
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Write the report there, not to standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// What must hold
    #[arg(long, value_enum, default_value_t)]
    profile: Profile,
    /// Do not report this rule; may be repeated
    #[arg(long, value_name = "RULE")]
    ignore: Vec<String>,
    /// Warnings are as bad as errors
    #[arg(long)]
    strict: bool,
    /// The same playlist at another origin of the same encoder: what both list and send must be the same
    #[arg(long, value_name = "URL")]
    twin: Option<String>,
    /// Accept any TLS certificate
    #[arg(long)]
    insecure: bool,
    /// Print the table of all rules
    #[arg(long)]
    rules: bool,
}

/// How a report looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One object.
    Json,
    /// For build servers.
    Junit,
}

const MISUSED: u8 = 2;

/// Watches, and writes the report. Blocks until it is written.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(diagnose(args)),
        Err(error) => complain(&format!("cannot start: {error}")),
    }
}

async fn diagnose(args: &Args) -> ExitCode {
    let Some(url) = args.url.as_ref().filter(|_| !args.rules) else {
        return write(args, &table());
    };
    if let Some(id) = args.ignore.iter().find(|id| !all_rules().iter().any(|r| r.id.eq_ignore_ascii_case(id)))
    {
        return complain(&format!("there is no rule '{id}'; --rules lists them"));
    }
    let terminal = std::io::stderr().is_terminal();
    let progress = |left_s: u64, answers: u64| {
        if terminal {
            eprint!("\r\x1b[Kwatching: {left_s} s left, {answers} answers");
        }
    };
    let (time, insecure) = (Duration::from_secs(args.seconds), args.insecure);
    let options = Options { time, insecure, twin: args.twin.clone() };
    let judge = watch(url, options, Judge::new(args.profile, args.ignore.clone()), progress).await;
    if terminal {
        eprint!("\r\x1b[K");
    }
    let report = match judge {
        Ok(judge) => judge.finish(),
        Err(WatchError::Manifest(_)) if args.twin.is_some() => {
            return complain("--twin compares playlists of HLS, and this is a DASH manifest");
        }
        Err(WatchError::Manifest(_)) => {
            let mut report = Report::new(args.profile, args.ignore.clone());
            match dash_watch(url, epoch_s(), time, insecure, &mut report).await {
                Ok(_) => report,
                Err(error) => return complain(&error.to_string()),
            }
        }
        Err(error) => return complain(&error.to_string()),
    };
    let subject = format!("{url}, {} s", args.seconds);
    let text = match args.format {
        Format::Text => report.text(&subject, args.output.is_none() && std::io::stdout().is_terminal()),
        Format::Json => report.json(&subject),
        Format::Junit => report.junit(&subject, &all_rules(), args.strict),
    };
    let written = write(args, &text);
    if written == ExitCode::SUCCESS { verdict(&report, args.strict) } else { written }
}

/// Seconds since 1970: DASH compares its dates with the clock on the wall.
#[expect(clippy::disallowed_methods, reason = "the rim reads the clock")]
fn epoch_s() -> f64 {
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn verdict(report: &Report, strict: bool) -> ExitCode {
    let bad = report.count(Severity::Error) > 0 || (strict && report.count(Severity::Warning) > 0);
    ExitCode::from(u8::from(bad))
}

fn table() -> String {
    let mut out = String::new();
    for rule in all_rules() {
        let severity = rule.severity(Profile::Auto).name();
        let level = if rule.severity(Profile::LlHls).name() == severity { severity } else { "ll-error" };
        out.push_str(&format!("{:<10} {level:<8} {}  [{}]\n", rule.id, rule.title, rule.spec));
    }
    out
}

fn write(args: &Args, text: &str) -> ExitCode {
    let written = match &args.output {
        Some(path) => std::fs::write(path, text).map_err(|e| format!("{}: {e}", path.display())),
        None => std::io::stdout().write_all(text.as_bytes()).map_err(|e| format!("standard output: {e}")),
    };
    written.map_or_else(|what| complain(&what), |()| ExitCode::SUCCESS)
}

fn complain(what: &str) -> ExitCode {
    eprintln!("nexus doctor: {what}");
    ExitCode::from(MISUSED)
}
