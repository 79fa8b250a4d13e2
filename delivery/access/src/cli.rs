//! The command `nexus token`.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use ipnet::IpNet;
use nx_media::StreamPattern;

use crate::claims::{Claims, NODE, below, hex, network, random};
use crate::gate::{make, read_keys};
use crate::keys::{Algorithm, generate};
use crate::uri::{Match, Part};

/// Shown below the help.
pub const EXAMPLES: &str = "\
Examples:
  nexus token keys --out playback.json      a new key; playback.keys_file names it
  nexus token keys --algorithm es256 --out shop.json --public edges.json
                                            whoever makes tokens keeps the one, edges need the other only
  nexus token make --keys playback.json --stream live/cam1 --lasts 6h
  nexus token make --keys playback.json --stream 'live/*' --subject alice --network 192.0.2.0/24
  nexus token make --keys playback.json --node --lasts 365d --out node.token

Watch with it: http://HOST:8888/token=TOKEN/live/cam1/index.m3u8

Exit codes: 0 good, 1 it cannot be made, 2 bad usage.";

/// What to do with playback tokens.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum Task {
    /// Make a key, as a JSON Web Key Set
    Keys {
        /// Where to: a new file that only you may read
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Where to write what can prove tokens and not make them (es256, eddsa)
        #[arg(long, value_name = "FILE")]
        public: Option<PathBuf>,
        /// How tokens are proved
        #[arg(long, value_enum, default_value = "hs256")]
        algorithm: Choice,
        /// Its name, which tokens tell; by default a random one
        #[arg(long, value_name = "NAME")]
        id: Option<String>,
    },
    /// Make a token
    Make(Make),
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Choice {
    Hs256,
    Es256,
    Eddsa,
}

#[derive(Debug, Clone, clap::Args)]
struct Make {
    /// Key set to make it with
    #[arg(long, value_name = "FILE")]
    keys: PathBuf,
    /// Which of its keys; by default the first that can
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
    /// What may be watched: a stream, or the beginning of its name, 'live/*'
    #[arg(long, value_name = "APP/STREAM", required_unless_present = "node", conflicts_with = "node", value_parser = pattern)]
    stream: Option<String>,
    /// For another node, which may fetch everything and give it to whom it lets in
    #[arg(long)]
    node: bool,
    /// Until when, from now: 90s, 15m, 6h, 30d
    #[arg(long, value_name = "TIME", default_value = "6h", value_parser = span)]
    lasts: Duration,
    /// For whom; what is taken back of them is taken back here too
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,
    /// Who makes it (playback.issuer)
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,
    /// Where the viewer must be: an address or a network; may be given again
    #[arg(long, value_name = "NETWORK", value_parser = network)]
    network: Vec<IpNet>,
    /// Where to: a new file that only you may read; by default standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// In which country (ISO 3166-1), for edges with a table of countries; may be given again
    #[arg(long, value_name = "COUNTRY")]
    country: Vec<String>,
}

fn pattern(text: &str) -> Result<String, String> {
    StreamPattern::new(text).map(|_| text.to_owned())
}

fn span(text: &str) -> Result<Duration, String> {
    let wrong = || "is a number with s, m, h or d behind it, as 6h".to_owned();
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let number: u64 =
        text.strip_suffix(unit).and_then(|n| n.parse().ok()).filter(|n| *n > 0).ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    number
        .checked_mul(seconds)
        .filter(|s| *s <= 100 * 366 * 86_400)
        .map(Duration::from_secs)
        .ok_or_else(wrong)
}

/// Runs the command; `now_s` is Unix time.
#[must_use]
pub fn run(args: &Args, now_s: i64) -> ExitCode {
    let done = match &args.task {
        Task::Keys { out, public, algorithm, id } => keys(out, public.as_deref(), *algorithm, id.as_deref()),
        Task::Make(make) => token(make, now_s).and_then(|token| match &make.out {
            Some(file) => write(file, &format!("{token}\n"), 0o600),
            None => writeln!(std::io::stdout(), "{token}").map_err(|e| e.to_string()),
        }),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

fn keys(out: &Path, public: Option<&Path>, algorithm: Choice, id: Option<&str>) -> Result<(), String> {
    let algorithm = match algorithm {
        Choice::Hs256 => Algorithm::Hs256,
        Choice::Es256 => Algorithm::Es256,
        Choice::Eddsa => Algorithm::EdDsa,
    };
    if public.is_some() && algorithm == Algorithm::Hs256 {
        return Err("hs256 has one key for both; take --algorithm es256".into());
    }
    let id = id.map_or_else(|| random(4).map(|bytes| hex(&bytes)), |id| Ok(id.to_owned()))?;
    let (private, open) = generate(&id, algorithm).map_err(|_| "there is no randomness here")?;
    write(out, &private, 0o600)?;
    public.map_or(Ok(()), |file| write(file, &open, 0o644))
}

/// Makes a file that is not there yet.
pub(crate) fn write(file: &Path, text: &str, mode: u32) -> Result<(), String> {
    let open = OpenOptions::new().write(true).create_new(true).mode(mode).open(file);
    let written = open.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    written.map_err(|e| format!("{} cannot be written: {e}; a file that exists is kept", file.display()))
}

fn token(wish: &Make, now_s: i64) -> Result<String, String> {
    let keys = read_keys(&wish.keys)?;
    let key = keys.maker(wish.key.as_deref()).ok_or("the set has no such key that can make tokens")?;
    let lasts = i64::try_from(wish.lasts.as_secs()).unwrap_or(i64::MAX);
    let claims = Claims {
        issuer: wish.issuer.clone(),
        subject: wish.subject.clone(),
        audience: wish.node.then(|| NODE.to_owned()).into_iter().collect(),
        expires_s: now_s.saturating_add(lasts),
        issued_s: Some(now_s),
        id: random(16)?,
        networks: wish.network.clone(),
        places: wish.stream.iter().map(|stream| (Part::Path, Match::Prefix(below(stream)))).collect(),
        countries: wish.country.iter().map(|c| c.to_ascii_uppercase()).collect(),
        ..Claims::default()
    };
    make(&claims, key)
        .ok_or_else(|| format!("key {} can only prove tokens; take the set with its private half", key.id()))
}
