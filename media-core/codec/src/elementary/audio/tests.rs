//! Frames across units, times, lost and foreign bytes, changes.

use super::*;
use crate::ac3::tests::eac3_frame;
use crate::fuzz_audio;
use crate::testing::{broken, hex};

/// Silence of ffmpeg 5.1: 16 kHz mono in ADTS and in LOAS, four frames.
const ADTS: &str = "fff16040039ffcde02004c61766335392e33372e313030000230400e fff16040017ffc01182007 \
                    fff16040017ffc01182007 fff16040017ffc01182007";
const LOAS: &str = "56e01c200014081fe0aef01002630bb319a9c97199b9718981800011820070 56e00682008c100380 \
                    56e00682008c100380 56e00682008c100380";
/// 5 ms, 20 ms with start trim, 120 ms, as ffmpeg writes them to a transport stream; the first two by libopus
/// at 6 kbit/s.
const OPUS: &str = "7ff003007888fffe 7ff007013808 0be63b23ab60 7fe01b19022b2cc38cd80bd705b6bd10d2022b2cc38cd80bd\
                    705b6bd10d2";

/// A frame of so many bytes that begins with a header.
fn filled(header: &str, len: usize) -> Vec<u8> {
    let mut frame = hex(header);
    frame.resize(len, 0x55);
    frame
}

fn mp3() -> Vec<u8> {
    filled("ffe318c4", 72)
}

fn ac3() -> Vec<u8> {
    filled("0b7767a800402f84", 128)
}

fn eac3() -> Vec<u8> {
    filled("0b77003f3287c000", 128)
}

/// Each format with a stream of at least three frames.
fn streams() -> Vec<(AudioFormat, Vec<u8>)> {
    let opus = AudioFormat::Opus { channels: 2 };
    vec![
        (AudioFormat::AacAdts, hex(ADTS)),
        (AudioFormat::AacLatm, hex(LOAS)),
        (AudioFormat::Mpa, mp3().repeat(3)),
        (AudioFormat::Ac3, ac3().repeat(3)),
        (AudioFormat::Eac3, eac3().repeat(3)),
        (opus, hex(OPUS)),
    ]
}

fn unit(pts: impl Into<Option<i64>>, payload: &[u8]) -> Unit {
    Unit { pts: pts.into(), dts: None, discontinuity: false, payload: Bytes::copy_from_slice(payload) }
}

fn push(reader: &mut AudioReader, unit: Unit) -> Vec<Item> {
    let mut items = Vec::new();
    reader.push(unit, &mut |item| items.push(item));
    items
}

/// Times and sizes.
fn frames(items: &[Item]) -> Vec<(i64, usize)> {
    let frame = |item: &Item| match item {
        Item::Frame(frame) => Some((frame.dts, frame.payload.len())),
        Item::Params(_) => None,
    };
    items.iter().filter_map(frame).collect()
}

/// Codec strings and rates.
fn params(items: &[Item]) -> Vec<(String, u32)> {
    let params = |item: &Item| match item {
        Item::Params(params) => Some((params.rfc6381().to_owned(), params.timescale())),
        Item::Frame(_) => None,
    };
    items.iter().filter_map(params).collect()
}

#[test]
fn gives_parameters_then_frames() {
    let english = Language::new(b"eng");
    let want = [
        ("mp4a.40.2", 16_000, vec![(9_000, 21), (14_760, 4), (20_520, 4), (26_280, 4)]),
        ("mp4a.40.2", 16_000, vec![(9_000, 21), (14_760, 4), (20_520, 4), (26_280, 4)]),
        ("mp4a.69", 8_000, vec![(9_000, 72), (15_480, 72), (21_960, 72)]),
        ("ac-3", 48_000, vec![(9_000, 128), (11_880, 128), (14_760, 128)]),
        ("ec-3", 48_000, vec![(9_000, 128), (11_880, 128), (14_760, 128)]),
        ("opus", 48_000, vec![(9_000, 3), (9_450, 7), (11_250, 27)]),
    ];
    for ((format, stream), (codec, rate, times)) in streams().into_iter().zip(want) {
        let mut reader = AudioReader::new(format, english);
        let items = push(&mut reader, unit(9_000, &stream));
        assert_eq!(params(&items[..1]), [(codec.to_owned(), rate)], "{format:?}");
        assert_eq!(frames(&items[1..]), times, "{format:?}");
        assert_eq!(reader.damaged(), 0, "{format:?}");
        let Item::Params(Params::Audio(params)) = &items[0] else { panic!("{format:?}") };
        assert_eq!(params.language, english);
    }
    let [of_adts, of_loas] = [(AudioFormat::AacAdts, ADTS), (AudioFormat::AacLatm, LOAS)]
        .map(|(format, digits)| push(&mut AudioReader::new(format, None), unit(0, &hex(digits))));
    assert_eq!(of_adts, of_loas, "the encoder was the same");
}

