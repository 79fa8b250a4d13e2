//! Segments in MPEG-TS, made of stored parts; of encrypted ones by who has the key, and encrypted again.

use std::sync::Arc;

use bytes::Bytes;
use nx_container::{fmp4, ts};
use nx_crypt::{Key, TsCipher};
use nx_hls::RunTrack;
use nx_media::{Params, Sample};

use crate::live::Keys;

/// One track's share of a segment.
pub(crate) struct Share {
    pub(crate) track: Arc<RunTrack>,
    pub(crate) parts: Vec<Bytes>,
}

/// The segment of that number; `None` when a part is damaged, or its key is not had here.
pub(crate) fn segment(shares: &[Share], msn: u64, keys: Option<&dyn Keys>) -> Option<Bytes> {
    // A key comes with a segment: of all tracks.
    let told = shares.iter().find_map(|share| share.track.key.as_ref()).map(|period| &period.told);
    let key = match told {
        Some(told) => Some(Key::new(told.clone(), keys?.secret(&told.key_id)?)),
        None => None,
    };
    let by_sample = told.is_some_and(|told| told.ts == TsCipher::SampleAes);
    let (mut video, mut audio) = (None, Vec::new());
    for Share { track, parts } in shares {
        let mut samples: Vec<Sample> = Vec::new();
        for part in parts {
            samples.extend(match &key {
                Some(key) => nx_crypt::open(part, &track.params, key).ok()?,
                None => fmp4::samples(part).ok()?,
            });
        }
        if let Some(key) = key.as_ref().filter(|_| by_sample) {
            nx_crypt::seal_samples(&mut samples, &track.params, key);
        }
        match &track.params {
            Params::Video(params) => video = Some((params, samples)),
            Params::Audio(params) => audio.push((params, samples)),
        }
    }
    let video = video.as_ref().map(|(params, samples)| (*params, samples.as_slice()));
    let audio: Vec<_> = audio.iter().map(|(params, samples)| (*params, samples.as_slice())).collect();
    let tracks = ts::Tracks { video, audio: &audio };
    match (key, told.map(|told| told.ts)) {
        (None, _) => ts::segment(&tracks, msn).ok(),
        (Some(_), Some(TsCipher::SampleAes)) => ts::sample_aes_segment(&tracks, msn).ok(),
        (Some(key), Some(TsCipher::Aes128)) => {
            Some(nx_crypt::seal_segment(&ts::segment(&tracks, msn).ok()?, &key, msn))
        }
        (Some(_), Some(TsCipher::Off) | None) => None,
    }
}
