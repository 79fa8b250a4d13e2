//! The rules about DASH: manifests, their updates, and segments against them.

use crate::report::rules;

rules! {
    UNREADABLE: "DASH-0", Error,
        "the manifest can be fetched and read",
        "ISO/IEC 23009-1 §5.2",
        "look at the answer with a browser: an error page, a cut body or broken XML looks like this";
    SCHEMA: "DASH-1", Error,
        "the manifest has the attributes, their forms and the order of elements of the schema",
        "ISO/IEC 23009-1 §5.3, annex B",
        "add or correct the attribute, or move the element to its place";
    NO_START: "DASH-2", Error,
        "a dynamic manifest has availabilityStartTime",
        "ISO/IEC 23009-1 §5.3.1.2",
        "write the wall clock time at which the presentation began, and never change it";
    NO_PUBLISH_TIME: "DASH-2a", Warning,
        "a dynamic manifest has publishTime",
        "ISO/IEC 23009-1 §5.3.1.2, DASH-IF IOP 4.3 §4.2.2",
        "write the time at which this version of the manifest was made";
    NO_UPDATES: "DASH-2b", Warning,
        "a live manifest with a time line has minimumUpdatePeriod",
        "ISO/IEC 23009-1 §5.3.1.2",
        "without it players never ask again";
    PUBLISH_TIME: "DASH-3", Error,
        "publishTime never goes back, and grows when the manifest changes",
        "ISO/IEC 23009-1 §5.3.1.2",
        "take it from the last change of the manifest, on every server alike";
    CONSTANT: "DASH-3a", Error,
        "availabilityStartTime and the starts of known periods never change",
        "ISO/IEC 23009-1 §5.4",
        "derive them from the stream, not from the request";
    NO_CLOCK: "DASH-4", Warning,
        "a dynamic manifest names a clock (UTCTiming)",
        "ISO/IEC 23009-1 §5.8.4.11, DASH-IF IOP 4.3 §4.7.3",
        "add UTCTiming, for example urn:mpeg:dash:utc:http-iso:2014";
    CLOCK_OFF: "DASH-4a", Error,
        "the clock of the manifest is within 2 s of the right time",
        "ISO/IEC 23009-1 §5.8.4.11",
        "synchronize the server's clock; send utc:direct only in answers that are not cached";
    OVERLAP: "DASH-5", Error,
        "a SegmentTimeline goes forward without overlaps",
        "ISO/IEC 23009-1 §5.3.9.6.1",
        "let each S begin where the one before ends";
    HOLE: "DASH-5a", Warning,
        "a SegmentTimeline has no gaps",
        "ISO/IEC 23009-1 §5.3.9.6.1, DASH-IF IOP 4.3 §3.2.7",
        "fill the gap, or begin a new period";
    NO_SEGMENTS: "DASH-5b", Error,
        "every representation lists segments and how to name them",
        "ISO/IEC 23009-1 §5.3.9",
        "give SegmentTemplate a media attribute and a duration or a SegmentTimeline";
    NOT_THERE: "DASH-6", Error,
        "a listed segment can be fetched between its availability start and end",
        "ISO/IEC 23009-1 §5.3.9.5.3",
        "list a segment when it can be served, and keep it for timeShiftBufferDepth and its own length";
    TOO_EARLY: "DASH-6a", Error,
        "a time line lists no segment long before its availability",
        "ISO/IEC 23009-1 §5.3.9.5.3",
        "availabilityStartTime or availabilityTimeOffset does not fit the time line";
    STALE: "DASH-6b", Warning,
        "the newest listed segment is not much older than now",
        "ISO/IEC 23009-1 §5.3.9.5.3, DASH-IF IOP 4.3 §4.3.2",
        "availabilityStartTime runs behind the media, the encoder stands still, or a cache holds the manifest";
    START: "DASH-7", Error,
        "the media of a segment begins at the time that the manifest says",
        "ISO/IEC 23009-1 §5.3.9.6, §7.2.1; DASH-IF IOP 4.3 §3.2.7.1",
        "make t (less presentationTimeOffset) the tfdt or the earliest presentation time of the segment";
    DURATION: "DASH-8", Error,
        "the media of a segment lasts as long as the manifest says",
        "ISO/IEC 23009-1 §5.3.9.6",
        "take d from the samples";
    SAME_ID: "DASH-9", Error,
        "ids of representations are unique in a period",
        "ISO/IEC 23009-1 §5.3.5.2",
        "rename one";
    CODECS: "DASH-10", Error,
        "codecs, mimeType and size of a representation are those of its initialization segment",
        "ISO/IEC 23009-1 §5.3.7.2, RFC 6381",
        "derive them from the decoder configuration";
    BANDWIDTH: "DASH-11", Warning,
        "after minBufferTime a line of the stated bandwidth delivers every segment in time",
        "ISO/IEC 23009-1 §5.3.5.4",
        "state the peak bit rate, or raise minBufferTime";
    DEPTH: "DASH-12", Warning,
        "no segments are listed that left the time shift buffer",
        "ISO/IEC 23009-1 §5.3.1.2",
        "remove what ended more than timeShiftBufferDepth ago";
    DELAY: "DASH-13", Warning,
        "a dynamic manifest suggests a delay that players can keep",
        "ISO/IEC 23009-1 §5.3.1.2, annex K; DASH-IF IOP 4.3 §4.3.3.2",
        "set suggestedPresentationDelay or Latency@target within the time shift buffer";
    EARLY_OFFSET: "DASH-13a", Error,
        "availabilityTimeComplete is false exactly with an offset below the segment length",
        "ISO/IEC 23009-1 §5.3.9.5.3, DASH-IF low latency §9.X.4",
        "set availabilityTimeOffset to the segment length less one chunk";
    NOT_CHUNKED: "DASH-14", Error,
        "with availabilityTimeComplete=false a segment consists of several chunks",
        "ISO/IEC 23009-1 §5.3.9.5.3, annex K; ISO/IEC 23000-19 §7.3.2.3",
        "package in chunks, or announce whole segments";
    AT_ONCE: "DASH-14a", Warning,
        "a segment asked for before it is complete arrives while it is made",
        "DASH-IF low latency §9.X.4.2",
        "send chunks as they are made (chunked transfer encoding or HTTP/2 DATA frames)";
    CHANGED: "DASH-15", Error,
        "a segment that was listed when it was complete keeps its number, length and address",
        "ISO/IEC 23009-1 §5.4",
        "derive numbers and times from the media, not from the window";
    BYTES_CHANGED: "DASH-15a", Error,
        "an address means the same bytes for ever",
        "ISO/IEC 23009-1 §5.4, RFC 9111 §4",
        "give new media a new name";
    ALIGNMENT: "DASH-16", Error,
        "with segmentAlignment the segments of all representations of a set begin and end together",
        "ISO/IEC 23009-1 §5.3.3.2",
        "cut all renditions at the same times, or leave the attribute out";
    MIME: "DASH-17", Warning,
        "manifests are application/dash+xml, segments video/mp4 or audio/mp4",
        "ISO/IEC 23009-1 annex C, RFC 4337",
        "set Content-Type";
    CORS: "DASH-18", Warning,
        "everything may be read by a page of another origin",
        "Fetch standard §3.2",
        "send Access-Control-Allow-Origin: *";
    MANIFEST_CACHED: "DASH-19", Warning,
        "a live manifest is cached for no longer than minimumUpdatePeriod",
        "RFC 9111 §5.2.2.1, DASH-IF IOP 4.3 §4.4.3",
        "send Cache-Control: max-age of at most minimumUpdatePeriod";
    SEGMENT_UNCACHED: "DASH-19a", Warning,
        "segments may be cached",
        "RFC 9111 §5.2.2",
        "send Cache-Control: max-age of at least the time shift buffer";
    PERIODS: "DASH-20", Error,
        "each period begins where the one before ends",
        "ISO/IEC 23009-1 §5.3.2.1",
        "let Period@start be the start of the one before and its duration";
    PERIOD_ID: "DASH-20a", Error,
        "periods of a dynamic manifest have ids, each once",
        "ISO/IEC 23009-1 §5.3.2.2",
        "add Period@id";
    MEDIA_UNREADABLE: "DASH-22", Error,
        "segments and initialization segments can be read",
        "ISO/IEC 14496-12 §4.2, ISO/IEC 23009-1 §6.3",
        "compare the bytes served with what the packager wrote";
    BREAK: "DASH-23", Error,
        "the media of a segment continues that of the one before",
        "ISO/IEC 23009-1 §4.5.1, §7.2.1",
        "repair the time stamps, or begin a new period";
    SAP: "DASH-24", Error,
        "with startWithSAP every segment begins with a picture that decodes alone",
        "ISO/IEC 23009-1 §5.3.7.2",
        "cut segments at key frames, or leave the attribute out";
    EVENTS: "DASH-26", Warning,
        "schemes of event messages in the media are declared (InbandEventStream)",
        "ISO/IEC 23009-1 §5.10.3.3.1",
        "add InbandEventStream to the adaptation set";
    PRODUCER_TIME: "DASH-27", Warning,
        "a low-latency service says when media was captured (ProducerReferenceTime, prft)",
        "ISO/IEC 23009-1 §5.12, annex K.3.2",
        "add prft to the segments and ProducerReferenceTime to the adaptation set";
}
