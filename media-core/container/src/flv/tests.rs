//! Tag bodies by table, truncations, round trips, and the golden file.

use nx_media::{AudioParams, VideoParams};

use super::*;

mod file;
mod read;
mod write;

const TINY: &[u8] = include_bytes!("../../../../tests/data/tiny.flv");

/// All tracks of a video body.
fn videos(body: &[u8]) -> Result<Vec<(u8, VideoTag)>, FlvError> {
    let mut out = vec![];
    parse_video(&Bytes::copy_from_slice(body), &mut |track, tag| out.push((track, tag))).map(|()| out)
}

/// All tracks of an audio body.
fn audios(body: &[u8]) -> Result<Vec<(u8, AudioTag)>, FlvError> {
    let mut out = vec![];
    parse_audio(&Bytes::copy_from_slice(body), &mut |track, tag| out.push((track, tag))).map(|()| out)
}

/// The only track, number 0, of a video body.
fn video(body: &[u8]) -> Result<VideoTag, FlvError> {
    let mut all = videos(body)?;
    assert!(matches!(all[..], [(0, _)]), "{all:?}");
    Ok(all.remove(0).1)
}

/// The only track, number 0, of an audio body.
fn audio(body: &[u8]) -> Result<AudioTag, FlvError> {
    let mut all = audios(body)?;
    assert!(matches!(all[..], [(0, _)]), "{all:?}");
    Ok(all.remove(0).1)
}

fn frame(codec: VideoCodec, key: bool, cts_ms: i32, payload: &'static [u8]) -> VideoTag {
    VideoTag::Frame { codec, key, cts_ms, nanos: 0, payload: Bytes::from_static(payload) }
}

fn record(codec: VideoCodec, record: &'static [u8]) -> VideoTag {
    VideoTag::Config { codec, record: Bytes::from_static(record) }
}

fn sound(codec: AudioCodec, payload: &'static [u8]) -> AudioTag {
    AudioTag::Frame { codec, nanos: 0, payload: Bytes::from_static(payload) }
}

fn header(codec: AudioCodec, header: &'static [u8]) -> AudioTag {
    AudioTag::Config { codec, header: Bytes::from_static(header) }
}

#[test]
fn lists_the_tags_of_a_file_and_ends_where_it_is_cut() {
    let all: Vec<_> = tags(TINY).collect();
    let count = |kind| all.iter().filter(|(k, _, _)| *k == kind).count();
    assert_eq!((count(TAG_VIDEO), count(TAG_AUDIO), count(TAG_SCRIPT)), (12, 49, 1));
    for (kind, _, body) in &all {
        match *kind {
            TAG_VIDEO => assert!(video(body).is_ok()),
            TAG_AUDIO => assert!(audio(body).is_ok()),
            _ => (),
        }
    }
    for len in 0..TINY.len() {
        let cut: Vec<_> = tags(&TINY[..len]).collect();
        assert!(all.starts_with(&cut), "{len}");
    }
    assert_eq!(tags(b"MP4 is not FLV, is it? Not at all.").count(), 0);
    assert_eq!(tags(&[0x7f; 64]).count(), 0);
}
