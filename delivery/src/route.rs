//! Addresses of a stream's resources.

use nx_media::StreamKey;

/// Longest path that is looked at, bytes.
pub(crate) const PATH_MAX: usize = 1024;

/// A parsed path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route<'a> {
    pub(crate) key: StreamKey,
    pub(crate) resource: Resource<'a>,
}

/// What of the stream is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resource<'a> {
    /// `index.m3u8`
    Multivariant,
    /// `TRACK/index.m3u8`
    Playlist { track: &'a str },
    /// `TRACK/iframes.m3u8`
    IFrames { track: &'a str },
    /// `TRACK/init-RUN.mp4`; `TRACK/init-RUN.MSN.mp4` with the key that begins with a segment
    Init { track: &'a str, run: u32, key: Option<u64> },
    /// `TRACK/MSN.m4s`, or `TRACK/MSN-RUN.m4s` if it has to be of that run: DASH names segments before they begin
    Segment { track: &'a str, msn: u64, run: Option<u32> },
    /// `TRACK/MSN.PART.m4s`; `TRACK/MSN.0-RUN.m4s` for the first of a run in a list that goes on
    Part { track: &'a str, msn: u64, part: u32, run: Option<u32> },
    /// `ts/index.m3u8`
    TsPlaylist,
    /// `ts/MSN.ts`; `ts/MSN-RUN.ts` where that run's segments are named so
    TsSegment { msn: u64, run: Option<u32> },
    /// `manifest.mpd`
    Manifest,
    /// `video.mp4`: a stretch of what is stored
    Film,
    /// `time`: the server's clock, for players of DASH
    Time,
    /// `sN/MSN.vtt`
    Text { track: &'a str, msn: u64 },
    /// `breaks/ID.json`
    Break { id: &'a str },
    /// `keys/ID.bin`: a key as it is, where anybody may have it
    Key { id: [u8; 16] },
    /// `keys/licence.json`: the same as a licence of ClearKey (W3C EME §9.1.4)
    Licence,
    /// Something to look at that does not move.
    Image(Image),
}

/// A picture of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Image {
    /// `thumbnail.jpg`
    Thumbnail,
    /// `poster.jpg`: for pages, which do without when there is none
    Poster,
    /// `sprites.vtt`
    Index,
    /// `sprites/NUMBER.jpg`
    Sheet(u64),
}

/// Reads a path such as `/live/cam1/v1/17.3.m4s`.
pub(crate) fn parse(path: &str) -> Option<Route<'_>> {
    let mut halves = path.strip_prefix('/')?.splitn(3, '/');
    let (app, name, rest) = (halves.next()?, halves.next()?, halves.next()?);
    let resource = match rest {
        "index.m3u8" => Resource::Multivariant,
        "ts/index.m3u8" => Resource::TsPlaylist,
        "manifest.mpd" => Resource::Manifest,
        "video.mp4" => Resource::Film,
        "time" => Resource::Time,
        "thumbnail.jpg" => Resource::Image(Image::Thumbnail),
        "poster.jpg" => Resource::Image(Image::Poster),
        "sprites.vtt" => Resource::Image(Image::Index),
        _ => file(rest)?,
    };
    Some(Route { key: StreamKey::new(app, name).ok()?, resource })
}

fn file(rest: &str) -> Option<Resource<'_>> {
    let (track, file) = rest.split_once('/')?;
    let (stem, extension) = file.rsplit_once('.')?;
    match (track, extension) {
        ("ts", "ts") => {
            let (msn, run) = of_run(stem)?;
            Some(Resource::TsSegment { msn: number(msn)?, run })
        }
        (_, "vtt") => Some(Resource::Text { track, msn: number(stem)? }),
        ("sprites", "jpg") => Some(Resource::Image(Image::Sheet(number(stem)?))),
        ("breaks", "json") => Some(Resource::Break { id: stem }),
        (_, "m3u8") if stem == "index" => Some(Resource::Playlist { track }),
        (_, "m3u8") if stem == "iframes" => Some(Resource::IFrames { track }),
        ("keys", "bin") => Some(Resource::Key { id: nx_crypt::parse_hex(stem)? }),
        ("keys", "json") if stem == "licence" => Some(Resource::Licence),
        (_, "mp4") => {
            let header = stem.strip_prefix("init-")?;
            let (run, key) = header.split_once('.').map_or((header, None), |(run, key)| (run, Some(key)));
            let key = key.map_or(Some(None), |key| number(key).map(Some))?;
            Some(Resource::Init { track, run: number(run)?, key })
        }
        (_, "m4s") => {
            let (stem, run) = of_run(stem)?;
            Some(match stem.split_once('.') {
                Some((msn, part)) => Resource::Part { track, msn: number(msn)?, part: number(part)?, run },
                None => Resource::Segment { track, msn: number(stem)?, run },
            })
        }
        _ => None,
    }
}

/// The run at the end of a name, if it has one.
fn of_run(stem: &str) -> Option<(&str, Option<u32>)> {
    match stem.split_once('-') {
        Some((stem, run)) => Some((stem, Some(number(run)?))),
        None => Some((stem, None)),
    }
}

/// Digits only and no leading zero: one resource has one name, so that caches hold it once.
fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    let canonical = text == "0" || (!text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit()));
    if canonical { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_address_in_its_one_spelling() {
        for (path, want) in [
            ("/live/cam1/index.m3u8", Some(Resource::Multivariant)),
            ("/live/cam1/ts/index.m3u8", Some(Resource::TsPlaylist)),
            ("/live/cam1/ts/12.ts", Some(Resource::TsSegment { msn: 12, run: None })),
            ("/live/cam1/ts/12-7.ts", Some(Resource::TsSegment { msn: 12, run: Some(7) })),
            ("/live/cam1/ts/12-07.ts", None),
            ("/live/cam1/v1/index.m3u8", Some(Resource::Playlist { track: "v1" })),
            ("/live/cam1/v1/iframes.m3u8", Some(Resource::IFrames { track: "v1" })),
            ("/live/cam1/v1/init-0.mp4", Some(Resource::Init { track: "v1", run: 0, key: None })),
            ("/live/cam1/v1/init-3.17.mp4", Some(Resource::Init { track: "v1", run: 3, key: Some(17) })),
            ("/live/cam1/v1/init-3.017.mp4", None),
            ("/live/cam1/v1/init-3..mp4", None),
            (
                "/live/cam1/keys/000102030405060708090a0b0c0d0e0f.bin",
                Some(Resource::Key { id: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15] }),
            ),
            ("/live/cam1/keys/00.bin", None),
            ("/live/cam1/keys/licence.json", Some(Resource::Licence)),
            ("/live/cam1/v1/12.m4s", Some(Resource::Segment { track: "v1", msn: 12, run: None })),
            ("/live/cam1/v1/12-0.m4s", Some(Resource::Segment { track: "v1", msn: 12, run: Some(0) })),
            ("/live/cam1/v1/12-.m4s", None),
            ("/live/cam1/a1/12.3.m4s", Some(Resource::Part { track: "a1", msn: 12, part: 3, run: None })),
            (
                "/live/cam1/a1/12.0-1.m4s",
                Some(Resource::Part { track: "a1", msn: 12, part: 0, run: Some(1) }),
            ),
            ("/live/cam1/manifest.mpd", Some(Resource::Manifest)),
            ("/live/cam1/video.mp4", Some(Resource::Film)),
            ("/live/cam1/s1/index.m3u8", Some(Resource::Playlist { track: "s1" })),
            ("/live/cam1/s1/12.vtt", Some(Resource::Text { track: "s1", msn: 12 })),
            ("/live/cam1/breaks/ad-1.json", Some(Resource::Break { id: "ad-1" })),
            ("/live/cam1/thumbnail.jpg", Some(Resource::Image(Image::Thumbnail))),
            ("/live/cam1/sprites.vtt", Some(Resource::Image(Image::Index))),
            ("/live/cam1/sprites/883.jpg", Some(Resource::Image(Image::Sheet(883)))),
            ("/live/cam1/sprites/0883.jpg", None),
            ("/live/cam1/s1/012.vtt", None),
            ("/live/cam1/v1/012.m4s", None),
            ("/live/cam1/v1/+12.m4s", None),
            ("/live/cam1/v1/99999999999999999999999.m4s", None),
            ("/live/cam1/v1/12.3.4.m4s", None),
            ("/live/../v1/index.m3u8", None),
            ("/live/cam1", None),
            ("/live/cam1/", None),
            ("/live/cam1/v1/x/12.m4s", None),
            ("live/cam1/index.m3u8", None),
        ] {
            assert_eq!(parse(path).map(|r| r.resource), want, "{path}");
        }
    }
}
