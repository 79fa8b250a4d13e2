//! Each codec's framing and tables, several tracks, and what is refused.

use nx_media::{AudioCodec, Language, VideoCodec};

use super::*;

fn audio_params(codec: AudioCodec, config: &'static [u8], language: &[u8]) -> AudioParams {
    AudioParams {
        codec,
        config: Bytes::from_static(config),
        sample_rate: 48_000,
        channels: 2,
        frame_samples: 960,
        rfc6381: String::new(),
        language: Language::new(language),
    }
}

fn video_params(codec: VideoCodec, config: &'static [u8]) -> VideoParams {
    VideoParams {
        codec,
        config: Bytes::from_static(config),
        width: 16,
        height: 16,
        frame_rate: None,
        range: nx_media::VideoRange::Sdr,
        rfc6381: String::new(),
    }
}

/// Frames of these bytes, 960 samples of 48 kHz each.
fn frames(payloads: &[&[u8]]) -> Vec<Sample> {
    (0..)
        .zip(payloads)
        .map(|(i, payload)| Sample {
            dts: i * 960,
            pts: i * 960,
            duration: Some(960),
            key: true,
            payload: Bytes::copy_from_slice(payload),
        })
        .collect()
}

/// The streams of the PMT, and payload and stream id of the first PES packet of the first audio track.
fn audio_segment(params: &AudioParams, samples: &[Sample]) -> (Vec<u8>, Vec<u8>, u8) {
    let mut demux = Demux::default();
    demux.feed(&segment(&Tracks { video: None, audio: &[(params, samples)] }, 0).unwrap());
    let stream_id = demux.streams[&AUDIO_PID][0].0[3];
    (demux.sections[1].1[12..].to_vec(), demux.pes(AUDIO_PID)[0].data.clone(), stream_id)
}

#[test]
fn each_audio_codec_has_its_tables_and_its_framing() {
    let stereo: &[u8] = b"\0\x02\x01\x38\0\0\xbb\x80\0\0\0";
    // Opus: 20 ms CELT packets.
    let long: Vec<u8> = [&[0xf8][..], &[7; 599]].concat();
    let opus_framed = [&b"\x7f\xe0\x03\xf8\x01\x02\x7f\xe0\xff\xff\x5a"[..], &long].concat();
    let table = |stream_type: u8, info: &[u8]| {
        [&[stream_type, 0xe1, 1, 0xf0, u8::try_from(info.len()).unwrap()], info].concat()
    };
    for (codec, config, language, payloads, want, data, id) in [
        (
            AudioCodec::Ac3,
            &b""[..],
            "eng",
            [&b"\x0b\x77one"[..], b"two"],
            table(0x81, b"\x05\x04AC-3\x0a\x04eng\0"),
            b"\x0b\x77onetwo".to_vec(),
            0xbd,
        ),
        (
            AudioCodec::Eac3,
            b"",
            "",
            [b"\x0b\x77one", b"two"],
            table(0x87, b"\x05\x04EAC3"),
            b"\x0b\x77onetwo".to_vec(),
            0xbd,
        ),
        (
            AudioCodec::Mpa,
            b"",
            "fra",
            [b"\xff\xfdone", b"two"],
            table(0x03, b"\x0a\x04fra\0"),
            b"\xff\xfdonetwo".to_vec(),
            0xc0,
        ),
        (
            AudioCodec::Opus,
            stereo,
            "",
            [b"\xf8\x01\x02", &long],
            table(0x06, b"\x05\x04Opus\x7f\x02\x80\x02"),
            opus_framed,
            0xbd,
        ),
    ] {
        let found = audio_segment(&audio_params(codec, config, language.as_bytes()), &frames(&payloads));
        assert_eq!(found, (want, data, id), "{codec:?}");
    }
}

