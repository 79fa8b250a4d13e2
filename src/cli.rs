//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

const EXAMPLES: &str = "\
Examples:
  nexus up                                  the whole system on this machine
  nexus up --config nexus.toml              with settings from a file
  NEXUS__EDGE__HTTP__LISTEN=127.0.0.1:9000 nexus up
                                            with one setting from the environment
  nexus check nexus.toml                    every mistake in a file, with its line

  ffmpeg -re -i film.mp4 -c copy -f flv rtmp://127.0.0.1/live/cam1
                                            publish; then open http://127.0.0.1:8888/watch/live/cam1

Exit codes: 0 clean stop, 1 failed at run time, 2 bad usage or bad configuration.";

/// Nexus COS: a live streaming server. RTMP and SRT in, low-latency HLS and DASH out.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Settings in TOML; keys of one value can also be set as NEXUS__SECTION__KEY
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Folder for everything that must survive a restart
    #[arg(long, global = true, value_name = "DIR", default_value = "./nexus-data")]
    pub(crate) data: PathBuf,
    /// How log lines look; by default for people on a terminal, JSON elsewhere
    #[arg(long, global = true, value_name = "FORMAT")]
    pub(crate) log_format: Option<LogFormat>,
    /// Let others than this machine publish and watch although no authentication is configured
    #[arg(long, global = true)]
    pub(crate) insecure_open: bool,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// What to run.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run every role in one process
    #[command(after_help = EXAMPLES)]
    Up {
        /// Serve each service on its ports of the catalogue besides
        #[arg(long)]
        compat_ports: bool,
    },
    /// Run the origin alone: RTMP and SRT in, HTTP out for CDNs, QUIC for edges if origin.plane.listen is set
    #[command(after_help = "Example:\n  nexus origin --config origin.toml")]
    Origin,
    /// Run an edge alone: it fetches live streams over QUIC from the nodes in edge.plane.origins while somebody watches
    #[command(after_help = "Example:\n  nexus edge --config edge.toml")]
    Edge,
    /// Run the gateway alone, in front of services of other processes
    #[command(after_help = "Example:\n  nexus gateway --config ring.toml")]
    Gateway,
    /// Run single services, each on its port of the catalogue; they tell the gateway where they are
    #[command(after_help = "Example:\n  nexus service scheduler --config ring.toml")]
    Service {
        /// Names from the catalogue
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
    /// Print the service catalogue
    #[command(after_help = "Example:\n  nexus catalog --json")]
    Catalog {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Validate a configuration file: every error at once, with line, key and hint
    #[command(after_help = "Example:\n  nexus check nexus.toml")]
    Check {
        /// The file
        file: PathBuf,
    },
    /// Watch any live HLS, LL-HLS or DASH address and name the rules it breaks
    #[command(after_help = nx_doctor::cli::EXAMPLES)]
    Doctor(nx_doctor::cli::Args),
    /// Make keys and tokens for viewers of streams that ask for one
    #[command(after_help = nx_access::cli::EXAMPLES)]
    Token(nx_access::cli::Args),
    /// Check, compare and convert descriptions of a delivery network
    #[command(after_help = nx_cdn_config::cli::EXAMPLES)]
    Cdn(nx_cdn_config::cli::Args),
}
