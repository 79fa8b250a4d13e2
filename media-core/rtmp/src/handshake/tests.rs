//! Handshakes by split, by version and back to back.

use super::*;

/// Name, reads, what happens.
type Row<'a> = (&'a str, &'a [&'a [u8]], Result<Vec<&'a str>, HandshakeError>);

/// Feeds one entry per read; names what was asked for.
fn run(mut handshake: Handshake, reads: &[&[u8]]) -> Result<Vec<String>, HandshakeError> {
    let mut seen = vec![];
    for read in reads {
        let mut input = *read;
        loop {
            match handshake.advance(0, &mut input)? {
                Step::More => break,
                Step::Send(bytes) => seen.push(format!("send {}", bytes.len())),
                Step::Done => {
                    seen.push(format!("done, {} left", input.len()));
                    break;
                }
            }
        }
    }
    Ok(seen)
}

#[test]
fn server_takes_any_split_and_only_version_3() {
    let (c0c1, c2) = (&[&[3u8][..], &[5; PACKET_LEN]].concat()[..], &[0u8; PACKET_LEN][..]);
    let version = |got| Err(HandshakeError::Version { got });
    let rows: &[Row<'_>] = &[
        ("nothing yet", &[], Ok(vec![])),
        ("c1 short by one", &[&c0c1[..PACKET_LEN]], Ok(vec![])),
        ("whole", &[c0c1, c2], Ok(vec!["send 3073", "done, 0 left"])),
        ("one read", &[&[c0c1, c2, b"ab"].concat()], Ok(vec!["send 3073", "done, 2 left"])),
        ("split in c1", &[&c0c1[..9], &c0c1[9..], c2], Ok(vec!["send 3073", "done, 0 left"])),
        ("split in c2", &[c0c1, &c2[..1], &c2[1..]], Ok(vec!["send 3073", "done, 0 left"])),
        ("http", &[b"G"], version(b'G')),
        ("tls", &[&[0x16, 3, 1]], version(0x16)),
        ("rtmpe", &[&[6]], version(6)),
        ("zero", &[&[0]], version(0)),
    ];
    for (name, reads, want) in rows {
        let want = want.clone().map(|steps| steps.into_iter().map(String::from).collect::<Vec<_>>());
        assert_eq!(run(Handshake::server([7; NONCE_LEN]), reads), want, "{name}");
    }
}

#[test]
fn error_text_names_the_guess() {
    for (got, guess) in [(b'P', "HTTP"), (0x16, "TLS"), (6, "RTMPE"), (0, "not an RTMP peer")] {
        let text = HandshakeError::Version { got }.to_string();
        assert!(text.contains(guess), "{text}");
    }
}

#[test]
fn answer_echoes_c1_and_asks_for_the_simple_form() {
    // a digest C1 carries a version in bytes 4..8
    let mut c1: Vec<u8> = (0..PACKET_LEN).map(|i| u8::try_from(i % 251).unwrap()).collect();
    c1[4..8].copy_from_slice(&[9, 0, 124, 2]);
    let input = [&[3][..], &c1].concat();
    let Ok(Step::Send(out)) = Handshake::server([7; NONCE_LEN]).advance(0x0102_0304, &mut &input[..]) else {
        panic!("no answer")
    };
    assert_eq!(out[..9], [3, 1, 2, 3, 4, 0, 0, 0, 0]);
    assert_eq!(out[1 + PACKET_LEN..], c1);
    let Ok(Step::Send(other)) = Handshake::server([8; NONCE_LEN]).advance(0, &mut &input[..]) else {
        panic!("no answer")
    };
    assert_ne!(out[9..64], other[9..64], "the nonce matters");
}

#[test]
fn both_halves_agree() {
    let (mut client, mut server) = (Handshake::client([1; NONCE_LEN]), Handshake::server([2; NONCE_LEN]));
    let Ok(Step::Send(c0c1)) = client.advance(5, &mut &[][..]) else { panic!("no c0c1") };
    let Ok(Step::Send(s)) = server.advance(6, &mut &c0c1[..]) else { panic!("no s0s1s2") };
    let mut input = &s[..];
    let Ok(Step::Send(c2)) = client.advance(7, &mut input) else { panic!("no c2") };
    assert_eq!(c2, s[1..=PACKET_LEN], "C2 echoes S1");
    assert_eq!(client.advance(7, &mut input), Ok(Step::Done));
    assert_eq!(server.advance(8, &mut &c2[..]), Ok(Step::Done));
}
