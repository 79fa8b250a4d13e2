//! Golden boxes, an independent reader, truncations, and the round trip.

use bytes::Bytes;
use mp4_atom::{Atom, Codec, Header, Moof, Moov, ReadFrom};
use nx_media::{AudioCodec, AudioParams, Kind, Language, Params, Sample, VideoCodec, VideoParams};
use proptest::prelude::*;

use super::*;
use crate::testing::{TINY, media};

fn sample(dts: i64, cts: i64, duration: u32, key: bool, payload: &'static [u8]) -> Sample {
    Sample { dts, pts: dts + cts, duration: Some(duration), key, payload: Bytes::from_static(payload) }
}

/// The atom of type `T` among the top-level boxes of `data`.
fn atom<T: Atom>(data: &[u8]) -> T {
    let mut rest = data;
    loop {
        let header = Header::read_from(&mut rest).unwrap();
        let (mut body, tail) = rest.split_at(header.size.unwrap());
        if header.kind == T::KIND {
            return T::decode_body(&mut body).unwrap();
        }
        rest = tail;
    }
}

#[test]
fn init_says_what_the_tracks_are() {
    let media = media(TINY);
    let moov: Moov = atom(&init(&Params::Video(media.video.clone())));
    let trak = &moov.trak[0];
    assert_eq!((trak.tkhd.track_id, trak.mdia.mdhd.timescale), (1, 90_000));
    let Codec::Avc1(avc1) = &trak.mdia.minf.stbl.stsd.codecs[0] else { panic!("avc1") };
    assert_eq!((avc1.visual.width, avc1.visual.height), (64, 64));
    let sets = nx_codec::avc::parameter_sets(&media.video.config).unwrap();
    assert_eq!(avc1.avcc.sequence_parameter_sets, [sets.sps[0].to_vec()]);
    assert_eq!(avc1.avcc.length_size, 4);
    assert_eq!(moov.mvex.unwrap().trex[0].track_id, 1);

    let moov: Moov = atom(&init(&Params::Audio(media.audio.clone())));
    let trak = &moov.trak[0];
    assert_eq!(trak.mdia.mdhd.timescale, 48_000);
    let Codec::Mp4a(mp4a) = &trak.mdia.minf.stbl.stsd.codecs[0] else { panic!("mp4a") };
    assert_eq!(mp4a.audio.channel_count, 2);
    let decoder = &mp4a.esds.es_desc.dec_config;
    let specific = decoder.dec_specific.as_ref().unwrap();
    assert_eq!((decoder.object_type_indication, specific.profile), (0x40, 2));
    assert_eq!((specific.freq_index, specific.chan_conf), (3, 2));
}

#[test]
fn init_writes_four_byte_nal_lengths_and_bounded_rates() {
    let mut media = media(TINY);
    let four = init(&Params::Video(media.video.clone()));
    let mut record = media.video.config.to_vec();
    record[4] = 0xfd;
    media.video.config = record.into();
    assert_eq!(init(&Params::Video(media.video)), four);
    media.audio.sample_rate = 96_000;
    let moov: Moov = atom(&init(&Params::Audio(media.audio)));
    assert_eq!(moov.trak[0].mdia.mdhd.timescale, 96_000);
}

