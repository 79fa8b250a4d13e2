//! Files that lie.

use super::build::boxed;
use super::*;
use crate::fuzz;

/// A short film of ours, with pictures and sound.
fn short() -> Vec<u8> {
    let mut media = tiny();
    media.video_samples.truncate(6);
    media.audio_samples.truncate(6);
    written(&media, whole()).0.to_vec()
}

#[test]
fn every_truncation_and_many_mutations_are_refused_or_sound() {
    let film = short();
    let moov = film.windows(4).position(|w| w == b"mdat").unwrap() + 8;
    for len in (0..moov + 40).chain([film.len() - 1]) {
        fuzz::mp4_index(&film[..len]);
        assert!(index(&film[..len]).is_err(), "cut at {len}");
    }
    let (mut state, mut read) = (0x2545_f491_4f6c_dd1d_u64, 0);
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap()
    };
    for round in 0..20_000 {
        let mut film = film.clone();
        for _ in 0..=round % 4 {
            film[random() % moov] = u8::try_from(random() % 256).unwrap();
        }
        fuzz::mp4_index(&film);
        read += usize::from(index(&film).is_ok());
    }
    assert!(read > 100, "some are read: {read}");
}

fn refused(file: &[u8], want: &str) {
    let error = index(file).unwrap_err().to_string();
    assert!(error.contains(want), "{error}");
}

#[test]
fn sizes_that_cannot_be_are_refused_at_once() {
    let ftyp = boxed(b"ftyp", b"isom\0\0\x02\0isom");
    let with = |rest: &[u8]| [&ftyp[..], rest].concat();
    refused(&with(b"\0\0\0\x07moov"), "box 'moov' of 7 bytes");
    refused(&with(b"\xff\xff\xff\xffmoov"), "box 'moov' has 4294967295 bytes and the file 8 more");
    refused(&with(b"\0\0\0\x01moov\xff\xff\xff\xff\xff\xff\xff\xff"), "has 18446744073709551615 bytes");
    refused(&with(b"\0\0\0\x01moov\0\0\0\0\0\0\0\x0f"), "box 'moov' of 15 bytes");
    refused(&with(&[]), "without 'moov'");
    refused(&with(&boxed(b"moov", &[])), "'mvhd' is missing");
}

#[test]
fn tables_that_promise_more_than_the_file_has_cost_nothing() {
    // A hundred thousand chunks at one place, each with all the samples there may be.
    let many = Table { stsc: vec![(1, u32::MAX)], chunks: vec![0; 100_000], ..Table::one() };
    let (mut bytes, _) = file(&many);
    let stsz = bytes.windows(4).position(|w| w == b"stsz").unwrap();
    // All of one size, four thousand million of them.
    bytes[stsz + 8..stsz + 16].copy_from_slice(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]);
    refused(&bytes, "samples: at most");
    bytes[stsz + 8..stsz + 16].copy_from_slice(&[0, 0, 0, 1, 0, 0x80, 0, 0]);
    refused(&bytes, "samples of more bytes than the file has");
    // A table that is shorter than it says.
    bytes[stsz + 8..stsz + 16].copy_from_slice(&[0, 0, 0, 0, 0, 0x80, 0, 0]);
    refused(&bytes, "stsz is cut short");
    let chunk = Table { chunks: vec![u32::MAX >> 1], sizes: vec![], ..Table::one() };
    let chunk = Table { sizes: vec![5], chunks: vec![0], stsc: vec![(2, 1)], ..chunk };
    refused(&file(&chunk).0, "lies in no chunk");
    let (mut bytes, _) = file(&Table::one());
    let stco = bytes.windows(4).position(|w| w == b"stco").unwrap();
    bytes[stco + 12..stco + 16].copy_from_slice(&[0x7f; 4]);
    refused(&bytes, "behind the end of the file");
    let clock = Table { timescale: 0, ..Table::one() };
    refused(&file(&clock).0, "0 ticks per second");
    let long = Table { stts: vec![(1, u32::MAX)], timescale: 1, ..Table::one() };
    refused(&file(&long).0, "seconds of film");
}
