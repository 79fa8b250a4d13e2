//! Why something of a stream is not given.

use http::StatusCode;
use nx_hls::{NotInTs, Window};
use nx_media::StreamKey;

use super::NOTHING_S;
use crate::live::LiveStream;
use crate::problem::Problem;

pub(crate) fn too_long(what: &str, len: usize, max: usize) -> Problem {
    let detail = format!("the {what} has {len} bytes; at most {max} are read");
    Problem::new(StatusCode::URI_TOO_LONG, "uri-too-long", "Address too long", detail)
}

pub(crate) fn unknown(key: &StreamKey) -> Problem {
    let detail = format!("nobody has published {key}; check the name, or publish to it and ask again");
    // It may begin any moment: a second keeps a crowd off and nobody waiting.
    Problem::new(StatusCode::NOT_FOUND, "stream-unknown", "No such stream", detail).kept(1)
}

pub(crate) fn not_live(key: &StreamKey) -> Problem {
    let detail = format!("{key} is known and has nothing to show yet; ask again shortly");
    Problem::new(StatusCode::NOT_FOUND, "stream-not-live", "Not live yet", detail).retry_after(1).kept(1)
}

/// A hold that ended without what was waited for, and nothing else to give.
pub(crate) fn not_in_time(key: &StreamKey) -> Problem {
    let detail = format!("{key} did not make this in time; ask again shortly");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-in-time", "Not made in time", detail).retry_after(1)
}

/// A piece that is not there. One that has been may be remembered as gone; one that is still to come may not.
pub(crate) fn not_held(stream: &LiveStream, has_been: bool) -> Problem {
    let detail = format!("{} does not hold this piece (any more)", stream.key());
    let problem = Problem::new(StatusCode::NOT_FOUND, "not-held", "Not held", detail);
    let target_s = stream.read(Window::target_s);
    if has_been { problem.kept(u32::try_from(target_s).unwrap_or(1)) } else { problem }
}

pub(crate) fn not_in_ts(why: NotInTs) -> Problem {
    let detail = format!("{why}; play index.m3u8");
    Problem::new(StatusCode::NOT_FOUND, "output-codec", "Codec not in this output", detail).kept(1)
}

pub(crate) fn no_keys(key: &StreamKey) -> Problem {
    let detail = format!("keys of {key} are not had here; its playlists and manifest say where");
    Problem::new(StatusCode::NOT_FOUND, "no-keys", "No keys here", detail).kept(NOTHING_S)
}

pub(crate) fn encrypted(key: &StreamKey) -> Problem {
    let detail = format!(
        "{key} is encrypted and this is only had in the clear; play index.m3u8 or manifest.mpd with a key"
    );
    Problem::new(StatusCode::NOT_FOUND, "encrypted", "Encrypted", detail).kept(NOTHING_S)
}

pub(crate) fn nothing_stored(key: &StreamKey) -> Problem {
    let detail = format!("nothing of {key} is stored for that time; without start, end and delay it is live");
    Problem::new(StatusCode::NOT_FOUND, "not-stored", "Nothing stored", detail).kept(NOTHING_S)
}
