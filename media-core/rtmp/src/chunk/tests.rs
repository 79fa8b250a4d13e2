//! Chunk headers in every form, times, limits, and the writer against the reader.

use bytes::BytesMut;
use proptest::prelude::*;

use super::*;
use crate::Limits;
use crate::message::kind;
use crate::testing::{chunk, full, medium};

fn read(reads: &[&[u8]]) -> Result<Vec<Message>, ChunkError> {
    read_with(Limits::default(), reads)
}

fn read_with(limits: Limits, reads: &[&[u8]]) -> Result<Vec<Message>, ChunkError> {
    let mut reader = ChunkReader::new(limits);
    reader.allow_media();
    let mut out = vec![];
    for mut input in reads.iter().copied() {
        while let Some(message) = reader.read(&mut input)? {
            out.push(message);
        }
        assert!(input.is_empty());
    }
    Ok(out)
}

/// Times of the messages in `bytes`, read whole and byte by byte.
#[track_caller]
fn check_times(name: &str, bytes: &[Vec<u8>], want: &[u32]) {
    let bytes = bytes.concat();
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    for reads in [&[&bytes[..]][..], &single] {
        let messages = read(reads).unwrap();
        let times: Vec<u32> = messages.iter().map(|m| m.timestamp_ms).collect();
        assert_eq!(times, want, "{name}");
        for message in messages {
            assert!(message.body.iter().all(|b| *b == 0xAA), "{name}: payload is whole");
        }
    }
}

/// The fault `bytes` end in, with any cut the same.
#[track_caller]
fn check_fault(name: &str, bytes: &[u8], want: &ChunkFault) {
    let whole = read(&[bytes]);
    assert_eq!(whole.as_ref().map_err(|e| &e.fault), Err(want), "{name}");
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(read(&single), whole, "{name}");
}

const X: &[u8] = &[0xAA; 4];

#[test]
fn times_by_header_format() {
    let at = |time| chunk(0, 4, &[&full(time, 4, 8), X]);
    let after = |delta| chunk(1, 4, &[&medium(delta, 4, 8), X]);
    let short = |delta: u32| chunk(2, 4, &[&delta.to_be_bytes()[1..], X]);
    let bare = || chunk(3, 4, &[X]);
    check_times("absolute", &[at(7), at(3)], &[7, 3]);
    check_times("deltas", &[at(10), after(5), short(6), bare()], &[10, 15, 21, 27]);
    check_times("bare after full adds its time", &[at(23), bare(), bare()], &[23, 46, 69]);
    check_times("bare after a late full repeats it", &[at(5000), bare()], &[5000, 5000]);
    check_times("format 1 opens", &[after(9), after(1)], &[9, 10]);
    check_times("full resets the delta", &[at(0), after(5), at(0), bare()], &[0, 5, 0, 0]);
}

#[test]
fn extended_times() {
    let ext = |format, head: &[u8], time: u32| chunk(format, 4, &[head, &time.to_be_bytes(), X]);
    let at = |time| ext(0, &full(0xFF_FFFF, 4, 8), time);
    let after = |delta| ext(1, &medium(0xFF_FFFF, 4, 8), delta);
    check_times("exactly 0xFFFFFF", &[at(0xFF_FFFF)], &[0xFF_FFFF]);
    check_times("wraps", &[at(u32::MAX - 1), chunk(1, 4, &[&medium(5, 4, 8), X])], &[u32::MAX - 1, 3]);
    check_times("long delta", &[at(0xFFFF_FFFF), after(0x0100_0001)], &[u32::MAX, 0x0100_0000]);
    let body = [0xAA; 300];
    let long = |repeat: &[u8]| {
        let head = full(0xFF_FFFF, 300, 8);
        [
            chunk(0, 4, &[&head, &[1, 0, 0, 0], &body[..128]]),
            chunk(3, 4, &[repeat, &body[..128]]),
            chunk(3, 4, &[repeat, &body[..44]]),
        ]
    };
    check_times("repeated", &long(&[1, 0, 0, 0]), &[0x0100_0000]);
    check_times("not repeated", &long(&[]), &[0x0100_0000]);
    // the payload starts like the time: the stash has to give bytes back, past the end of the chunk too
    let size_1 = chunk(0, 2, &[&full(0, 4, 1), &[0, 0, 0, 1]]);
    let tricky = [
        size_1,
        chunk(0, 4, &[&full(0xFF_FFFF, 3, 8), &[0xAA, 0xC4, 0xAA, 0xC5], &[0xAA]]),
        chunk(3, 4, &[&[0xAA]]),
        chunk(3, 4, &[&[0xAA]]),
        chunk(0, 4, &[&full(5, 1, 8), &[0xAA]]),
    ];
    check_times("not repeated, one byte a chunk", &tricky, &[0xAAC4_AAC5, 5]);
}