fn hex(text: &str) -> Bytes {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn video(codec: VideoCodec, config: &str) -> Params {
    let (width, height) = (1280, 720);
    let (config, rfc6381) = (hex(config), String::new());
    Params::Video(VideoParams {
        codec,
        config,
        width,
        height,
        frame_rate: None,
        range: nx_media::VideoRange::Sdr,
        rfc6381,
    })
}

fn audio(codec: AudioCodec, config: &str, sample_rate: u32, channels: u8) -> AudioParams {
    let (config, rfc6381) = (hex(config), String::new());
    AudioParams { codec, config, sample_rate, channels, frame_samples: 1024, rfc6381, language: None }
}

/// The only sample entry, and the language of the track.
fn entry(params: &Params) -> (Codec, String) {
    let mut moov: Moov = atom(&init(params));
    let mut mdia = moov.trak.remove(0).mdia;
    (mdia.minf.stbl.stsd.codecs.remove(0), mdia.mdhd.language)
}

#[test]
fn init_of_other_video_codecs() {
    // The records that ffmpeg writes for x265, SVT-AV1 and libvpx.
    let hvcc = concat!(
        "0101600000009000000000001ef000fcfdf8f800000f03a00001001840010c01ffff0160000003009000000300000300",
        "1e959009a10001002a42010101600000030090000003000003001ea02c839d4996564b932bc05a020000030002000003",
        "003210a2000100064401c173d189"
    );
    let hevc = video(VideoCodec::Hevc, hvcc);
    let (Codec::Hvc1(hvc1), language) = entry(&hevc) else { panic!("hvc1") };
    assert_eq!((hvc1.visual.width, hvc1.visual.height, language.as_str()), (1280, 720, "und"));
    assert_eq!((hvc1.hvcc.general_profile_idc, hvc1.hvcc.general_level_idc), (1, 30));
    let sets: Vec<_> = hvc1.hvcc.arrays.iter().map(|a| (a.nal_unit_type, a.nalus[0].len())).collect();
    assert_eq!(sets, [(32, 24), (33, 42), (34, 6)]);
    let two_bytes = hvcc.replacen("0f03a0", "0d03a0", 1);
    assert_eq!(init(&video(VideoCodec::Hevc, &two_bytes)), init(&hevc), "4-byte lengths");

    let av1c = "81000c000a0a000000032dffc02f8004";
    let (Codec::Av01(av01), _) = entry(&video(VideoCodec::Av1, av1c)) else { panic!("av01") };
    assert_eq!((av01.visual.width, av01.av1c.chroma_subsampling_x), (1280, true));
    assert_eq!(av01.av1c.config_obus, &hex(av1c)[4..]);

    let (Codec::Vp09(vp09), _) = entry(&video(VideoCodec::Vp9, "020ba20202020000")) else { panic!("vp09") };
    let vpcc = &vp09.vpcc;
    assert_eq!((vp09.visual.height, vpcc.profile, vpcc.level, vpcc.bit_depth), (720, 2, 11, 10));
}

#[test]
fn init_of_other_audio_codecs() {
    let eng = Language::new(b"eng");
    let opus = audio(AudioCodec::Opus, "000201380000bb80000000", 48_000, 2);
    let opus = Params::Audio(AudioParams { language: eng, ..opus });
    let (Codec::Opus(opus), language) = entry(&opus) else { panic!("Opus") };
    assert_eq!((opus.audio.channel_count, opus.dops.output_channel_count, opus.dops.pre_skip), (2, 2, 312));
    assert_eq!(language, "eng");

    // Rate of the stream, rate of the entry.
    for (rate, config, stated, bits) in [
        (44_100, "80000022120012000001060004ff0ac440f0000038407044de84a8b56e9e558a37d978aff114", 44_100, 16),
        (96_000, "800000222000200000049c0008941770017000007080a60464d9430a1a0eee6bc12a3622deb0", 48_000, 24),
        (352_800, "800000222000200000049c0008945622017000007080a60464d9430a1a0eee6bc12a3622deb0", 58_800, 24),
    ] {
        let params = audio(AudioCodec::Flac, config, rate, 1);
        let (Codec::Flac(flac), _) = entry(&Params::Audio(params)) else { panic!("fLaC") };
        assert_eq!((flac.audio.sample_rate.integer(), flac.audio.sample_size), (stated, bits), "{rate}");
        assert_eq!(flac.dfla.blocks.len(), 1);
    }

    let (Codec::Ac3(ac3), _) = entry(&Params::Audio(audio(AudioCodec::Ac3, "101140", 48_000, 2))) else {
        panic!("ac-3")
    };
    assert_eq!((ac3.dac3.fscod, ac3.dac3.acmod, ac3.audio.sample_rate.integer()), (0, 2, 48_000));

    let (Codec::Eac3(eac3), _) = entry(&Params::Audio(audio(AudioCodec::Eac3, "0600200400", 48_000, 2)))
    else {
        panic!("ec-3")
    };
    assert_eq!((eac3.dec3.data_rate, eac3.dec3.substreams[0].acmod), (192, 2));
}

#[test]
fn mpeg_audio_has_no_decoder_specific_info() {
    let bytes = init(&Params::Audio(audio(AudioCodec::Mpa, "", 44_100, 2)));
    // By hand: box, ES descriptor, decoder descriptor, sync layer descriptor.
    let esds = concat!(
        "0000002c6573647300000000",
        "038080801b000000",
        "048080800d6b150000000000000000000000",
        "068080800102"
    );
    assert!(bytes.windows(esds.len() / 2).any(|window| window == &hex(esds)[..]));
}

#[test]
fn fragment_is_what_another_reader_reads() {
    let samples = [
        sample(900, 200, 100, true, b"key"),
        sample(1000, -50, 100, false, b"b"),
        sample(1100, 0, 90, false, b""),
    ];
    let bytes = fragment(7, Kind::Video, &samples).unwrap();
    let moof: Moof = atom(&bytes);
    assert_eq!(moof.mfhd.sequence_number, 7);
    let traf = &moof.traf[0];
    assert_eq!(traf.tfhd.track_id, 1);
    assert_eq!(traf.tfdt.as_ref().unwrap().base_media_decode_time, 900);
    let trun = &traf.trun[0];
    assert_eq!(&bytes[usize::try_from(trun.data_offset.unwrap()).unwrap()..], b"keyb");
    let entries: Vec<_> =
        trun.samples.iter().map(|e| (e.duration, e.size, e.flags, e.cts.unwrap())).collect();
    assert_eq!(
        entries,
        [
            (Some(100), Some(3), Some(FLAGS_KEY), 200),
            (Some(100), Some(1), Some(FLAGS_DELTA), -50),
            (Some(90), Some(0), Some(FLAGS_DELTA), 0)
        ]
    );
}

#[test]
fn audio_states_each_duration_only_when_they_differ() {
    let even = [sample(0, 0, 1024, true, b"a"), sample(1024, 0, 1024, true, b"b")];
    let uneven = [sample(0, 0, 1024, true, b"a"), sample(1024, 0, 1000, true, b"b")];
    for (name, samples, stated) in [("even", &even, None), ("uneven", &uneven, Some(1000))] {
        let moof: Moof = atom(&fragment(1, Kind::Audio, samples).unwrap());
        let traf = &moof.traf[0];
        assert_eq!(traf.tfhd.default_sample_duration, Some(1024), "{name}");
        let second = traf.trun[0].samples.iter().nth(1).unwrap();
        assert_eq!((second.duration, second.flags), (stated, None), "{name}");
    }
}

#[test]
fn the_next_sample_tells_a_missing_duration() {
    let known = [sample(0, 0, 40, true, b"a"), sample(40, 0, 30, false, b"b")];
    for kind in [Kind::Video, Kind::Audio] {
        let mut unknown = known.clone();
        unknown[0].duration = None;
        assert_eq!(fragment(1, kind, &unknown), fragment(1, kind, &known));
    }
}

#[test]
fn names_what_does_not_make_a_fragment() {
    let too_large = |what, got| FragmentError::TooLarge { what, got };
    let no_end = Sample { duration: None, ..sample(5, 0, 0, true, b"") };
    let far = i64::from(u32::MAX) + 1;
    for (name, samples, want) in [
        ("empty", vec![], FragmentError::Empty),
        ("negative", vec![sample(-1, 0, 1, true, b"")], FragmentError::NegativeTime(-1)),
        ("no end", vec![no_end.clone()], FragmentError::NoDuration { dts: 5 }),
        (
            "gap",
            vec![sample(0, 0, 10, true, b""), sample(11, 0, 10, true, b"")],
            FragmentError::Gap { index: 1, expected: 10, got: 11 },
        ),
        (
            "back",
            vec![no_end.clone(), sample(4, 0, 1, true, b"")],
            FragmentError::Gap { index: 1, expected: 5, got: 4 },
        ),
        (
            "long",
            vec![Sample { dts: 0, pts: 0, ..no_end }, sample(far, 0, 1, true, b"")],
            too_large("sample duration", far),
        ),
        ("offset", vec![sample(0, far, 1, true, b"")], too_large("presentation minus decode time", far)),
        ("end of time", vec![sample(i64::MAX, 0, 1, true, b"")], too_large("end of the fragment", i64::MAX)),
    ] {
        assert_eq!(fragment(1, Kind::Video, &samples), Err(want), "{name}");
    }
}

#[test]
fn segments_are_their_parts_one_after_the_other() {
    let media = media(TINY);
    for (kind, all) in [(Kind::Video, &media.video_samples), (Kind::Audio, &media.audio_samples)] {
        let parts: Vec<_> = all.chunks(3).map(|part| fragment(1, kind, part).unwrap()).collect();
        let segment = Bytes::from(parts.concat());
        let read = samples(&segment).unwrap();
        assert_eq!(&read, all);
        let range = segment.as_ptr_range();
        assert!(read.iter().all(|s| range.contains(&s.payload.as_ptr())), "no copy");
    }
    assert_eq!(samples(&Bytes::new()), Ok(vec![]));
}

#[test]
fn refuses_every_truncation_and_survives_every_flipped_bit() {
    let list = [sample(900, 200, 100, true, b"key"), sample(1000, -50, 100, false, b"b")];
    for kind in [Kind::Video, Kind::Audio] {
        let whole = fragment(7, kind, &list).unwrap();
        for len in 1..whole.len() {
            assert!(samples(&whole.slice(..len)).is_err(), "{len}");
        }
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            crate::fuzz::fmp4_samples(&bytes);
        }
        for at in (0..whole.len()).step_by(4) {
            for word in [0, 1, 4, 8, 12, 16, 0x7fff_ffff, u32::MAX] {
                let mut bytes = whole.to_vec();
                let end = (at + 4).min(bytes.len());
                bytes[at..end].copy_from_slice(&word.to_be_bytes()[..end - at]);
                crate::fuzz::fmp4_samples(&bytes);
            }
        }
    }
}

