//! A small demultiplexer checks every packet and gives the elementary streams back.

use std::collections::BTreeMap;

use bytes::Bytes;

use nx_codec::avc;

use super::super::wire::crc;
use super::*;
use crate::testing::{Media, TINY, media};

mod codecs;

/// One reassembled PES packet.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pes {
    pts: u64,
    dts: u64,
    pcr: Option<u64>,
    random_access: bool,
    data: Vec<u8>,
}

/// Bytes of a PES packet, its PCR, whether decoding can start there.
type RawPes = (Vec<u8>, Option<u64>, bool);

/// The streams of some segments, and the next counter of each packet id.
#[derive(Default)]
struct Demux {
    counters: BTreeMap<u16, u8>,
    streams: BTreeMap<u16, Vec<RawPes>>,
    pcrs: Vec<u64>,
    sections: Vec<(u16, Vec<u8>)>,
}

impl Demux {
    fn feed(&mut self, segment: &[u8]) {
        assert!(segment.len().is_multiple_of(PACKET_LEN));
        for packet in segment.chunks(PACKET_LEN) {
            self.packet(packet);
        }
    }

    fn packet(&mut self, packet: &[u8]) {
        assert_eq!(packet[0], 0x47, "sync byte");
        assert_eq!(packet[1] & 0xa0, 0, "no error, no priority");
        assert_eq!(packet[3] & 0xd0, 0x10, "clear, with payload");
        let pid = u16::from_be_bytes([packet[1] & 0x1f, packet[2]]);
        let expected = self.counters.entry(pid).or_insert(packet[3] & 0xf);
        assert_eq!(*expected, packet[3] & 0xf, "continuity of {pid:#x}");
        *expected = (*expected + 1) % 16;
        let (mut at, mut pcr, mut random_access) = (4, None, false);
        if packet[3] & 0x20 != 0 {
            let len = usize::from(packet[4]);
            at = 5 + len;
            assert!(at < PACKET_LEN, "room for payload");
            let flags = if len > 0 { packet[5] } else { 0 };
            random_access = flags & 0x40 != 0;
            let used = if flags & 0x10 != 0 {
                let base =
                    u64::from_be_bytes([0, 0, packet[6], packet[7], packet[8], packet[9], packet[10], 0]);
                pcr = Some(base >> 15);
                assert_eq!(u16::from_be_bytes([packet[10], packet[11]]) & 0x7fff, 0x7e00, "PCR extension");
                7
            } else {
                len.min(1)
            };
            assert!(packet[5 + used..at].iter().all(|b| *b == 0xff), "stuffing");
        }
        self.pcrs.extend(pcr);
        let (start, payload) = (packet[1] & 0x40 != 0, &packet[at..]);
        if pid == 0 || pid == PMT_PID {
            assert!(start && payload[0] == 0);
            let len = usize::from(u16::from_be_bytes([payload[2] & 0xf, payload[3]]));
            let section = &payload[1..4 + len];
            assert_eq!(crc(section), 0, "CRC");
            assert!(payload[4 + len..].iter().all(|b| *b == 0xff), "section stuffing");
            self.sections.push((pid, section[..len - 1].to_vec()));
        } else if start {
            self.streams.entry(pid).or_default().push((payload.to_vec(), pcr, random_access));
        } else {
            self.streams.get_mut(&pid).unwrap().last_mut().unwrap().0.extend_from_slice(payload);
        }
    }

    fn pes(&self, pid: u16) -> Vec<Pes> {
        let Some(list) = self.streams.get(&pid) else { return vec![] };
        list.iter().map(|(bytes, pcr, random_access)| pes(bytes, *pcr, *random_access)).collect()
    }
}

fn pes(bytes: &[u8], pcr: Option<u64>, random_access: bool) -> Pes {
    assert_eq!(bytes[..3], [0, 0, 1]);
    let len = usize::from(u16::from_be_bytes([bytes[4], bytes[5]]));
    assert!(len == bytes.len() - 6 || (len == 0 && bytes[3] == 0xe0), "PES length");
    let (pts, dts) = (time(bytes, 9), pes_dts(bytes));
    let data = bytes[9 + usize::from(bytes[8])..].to_vec();
    Pes { pts, dts, pcr, random_access, data }
}

/// NAL units of a byte stream that uses 4-byte start codes.
fn annex_b(data: &[u8]) -> Vec<Vec<u8>> {
    let starts: Vec<_> = (0..data.len()).filter(|i| data[*i..].starts_with(&[0, 0, 0, 1])).collect();
    let ends = starts.iter().skip(1).copied().chain([data.len()]);
    starts.iter().zip(ends).map(|(s, e)| data[s + 4..e].to_vec()).collect()
}

/// Both tracks of the file in one segment.
fn both(media: &Media, number: u64) -> Bytes {
    let audio = [(&media.audio, &media.audio_samples[..])];
    let video = Some((&media.video, &media.video_samples[..]));
    segment(&Tracks { video, audio: &audio }, number).unwrap()
}