#[test]
fn chunk_stream_ids_of_every_form() {
    for id in [&[5u8][..], &[0, 0], &[0, 255], &[1, 0, 0], &[1, 255, 255]] {
        let bare = [&[0xC0 | id[0]], &id[1..]].concat();
        let bytes = [id, &full(1, 200, 9), &[7; 128], &bare, &[7; 72]].concat();
        let messages = read(&[&bytes]).unwrap();
        assert_eq!((messages.len(), messages[0].body.len()), (1, 200), "{id:?}");
    }
}

#[test]
fn controls_act_at_once() {
    let set = |size: u32| chunk(0, 2, &[&full(0, 4, kind::SET_CHUNK_SIZE), &size.to_be_bytes()]);
    let open = chunk(0, 4, &[&full(0, 200, 8), &[0xAA; 128]]);
    let abort = chunk(0, 2, &[&full(0, 4, kind::ABORT), &[0, 0, 0, 4]]);
    let other = chunk(0, 6, &[&full(9, 130, 9), &[0xAA; 128]]);
    let rest = |csid, len| chunk(3, csid, &[&[0xAA; 200][..len]]);
    check_times("change inside a message", &[open.clone(), set(200), rest(4, 72)], &[0]);
    check_times("change to 1", &[set(1), chunk(0, 4, &[&full(5, 2, 8), &[0xAA]]), rest(4, 1)], &[5]);
    check_times("interleaved", &[open.clone(), other.clone(), rest(4, 72), rest(6, 2)], &[0, 9]);
    check_times("abort", &[open.clone(), abort, other, rest(6, 2), open, rest(4, 72)], &[9, 0]);
    check_times(
        "2^31-1 is allowed",
        &[set(0x7FFF_FFFF), chunk(0, 4, &[&full(5, 200, 8), &[0xAA; 200]])],
        &[5],
    );
    let max = Limits::default().chunk_size_max;
    check_fault("size 0", &set(0), &ChunkFault::ChunkSize { got: 0, max });
    check_fault("size 2^31", &set(1 << 31), &ChunkFault::ChunkSize { got: 1 << 31, max });
    let short = chunk(0, 2, &[&full(0, 3, kind::SET_CHUNK_SIZE), &[0; 3]]);
    check_fault("short", &short, &ChunkFault::ShortControl { kind: 1, got: 3 });
}

#[test]
fn broken_headers_and_greed_are_faults() {
    check_fault("bare first", &[0xC4], &ChunkFault::NoContext { csid: 4, format: 3 });
    check_fault("short first", &[0x84, 0, 0, 1], &ChunkFault::NoContext { csid: 4, format: 2 });
    let open = chunk(0, 4, &[&full(0, 200, 8), &[0xAA; 128]]);
    let again = [&open[..], &open].concat();
    check_fault("new header inside", &again, &ChunkFault::Unfinished { csid: 4, missing: 72 });
    let max = Limits::default().message_bytes_max;
    let claimed = 0xFF_FFFF;
    let length = ChunkFault::MessageLength { csid: 4, kind: 9, claimed, max };
    check_fault("16 MiB video", &chunk(0, 4, &[&full(0, claimed, 9)]), &length);
    let max = Limits::default().command_bytes_max;
    let length = ChunkFault::MessageLength { csid: 4, kind: 20, claimed, max };
    check_fault("16 MiB command", &chunk(0, 4, &[&full(0, claimed, 20)]), &length);
    let streams: Vec<u8> = (0..2000u16)
        .flat_map(|i| [&[1][..], &i.to_le_bytes(), &full(0, 0xFFFF, 9), &[0; 128]].concat())
        .collect();
    check_fault("2000 chunk streams", &streams, &ChunkFault::ChunkStreams { csid: 96, max: 32 });
}

