//! The real binary on free ports, with its log at hand.
#![expect(clippy::panic, reason = "a test or a measurement without its server is over")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// The binary under test: `NEXUS_BIN`, else the one that cargo built for this test.
pub(crate) fn nexus_bin() -> PathBuf {
    std::env::var_os("NEXUS_BIN").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_nexus")), PathBuf::from)
}

/// A running `nexus up`, or one of its roles; killed when dropped.
pub(crate) struct Server {
    child: Child,
    /// Its own data folder, which goes with it.
    data: Option<PathBuf>,
    listeners: HashMap<String, SocketAddr>,
    /// What it printed before it was ready.
    said: Vec<String>,
    log: Arc<Log>,
}

#[derive(Default)]
struct Log {
    text: Mutex<String>,
    grew: Condvar,
}

impl Server {
    /// Starts with every listener on a free port and the given environment besides; returns when it is ready.
    pub(crate) fn start(env: &[(&str, &str)]) -> Self {
        Self::fresh("up", None, env)
    }

    /// The same with settings in TOML.
    pub(crate) fn configured(settings: &str) -> Self {
        Self::fresh("up", Some(settings), &[])
    }

    /// With a data folder that was there before and stays.
    pub(crate) fn in_folder(data: &Path, env: &[(&str, &str)]) -> Self {
        Self::launch(Command::new(nexus_bin()), "up", data, None, env)
    }

    /// The same with settings in TOML.
    pub(crate) fn configured_in(data: &Path, settings: &str) -> Self {
        Self::launch(Command::new(nexus_bin()), "up", data, Some(settings), &[])
    }

    /// The same among mounts of its own, which a script makes first.
    pub(crate) fn mounted_in(data: &Path, script: &str, env: &[(&str, &str)]) -> Self {
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-ec", &format!("{script}; exec \"$@\""), "sh"]).arg(nexus_bin());
        Self::launch(command, "up", data, None, env)
    }

    /// Runs a script among its mounts.
    pub(crate) fn remount(&self, script: &str) {
        let mut command = Command::new("nsenter");
        command.args([
            "-t",
            &self.pid().to_string(),
            "-U",
            "-m",
            "--preserve-credentials",
            "sh",
            "-ec",
            script,
        ]);
        assert!(command.status().expect("nsenter runs").success(), "{script}");
    }

    /// `nexus ROLE` with settings in TOML.
    pub(crate) fn role(role: &str, settings: &str) -> Self {
        Self::fresh(role, Some(settings), &[])
    }

    /// The same with a data folder that was there before and stays, and the given environment besides.
    pub(crate) fn role_in(role: &str, data: &Path, settings: &str, env: &[(&str, &str)]) -> Self {
        Self::launch(Command::new(nexus_bin()), role, data, Some(settings), env)
    }

    fn fresh(role: &str, settings: Option<&str>, env: &[(&str, &str)]) -> Self {
        let nth = COUNT.fetch_add(1, Ordering::Relaxed);
        let data = std::env::temp_dir().join(format!("nexus-test-{}-{nth}", std::process::id()));
        let mut server = Self::launch(Command::new(nexus_bin()), role, &data, settings, env);
        server.data = Some(data);
        server
    }

    fn launch(
        mut command: Command,
        role: &str,
        data: &Path,
        settings: Option<&str>,
        env: &[(&str, &str)],
    ) -> Self {
        command.args(role.split(' ')).args(["--log-format", "json", "--data"]).arg(data);
        if let Some(settings) = settings {
            let file = data.join("nexus.toml");
            std::fs::create_dir_all(data).and_then(|()| std::fs::write(&file, settings)).expect("a file");
            command.arg("--config").arg(file);
        }
        for key in [
            "ORIGIN__RTMP",
            "ORIGIN__RTMPS",
            "ORIGIN__SRT",
            "ORIGIN__HTTP",
            "EDGE__HTTP",
            "EDGE__HTTPS",
            "GATEWAY",
        ] {
            command.env(format!("NEXUS__{key}__LISTEN"), "127.0.0.1:0");
        }
        command.envs(env.iter().copied()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let log = Arc::new(Log::default());
        let (err, into) = (child.stderr.take().expect("a pipe"), log.clone());
        std::thread::spawn(move || into.take(BufReader::new(err)));
        let out = BufReader::new(child.stdout.take().expect("a pipe"));
        let (listeners, said) = ready_lines(out).unwrap_or_else(|| {
            let _ = child.wait();
            panic!("nexus did not get ready:\n{}", log.text())
        });
        Self { child, data: None, listeners, said, log }
    }

    /// What followed this in a line that was printed before `ready`.
    pub(crate) fn said(&self, start: &str) -> Option<&str> {
        self.said.iter().find_map(|line| line.strip_prefix(start))
    }

    /// Where a listener of this name is.
    pub(crate) fn address(&self, name: &str) -> SocketAddr {
        *self.listeners.get(name).unwrap_or_else(|| panic!("no line 'listening {name} …'"))
    }

    /// Where publishers and RTMP players go.
    pub(crate) fn rtmp(&self) -> SocketAddr {
        self.address("rtmp")
    }

    /// The same over TLS.
    pub(crate) fn rtmps(&self) -> SocketAddr {
        self.address("rtmps")
    }

    /// Where SRT callers go.
    pub(crate) fn srt(&self) -> SocketAddr {
        self.address("srt")
    }

    /// Where viewers go.
    pub(crate) fn edge(&self) -> SocketAddr {
        self.address("edge-http")
    }

    /// The same over TLS, and over HTTP/3.
    pub(crate) fn https(&self) -> SocketAddr {
        self.address("edge-https")
    }

    /// Where edges go.
    pub(crate) fn origin(&self) -> SocketAddr {
        self.address("origin-http")
    }

    /// Where edges fetch streams.
    pub(crate) fn plane(&self) -> SocketAddr {
        self.address("plane")
    }

    /// Status page and API.
    pub(crate) fn gateway(&self) -> SocketAddr {
        self.address("gateway")
    }

    /// Process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.text()
    }

    /// Waits for a log line that contains `what`.
    pub(crate) fn wait_for_log(&self, what: &str, limit: Duration) -> bool {
        let text = self.log.text.lock().expect("no panic under the lock");
        let waited = self.log.grew.wait_timeout_while(text, limit, |text| !text.contains(what));
        waited.is_ok_and(|(text, _)| text.contains(what))
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let done = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(done.expect("kill runs").success());
    }

    /// Sends a signal and waits for the end; the exit code, or `None` after 15 s.
    pub(crate) fn terminate(&mut self, name: &str) -> Option<i32> {
        self.signal(name);
        let deadline = Instant::now() + Duration::from_secs(15);
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }

    /// CPU time of all threads so far, in milliseconds.
    pub(crate) fn cpu_ms(&self) -> f64 {
        cpu_ms(self.pid())
    }

    /// Resident memory in KiB.
    pub(crate) fn rss_kib(&self) -> u64 {
        rss_kib(self.pid())
    }
}