#[test]
fn read_errors_say_where() {
    let whole = fragment(7, Kind::Video, &[sample(0, 0, 1, true, b"x")]).unwrap();
    let mut wrong = whole.to_vec();
    wrong[4..8].copy_from_slice(b"free");
    let error = samples(&wrong.into()).unwrap_err();
    assert_eq!(error, ReadError::Box { offset: 0, expected: *b"moof", got: *b"free" });
    assert_eq!(error.to_string(), "box moof expected at offset 0, got free");
    let longer = Bytes::from([&whole[..], b"\0"].concat());
    assert_eq!(samples(&longer), Err(ReadError::Truncated { offset: whole.len(), needed: 4, got: 1 }));
}

prop_compose! {
    fn run(kind: Kind)(
        start in 0..i64::MAX / 2,
        rows in prop::collection::vec(
            (any::<u32>(), any::<i32>(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..40)), 1..20),
        same in any::<bool>(),
    ) -> Vec<Sample> {
        let mut dts = start;
        rows.into_iter().map(|(duration, cts, key, payload)| {
            let duration = if same { 1024 } else { duration };
            let key = key || kind == Kind::Audio;
            let sample = Sample {
                dts, pts: dts + i64::from(cts), duration: Some(duration), key, payload: payload.into(),
            };
            dts += i64::from(duration);
            sample
        }).collect()
    }
}