#[test]
fn opus_packets_are_grouped_by_their_own_length() {
    let params = audio_params(AudioCodec::Opus, b"", b"");
    // Times as their first bytes say: CELT 2.5 ms, SILK 60 ms, twice CELT 20 ms, 6 times hybrid 20 ms, CELT 20 ms.
    let packets: [(&[u8], i64); 5] =
        [(&[0xe0], 120), (&[0x18], 2880), (&[0xf9], 1920), (&[0x7b, 6], 5760), (&[0xf8], 960)];
    let mut dts = 0;
    let mut samples = vec![];
    for (payload, duration) in packets {
        let payload = Bytes::from_static(payload);
        samples.push(Sample { dts, pts: dts, duration: None, key: true, payload });
        dts += duration;
    }
    let mut demux = Demux::default();
    demux.feed(&segment(&Tracks { video: None, audio: &[(&params, &samples)] }, 0).unwrap());
    let found: Vec<_> = demux.pes(AUDIO_PID).iter().map(|p| (p.pts - 90_000, p.data.len())).collect();
    assert_eq!(
        found,
        [(0, 4 + 4), (3000 * 90 / 48, 4), (4920 * 90 / 48, 5), (10_680 * 90 / 48, 4),],
        "2.5 + 60 ms fit 100 ms, with 40 ms more they do not, 120 ms stand alone"
    );
}

const HVCC: &[u8] = b"\x01\x01\x60\0\0\0\x90\0\0\0\0\0\x5d\xf0\0\xfc\xfd\xf8\xf8\0\0\x0f\x04\
    \xa2\0\x01\0\x03\x44\x01\xc1\
    \xa0\0\x01\0\x03\x40\x01\x0c\
    \xa1\0\x02\0\x04\x42\x01\x01\x02\0\x03\x42\x01\x03\
    \xa7\0\x01\0\x03\x4e\x01\x05";

#[test]
fn hevc_key_frames_have_their_parameter_sets() {
    let params = video_params(VideoCodec::Hevc, HVCC);
    let types = |nals: &[&[u8]], key| -> Vec<u8> {
        let framed = |n: &&[u8]| [&u32::try_from(n.len()).unwrap().to_be_bytes(), *n].concat();
        let payload: Vec<u8> = nals.iter().flat_map(framed).collect();
        let list = [Sample { dts: 0, pts: 0, duration: None, key, payload: payload.into() }];
        let mut demux = Demux::default();
        demux.feed(&segment(&Tracks { video: Some((&params, &list)), audio: &[] }, 0).unwrap());
        assert_eq!(demux.sections[1].1[12..], [0x24, 0xe1, 0, 0xf0, 0]);
        let nals = annex_b(&demux.pes(VIDEO_PID)[0].data);
        assert_eq!(nals[0], [0x46, 1, 0x50], "delimiter");
        nals.iter().map(|n| n[0] >> 1).collect()
    };
    let (idr, aud): (&[u8], &[u8]) = (&[0x26, 1, 9], &[0x46, 1, 0x10]);
    let (vps, sps, pps): (&[u8], &[u8], &[u8]) = (&[0x40, 1, 1], &[0x42, 1, 1], &[0x44, 1, 1]);
    assert_eq!(types(&[idr], true), [35, 32, 33, 33, 34, 19]);
    assert_eq!(types(&[aud, idr], true), [35, 32, 33, 33, 34, 19]);
    assert_eq!(types(&[&[2, 1, 9]], false), [35, 1]);
    assert_eq!(types(&[vps, sps, pps, idr], true), [35, 32, 33, 34, 19], "its own");
    assert_eq!(types(&[sps, pps, idr], true), [35, 32, 33, 33, 34, 33, 34, 19], "not all of its own");
    for len in 0..HVCC.len() {
        let params = VideoParams { config: Bytes::from_static(&HVCC[..len]), ..params.clone() };
        let error = segment(&Tracks { video: Some((&params, &[])), audio: &[] }, 0);
        assert_eq!(error, Err(TsError::HevcConfig { len }));
    }
}

