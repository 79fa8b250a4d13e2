//! Streams that lost or changed bytes on the way.

use super::*;

const PIDS: [u16; 3] = [0x100, 0x101, 0x102];

/// The stream three times over, with counters that run on, so that there is enough of it to damage.
fn long() -> Vec<u8> {
    let mut counters = BTreeMap::<u16, u8>::new();
    let mut bytes = FFMPEG.repeat(3);
    for packet in bytes.chunks_mut(188) {
        let pid = u16::from_be_bytes([packet[1] & 0x1f, packet[2]]);
        if packet[3] & 0x10 != 0 {
            let counter = counters.entry(pid).or_default();
            packet[3] = packet[3] & 0xf0 | *counter;
            *counter = (*counter + 1) & 0xf;
        }
    }
    bytes
}

/// Payloads of one stream, the last one left out: nobody can know whether it is whole.
fn payloads(events: &[Event], pid: u16) -> Vec<Bytes> {
    let mut list = units(events).remove(&pid).unwrap_or_default();
    list.pop();
    list.into_iter().map(|u| u.payload).collect()
}

/// Whether `list` is what is left of `all` when some are taken out.
fn subsequence(list: &[Bytes], all: &[Bytes]) -> bool {
    let mut all = all.iter();
    list.iter().all(|unit| all.any(|other| other == unit))
}

#[test]
fn no_half_unit_comes_out_of_lost_packets() {
    let (whole, stream) = (events(&long()), long());
    for every in 2..40 {
        let kept = stream.chunks(188).enumerate().filter(|(i, _)| i % every != every - 1);
        let (found, stats) =
            events_of(Config::default(), &kept.flat_map(|(_, p)| p.to_vec()).collect::<Vec<_>>(), 1316);
        let mut fewer = 0;
        for pid in PIDS {
            let (list, all) = (payloads(&found, pid), payloads(&whole, pid));
            assert!(subsequence(&list, &all), "every {every}th packet lost, {pid:#x}");
            fewer += all.len() - list.len();
        }
        assert!(stats.lost_packets > 0, "{stats:?}");
        assert!(
            fewer > 0 && units(&found).values().flatten().any(|u| u.discontinuity),
            "{every}: it is told"
        );
    }
}

#[test]
fn everything_behind_the_damage_comes_out() {
    let (whole, stream) = (events(&long()), long());
    let third = FFMPEG.len();
    let mut random = 1u32;
    let mut next = move || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        usize::try_from(random >> 8).unwrap()
    };
    for round in 0..200 {
        let mut bytes = stream.clone();
        for _ in 0..=round % 7 {
            // Behind the first tables and before the last third.
            let at = 4 * 188 + next() % (2 * third - 8 * 188);
            match round % 3 {
                0 => bytes[at] ^= 1 << (next() % 8),
                1 => drop(bytes.drain(at..at + next() % 600)),
                _ => drop(bytes.splice(at..at, (0..next() % 300).map(|i| u8::try_from(i % 256).unwrap()))),
            }
        }
        let (found, _) = events_of(Config::default(), &bytes, 1316);
        for pid in PIDS {
            let (list, all) = (payloads(&found, pid), payloads(&whole, pid));
            // The last third but its first unit, which may have lost its beginning.
            let count = all.len() / 3 - 2;
            let tail = |list: &[Bytes]| list[list.len().saturating_sub(count)..].to_vec();
            assert_eq!(tail(&list), tail(&all), "round {round}, {pid:#x}");
        }
    }
}

#[test]
fn every_truncation_gives_a_beginning() {
    let whole = events(FFMPEG);
    for len in (0..FFMPEG.len()).step_by(61) {
        let (found, stats) = events_of(Config::default(), &FFMPEG[..len], 1000);
        for pid in PIDS {
            let (list, all) = (payloads(&found, pid), payloads(&whole, pid));
            assert!(list.len() <= all.len() && list[..] == all[..list.len()], "{len}");
        }
        assert_eq!((stats.lost_packets, stats.sync_losses), (0, 0), "{len}");
    }
}

proptest! {
    #[test]
    fn survives_any_change(
        changes in prop::collection::vec((0..FFMPEG.len(), any::<u8>()), 0..60),
        early in any::<bool>(),
        pes_bytes_max in prop_oneof![Just(0usize), 0..2000usize, Just(PES_BYTES_MAX)],
    ) {
        let mut bytes = FFMPEG.to_vec();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        let (found, stats) = events_of(Config { early, pes_bytes_max, program: None }, &bytes, 1316);
        let total: usize = units(&found).values().flatten().map(|u| u.payload.len()).sum();
        prop_assert!(total < bytes.len());
        prop_assert!(stats.packets <= 85);
        crate::fuzz_ts::ts_demux(&bytes);
    }
}
