//! `nexus-transcoder --origin URL`: works for a server elsewhere. Takes a piece of work over HTTP, has a confined worker do
//! it, and sends on what that says. What is in the piece, it need not know.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use reqwest::blocking::{Body, Client, RequestBuilder, Response};
use reqwest::header::LOCATION;
use reqwest::{StatusCode, Url};

use crate::sheet::Why;

const WORK: &str = "api/streamcore/v1/work";
/// Between two questions for work, and after a failure.
const PAUSE: Duration = Duration::from_secs(2);
const PAUSE_FAILED: Duration = Duration::from_secs(5);
const CONNECT: Duration = Duration::from_secs(10);
/// A server that is gone is noticed after a few of these.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

struct Agent {
    client: Client,
    origin: Url,
    token: Option<String>,
    name: String,
}

/// Works until it is killed.
pub(crate) fn run(origin: &str, token_file: Option<&Path>) -> ExitCode {
    let agent = match Agent::new(origin, token_file) {
        Ok(agent) => agent,
        Err(why) => {
            tell(&why.to_string());
            return ExitCode::from(2);
        }
    };
    loop {
        match agent.work() {
            Ok(true) => {}
            Ok(false) => pause(PAUSE),
            Err(why) => {
                tell(&why.to_string());
                pause(PAUSE_FAILED);
            }
        }
    }
}

#[expect(clippy::print_stderr, reason = "the command's own output")]
fn tell(why: &str) {
    eprintln!("nexus-transcoder: {why}");
}

#[expect(clippy::disallowed_methods, reason = "nobody rings: the server is elsewhere")]
fn pause(time: Duration) {
    thread::sleep(time);
}

impl Agent {
    fn new(origin: &str, token_file: Option<&Path>) -> Result<Self, Why> {
        let read = |path: &Path| {
            let text = fs::read_to_string(path);
            text.map(|t| t.trim().to_owned()).map_err(|e| format!("{}: {e}", path.display()))
        };
        let token = token_file.map(read).transpose()?;
        let origin = Url::parse(&format!("{}/", origin.trim_end_matches('/')));
        let origin = origin.map_err(|e| format!("--origin has to be like https://HOST:3000: {e}"))?;
        // A piece takes as long as it takes.
        let client =
            Client::builder().timeout(None).connect_timeout(CONNECT).tcp_keepalive(KEEP_ALIVE).build()?;
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let name = format!("{} (process {})", host.trim(), std::process::id());
        Ok(Self { client, origin, token, name })
    }

    /// One piece of work; whether there was any.
    fn work(&self) -> Result<bool, Why> {
        let taken =
            self.send(self.client.post(self.origin.join(WORK)?).header("nexus-worker", &self.name))?;
        if taken.status() == StatusCode::NO_CONTENT {
            return Ok(false);
        }
        let place = taken.headers().get(LOCATION).ok_or("the server does not say which piece that is")?;
        let place = self.origin.join(place.to_str()?)?;
        let mut worker = Command::new(std::env::current_exe()?)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let (input, output) = (worker.stdin.take(), worker.stdout.take());
        let (mut input, output) = input.zip(output).ok_or("a worker has no pipes")?;
        let feeding = thread::spawn(move || io::copy(&mut { taken }, &mut input));
        let sent = self.send(self.client.put(place).body(Body::new(output)));
        worker.kill()?;
        worker.wait()?;
        let _ = feeding.join();
        sent.map(|_| true)
    }

    fn send(&self, request: RequestBuilder) -> Result<Response, Why> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let response = request.send()?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let told: String = response.text().unwrap_or_default().chars().take(1000).collect();
        Err(format!("{status}: {told}").into())
    }
}