#[test]
fn many_tracks_share_a_map_of_several_packets() {
    let params = audio_params(AudioCodec::Opus, b"", b"eng");
    let samples = frames(&[b"\xf8\x01", b"\xf8\x02"]);
    let mut demux = Demux::default();
    for (count, first) in [(1, 0u64), (7, 10), (8, 20), (AUDIO_TRACKS_MAX, 30)] {
        let audio = vec![(&params, &samples[..]); count];
        let tracks = Tracks { video: None, audio: &audio };
        let bytes = [segment(&tracks, first), segment(&tracks, first + 1)].map(Result::unwrap).concat();
        let (mut found, mut demuxer) = (vec![], crate::ts::demux::Demuxer::new(Default::default()));
        demuxer.push(&bytes);
        demuxer.flush();
        found.extend(std::iter::from_fn(|| demuxer.poll()));
        let lost = demuxer.stats();
        assert_eq!((lost.lost_packets, lost.bad_sections, lost.lost_units), (0, 0, 0), "{count}");
        let crate::ts::demux::Event::Program(program) = &found[0] else { panic!("{:?}", found[0]) };
        let pids: Vec<_> = program.streams.iter().map(|s| s.pid).collect();
        assert_eq!(pids, (AUDIO_PID..).take(count).collect::<Vec<_>>());
        assert_eq!(program.pcr_pid, Some(AUDIO_PID));
        assert_eq!(found.len(), 1 + 2 * count, "one PES packet per track and segment");
        // Only the first track has the clock.
        assert!(bytes.len() >= 188 * 2 * (2 + 16 * count));
    }
    demux.feed(&segment(&Tracks { video: None, audio: &[(&params, &samples), (&params, &[])] }, 3).unwrap());
    assert_eq!((demux.pes(AUDIO_PID).len(), demux.pes(AUDIO_PID + 1).len()), (1, 0), "a silent track");
}

#[test]
fn refuses_what_has_no_agreed_form() {
    let avcc = b"\x01\x64\x00\x1f\xff\xe1\x00\x04\x67\x64\x00\x1f\x01\x00\x02\x68\xee";
    for (codec, config, want) in [
        (VideoCodec::Avc, &avcc[..], None),
        (VideoCodec::Hevc, HVCC, None),
        (VideoCodec::Av1, b"", Some("AV1")),
        (VideoCodec::Vp9, b"", Some("VP9")),
    ] {
        let params = video_params(codec, config);
        let got = segment(&Tracks { video: Some((&params, &[])), audio: &[] }, 0);
        assert_eq!(got.err(), want.map(TsError::Codec), "{codec:?}");
        assert_eq!(carries(&Params::Video(params)), want.is_none(), "{codec:?}");
    }
    assert!(!carries(&Params::Video(video_params(VideoCodec::Avc, b"\x01"))), "no record");
    let own = "Opus with a channel mapping of its own";
    for (codec, config, want) in [
        (AudioCodec::Aac, &b"\x11\x90"[..], None),
        (AudioCodec::Ac3, b"", None),
        (AudioCodec::Eac3, b"", None),
        (AudioCodec::Mpa, b"", None),
        (AudioCodec::Opus, b"\0\x02\x01\x38\0\0\xbb\x80\0\0\x01", None),
        (AudioCodec::Opus, b"\0\x02\x01\x38\0\0\xbb\x80\0\0\xff", Some(own)),
        (AudioCodec::Flac, b"", Some("FLAC")),
    ] {
        let params = audio_params(codec, config, b"");
        let got = segment(&Tracks { video: None, audio: &[(&params, &[])] }, 0);
        assert_eq!(got.err(), want.map(TsError::Codec), "{codec:?}");
        assert_eq!(carries(&Params::Audio(params)), want.is_none(), "{codec:?}");
    }
    let params = audio_params(AudioCodec::Ac3, b"", b"");
    let list = frames(&[&[0; 65_523]]);
    let long = segment(&Tracks { video: None, audio: &[(&params, &list)] }, 0);
    assert_eq!(long, Err(TsError::FrameTooLong { got: 65_523, max: 65_522 }));
    let many = vec![(&params, &list[..0]); 33];
    let many = segment(&Tracks { video: None, audio: &many }, 0);
    assert_eq!(many, Err(TsError::AudioTracks { got: 33, max: 32 }));
}