#[test]
fn gives_the_same_wherever_units_are_cut() {
    for (format, stream) in streams() {
        let whole = push(&mut AudioReader::new(format, None), unit(700, &stream));
        for size in 1..stream.len() {
            let mut reader = AudioReader::new(format, None);
            let mut items = Vec::new();
            for (i, piece) in stream.chunks(size).enumerate() {
                items.extend(push(&mut reader, unit((i == 0).then_some(700), piece)));
            }
            assert_eq!(items, whole, "{format:?} in pieces of {size}");
            assert_eq!(reader.damaged(), 0, "{format:?} in pieces of {size}");
        }
    }
}

#[test]
fn gives_a_frame_with_its_last_byte() {
    for ((format, stream), frame) in streams().into_iter().zip([
        hex("fff16040017ffc01182007"),
        hex("56e00682008c100380"),
        mp3(),
        ac3(),
        eac3(),
        hex("7fe00388fffe"),
    ]) {
        let mut reader = AudioReader::new(format, None);
        push(&mut reader, unit(0, &stream));
        let (most, last) = frame.split_at(frame.len() - 1);
        assert_eq!(push(&mut reader, unit(1_000_000, most)), [], "{format:?}");
        // The start of another one is not waited for, nor does it disturb.
        let items = push(&mut reader, unit(None, &[last, &frame[..2]].concat()));
        assert_eq!(frames(&items).iter().map(|f| f.0).collect::<Vec<_>>(), [1_000_000], "{format:?}");
    }
}

#[test]
fn times_belong_to_the_first_frame_that_begins() {
    let stream = mp3().repeat(5);
    let mut reader = AudioReader::new(AudioFormat::Mpa, None);
    let mut items = push(&mut reader, unit(1_000, &stream[..100]));
    // Nothing begins in this one, and then its time is that of the frame after it.
    items.extend(push(&mut reader, unit(50_000, &stream[100..140])));
    items.extend(push(&mut reader, unit(None, &stream[140..150])));
    items.extend(push(&mut reader, unit(90_000, &stream[150..])));
    let times: Vec<_> = frames(&items).iter().map(|f| f.0).collect();
    assert_eq!(times, [1_000, 7_480, 50_000, 90_000, 96_480]);
}

#[test]
fn counts_samples_rather_than_ticks() {
    // 44.1 kHz: 1 152 samples are 2 351.02 ticks.
    let mut reader = AudioReader::new(AudioFormat::Mpa, None);
    let frame = filled("fffb9064", 417);
    let items = push(&mut reader, unit(0, &frame.repeat(1_000)));
    let times = frames(&items);
    assert_eq!(times[1].0, 2_351);
    assert_eq!(times[999].0, 2_348_669, "999 * 1 152 / 44 100 s = 2 348 669.39 ticks");
    let next = push(&mut reader, unit(2_351_021, &frame.repeat(2)));
    assert_eq!(frames(&next), [(2_351_021, 417), (2_353_372, 417)]);
}

#[test]
fn drops_frames_without_a_known_time() {
    let mut reader = AudioReader::new(AudioFormat::Ac3, None);
    assert_eq!(push(&mut reader, unit(None, &ac3().repeat(2))), []);
    let items = push(&mut reader, unit(90, &ac3()));
    assert_eq!((params(&items).len(), frames(&items)), (1, vec![(90, 128)]));
    assert_eq!(reader.damaged(), 0);
}

#[test]
fn finds_the_next_frame_behind_foreign_bytes() {
    for (format, stream) in streams() {
        let mut reader = AudioReader::new(format, None);
        let clean = push(&mut reader, unit(0, &stream));
        // The start of each frame is a sync word that nothing follows.
        let garbage = [&[0, 1, 2, 3][..], &stream[..6], &[0x47; 300]].concat();
        let items = push(&mut reader, unit(0, &[&garbage[..], &stream].concat()));
        assert_eq!(frames(&items), frames(&clean), "{format:?}");
        assert_eq!(params(&items), [], "{format:?}: still the same");
        assert_eq!(reader.damaged(), 1, "{format:?}: one run");
        let items = push(&mut reader, unit(0, &[&stream[3..], &stream].concat()));
        assert_eq!(frames(&items).len(), 2 * frames(&clean).len() - 1, "{format:?}: all but the first");
        assert_eq!(reader.damaged(), 2, "{format:?}");
    }
}

#[test]
fn gives_up_a_half_frame_when_bytes_were_lost() {
    let mut reader = AudioReader::new(AudioFormat::Ac3, None);
    let items = push(&mut reader, unit(0, &[&ac3()[..], &ac3()[..60]].concat()));
    assert_eq!(frames(&items).len(), 1);
    let lost = |unit| Unit { discontinuity: true, ..unit };
    let items = push(&mut reader, lost(unit(90_000, &[&ac3()[70..], &ac3()[..], &ac3()].concat())));
    assert_eq!(frames(&items), [(90_000, 128), (92_880, 128)]);
    assert_eq!(reader.damaged(), 1, "both ends of the gap are one");
    assert_eq!(push(&mut reader, lost(unit(None, &ac3().repeat(2)))), [], "when it is now is not known");
}