/// CPU time of all threads of a process, in milliseconds.
pub(crate) fn cpu_ms(pid: u32) -> f64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let run_ns = |task: std::fs::DirEntry| -> Option<u64> {
        std::fs::read_to_string(task.path().join("schedstat")).ok()?.split(' ').next()?.parse().ok()
    };
    tasks.filter_map(run_ns).sum::<u64>() as f64 / 1e6
}

/// Resident memory of a process in KiB.
pub(crate) fn rss_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(data) = &self.data {
            let _ = std::fs::remove_dir_all(data);
        }
    }
}

impl Log {
    fn take(&self, lines: impl BufRead) {
        for line in lines.lines().map_while(Result::ok) {
            let mut text = self.text.lock().expect("no panic under the lock");
            text.push_str(&line);
            text.push('\n');
            self.grew.notify_all();
        }
    }

    fn text(&self) -> String {
        self.text.lock().expect("no panic under the lock").clone()
    }
}

/// Reads `listening NAME ADDRESS` lines up to `ready`.
fn ready_lines(out: impl BufRead) -> Option<(HashMap<String, SocketAddr>, Vec<String>)> {
    let (mut listeners, mut said) = (HashMap::new(), Vec::new());
    for line in out.lines().map_while(Result::ok) {
        if line == "ready" {
            return Some((listeners, said));
        }
        let mut words = line.split(' ').skip_while(|w| *w == "listening");
        if let (Some(name), Some(Ok(address))) = (words.next(), words.next().map(str::parse)) {
            listeners.insert(name.to_owned(), address);
        }
        said.push(line);
    }
    None
}
