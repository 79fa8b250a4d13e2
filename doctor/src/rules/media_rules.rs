//! The rules about what is inside of segments and parts.

use crate::report::rules;

rules! {
    UNREADABLE: "MEDIA-0", Error,
        "segments, parts and initialization segments can be read",
        "ISO/IEC 14496-12 §4.2, ISO/IEC 13818-1 §2.4, RFC 8216 §3",
        "compare the bytes served with what the packager wrote: a cut or mixed-up body looks like this";
    NOT_INDEPENDENT: "MEDIA-1", Error,
        "with EXT-X-INDEPENDENT-SEGMENTS every segment begins with a picture that decodes alone",
        "RFC 8216bis §4.4.2.1, Apple authoring 7.4",
        "cut segments at IDR (H.264) or IRAP (H.265) pictures, or leave the tag out";
    STARTS_LATE: "MEDIA-1a", Warning,
        "every segment with pictures begins with one that decodes alone",
        "Apple authoring 7.4",
        "make the encoder's key frame interval divide the segment length";
    KEYS_RARE: "MEDIA-1b", Warning,
        "a key frame comes at least every 2 s",
        "Apple authoring 1.13",
        "set the encoder's key frame interval to 2 s or less";
    FALSE_SYNC: "MEDIA-1c", Error,
        "what is marked as a sync sample is an IDR or IRAP picture",
        "ISO/IEC 14496-12 §8.6.2, 14496-15 §6.2",
        "take the sync flags from the NAL units";
    OVER_TARGET: "MEDIA-2", Error,
        "no segment lasts longer than EXT-X-TARGETDURATION by more than 0.5 s",
        "RFC 8216bis §4.4.3.1, Apple authoring 7.7",
        "raise the target duration at the start of the stream, or cut in time even without a key frame";
    EXTINF_DRIFT: "MEDIA-3", ErrorInLl,
        "over any run of segments the sum of EXTINF is within one frame of the real duration",
        "RFC 8216bis §4.4.4.1, Apple authoring 8.1",
        "take EXTINF from the samples, with at least millisecond decimals";
    GAP: "MEDIA-4", Error,
        "each segment continues the time of the one before unless there is a discontinuity",
        "RFC 8216 §3, Apple authoring 7.3",
        "repair the time stamps, or mark the break with EXT-X-DISCONTINUITY";
    JITTER: "MEDIA-4a", Warning,
        "the decode time of a segment is exactly the end of the one before",
        "RFC 8216 §3, ISO/IEC 14496-12 §8.8.12",
        "let each sample end where the next begins, and sum up ticks instead of rounded times";
    NO_TFDT: "MEDIA-4b", Error,
        "every track fragment has a tfdt",
        "RFC 8216bis §3.1.2, ISO/IEC 23000-19 §7.5.16",
        "write a tfdt into each traf";
    CONTINUITY: "MEDIA-4c", Error,
        "transport stream continuity counters count on, inside and across segments",
        "RFC 8216 §3, ISO/IEC 13818-1 §2.4.3.3",
        "keep the counters between segments, or fill each segment up to a multiple of 16 packets per PID";
    BACKWARDS: "MEDIA-4d", Error,
        "decode times in a segment only grow",
        "ISO/IEC 13818-1 §2.4.3.7",
        "repair the time stamps before the muxer";
    NO_TABLES: "MEDIA-4e", Error,
        "a transport stream segment begins with the tables of one program",
        "RFC 8216 §3.2",
        "write PAT and PMT at the start of each segment";
    AUDIO_COUNT: "MEDIA-5", Error,
        "a segment holds at most one audio stream",
        "RFC 8216bis §3.1, Apple authoring 2.17",
        "give each audio stream its own rendition";
    HEVC_IN_TS: "MEDIA-5a", Error,
        "H.265 comes in fragmented MP4 only",
        "Apple authoring 1.5",
        "package H.265 as CMAF";
    IN_BAND: "MEDIA-5b", Warning,
        "parameter sets are in the sample description (avc1, hvc1)",
        "Apple authoring 1.10",
        "use avc1 or hvc1 with parameter sets in the decoder configuration";
    TOO_FAST: "MEDIA-6", Warning,
        "at most 60 frames a second",
        "Apple authoring 1.19",
        "lower the frame rate for this variant";
    TOO_HIGH: "MEDIA-6a", Warning,
        "H.264 up to High 5.2, H.265 up to Main10 5.1",
        "Apple authoring 1.3b, 1.6b",
        "lower profile or level, or add a variant below";
    INTERLACED: "MEDIA-6b", Warning,
        "pictures are progressive",
        "Apple authoring 1.14",
        "deinterlace before the encoder";
    PICTURE_SIZE: "MEDIA-6c", Error,
        "the sample entry names the picture size that the bitstream has",
        "ISO/IEC 14496-12 §12.1.3",
        "write width and height from the sequence parameter set";
    NO_MAP: "MEDIA-7", Error,
        "fragmented MP4 segments have an EXT-X-MAP",
        "RFC 8216 §3.3, Apple authoring 8.20",
        "name the initialization segment with EXT-X-MAP";
    PATTERN: "MEDIA-7a", Warning,
        "cbcs encryption of pictures has the pattern 1:9",
        "Apple authoring 13.7",
        "encrypt one block in ten";
    CODECS: "MEDIA-23", Error,
        "CODECS names what is in the bitstream",
        "RFC 8216bis §4.4.6.2, RFC 6381",
        "derive CODECS from the decoder configuration, not from what the encoder was asked for";
    CODECS_MISSING: "MEDIA-23a", Error,
        "CODECS names every format of the variant",
        "RFC 8216bis §4.4.6.2",
        "list the codecs of all renditions that the variant may play with";
    PART_DURATION: "MEDIA-35", Error,
        "the DURATION of a part is that of its samples, within one frame",
        "RFC 8216bis §4.4.4.9",
        "take the duration from the samples of the part";
    PART_OVER_TARGET: "MEDIA-35a", Error,
        "no part lasts longer than PART-TARGET",
        "RFC 8216bis §4.4.3.7",
        "close a part before the frame that would exceed the target";
    PARTS_SUM: "MEDIA-36", Error,
        "the parts of a segment last as long as its EXTINF, within one frame",
        "RFC 8216bis §4.4.4.9",
        "compute EXTINF and part durations from the same samples";
    PARTS_DIFFER: "MEDIA-45", Error,
        "the parts of a segment, one after another, are the segment",
        "RFC 8216bis §4.4.4.9",
        "build the segment from the bytes of its parts";
    FALSE_INDEPENDENT: "MEDIA-46", Error,
        "a part with INDEPENDENT=YES begins with a picture that decodes alone",
        "RFC 8216bis §4.4.4.9",
        "set INDEPENDENT from the first sample of the part";
    HIDDEN_INDEPENDENT: "MEDIA-46a", Warning,
        "a part that contains a picture that decodes alone at its start says INDEPENDENT=YES",
        "RFC 8216bis §4.4.4.9",
        "set INDEPENDENT from the first sample of the part";
    FIRST_DEPENDS: "MEDIA-46b", Warning,
        "the first part of a segment is independent",
        "Apple authoring 7.4",
        "cut segments at key frames";
    IFRAME: "MEDIA-8", Error,
        "what an I-frame playlist names is a moof with one picture that decodes alone",
        "RFC 8216bis §4.4.3.6, Apple authoring 6.10",
        "let the byte range begin at the moof";
}