#[test]
fn an_announced_message_costs_nothing_and_many_are_bounded() {
    let limits = Limits { pending_bytes_max: 1 << 20, ..Limits::default() };
    let size = chunk(0, 2, &[&full(0, 4, kind::SET_CHUNK_SIZE), &0xF_FFFFu32.to_be_bytes()]);
    let head = chunk(0, 4, &[&full(0, 4 << 20, 9)]);
    let mut reader = ChunkReader::new(limits);
    reader.allow_media();
    assert_eq!(reader.read(&mut &[&size[..], &head].concat()[..]), Ok(None));
    assert_eq!(reader.pending_bytes(), 0);
    assert_eq!(reader.read(&mut &[0; 0xF_FFFF][..]), Ok(None));
    assert_eq!(reader.pending_bytes(), 0xF_FFFF);
    let fault = reader.read(&mut &[0xC4][..]).unwrap_err().fault;
    assert_eq!(fault, ChunkFault::Pending { got: 2 * 0xF_FFFF, max: 1 << 20 });
    let mut strict = ChunkReader::new(Limits::default());
    let fault = strict.read(&mut &head[..]).unwrap_err().fault;
    assert_eq!(fault, ChunkFault::MessageLength { csid: 4, kind: 9, claimed: 4 << 20, max: 64 << 10 });
}

#[test]
fn writer_gives_up_on_what_rtmp_cannot_say() {
    let big = vec![0; 1 << 24];
    assert!(media_message(MediaKind::Video, 0, 1, 128, &[&big]).is_empty());
    assert_eq!(media_message(MediaKind::Data, 0, 1, 0, &[b"ab"])[12..], [b'a', 0xC5, b'b'], "0 counts as 1");
}

#[test]
fn truncated_golden_gives_a_prefix_of_the_messages() {
    let bytes = [
        media_message(MediaKind::Audio, 0x0123_4567, 1, 128, &[&[1; 300]]),
        media_message(MediaKind::Video, 40, 1, 128, &[&[2; 200], &[], &[3; 9]]),
    ]
    .concat();
    let whole = read(&[&bytes]).unwrap();
    assert_eq!(whole.len(), 2);
    for end in 0..bytes.len() {
        let some = read(&[&bytes[..end]]).unwrap();
        assert_eq!(some, whole[..some.len()], "cut at {end}");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        chunk_size in prop_oneof![1u32..300, Just(65_536)],
        messages in proptest::collection::vec((0u8..3, any::<u32>(), 0u32..4, 0usize..2000), 1..6),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut bytes = BytesMut::new();
        ChunkWriter::default().write(&mut bytes, 2, kind::SET_CHUNK_SIZE, 0, 0, &[&chunk_size.to_be_bytes()]);
        let mut want = vec![];
        for (media, timestamp_ms, stream_id, len) in messages {
            let media = [MediaKind::Audio, MediaKind::Video, MediaKind::Data][usize::from(media)];
            let body: Vec<u8> = (0..len).map(|i| u8::try_from(i % 256).unwrap()).collect();
            let (a, b) = body.split_at(len / 3);
            bytes.extend(media_message(media, timestamp_ms, stream_id, chunk_size, &[a, b]));
            want.push(Message { kind: media.kind(), timestamp_ms, stream_id, body: body.into() });
        }
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let reads: Vec<&[u8]> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
        prop_assert_eq!(read(&reads), Ok(want));
    }

    #[test]
    fn fuzz_body_holds(data in proptest::collection::vec(prop_oneof![0u8..8, Just(0xC4u8), any::<u8>()], 0..400)) {
        crate::fuzz::chunk_stream(&data);
    }
}