proptest! {
    #[test]
    fn reads_what_it_writes(video in run(Kind::Video), audio in run(Kind::Audio), sequence in any::<u32>()) {
        for (kind, list) in [(Kind::Video, video), (Kind::Audio, audio)] {
            let bytes = fragment(sequence, kind, &list).unwrap();
            prop_assert_eq!(samples(&bytes), Ok(list));
        }
    }

    #[test]
    fn survives_noise(data in prop::collection::vec(any::<u8>(), 0..200)) {
        crate::fuzz::fmp4_samples(&data);
        crate::fuzz::flv_tag(&data);
    }
}

#[test]
fn event_messages_stand_before_a_fragment_and_are_passed_over() {
    let data = Bytes::from_static(&[0xfc, 0x30, 0x00, 0x01]);
    let message = EventMessage {
        timescale: 90_000,
        presentation_time: 1 << 40,
        duration: Some(900_000),
        id: 7,
        data: &data,
    };
    let mut bytes = Vec::new();
    scte35_message(&message, &mut bytes);
    bytes.extend_from_slice(&prft(0, 0, 90_000));
    scte35_message(&EventMessage { duration: None, ..message }, &mut bytes);
    let samples = [sample(0, 0, 3000, true, b"key")];
    let plain = fragment(1, Kind::Video, &samples).unwrap();
    bytes.extend_from_slice(&plain);
    let emsg: mp4_atom::Emsg = atom(&bytes);
    assert_eq!((emsg.timescale, emsg.event_duration, emsg.id), (90_000, 900_000, 7));
    assert_eq!(emsg.presentation_time, mp4_atom::EmsgTimestamp::Absolute(1 << 40));
    assert_eq!((emsg.scheme_id_uri.as_str(), emsg.value.as_str()), (SCTE35_SCHEME, ""));
    assert_eq!(emsg.message_data, data);
    let whole = Bytes::from(bytes);
    assert_eq!(super::samples(&whole), Ok(samples.to_vec()));
    for len in 1..whole.len() {
        assert!(super::samples(&whole.slice(..len)).is_err(), "{len} bytes");
    }
}

#[test]
fn a_part_bears_the_producers_clock() {
    // Version 1, flags 8, track 1, 2026-11-18T11:06:40.5Z since 1900, half a second at 90 kHz.
    let want = "00000020 70726674 01000008 00000001 eea80540 80000000 00000000 0000afc8";
    let clock = prft(1_795_000_000_000, 45_000, 90_000);
    assert_eq!(Bytes::copy_from_slice(&clock), hex(&want.replace(' ', "")));
    let samples = [sample(45_000, 0, 3000, true, b"key")];
    let plain = fragment(1, Kind::Video, &samples).unwrap();
    let part = fragment_behind(&clock, 1, Kind::Video, &samples).unwrap();
    assert_eq!(part, [&clock[..], &plain[..]].concat());
    assert_eq!(super::samples(&part), super::samples(&plain));
    for len in 1..part.len() {
        assert!(super::samples(&part.slice(..len)).is_err(), "{len}");
    }
}
