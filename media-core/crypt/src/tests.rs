//! Published vectors of the cipher, boxes byte by byte, round trips, and damaged parts.

use aes::Aes128;
use aes::cipher::KeyInit;
use bytes::Bytes;
use nx_container::fmp4;
use nx_media::{AudioCodec, AudioParams, Kind, Params, Sample, VideoCodec, VideoParams, VideoRange};
use proptest::prelude::*;
use zeroize::Zeroizing;

use super::*;
use crate::cipher::{Ctr, Way, cbc};
use crate::subsample::{Sub, ranges};

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        hex.chars().filter_map(|c| c.to_digit(16)).map(|d| u8::try_from(d).unwrap()).collect();
    digits.chunks(2).map(|pair| pair[0] * 16 + pair[1]).collect()
}

/// NIST SP 800-38A, appendix F: the key and the plain text of all its examples.
const KEY: &str = "2b7e151628aed2a6abf7158809cf4f3c";
const PLAIN: &str = "6bc1bee22e409f96e93d7e117393172a ae2d8a571e03ac9c9eb76fac45af8e51 \
                     30c81c46a35ce411e5fbc1191a0a52ef f69f2445df4f9b17ad2b417be66c3710";

#[test]
fn the_cipher_is_that_of_nist() {
    let aes = Aes128::new(&parse_hex(KEY).unwrap().into());
    // F.2.1 CBC-AES128.Encrypt
    let iv = parse_hex("000102030405060708090a0b0c0d0e0f").unwrap();
    let mut data = bytes(PLAIN);
    cbc(&aes, Way::In, &iv, (0, 0), &mut data);
    let want = bytes(
        "7649abac8119b246cee98e9b12e9197d 5086cb9b507219ee95db113a917678b2 \
         73bed6b8e3c1743b7116e69e22229516 3ff1caa1681fac09120eca307586e1a7",
    );
    assert_eq!(data, want);
    cbc(&aes, Way::Out, &iv, (0, 0), &mut data);
    assert_eq!(data, bytes(PLAIN));
    // F.5.1 CTR-AES128.Encrypt
    let mut data = bytes(PLAIN);
    let mut ctr = Ctr::counting_from(&aes, parse_hex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff").unwrap());
    ctr.apply(&mut data);
    let want = bytes(
        "874d6191b620e3261bef6864990db6ce 9806f66b7970fdff8617187bb9fffdff \
         5ae4df3edbd5d35e5b4f09020db03eab 1e031dda2fbe03d1792170a0f3009cee",
    );
    assert_eq!(data, want);
    let whole = {
        let mut all = data.clone();
        Ctr::new(&aes, [7; 8]).apply(&mut all);
        all
    };
    let mut in_pieces = Ctr::new(&aes, [7; 8]);
    for piece in data.chunks_mut(7) {
        in_pieces.apply(piece);
    }
    assert_eq!(data, whole, "the key stream goes on from range to range");
}

#[test]
fn a_pattern_encrypts_one_block_of_ten_and_chains_them() {
    let aes = Aes128::new(&parse_hex(KEY).unwrap().into());
    let iv = parse_hex("000102030405060708090a0b0c0d0e0f").unwrap();
    let mut data = vec![0x11; 16 * 11 + 5];
    let plain = data.clone();
    cbc(&aes, Way::In, &iv, (1, 9), &mut data);
    assert_ne!(data[..16], plain[..16]);
    assert_eq!(data[16..160], plain[16..160]);
    assert_ne!(data[160..176], plain[160..176]);
    assert_eq!(data[176..], plain[176..], "what is no block");
    let mut chained = [&plain[..16], &plain[160..176]].concat();
    cbc(&aes, Way::In, &iv, (0, 0), &mut chained);
    assert_eq!(chained, [&data[..16], &data[160..176]].concat());
}

fn video(codec: VideoCodec) -> Params {
    let config = Bytes::from_static(&[1, 0x42, 0, 0x1e, 0xff, 0xe0, 0]);
    let rfc6381 = "avc1.42001e".into();
    let (width, height, frame_rate, range) = (64, 64, None, VideoRange::Sdr);
    Params::Video(VideoParams { codec, config, width, height, frame_rate, range, rfc6381 })
}

fn audio() -> Params {
    let (config, rfc6381) = (Bytes::from_static(&[0x11, 0x90]), "mp4a.40.2".into());
    let (sample_rate, channels, frame_samples) = (48_000, 2, 1024);
    let codec = AudioCodec::Aac;
    Params::Audio(AudioParams {
        codec,
        config,
        sample_rate,
        channels,
        frame_samples,
        rfc6381,
        language: None,
    })
}

fn key(scheme: Scheme) -> Key {
    let key_id = parse_hex("279926496a7f5d25da69f2b3b2799a7f").unwrap();
    let systems = vec![System {
        id: COMMON,
        pssh: common_pssh(key_id),
        hls: None,
        licence_url: None,
        dash: String::new(),
    }];
    let iv = parse_hex("d5fbd6b82ed93e4ef98ae40931ee33b7").unwrap();
    let ts = TsCipher::SampleAes;
    Key::new(Protection { scheme, key_id, iv, systems, ts }, Zeroizing::new(parse_hex(KEY).unwrap()))
}

fn nal(first: u8, len: usize) -> Vec<u8> {
    let mut unit = u32::try_from(len).unwrap().to_be_bytes().to_vec();
    unit.push(first);
    unit.extend((1..len).map(|n| u8::try_from(n % 256).unwrap()));
    unit
}

#[test]
fn slices_are_protected_behind_their_headers_and_nothing_else_is() {
    let avc = video(VideoCodec::Avc);
    let sample = [nal(0x67, 20), nal(0x68, 5), nal(0x65, 100), nal(0x41, 48)].concat();
    let clear = 24 + 9 + 4 + 32;
    let cbcs = ranges(&avc, Scheme::Cbcs, &sample).unwrap();
    assert_eq!(cbcs, [Sub { clear, protected: 68 }, Sub { clear: 52, protected: 0 }]);
    let cenc = ranges(&avc, Scheme::Cenc, &sample).unwrap();
    assert_eq!(cenc, [Sub { clear: clear + 4, protected: 64 }, Sub { clear: 52, protected: 0 }]);
    let hevc = [nal(0x40, 30), nal(0x26, 100)].concat();
    let subs = ranges(&video(VideoCodec::Hevc), Scheme::Cbcs, &hevc).unwrap();
    assert_eq!(subs, [Sub { clear: 34 + 36, protected: 68 }]);
    assert_eq!(ranges(&audio(), Scheme::Cbcs, &[0; 99]), None);
    let long = [nal(0x06, 70_000), nal(0x65, 100)].concat();
    let subs = ranges(&avc, Scheme::Cbcs, &long).unwrap();
    assert_eq!(subs, [Sub { clear: u16::MAX, protected: 0 }, Sub { clear: 4505, protected: 68 }]);
    let torn = ranges(&avc, Scheme::Cbcs, &[0, 0, 9, 9, 9, 9]).unwrap();
    assert_eq!(torn, [Sub { clear: 0, protected: 6 }], "what cannot be read is protected");
    assert_eq!(check(&video(VideoCodec::Av1)), Err(NotEncryptable { codec: "AV1" }));
}

#[test]
fn many_slices_fit_into_the_table_and_all_are_protected() {
    let sample = nal(0x65, 100).repeat(100);
    for scheme in [Scheme::Cbcs, Scheme::Cenc] {
        let subs = ranges(&video(VideoCodec::Avc), scheme, &sample).unwrap();
        assert!(subs.len() <= 40);
        let sum: usize = subs.iter().map(|s| usize::from(s.clear) + s.protected as usize).sum();
        assert_eq!(sum, sample.len());
        assert!(subs.iter().all(|s| s.protected > 0));
    }
}

#[test]
fn a_header_says_what_was_and_how_it_is_protected() {
    let clear = fmp4::init(&video(VideoCodec::Avc));
    let told = &key(Scheme::Cbcs).told;
    let init = protect(&clear, Kind::Video, told).unwrap();
    let sinf = bytes(
        "00000061 73696e66 0000000c 66726d61 61766331 00000014 7363686d 00000000 63626373 00010000 \
         00000039 73636869 00000031 74656e63 01000000 00 19 01 00 279926496a7f5d25da69f2b3b2799a7f \
         10 d5fbd6b82ed93e4ef98ae40931ee33b7",
    );
    assert!(init.windows(sinf.len()).any(|w| w == sinf));
    assert!(init.windows(4).any(|w| w == b"encv") && clear.windows(4).any(|w| w == b"avc1"));
    let pssh = bytes(
        "00000034 70737368 01000000 1077efecc0b24d02ace33c1e52e2fb4b 00000001 279926496a7f5d25da69f2b3b2799a7f 00000000",
    );
    assert!(init.ends_with(&pssh));
    assert_eq!(init.len(), clear.len() + sinf.len() + pssh.len());
    let moov = clear.windows(4).position(|w| w == b"moov").unwrap() - 4;
    let len = u32::from_be_bytes(init[moov..moov + 4].try_into().unwrap()) as usize;
    assert_eq!(moov + len, init.len(), "sizes are those of the boxes");
    let cenc = protect(&fmp4::init(&audio()), Kind::Audio, &key(Scheme::Cenc).told).unwrap();
    let tenc = bytes("00000020 74656e63 00000000 00 00 01 08 279926496a7f5d25da69f2b3b2799a7f");
    assert!(cenc.windows(tenc.len()).any(|w| w == tenc));
    for len in 0..clear.len() {
        let _ = protect(&clear.slice(..len), Kind::Video, told);
    }
}

fn part(params: &Params, payloads: &[Vec<u8>]) -> Bytes {
    let sample = |(nth, payload): (i64, &Vec<u8>)| Sample {
        dts: nth * 100,
        pts: nth * 100,
        duration: Some(100),
        key: nth == 0,
        payload: payload.clone().into(),
    };
    let samples: Vec<Sample> = (0..).zip(payloads).map(sample).collect();
    fmp4::fragment_behind(&fmp4::prft(0, 0, 90_000), 1, params.kind(), &samples).unwrap()
}

#[test]
fn what_was_sealed_opens_and_only_the_protected_bytes_differ() {
    let payloads = vec![[nal(0x67, 20), nal(0x65, 5000)].concat(), nal(0x41, 300), nal(0x41, 20)];
    for scheme in [Scheme::Cbcs, Scheme::Cenc] {
        for params in [video(VideoCodec::Avc), audio()] {
            let (clear, key) = (part(&params, &payloads), key(scheme));
            for own in [false, true] {
                let sealed = seal(&clear, &params, &key, 5, own).unwrap();
                let hidden = fmp4::samples(&sealed).unwrap();
                let whole = fmp4::samples(&clear).unwrap();
                assert_ne!(hidden[0].payload, whole[0].payload);
                assert_eq!(hidden[0].payload.len(), whole[0].payload.len());
                assert_eq!(open(&sealed, &params, &key).unwrap(), whole);
                assert_eq!(sealed.windows(4).any(|w| w == b"seig"), own);
                let (mut cut, mut turned) = (0, sealed.to_vec());
                while cut < sealed.len() {
                    let _ = open(&sealed.slice(..cut), &params, &key);
                    let _ = seal(&clear.slice(..cut.min(clear.len())), &params, &key, 5, own);
                    turned[cut] ^= 0x55;
                    let _ = open(&Bytes::copy_from_slice(&turned), &params, &key);
                    turned[cut] ^= 0x55;
                    cut += if cut < 600 { 1 } else { 97 };
                }
            }
        }
    }
}

#[test]
fn auxiliary_information_lies_where_it_is_said_to() {
    let params = video(VideoCodec::Avc);
    let sealed =
        seal(&part(&params, &[nal(0x65, 100), nal(0x41, 100)]), &params, &key(Scheme::Cenc), 9, false);
    let sealed = sealed.unwrap();
    let at = |name: &[u8]| sealed.windows(4).position(|w| w == name).unwrap() - 4;
    let number = |at: usize| u32::from_be_bytes(sealed[at..at + 4].try_into().unwrap()) as usize;
    let (moof, senc, saiz, saio) = (at(b"moof"), at(b"senc"), at(b"saiz"), at(b"saio"));
    assert_eq!(number(saio + 16) + moof, senc + 16);
    assert_eq!((sealed[saiz + 12], number(saiz + 13)), (8 + 2 + 6, 2));
    assert_eq!(sealed[senc + 16..senc + 32], bytes("0000000000000009 0001 0028 00000040"));
    assert_eq!(moof + number(moof) + 8, moof + number(at(b"trun") + 16), "media begins behind all of it");
}

#[test]
fn a_key_shows_itself_to_nobody() {
    let text = format!("{:?}", key(Scheme::Cbcs));
    assert!(text.contains("27992649-6a7f-5d25-da69-f2b3b2799a7f") && !text.contains("2b7e"), "{text}");
    assert!(!text.contains("43"), "not as numbers either: {text}");
    assert_eq!(parse_hex("27992649-6a7f-5d25-da69-f2b3b2799a7f"), Some(key(Scheme::Cbcs).told.key_id));
    for wrong in ["", "27", "zz992649-6a7f-5d25-da69-f2b3b2799a7f", "279926496a7f5d25da69f2b3b2799a7f0"] {
        assert_eq!(parse_hex(wrong), None, "{wrong}");
    }
}

proptest! {
    #[test]
    fn any_sample_opens_to_what_it_was(
        payload in prop::collection::vec(any::<u8>(), 1..4000),
        iv in any::<u64>(),
        cenc in any::<bool>(),
        hevc in any::<bool>(),
    ) {
        let params = video(if hevc { VideoCodec::Hevc } else { VideoCodec::Avc });
        let key = key(if cenc { Scheme::Cenc } else { Scheme::Cbcs });
        let clear = part(&params, &[payload]);
        let sealed = seal(&clear, &params, &key, iv, true).unwrap();
        prop_assert_eq!(open(&sealed, &params, &key).unwrap(), fmp4::samples(&clear).unwrap());
    }
}

#[test]
fn a_whole_segment_is_encrypted_as_openssl_does_it() {
    let key = key(Scheme::Cbcs);
    let sealed = seal_segment(b"a segment that is no multiple of 16 bytes", &key, 200);
    // openssl enc -aes-128-cbc -K 2b7e151628aed2a6abf7158809cf4f3c -iv 000000000000000000000000000000c8
    let want =
        "4f21e05c0814a0ac35ef265ce920af172f541a0acecf399de72f5c672e53679aff685ad17982d11e90c6a7aa5be03f11";
    assert_eq!(hex(&sealed), want);
    assert_eq!(seal_segment(&[0; 16], &key, 200).len(), 32, "there is always something to take off");
}

/// A NAL unit as it was, by the rules of who reads it: emulation prevention off, then the first of every ten blocks behind
/// 32 bytes, as long as more than a block is left.
fn opened_unit(unit: &[u8], key: &Key) -> Vec<u8> {
    let (mut plain, mut zeros) = (Vec::new(), 0);
    for &byte in unit {
        if zeros == 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { (zeros + 1).min(2) } else { 0 };
        plain.push(byte);
    }
    let (mut iv, mut at) = (key.told.iv, 32);
    while plain.len().saturating_sub(at) > 16 {
        let block = &mut plain[at..at + 16];
        let next: [u8; 16] = (&*block).try_into().unwrap();
        cbc(&key.cipher(), Way::Out, &iv, (0, 0), block);
        (iv, at) = (next, at + 160);
    }
    plain
}

fn sealed_sample(payload: &[u8], params: &Params, key: &Key) -> Bytes {
    let payload = Bytes::copy_from_slice(payload);
    let mut samples = [Sample { dts: 0, pts: 0, duration: None, key: true, payload }];
    seal_samples(&mut samples, params, key);
    samples[0].payload.clone()
}

#[test]
fn samples_of_transport_streams_are_clear_where_apple_says() {
    let key = key(Scheme::Cbcs);
    let avc = video(VideoCodec::Avc);
    for (first, len, changed) in [
        (0x65, 48, 0..0),
        (0x65, 49, 32..48),
        (0x41, 208, 32..48),
        // More than a block has to be left.
        (0x41, 209, 32..208),
        (0x67, 400, 0..0),
        (0x06, 400, 0..0),
    ] {
        let unit = nal(first, len);
        let sealed = sealed_sample(&unit, &avc, &key);
        let differs: Vec<usize> = (4..unit.len()).filter(|n| sealed[*n] != unit[*n]).map(|n| n - 4).collect();
        assert!(differs.iter().all(|n| changed.contains(n) && (n - 32) % 160 < 16), "{len}: {differs:?}");
        assert!(changed.is_empty() || differs.last() >= Some(&(changed.end - 4)), "{len}: {differs:?}");
    }
    for (len, changed) in [(31, 0..0), (32, 16..32), (47, 16..32), (400, 16..400)] {
        let frame: Vec<u8> = (0..len).map(|n| u8::try_from(n % 256).unwrap()).collect();
        let sealed = sealed_sample(&frame, &audio(), &key);
        let mut open = sealed.to_vec();
        cbc(&key.cipher(), Way::Out, &key.told.iv, (0, 0), &mut open[16.min(len)..]);
        assert_eq!(open, frame, "{len}");
        assert!((0..len).filter(|n| sealed[*n] != frame[*n]).all(|n| changed.contains(&n)), "{len}");
    }
}

proptest! {
    #[test]
    fn any_slice_is_read_back_and_has_no_start_code(
        mut payload in prop::collection::vec(prop_oneof![Just(0u8), Just(3), any::<u8>()], 1..600),
    ) {
        let key = key(Scheme::Cbcs);
        payload.insert(0, 0x65);
        payload.push(0x80);
        let unit = [&u32::try_from(payload.len()).unwrap().to_be_bytes()[..], &payload].concat();
        let sealed = sealed_sample(&unit, &video(VideoCodec::Avc), &key);
        prop_assert_eq!(u32::from_be_bytes(sealed[..4].try_into().unwrap()) as usize, sealed.len() - 4);
        if payload.len() > 48 {
            prop_assert!(sealed[4..].windows(3).all(|w| w[..2] != [0, 0] || w[2] > 2), "a start code");
            prop_assert_eq!(opened_unit(&sealed[4..], &key), &payload[..]);
        } else {
            prop_assert_eq!(&sealed[4..], &payload[..]);
        }
        let _ = sealed_sample(&payload, &video(VideoCodec::Avc), &key);
    }
}

#[test]
fn parts_one_behind_the_other_open_as_one() {
    for scheme in [Scheme::Cbcs, Scheme::Cenc] {
        let (key, params) = (key(scheme), video(VideoCodec::Avc));
        let parts = [part(&params, &[nal(0x65, 900)]), part(&params, &[nal(0x41, 300), nal(0x41, 70)])];
        let sealed: Vec<Bytes> =
            (0..).zip(&parts).map(|(n, p)| seal(p, &params, &key, n * 9, n > 0).unwrap()).collect();
        let whole = open(&Bytes::from(sealed.concat()), &params, &key).unwrap();
        assert_eq!(whole, fmp4::samples(&Bytes::from(parts.concat())).unwrap());
    }
}
