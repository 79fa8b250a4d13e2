//! Titles under keys: a file is encrypted as it is read, and lies in the clear where it is.
//!
//! A title has one key, that of period 0, and the scheme `cbcs`: in `cenc`, another version of a file under the same key
//! would give both away. Which key it is goes into its names, since they mean the same bytes for ever.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use nx_crypt::{Key, Protection, Scheme};
use nx_delivery::Problem;
use nx_hls::{Event, KeyPeriod, Run, RunTrack, Stored};
use nx_vod::Title;

use super::told;
use crate::keys::StreamKeys;

/// A title with its key.
pub(super) struct Sealed {
    title: Arc<Title>,
    /// Its tracks under the key, and names of their own.
    pub(super) run: Arc<Run>,
    key: Key,
}

impl Sealed {
    /// The title under its key.
    ///
    /// # Errors
    /// What viewers are told: there is no key yet, or the file cannot be encrypted.
    pub(super) fn new(title: Arc<Title>, keys: &StreamKeys) -> io::Result<Self> {
        let key = keys.lasting(nx_delivery::wall_ms()).ok_or_else(|| {
            let detail = "this title is to be encrypted and there is no key yet; ask again shortly";
            let status = StatusCode::SERVICE_UNAVAILABLE;
            io::Error::other(Problem::new(status, "no-key-yet", "No key yet", detail).retry_after(1))
        })?;
        let clear = title.run();
        let refused = |why: String| io::Error::other(Problem::not_built(why));
        if key.told.scheme != Scheme::Cbcs {
            return Err(refused(
                "files are encrypted in cbcs only; a section of origin.encryption says cenc".into(),
            ));
        }
        for track in &clear.tracks {
            nx_crypt::check(&track.params).map_err(|why| refused(why.to_string()))?;
        }
        let number = number(clear.number, &key.told);
        let named = |track: &Arc<RunTrack>| Arc::new(RunTrack { run: number, ..RunTrack::clone(track) });
        let period =
            KeyPeriod { first_msn: clear.first_msn, begins_ms: clear.start_ms, told: key.told.clone() };
        let tracks = clear.tracks.iter().map(named).collect();
        let run = Arc::new(Run { number, tracks, keys: vec![period], ..Run::clone(clear) });
        Ok(Self { title, run, key })
    }

    /// See [`Title::events`]. How long the first picture is with what is told of its encryption is known when it is made.
    pub(super) fn events(&self, from_ms: i64, until_ms: i64) -> Vec<Event> {
        let sealed = |event| match event {
            Event::Run(_) => Event::Run(self.run.clone()),
            Event::Stored { track, segment } => {
                Event::Stored { track, segment: Stored { i_frame_bytes: None, ..segment } }
            }
            other => other,
        };
        self.title.events(from_ms, until_ms).into_iter().map(sealed).collect()
    }

    /// See [`Title::segment`].
    pub(super) fn segment(&self, name: &str, msn: u64, run: Option<u32>) -> io::Result<Option<Bytes>> {
        let Some(track) = self.run.tracks.iter().find(|t| t.name == name && Some(t.run) == run) else {
            return Ok(None);
        };
        let clear = self.title.segment(name, msn, Some(self.title.run().number)).map_err(told)?;
        // The first IV is one of `cenc`, the key is told by the header.
        let seal = |clear: Bytes| nx_crypt::seal(&clear, &track.params, &self.key, 0, false);
        clear.map(seal).transpose().map_err(io::Error::other)
    }

    /// The header of a track, which its key begins with.
    pub(super) fn init(&self, name: &str, run: u32, key: Option<u64>) -> Option<Bytes> {
        let index = self.run.tracks.iter().position(|t| t.name == name && t.run == run)?;
        let keyed = self.run.track_at(index, self.run.first_msn)?;
        (key == Some(self.run.first_msn)).then(|| keyed.init.clone())
    }
}

/// The number of a title's run under a key (FNV-1a).
fn number(clear: u32, told: &Protection) -> u32 {
    let cipher = [u8::try_from(told.ts as u32).unwrap_or(0)];
    let bytes = told.key_id.iter().chain(&told.iv).chain(&cipher);
    bytes.fold(clear, |number, byte| (number ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}