#[test]
fn tells_new_parameters() {
    let mut reader = AudioReader::new(AudioFormat::Mpa, None);
    let (mono, stereo) = (filled("fffb90c4", 417), filled("fffb9064", 417));
    let faster = filled("fffb9464", 384);
    let stream = [&mono[..], &mono, &stereo, &stereo, &faster, &faster].concat();
    let items = push(&mut reader, unit(0, &stream));
    let channels = |item: &Item| match item {
        Item::Params(Params::Audio(p)) => Some((p.channels, p.sample_rate)),
        _ => None,
    };
    let changes: Vec<_> = items.iter().filter_map(channels).collect();
    assert_eq!(changes, [(1, 44_100), (2, 44_100), (2, 48_000)]);
    assert!(matches!(items[3], Item::Params(_)), "in front of the third frame");
    assert_eq!(frames(&items)[4].0, 9_404);
    assert_eq!(frames(&items)[5].0, 9_404 + 2_160);
}

#[test]
fn reads_ac3_and_eac3_in_one_stream() {
    for format in [AudioFormat::Ac3, AudioFormat::Eac3] {
        let mut reader = AudioReader::new(format, None);
        let items = push(&mut reader, unit(0, &[ac3().repeat(2), eac3().repeat(2)].concat()));
        assert_eq!(params(&items), [("ac-3".to_owned(), 48_000), ("ec-3".to_owned(), 48_000)]);
        assert_eq!(frames(&items).len(), 4);
    }
}

#[test]
fn keeps_dependent_substreams_with_their_frame() {
    let main = eac3_frame(0, 0, 3, 7, 1, None);
    let rear = eac3_frame(1, 0, 3, 6, 0, Some(0x1a00));
    let other = [eac3_frame(0, 1, 3, 2, 0, None), eac3_frame(1, 0, 3, 6, 0, None)].concat();
    let both = [&main[..], &rear].concat();
    let mut reader = AudioReader::new(AudioFormat::Eac3, None);
    let items = push(&mut reader, unit(0, &[&both[..], &both, &other, &both].concat()));
    assert_eq!(frames(&items), [(0, 128), (2_880, 128), (5_760, 128)], "the second program is left out");
    assert!(matches!(&items[0], Item::Params(Params::Audio(p)) if p.channels == 8));
    // The reader knows that a dependent one follows.
    assert_eq!(push(&mut reader, unit(8_640, &main)), []);
    assert_eq!(frames(&push(&mut reader, unit(None, &rear))), [(8_640, 128)]);
    // Until it does not.
    let items = push(&mut reader, unit(11_520, &[&main[..], &main].concat()));
    assert_eq!((params(&items).len(), frames(&items)), (1, vec![(11_520, 64), (14_400, 64)]));
    // One that was not expected is lost, the next one is not.
    assert_eq!(push(&mut reader, unit(None, &rear)), []);
    assert_eq!(frames(&push(&mut reader, unit(17_280, &both))), [(17_280, 128)]);
    assert_eq!(reader.damaged(), 0);
}

#[test]
fn waits_for_a_latm_configuration() {
    let loas = hex(LOAS);
    let mut reader = AudioReader::new(AudioFormat::AacLatm, None);
    let items = push(&mut reader, unit(0, &loas[31..]));
    assert_eq!((items, reader.damaged()), (vec![], 0));
    let items = push(&mut reader, unit(5, &loas));
    assert_eq!((params(&items).len(), frames(&items).len()), (1, 4));
    let broken = hex("56e006 ff8c100380ff 56e00682008c100380");
    let items = push(&mut reader, unit(0, &broken));
    assert_eq!((frames(&items).len(), reader.damaged()), (1, 1), "the element is lost, its neighbour is not");
}

#[test]
fn keeps_little_of_what_never_ends() {
    let mut reader = AudioReader::new(AudioFormat::Opus { channels: 2 }, None);
    for _ in 0..1_500 {
        assert_eq!(push(&mut reader, unit(0, &[0xff; 100])), []);
        push(&mut reader, unit(1, &hex("7fe0ffffffffffffffffffffffffff00")));
        assert!(reader.carry.len() <= CARRY_BYTES_MAX && reader.anchors.len() <= CARRY_BYTES_MAX);
    }
    let mut reader = AudioReader::new(AudioFormat::Opus { channels: 2 }, None);
    push(&mut reader, unit(0, &[&hex("7fe0")[..], &[0xff; 300], &[0x00; 100]].concat()));
    assert!(reader.carry.len() < 3, "76 500 bytes are no packet");
    assert_eq!(reader.damaged(), 1);
}

#[test]
fn survives_broken_streams() {
    for (kind, (_, stream)) in (0..).zip(streams()) {
        for size in [20, 50, 200] {
            let pieces = stream.chunks(size).flat_map(|piece| {
                let len = u8::try_from(piece.len()).unwrap();
                [&[1, len][..], piece].concat()
            });
            let golden: Vec<u8> = std::iter::once(kind).chain(pieces).collect();
            broken(&golden, fuzz_audio::elementary_audio);
        }
    }
}
