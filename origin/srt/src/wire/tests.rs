//! Packets of strangers.

use super::*;
use crate::handshake;
use crate::reject::Reject;

fn packet(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_be_bytes()).collect()
}

fn read(bytes: &[u8]) -> Control<'_> {
    control(Header::read(bytes).expect("a header"), bytes)
}

const NAK_HEAD: [u32; 4] = [0x8003_0000, 0, 5, 9];

#[test]
fn sequence_numbers_wrap() {
    assert_eq!(seq::add(0x7fff_ffff, 1), 0);
    assert_eq!(seq::distance(0x7fff_ffff, 0), 1);
    assert_eq!(seq::distance(0, 0x7fff_ffff), -1);
    assert_eq!(seq::distance(5, 105), 100);
}

#[test]
fn reports_of_loss_are_checked() {
    let nak = |body: &[u32]| packet(&[&NAK_HEAD, body].concat());
    assert_eq!(read(&nak(&[7])), Control::Nak(vec![(7, 7)]));
    assert_eq!(read(&nak(&[0x8000_0003, 6, 9])), Control::Nak(vec![(3, 6), (9, 9)]));
    assert_eq!(read(&nak(&[0xffff_fffe, 1])), Control::Nak(vec![(0x7fff_fffe, 0x7fff_ffff), (0, 1)]));
    // A range without an end, backwards, of the whole circle, with a flag in its end.
    for body in
        [&[0x8000_0003][..], &[0x8000_0009, 3], &[0x8000_0000, 0x3fff_ffff], &[0x8000_0003, 0x8000_0005]]
    {
        assert_eq!(read(&nak(body)), Control::Nothing, "{body:x?}");
    }
}

#[test]
fn what_would_stop_the_library_is_left_out() {
    // Congestion warning, peer error, an unknown extension, a range of drops backwards, short key material.
    for words in [
        &[0x8004_0000, 0, 0, 9][..],
        &[0x8008_0000, 0, 0, 9],
        &[0xffff_0005, 0, 0, 9, 0],
        &[0x8007_0000, 0, 0, 9, 5, 3],
        &[0xffff_0004, 0, 0, 9, 0x1220_2903],
        &[0x8002_0000, 0, 0, 9],
    ] {
        assert_eq!(read(&packet(words)), Control::Nothing, "{words:x?}");
    }
    assert_eq!(read(&packet(&[0x8007_0000, 0, 0, 9, 3, 5])), Control::Drop(3, 5));
    assert_eq!(read(&packet(&[0x8006_0000, 12, 0, 9])), Control::Ack2(12));
    assert_eq!(read(&packet(&[0x8005_0000, 0, 0, 9, 0])), Control::Shutdown);
}

#[test]
fn what_is_written_can_be_read() {
    let epoch = crate::clock::Clock::read().now;
    let sheet = Sheet { socket: 9, epoch };
    let mut out = Outgoing::default();
    sheet.nak(epoch + Duration::from_micros(5), &[(7, 7), (10, 12)], &mut out);
    assert_eq!(out.bytes, packet(&[&NAK_HEAD[..], &[7, 0x8000_000a, 12]].concat()));
    out.clear();
    let ack = Ack { number: 3, next: 8, rtt_us: 100, rtt_variance_us: 50, room: 60 };
    sheet.ack(epoch, ack, [1, 2, 3], &mut out);
    assert_eq!(out.bytes, packet(&[0x8002_0000, 3, 0, 9, 8, 100, 50, 60, 1, 2, 3]));
    out.clear();
    sheet.ack2(epoch, u32::MAX, &mut out);
    assert_eq!(read(&out.bytes), Control::Ack2(u32::MAX));
}

/// A conclusion of libsrt 1.5.1 (ffmpeg, `streamid=live/x`): 48 bytes and the extensions 1 and 5.
fn conclusion() -> Vec<u8> {
    let words = [
        0x8000_0000,
        0,
        1_000,
        0,
        5,
        5,
        0x1234,
        1_500,
        8_192,
        0xffff_ffff,
        0x2a,
        0xc001,
        0x0100_007f,
        0,
        0,
        0,
    ];
    packet(
        &[&words[..], &[0x0001_0003, 0x0001_0501, 0xbf, 0x0078_00c8, 0x0005_0002, 0x6576_696c, 0x0000_782f]]
            .concat(),
    )
}

