//! Publishers and players that we did not write.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A child process that does not outlive its test.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        Self(child.unwrap_or_else(|e| panic!("{command:?}: {e}; `make test` installs it")))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Sends a signal by name, such as `STOP`.
    pub(crate) fn signal(&self, name: &str) {
        let done = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(done.expect("kill runs").success());
    }

    /// Exit code, once it has ended.
    pub(crate) fn wait(&mut self, limit: Duration) -> Option<i32> {
        eventually(limit, || self.0.try_wait().expect("a child").map(|s| s.code().unwrap_or(-1)))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Looks every 20 ms until there is something, for at most `limit`.
pub(crate) fn eventually<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() > deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What ffmpeg shall send.
#[derive(Clone, Copy)]
pub(crate) struct Source {
    pub(crate) video: Option<&'static str>,
    pub(crate) audio: bool,
    /// More arguments for the video encoder.
    pub(crate) extra: &'static [&'static str],
}

pub(crate) const SMALL: Source = Source { video: Some("320x180"), audio: true, extra: &[] };

macro_rules! clock {
    ($($bit:literal)*) => {
        concat!(
            "drawbox=w=320:h=20:color=black:t=fill",
            $(",drawbox=x=20*", $bit, ":w=20:h=20:color=white:t=fill:enable='mod(floor(time(0)*250/2^", $bit, "),2)'"),*
        )
    };
}

/// A filter that draws the time into the picture: 16 squares, the lowest bit first, in units of 4 ms.
const CLOCK: &str = clock!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
/// Small, with the time of capture in the picture, and sent at once.
pub(crate) const CLOCKED: Source = Source { extra: &["-tune", "zerolatency", "-vf", CLOCK], ..SMALL };

/// Publishes over RTMP in real time with the real ffmpeg.
pub(crate) fn ffmpeg(rtmp: SocketAddr, key: &str, source: Source) -> Process {
    ffmpeg_to(&["-f", "flv", &format!("rtmp://{rtmp}/{key}")], source)
}

/// The same to wherever the last arguments say.
pub(crate) fn ffmpeg_to(output: &[&str], source: Source) -> Process {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-re"]).stderr(Stdio::null());
    if let Some(size) = source.video {
        command.args(["-f", "lavfi", "-i", &format!("testsrc2=size={size}:rate=30")]);
    }
    if source.audio {
        command.args(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]);
        command.args(["-c:a", "aac", "-b:a", "96k"]);
    }
    if source.video.is_some() {
        command.args(["-c:v", "libx264", "-preset", "ultrafast", "-g", "60", "-pix_fmt", "yuv420p"]);
        command.args(["-b:v", "500k"]).args(source.extra);
    }
    Process::start(command.args(output))
}

/// A newer ffmpeg than the system's: `NEXUS_FFMPEG_NEW`, or the one that `make test` puts on the path.
pub(crate) fn ffmpeg_new() -> OsString {
    std::env::var_os("NEXUS_FFMPEG_NEW").unwrap_or_else(|| "ffmpeg-new".into())
}

/// Runs a tool to its end; its standard output and error.
pub(crate) fn run(program: &str, args: &[&str], limit: Duration) -> (bool, String, String) {
    let child = Command::new("timeout")
        .args(["-k", "1", &limit.as_secs().to_string(), program])
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("{program}: {e}; `make test` installs it"));
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (child.status.success(), text(child.stdout), text(child.stderr))
}

/// Decodes `seconds` of a URL with ffmpeg: frames per stream kind, and what it complained about.
pub(crate) fn decode(url: &str, seconds: u32) -> Decoded {
    let (ok, streams, complaints) = frames(url, seconds, &["-map", "0:v?", "-map", "0:a?"]);
    let of = |kind: &str| streams.iter().filter(|s| s.0 == kind).map(|s| s.1).sum();
    Decoded { ok, video: of("video"), audio: of("audio"), complaints }
}

/// The same for the streams that the arguments choose: whether it went well, kind and number of frames of each, and
/// what ffmpeg complained about.
pub(crate) fn frames(url: &str, seconds: u32, chosen: &[&str]) -> (bool, Vec<(String, u32)>, String) {
    let seconds = seconds.to_string();
    let args = [&["-v", "warning", "-t", &seconds, "-i", url], chosen, &["-f", "framemd5", "-"]].concat();
    let (ok, out, err) = run("ffmpeg", &args, Duration::from_secs(40));
    // ffmpeg reads the CMAF header again with each reload, and says so.
    let harmless = |l: &&str| !l.contains("Found duplicated MOOV") && !l.contains("Last message repeated");
    let complaints = err.lines().filter(harmless).collect::<Vec<_>>().join("\n");
    let kinds = out.lines().filter_map(|l| l.strip_prefix("#media_type ")?.split_once(": "));
    let count = |stream: &str| {
        let rows = out.lines().filter(|l| !l.starts_with('#'));
        rows.filter(|l| l.split(',').next().is_some_and(|s| s.trim() == stream)).count() as u32
    };
    let streams = kinds.map(|(stream, kind)| (kind.to_owned(), count(stream))).collect();
    (ok, streams, complaints)
}

#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) ok: bool,
    pub(crate) video: u32,
    pub(crate) audio: u32,
    pub(crate) complaints: String,
}

/// An empty folder of a test's own: what an earlier run left there is gone, as data of another version may not be read by this.
pub(crate) fn fresh(name: &str) -> std::path::PathBuf {
    let _ = std::fs::remove_dir_all(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name));
    scratch(name)
}

/// A folder of a test's own for screenshots and the like, with what earlier runs left there.
pub(crate) fn scratch(name: &str) -> std::path::PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).expect("a scratch folder");
    folder
}