#[test]
fn carries_every_sample_unchanged() {
    let media = media(TINY);
    let mut demux = Demux::default();
    demux.feed(&both(&media, 0));
    let video = demux.pes(VIDEO_PID);
    assert_eq!(video.len(), media.video_samples.len());
    let sets = avc::parameter_sets(&media.video.config).unwrap();
    for (pes, sample) in video.iter().zip(&media.video_samples) {
        assert_eq!((pes.pts, pes.dts), (ticks(sample.pts), ticks(sample.dts)));
        assert_eq!(pes.pcr, Some(ticks(sample.dts) - 45_000));
        assert_eq!(pes.random_access, sample.key);
        let mut want = vec![vec![9, 0xf0]];
        if sample.key {
            want.extend([sets.sps[0].to_vec(), sets.pps[0].to_vec()]);
        }
        want.extend(avc::nals(&sample.payload).map(<[u8]>::to_vec));
        assert_eq!(annex_b(&pes.data), want);
    }
    let audio = demux.pes(AUDIO_PID);
    let adts: Vec<u8> = audio.iter().flat_map(|p| p.data.clone()).collect();
    let want: Vec<u8> = (media.audio_samples.iter())
        .flat_map(|s| {
            let header = nx_codec::aac::adts_header(&media.audio, s.payload.len()).unwrap();
            [&header[..], &s.payload].concat()
        })
        .collect();
    assert_eq!(adts, want);
    assert!(audio.len() <= media.audio_samples.len().div_ceil(4) && audio.iter().all(|p| p.pcr.is_none()));
    assert_eq!(audio[1].pts, 90_000 + 4 * 1920, "four frames of 21.3 ms fit 100 ms");
}

fn ticks(time: i64) -> u64 {
    u64::try_from(time + TIME_OFFSET_90K).unwrap()
}

#[test]
fn counters_run_on_through_independent_segments() {
    let media = media(TINY);
    let mut demux = Demux::default();
    for (at, video) in (14_u8..).zip(media.video_samples.chunks(5).cycle().take(8)) {
        let audio = &media.audio_samples[..usize::from(at)];
        let audio = [(&media.audio, audio)];
        let tracks = Tracks { video: Some((&media.video, video)), audio: &audio };
        let bytes = segment(&tracks, at.into()).unwrap();
        assert_eq!(segment(&tracks, at.into()).unwrap(), bytes, "same input, same bytes");
        demux.feed(&bytes);
    }
    assert_eq!(demux.counters[&VIDEO_PID], 0);
    assert_eq!(demux.counters[&AUDIO_PID], 0);
}

#[test]
fn any_size_ends_on_a_round_number_of_packets() {
    let media = media(TINY);
    let mut sample = media.video_samples[1].clone();
    for len in 0..3_200_u32 {
        sample.payload = [&len.to_be_bytes()[..], &vec![0x41; len as usize]].concat().into();
        let list = [sample.clone()];
        let tracks = Tracks { video: Some((&media.video, &list)), audio: &[] };
        let bytes = segment(&tracks, 3).unwrap();
        assert_eq!((bytes.len() / PACKET_LEN - 2) % 16, 0, "{len}");
        let mut demux = Demux::default();
        demux.feed(&bytes);
        let nals = annex_b(&demux.pes(VIDEO_PID)[0].data);
        assert_eq!(nals.get(1).map_or(0, Vec::len), len as usize, "{len}");
    }
}

#[test]
fn tables_name_the_streams() {
    let media = media(TINY);
    let pmt = |tracks: &Tracks<'_>| {
        let mut demux = Demux::default();
        demux.feed(&segment(tracks, 5).unwrap());
        assert_eq!(demux.sections[0], (0, vec![0, 0xb0, 13, 0, 1, 0xc1, 0, 0, 0, 1, 0xf0, 0]));
        assert!(demux.pcrs.is_sorted());
        let (pid, section) = demux.sections[1].clone();
        assert_eq!((pid, demux.counters[&0]), (PMT_PID, 6));
        (section[8..].to_vec(), demux.pcrs.len())
    };
    let sound = [(&media.audio, &media.audio_samples[..])];
    let both = Tracks { video: Some((&media.video, &media.video_samples)), audio: &sound };
    let (video, audio) = ([0x1b, 0xe1, 0, 0xf0, 0], [0x0f, 0xe1, 1, 0xf0, 0]);
    assert_eq!(pmt(&both), ([&[0xe1, 0, 0xf0, 0], &video[..], &audio].concat(), media.video_samples.len()));
    let alone = Tracks { video: None, ..both };
    let audio_pes = media.audio_samples.len().div_ceil(4);
    assert_eq!(pmt(&alone), ([&[0xe1, 1, 0xf0, 0], &audio[..]].concat(), audio_pes));
    assert_eq!(pmt(&Tracks::default()), (vec![0xff, 0xff, 0xf0, 0], 0));
}