#[test]
fn a_conclusion_is_read() {
    let bytes = conclusion();
    let shake = handshake::Shake::read(&bytes).expect("a handshake");
    assert_eq!(
        (shake.version, shake.kind, shake.socket, shake.cookie),
        (5, handshake::CONCLUSION, 0x2a, 0xc001)
    );
    assert_eq!((shake.sequence, shake.segment, shake.flow), (0x1234, 1_500, 8_192));
    let asked = handshake::extensions(&bytes).expect("sound");
    let hello = asked.hello.expect("there");
    assert_eq!((hello.version, hello.flags, hello.receive_ms, hello.send_ms), (0x0001_0501, 0xbf, 120, 200));
    assert_eq!(asked.stream_id, "live/x");
}

#[test]
fn extensions_that_live_mode_lacks_are_refused_with_their_code() {
    let with = |words: &[u32]| {
        let mut bytes = conclusion();
        bytes.extend(packet(words));
        handshake::extensions(&bytes).err()
    };
    assert_eq!(with(&[0x0006_0001, 0x6576_696c]), None);
    assert_eq!(with(&[0x0006_0001, 0x656c_6966]), Some(Reject::Congestion));
    assert_eq!(with(&[0x0007_0001, 0x0063_6566]), Some(Reject::Filter));
    assert_eq!(with(&[0x0008_0001, 0]), Some(Reject::Group));
    assert_eq!(with(&[0x0003_0001, 0]), Some(Reject::Unsecure));
    assert_eq!(with(&[0x0004_0001, 4]), Some(Reject::BadSecret));
    assert_eq!(with(&[0x0005_0009, 0]), Some(Reject::Other(4)));
    assert_eq!(with(&[0x0005_0000]), None);
    let long = [&[0x0005_0081_u32][..], &[0x6161_6161; 129]].concat();
    assert_eq!(with(&long), Some(Reject::BadRequest));
}

#[test]
fn reject_codes_are_those_of_libsrt() {
    for (reason, code, wire) in [
        (Reject::NotFound, 1_404, 2_404),
        (Reject::BadSecret, 10, 1_010),
        (Reject::Other(1_423), 1_423, 2_423),
    ] {
        assert_eq!((reason.code(), reason.wire()), (code, wire));
        assert_eq!(Reject::from_code(code), reason);
    }
}

#[test]
fn truncated_and_mutated_packets_do_no_harm() {
    let nak = packet(&[&NAK_HEAD[..], &[7, 0x8000_000a, 12]].concat());
    let drop = packet(&[0x8007_0000, 0, 0, 9, 3, 5]);
    let key =
        packet(&[&[0xffff_0003, 0, 0, 9, 0x1220_2901, 0, 0x0200_0200, 0x0000_0404][..], &[7; 10]].concat());
    assert_eq!(read(&key), Control::KeyRequest(&key[16..]));
    assert!(key_material_is_sound(&key[16..]));
    let mut state = 99_u32;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as usize % below
    };
    let feed = |bytes: &[u8]| {
        let Some(header) = Header::read(bytes) else { return };
        if let Control::Nak(ranges) = control(header, bytes) {
            assert!(ranges.iter().map(|(a, b)| u64::from(b - a) + 1).sum::<u64>() <= u64::from(LOSS_MAX));
        }
        let _ = (handshake::Shake::read(bytes), handshake::extensions(bytes));
        if let Some(body) = bytes.get(HEADER..).filter(|b| key_material_is_sound(b)) {
            let secret = crate::Passphrase::try_from("0123456789".to_owned()).expect("long enough");
            let _ = handshake::open_key(&secret, body);
        }
    };
    for seed in [nak, drop, key, conclusion()] {
        for end in 0..seed.len() {
            feed(&seed[..end]);
        }
        for _ in 0..300 {
            let mut bytes = seed.clone();
            for _ in 0..=random(4) {
                let at = random(bytes.len());
                bytes[at] = random(256) as u8;
            }
            feed(&bytes);
        }
    }
}
