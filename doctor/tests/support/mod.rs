//! Streams that packagers make at test time, and just enough of a playlist reader to feed their segments.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use nx_doctor::evidence::{Fetch, Role};

/// A folder that goes away.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("the folder of the build can be written");
        Self(path)
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.0.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    pub(crate) fn text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).expect("a text file")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs a program to its end in `folder`; `arguments` are split at spaces.
#[track_caller]
pub(crate) fn run(folder: &Path, program: &str, arguments: &str) {
    // GStreamer's hlssink2 waits for itself for ever in some runs of this; the next one goes through.
    let once = || {
        let mut command = Command::new("timeout");
        command.args(["-k", "1", "20", program]).args(arguments.split_whitespace());
        let out = command.current_dir(folder).stdin(Stdio::null()).output().expect("timeout is of coreutils");
        (out.status, String::from_utf8_lossy(&out.stderr).into_owned())
    };
    let mut tries = (0..5).map(|_| once());
    let (status, words) =
        tries.find(|(status, _)| status.code() != Some(124)).expect("one of five runs ends");
    assert!(status.success(), "{program} {arguments}\n{words}");
}

/// Picture and sound of 8 s with a key frame each second, as arguments of ffmpeg.
pub(crate) const SOURCE: &str = "-nostdin -v error -y -f lavfi -i testsrc2=size=128x72:rate=30 \
    -f lavfi -i sine=sample_rate=48000 -t 8 -c:v libx264 -preset ultrafast -g 30 -bf 0 -pix_fmt yuv420p \
    -c:a aac -b:a 48k -map 0:v -map 1:a";

/// A media playlist, as far as the tests need it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Playlist {
    pub(crate) target_s: f64,
    pub(crate) first_msn: u64,
    pub(crate) map: Option<String>,
    pub(crate) independent: bool,
    /// EXTINF, discontinuity before, address.
    pub(crate) segments: Vec<(f64, bool, String)>,
}

/// Reads a playlist of one of the packagers, which are known to write plain ones.
pub(crate) fn playlist(text: &str) -> Playlist {
    let mut all = Playlist { target_s: 0.0, ..Playlist::default() };
    let (mut extinf, mut broken) = (0.0, false);
    for line in text.lines().map(str::trim) {
        let value = |tag: &str| line.strip_prefix(tag);
        if let Some(v) = value("#EXT-X-TARGETDURATION:") {
            all.target_s = v.parse().expect("a target duration");
        } else if let Some(v) = value("#EXT-X-MEDIA-SEQUENCE:") {
            all.first_msn = v.parse().expect("a number");
        } else if let Some(v) = value("#EXT-X-MAP:URI=\"") {
            all.map = v.split('"').next().map(str::to_owned);
        } else if let Some(v) = value("#EXTINF:") {
            extinf = v.trim_end_matches(',').split(',').next().and_then(|v| v.parse().ok()).expect("seconds");
        } else if line == "#EXT-X-DISCONTINUITY" {
            broken = true;
        } else if line == "#EXT-X-INDEPENDENT-SEGMENTS" {
            all.independent = true;
        } else if !line.is_empty() && !line.starts_with('#') {
            all.segments.push((extinf, std::mem::take(&mut broken), line.to_owned()));
        }
    }
    all
}

/// An answer of `status` with `body`, asked for and complete `at_s` seconds after the watch began.
pub(crate) fn fetch(
    url: &str,
    role: Role,
    (status, body): (u16, &[u8]),
    headers: &[(&str, String)],
    at_s: f64,
) -> Fetch {
    let at_us = (at_s * 1e6) as u64;
    Fetch {
        url: Arc::from(url),
        playlist: Arc::from(url),
        role,
        asked_us: at_us,
        first_byte_us: at_us,
        done_us: at_us,
        status,
        headers: headers.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect(),
        body: Bytes::copy_from_slice(body),
        cut: false,
        redirect: None,
        http2: false,
        failure: None,
    }
}