#[test]
fn parameter_sets_and_delimiters_are_not_doubled() {
    let media = media(TINY);
    let idr = avc::nals(&media.video_samples[0].payload).find(|n| avc::nal_type(n) == 5).unwrap();
    for (name, units, want) in [
        ("plain", vec![idr], vec![9, 7, 8, 5]),
        ("own delimiter", vec![&[9, 0x10], idr], vec![9, 7, 8, 5]),
        ("own sets", vec![&[0x67, 1], &[0x68, 1], idr], vec![9, 7, 8, 5]),
        ("only an SPS", vec![&[0x67, 1], idr], vec![9, 7, 8, 7, 5]),
    ] {
        let payload: Vec<u8> = (units.iter())
            .flat_map(|n| [&u32::try_from(n.len()).unwrap().to_be_bytes()[..], n].concat())
            .collect();
        let list = [Sample { payload: payload.into(), ..media.video_samples[0].clone() }];
        let mut demux = Demux::default();
        demux.feed(&segment(&Tracks { video: Some((&media.video, &list)), audio: &[] }, 0).unwrap());
        let types: Vec<_> = annex_b(&demux.pes(VIDEO_PID)[0].data).iter().map(|n| avc::nal_type(n)).collect();
        assert_eq!(types, want, "{name}");
    }
}

#[test]
fn times_wrap_at_33_bits_and_gaps_split_audio() {
    let media = media(TINY);
    let at = |dts, pts| Sample { dts, pts, ..media.video_samples[0].clone() };
    let list = [at(-TIME_OFFSET_90K, 0), at((1 << 33) - 90_000 - 1, (1 << 33) - 90_000), at(1 << 40, 5)];
    let gap = |dts| Sample { dts, pts: dts, ..media.audio_samples[0].clone() };
    let sound = [gap(0), gap(1024), gap(3000)];
    let audio = [(&media.audio, &sound[..])];
    let tracks = Tracks { video: Some((&media.video, &list)), audio: &audio };
    let mut demux = Demux::default();
    demux.feed(&segment(&tracks, 0).unwrap());
    let video = demux.pes(VIDEO_PID);
    assert_eq!((video[0].dts, video[0].pts), (0, 90_000));
    assert_eq!(video[0].pcr, Some((1 << 33) - 45_000), "before zero it wraps");
    assert_eq!((video[1].dts, video[1].pts), ((1 << 33) - 1, 0));
    assert_eq!((video[2].dts, video[2].pts), (90_005, 90_005), "decode time is pulled down");
    let times: Vec<_> = demux.pes(AUDIO_PID).iter().map(|p| p.pts).collect();
    assert_eq!(times, [90_000, 90_000 + 5625]);
}

#[test]
fn says_what_does_not_fit() {
    let media = media(TINY);
    let list = [Sample { payload: Bytes::from_static(b"\0\0\0\x09x"), ..media.video_samples[0].clone() }];
    let broken = segment(&Tracks { video: Some((&media.video, &list)), audio: &[] }, 0);
    assert!(matches!(broken, Err(TsError::Video(AvcError::Truncated { .. }))), "{broken:?}");
    let list = [Sample { payload: vec![0; 9000].into(), ..media.audio_samples[0].clone() }];
    let long = segment(&Tracks { video: None, audio: &[(&media.audio, &list)] }, 0);
    assert!(matches!(long, Err(TsError::Audio(AacError::FrameTooLong { .. }))), "{long:?}");
}

#[test]
fn interleaves_by_decode_time_in_one_allocation() {
    let media = media(TINY);
    let audio = [(&media.audio, &media.audio_samples[..])];
    let tracks = Tracks { video: Some((&media.video, &media.video_samples)), audio: &audio };
    let bytes = segment(&tracks, 0).unwrap();
    assert!(bytes.len() <= capacity(&tracks), "the estimate holds");
    let mut last = ticks(0);
    for packet in bytes.chunks(PACKET_LEN).filter(|p| p[1] & 0x40 != 0).skip(2) {
        let at = if packet[3] & 0x20 != 0 { 5 + usize::from(packet[4]) } else { 4 };
        let dts = pes_dts(&packet[at..]);
        assert!(dts >= last, "{dts} after {last}");
        last = dts;
    }
}

fn pes_dts(bytes: &[u8]) -> u64 {
    time(bytes, if bytes[7] == 0xc0 { 14 } else { 9 })
}

fn time(bytes: &[u8], at: usize) -> u64 {
    assert_eq!((bytes[at] & 1, bytes[at + 2] & 1, bytes[at + 4] & 1), (1, 1, 1), "markers");
    let n = |i: usize| u64::from(bytes[at + i]);
    ((n(0) >> 1) & 7) << 30 | n(1) << 22 | (n(2) >> 1) << 15 | n(3) << 7 | n(4) >> 1
}
