//! What is sent, when, and how much of it.

use super::*;

#[test]
fn windows_hold_back_what_is_sent() {
    let mut talk = Talk::new();
    talk.says(&settings(&[(4, 10)]));
    talk.says(&[frame(HEADERS, WHOLE, 1, &get("/a")), frame(HEADERS, WHOLE, 3, &get("/b"))].concat());
    talk.answers(1, &[b"abcdefg", b"hijklmnopq"], false);
    talk.answers(3, &[b"0123456789"], false);
    assert_eq!(talk.sends(0), ["200 1", "200 3", "DATA 1 10", "DATA+ 3 10"]);
    assert_eq!(talk.sends(0), [""; 0]);
    // Smaller by four for all, and four more for this one: still nothing (RFC 9113 §6.9.2).
    talk.says(&settings(&[(4, 6)]));
    talk.says(&frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 4]));
    assert_eq!(talk.sends(0), [""; 0]);
    talk.says(&frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]));
    assert_eq!(talk.sends(0), ["DATA 1 1"]);
    talk.says(&settings(&[(4, 100)]));
    assert_eq!(talk.sends(0), ["DATA+ 1 6"]);
    assert!(talk.server.is_idle());
}

#[test]
fn the_connections_window_is_shared_in_turns() {
    static LONG: [u8; 60_000] = [0; 60_000];
    let mut talk = Talk::new();
    talk.says(&[frame(HEADERS, WHOLE, 1, &get("/a")), frame(HEADERS, WHOLE, 3, &get("/b"))].concat());
    talk.answers(1, &[&LONG], false);
    talk.answers(3, &[&LONG], false);
    let expected = ["DATA 1 16384", "DATA 3 16384", "DATA 1 16384", "DATA 3 16383"];
    assert_eq!(talk.sends(0)[2..], expected);
    talk.says(&frame(WINDOW_UPDATE, 0, 0, &100_000u32.to_be_bytes()));
    let expected = ["DATA 1 16384", "DATA 3 16384", "DATA+ 1 10848", "DATA+ 3 10849"];
    assert_eq!(talk.sends(0), expected);
}

#[test]
fn a_body_may_come_by_and_by_or_fail() {
    let mut talk = Talk::new();
    talk.says(&[frame(HEADERS, WHOLE, 1, &get("/a")), frame(HEADERS, WHOLE, 3, &get("/b"))].concat());
    talk.answers(1, &[], true);
    assert!(talk.server.is_hungry(1));
    assert_eq!(talk.sends(0), ["200 1"]);
    talk.server.push(1, Bytes::from_static(b"abc"), true);
    assert!(!talk.server.is_hungry(1));
    assert_eq!(talk.sends(0), ["DATA 1 3"]);
    talk.server.push(1, Bytes::new(), false);
    assert_eq!(talk.sends(0), ["DATA+ 1 0"]);
    talk.answers(3, &[b"abc"], true);
    talk.server.fail(3, &mut talk.out);
    assert_eq!(talk.sends(0), ["200 3", "RST 3 2"]);
    // Nobody is there any more: nothing is said.
    talk.answers(3, &[b"abc"], false);
    assert_eq!(talk.sends(0), [""; 0]);
}

#[test]
fn an_answer_before_the_end_of_the_request_stops_it() {
    let mut talk = Talk::new();
    talk.says(&frame(HEADERS, END_HEADERS, 1, &post("x", "y")));
    // As long as the window and not at its end.
    let frames: Vec<u8> = [vec![0; 16_384], vec![0; 16_384], vec![0; 16_384], vec![0; 16_383]]
        .iter()
        .flat_map(|payload| frame(DATA, 0, 1, payload))
        .collect();
    assert_eq!(talk.says(&frames), ["413+ 1", "WINDOW 0 65535", "RST 1 0"]);
}

#[test]
fn more_than_the_window_ends_the_connection() {
    let mut talk = Talk::new();
    for stream in [1, 3] {
        talk.says(&frame(HEADERS, END_HEADERS, stream, &post("x", "y")));
    }
    let said: Vec<String> =
        (0..4).flat_map(|n| talk.says(&frame(DATA, 0, n % 2 * 2 + 1, &[0; 16_384]))).collect();
    assert_eq!(said, ["GOAWAY 3 3"]);
}

#[test]
fn who_takes_nothing_is_reset_and_who_takes_little_too() {
    static LONG: [u8; 70_000] = [0; 70_000];
    let mut talk = Talk::new();
    talk.says(&settings(&[(4, 10)]));
    talk.says(&frame(HEADERS, WHOLE, 1, &get("/a")));
    talk.answers(1, &[&LONG], false);
    talk.sends(100);
    assert_eq!(talk.server.due_s(), Some(120));
    // One byte just in time does not help, 200 bytes are worth two seconds.
    talk.says(&frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]));
    talk.sends(119);
    assert_eq!(talk.server.due_s(), Some(120));
    talk.says(&frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 200]));
    talk.sends(119);
    assert_eq!(talk.server.due_s(), Some(122));
    assert!(talk.server.expire(121, &mut talk.out).unwrap().is_none());
    let gone = talk.server.expire(122, &mut talk.out).unwrap().map(named);
    assert_eq!(gone.as_deref(), Some("gone 1"));
    assert_eq!(talk.sends(122).last().unwrap(), "RST 1 8");
    assert_eq!(talk.server.due_s(), None);
    // The connection's own window.
    talk.says(&frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]));
    talk.says(&settings(&[(4, 1 << 20)]));
    talk.says(&frame(HEADERS, WHOLE, 3, &get("/a")));
    talk.answers(3, &[&LONG], false);
    talk.sends(200);
    assert_eq!(talk.server.due_s(), Some(220));
    talk.server.expire(220, &mut talk.out).expect_err("the connection ends");
    assert_eq!(talk.hears(), ["GOAWAY 3 11"]);
}

#[test]
fn leaving_finishes_what_runs_and_takes_nothing_more() {
    let mut talk = Talk::new();
    talk.says(&frame(HEADERS, WHOLE, 1, &get("/a")));
    talk.server.leave(&mut talk.out);
    talk.server.leave(&mut talk.out);
    assert_eq!(talk.hears(), ["GOAWAY 1 0"]);
    assert_eq!(talk.says(&frame(HEADERS, WHOLE, 3, &get("/b"))), [""; 0]);
    assert!(!talk.server.is_over());
    talk.answers(1, &[], false);
    assert_eq!(talk.sends(0), ["200+ 1"]);
    assert!(talk.server.is_over());
}

#[test]
fn a_head_that_is_too_long_for_a_frame_goes_on_in_another() {
    let mut talk = Talk::new();
    talk.says(&frame(HEADERS, WHOLE, 1, &get("/a")));
    let mut fields = HeaderMap::new();
    fields.insert("x", HeaderValue::from_str(&"y".repeat(40_000)).unwrap());
    talk.server.respond(1, StatusCode::OK, &fields, VecDeque::new(), false, &mut talk.out);
    let bytes = written(&talk.out);
    let heads: Vec<_> = [0, 16_393, 32_786].map(|at| Head::read(*bytes[at..].first_chunk().unwrap())).into();
    let rest = bytes.len() - 32_786 - 9;
    let seen: Vec<_> = heads.iter().map(|h| (h.kind, h.flags, h.len)).collect();
    assert_eq!(
        seen,
        [(HEADERS, END_STREAM, 16_384), (CONTINUATION, 0, 16_384), (CONTINUATION, END_HEADERS, rest)]
    );
}
