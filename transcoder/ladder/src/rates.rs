//! Bit rates by table.

use nx_media::VideoCodec;

/// Of AAC, for each loudspeaker.
pub(crate) const AAC_CHANNEL_BPS: u32 = 64_000;

/// Pixels of 16:9, and what they need as H.264 at up to 30 frames per second.
const TABLE: [(u32, u32); 7] = [
    (426 * 240, 350_000),
    (640 * 360, 700_000),
    (854 * 480, 1_200_000),
    (1280 * 720, 2_800_000),
    (1920 * 1080, 5_000_000),
    (2560 * 1440, 9_000_000),
    (3840 * 2160, 16_000_000),
];
const LEAST_BPS: u64 = 50_000;

/// Of a picture of any size: between two of the table in proportion to its pixels, rounded to 10 kbit/s.
pub(crate) fn bitrate_bps(codec: VideoCodec, width: u16, height: u16, fast: bool) -> u32 {
    let pixels = u64::from(width) * u64::from(height);
    let (mut below, mut above) = ((0, 0), (0, 0));
    for (size, rate) in TABLE.map(|(size, rate)| (u64::from(size), u64::from(rate))) {
        (below, above) = (above, (size, rate));
        if size >= pixels {
            break;
        }
    }
    // Larger than the table: as its last two go on.
    let slope = |n: u64| (above.1 - below.1) * n / (above.0 - below.0);
    let avc = below.1 + slope(pixels.saturating_sub(below.0));
    let percent = match codec {
        VideoCodec::Hevc => 65,
        VideoCodec::Av1 => 50,
        _ => 100,
    };
    let percent = if fast { percent * 3 / 2 } else { percent };
    let bps = (avc * percent / 100).next_multiple_of(10_000).max(LEAST_BPS);
    u32::try_from(bps).unwrap_or(u32::MAX)
}
