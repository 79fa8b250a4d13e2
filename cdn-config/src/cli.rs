//! The command `nexus cdn`.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::access::Countries;
use crate::diff;
use crate::generate::{self, Target};
use crate::names::Name;
use crate::network::Network;

/// Shown below the help.
pub const EXAMPLES: &str = "\
Examples:
  nexus cdn check network.toml              every mistake at once, with line, key and remedy
  nexus cdn diff old.toml new.toml          what will change
  nexus cdn route network.toml tv.example.com /live/cam1/index.m3u8
                                            who is asked, and which rules hold
  nexus cdn generate nginx network.toml > /etc/nginx/conf.d/nexus.conf
  nexus cdn generate kubernetes network.toml --region eu > eu.yaml

Exit codes: 0 good, 1 something differs or cannot be made, 2 bad usage or a bad file.";

/// What to do with descriptions of a network.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum Task {
    /// Read a description and report every mistake
    Check {
        /// TOML, or JSON when it ends in .json
        file: PathBuf,
        /// The edges' table of countries, lines NETWORK,COUNTRY
        #[arg(long, value_name = "FILE")]
        countries: Option<PathBuf>,
    },
    /// Say what changes from one description to another
    Diff {
        /// What is
        old: PathBuf,
        /// What shall be
        new: PathBuf,
    },
    /// Say which route takes a request
    Route {
        /// The description
        file: PathBuf,
        /// As viewers ask for it, without port
        host: String,
        /// Without query
        path: String,
    },
    /// Write the network down for another cache
    Generate {
        /// For whom
        target: Target,
        /// The description
        file: PathBuf,
        /// Of which region, where it matters
        #[arg(long, value_name = "NAME")]
        region: Option<String>,
    },
}

const DIFFERENT: u8 = 1;
const MISUSED: u8 = 2;

/// Does it, and writes to standard output.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    match carry_out(&args.task) {
        Ok((text, code)) => match std::io::stdout().write_all(text.as_bytes()) {
            Ok(()) => ExitCode::from(code),
            Err(_) => ExitCode::from(MISUSED),
        },
        Err(why) => {
            // Without standard error there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "{}", why.trim_end());
            ExitCode::from(MISUSED)
        }
    }
}

fn carry_out(task: &Task) -> Result<(String, u8), String> {
    match task {
        Task::Check { file, countries } => {
            let network = read(file)?;
            if let Some(table) = countries {
                let name = table.display();
                let text = fs::read_to_string(table).map_err(|e| format!("{name}: {e}"))?;
                Countries::parse(&text).map_err(|e| format!("{name}: {e}"))?;
            }
            let (name, edges, routes) = (file.display(), network.edges.len(), network.routes.len());
            let notes = network.notes(countries.is_some()).into_iter();
            let notes: String = notes.map(|note| format!("{name}: note: {note}\n")).collect();
            Ok((format!("{notes}{name}: good: {edges} edges, {routes} routes\n"), 0))
        }
        Task::Diff { old, new } => {
            let changes = diff::difference(&read(old)?, &read(new)?);
            let lines: String = changes.iter().map(|change| format!("{change}\n")).collect();
            Ok((lines, if changes.is_empty() { 0 } else { DIFFERENT }))
        }
        Task::Route { file, host, path } => {
            let network = read(file)?;
            Ok(network.route(&host.to_ascii_lowercase(), path).map_or_else(
                || ("no route: 404\n".to_owned(), DIFFERENT),
                |route| (format!("{}\n{}", route.title(), toml::to_string(route).unwrap_or_default()), 0),
            ))
        }
        Task::Generate { target, file, region } => {
            let network = read(file)?;
            let region =
                region.clone().map(Name::try_from).transpose().map_err(|e| format!("--region: {e}"))?;
            let made = generate::generate(&network, *target, region.as_ref()).map_err(|e| e.to_string())?;
            for left in &made.left_out {
                let _ = writeln!(std::io::stderr(), "left out: {left}");
            }
            Ok((made.text, 0))
        }
    }
}

fn read(file: &Path) -> Result<Network, String> {
    let name = file.display();
    let text = fs::read_to_string(file).map_err(|e| format!("{name}: {e}; check the path and its rights"))?;
    let json = file.extension().is_some_and(|extension| extension == "json");
    let network = if json { Network::from_json(&text) } else { Network::from_toml(&text) };
    network.map_err(|faults| faults.iter().map(|fault| format!("{name}:{fault}\n")).collect())
}
