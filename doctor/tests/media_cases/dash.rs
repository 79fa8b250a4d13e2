//! A clean live presentation in low latency, and what is done to it.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use nx_doctor::dash::DashJudge;
use nx_doctor::evidence::Role;
use nx_doctor::report::{Profile, Report};

use crate::support::{Folder, SOURCE, fetch, run};

const BASE: &str = "http://host/live/";
/// 2026-01-01T00:00:00Z
const START_S: f64 = 1_767_225_600.0;

/// One damage.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) rule: &'static str,
    pub(crate) damage: fn(&mut Dash),
}

/// What a watcher has of a presentation.
#[derive(Debug, Clone)]
pub(crate) struct Dash {
    mpd: String,
    /// A second manifest, 1 s later.
    update: Option<String>,
    manifest_headers: Vec<(&'static str, String)>,
    segment_headers: Vec<(&'static str, String)>,
    /// Status and bytes by address.
    files: BTreeMap<String, (u16, Vec<u8>)>,
    /// Seconds after the start of the presentation when the manifest is read.
    now_s: f64,
    arrivals: u32,
    /// Every address once more at the end, with this added to its bytes.
    again: Option<u8>,
}

pub(crate) fn clean() -> Dash {
    static MADE: OnceLock<Dash> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = Folder::new("dash");
        let chunks = "-f dash -seg_duration 1 -streaming 1 -ldash 1 -frag_type duration -frag_duration 0.25 \
            -adaptation_sets";
        run(&folder.0, "ffmpeg", &format!("{SOURCE} -an {chunks} id=0,streams=v m.mpd"));
        let made = folder.text("m.mpd");
        let (_, set) = made.split_once("<Period").expect("a period");
        let (_, set) = set.split_once("<AdaptationSet").expect("a set");
        let set = set
            .replace(
                "<Representation",
                "<ProducerReferenceTime id=\"0\" wallClockTime=\"2026-01-01T00:00:00Z\" \
                    presentationTime=\"0\"/>\n<Representation",
            )
            .replace("startNumber", "availabilityTimeOffset=\"0.75\" availabilityTimeComplete=\"false\" startNumber");
        let mpd = format!(
            "<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" profiles=\"urn:mpeg:dash:profile:isoff-live:2011\"\n \
                type=\"dynamic\" availabilityStartTime=\"2026-01-01T00:00:00Z\"\n \
                publishTime=\"2026-01-01T00:00:08.5Z\" minimumUpdatePeriod=\"PT1S\" minBufferTime=\"PT2S\"\n \
                timeShiftBufferDepth=\"PT30S\" suggestedPresentationDelay=\"PT3S\">\n\
            <Period id=\"0\" start=\"PT0S\">\n<AdaptationSet{}</Period>\n\
            <UTCTiming schemeIdUri=\"urn:mpeg:dash:utc:direct:2014\" value=\"2026-01-01T00:00:08.5Z\"/>\n</MPD>\n",
            set.split_once("</Period>").expect("the end of the period").0
        );
        let names = std::fs::read_dir(&folder.0).expect("a folder");
        let names = names.map(|e| e.expect("a file").file_name().into_string().expect("a plain name"));
        let files = names.map(|n| (format!("{BASE}{n}"), (200, folder.read(&n)))).collect();
        let headers = |mime: &str, age: u32| {
            vec![
                ("content-type", mime.to_owned()),
                ("access-control-allow-origin", "*".to_owned()),
                ("cache-control", format!("max-age={age}")),
            ]
        };
        Dash {
            mpd,
            update: None,
            manifest_headers: headers("application/dash+xml", 1),
            segment_headers: headers("video/mp4", 60),
            files,
            now_s: 8.6,
            arrivals: 4,
            again: None,
        }
    })
    .clone()
}

pub(crate) fn judge(stream: &Dash) -> Report {
    let mut report = Report::new(Profile::Dash, vec![]);
    let mut judge = DashJudge::new(START_S);
    let url = format!("{BASE}m.mpd");
    let manifest = |text: &str, at_s: f64| {
        fetch(&url, Role::Manifest, (200, text.as_bytes()), &stream.manifest_headers, at_s)
    };
    judge.take_manifest(&manifest(&stream.mpd, stream.now_s), &mut report);
    let take = |judge: &mut DashJudge, report: &mut Report, more: Option<u8>| {
        let Some(mpd) = judge.manifest().cloned() else { return };
        for (period, _, representation) in mpd.representations() {
            let get = |url: &str, role| {
                let (status, body) = stream.files.get(url).cloned().unwrap_or((404, vec![]));
                let body = [&body[..], more.as_slice()].concat();
                fetch(url, role, (status, &body), &stream.segment_headers, stream.now_s)
            };
            let key = (period.id.clone().unwrap_or_default(), representation.id.clone());
            let Some(init) = mpd.initialization(representation) else { continue };
            judge.take_init(&key, &get(&init, Role::Init), report);
            for segment in mpd.segments(period, representation, START_S + stream.now_s) {
                let role = Role::Segment { msn: segment.number };
                judge.take_segment(&segment, &get(&segment.url, role), stream.arrivals, report);
            }
        }
    };
    take(&mut judge, &mut report, None);
    if stream.again.is_some() {
        take(&mut judge, &mut report, stream.again);
    }
    if let Some(update) = &stream.update {
        judge.take_manifest(&manifest(update, stream.now_s + 1.0), &mut report);
    }
    judge.finish(&mut report);
    report
}

impl Dash {
    #[track_caller]
    fn change(&mut self, from: &str, to: &str) {
        assert!(self.mpd.contains(from), "{from} is not in\n{}", self.mpd);
        self.mpd = self.mpd.replace(from, to);
    }

    /// The next manifest, with a later publishTime.
    fn changed(&mut self, from: &str, to: &str) {
        let later =
            self.mpd.replace("publishTime=\"2026-01-01T00:00:08.5Z", "publishTime=\"2026-01-01T00:00:09.5Z");
        let later = later.replace("value=\"2026-01-01T00:00:08.5Z", "value=\"2026-01-01T00:00:09.5Z");
        assert!(later.contains(from), "{from} is not in\n{later}");
        self.update = Some(later.replace(from, to));
    }

    fn segment(&mut self, number: u32) -> &mut (u16, Vec<u8>) {
        let name = format!("{BASE}chunk-stream0-{number:05}.m4s");
        self.files.get_mut(&name).expect("a segment of that number")
    }

    fn init(&mut self) -> &mut Vec<u8> {
        &mut self.files.get_mut(&format!("{BASE}init-stream0.m4s")).expect("an initialization segment").1
    }
}

const S: &str = "<S t=\"0\" d=\"15360\" r=\"7\" />";

pub(crate) const CASES: &[Case] = &[
    Case { name: "broken XML", rule: "DASH-0", damage: |s| s.change("</Period>", "") },
    Case {
        name: "a document type with entities",
        rule: "DASH-0",
        damage: |s| {
            s.mpd = format!("<!DOCTYPE x [<!ENTITY a \"b\">]>\n{}", s.mpd);
        },
    },
    Case { name: "an attribute of another type", rule: "DASH-0", damage: |s| s.change("\"PT1S\"", "\"1s\"") },
    Case { name: "no profiles", rule: "DASH-1", damage: |s| s.change("profiles=", "profile=") },
    Case { name: "no bandwidth", rule: "DASH-1", damage: |s| s.change(" bandwidth=", " bitrate=") },
    Case {
        name: "elements in another order",
        rule: "DASH-1",
        damage: |s| {
            s.change(
                "<Period id",
                "<UTCTiming schemeIdUri=\"urn:mpeg:dash:utc:http-iso:2014\" value=\"t\"/><Period id",
            );
        },
    },
    Case {
        name: "no availabilityStartTime",
        rule: "DASH-2",
        damage: |s| {
            s.change("availabilityStartTime=\"2026-01-01T00:00:00Z\"", "");
        },
    },
    Case {
        name: "no publishTime",
        rule: "DASH-2a",
        damage: |s| s.change("publishTime=\"2026-01-01T00:00:08.5Z\"", ""),
    },
    Case { name: "no updates", rule: "DASH-2b", damage: |s| s.change("minimumUpdatePeriod=\"PT1S\"", "") },
    Case {
        name: "publishTime goes back",
        rule: "DASH-3",
        damage: |s| {
            s.changed("publishTime=\"2026-01-01T00:00:09.5Z", "publishTime=\"2026-01-01T00:00:07Z");
        },
    },
    Case {
        name: "a changed manifest of the same time",
        rule: "DASH-3",
        damage: |s| {
            s.changed("publishTime=\"2026-01-01T00:00:09.5Z", "publishTime=\"2026-01-01T00:00:08.5Z");
        },
    },
    Case {
        name: "availabilityStartTime moves",
        rule: "DASH-3a",
        damage: |s| {
            s.changed(
                "availabilityStartTime=\"2026-01-01T00:00:00Z",
                "availabilityStartTime=\"2026-01-01T00:00:00.1Z",
            );
        },
    },
    Case {
        name: "no UTCTiming",
        rule: "DASH-4",
        damage: |s| {
            s.change("<UTCTiming", "<SupplementalProperty");
        },
    },
    Case {
        name: "a wrong clock",
        rule: "DASH-4a",
        damage: |s| {
            s.change("value=\"2026-01-01T00:00:08.5Z", "value=\"2026-01-01T00:01:08.5Z");
        },
    },
    Case {
        name: "overlapping time line",
        rule: "DASH-5",
        damage: |s| {
            s.change(S, "<S t=\"0\" d=\"15360\" r=\"3\"/><S t=\"61000\" d=\"15360\" r=\"3\"/>");
        },
    },
    Case {
        name: "a hole in the time line",
        rule: "DASH-5a",
        damage: |s| {
            s.change(S, "<S t=\"0\" d=\"15360\" r=\"2\"/><S t=\"61440\" d=\"15360\" r=\"3\"/>");
        },
    },
    Case { name: "no way to name segments", rule: "DASH-5b", damage: |s| s.change(" media=", " medium=") },
    Case { name: "a listed segment is not there", rule: "DASH-6", damage: |s| s.segment(4).0 = 404 },
    Case {
        name: "listed too early",
        rule: "DASH-6a",
        damage: |s| {
            s.change("<S t=\"0\" d=\"15360\" r=\"7\" />", "<S t=\"0\" d=\"15360\" r=\"11\" />");
        },
    },
    Case { name: "the encoder stands still", rule: "DASH-6b", damage: |s| s.now_s = 60.0 },
    Case {
        name: "media at another time",
        rule: "DASH-7",
        damage: |s| {
            super::add_to_tfdt(&mut s.segment(3).1, 5_000);
        },
    },
    Case {
        name: "presentationTimeOffset that the media lacks",
        rule: "DASH-7",
        damage: |s| {
            s.change("<S t=\"0\" d", "<S t=\"100\" d");
        },
    },
    Case {
        name: "another length",
        rule: "DASH-8",
        damage: |s| {
            s.change(S, "<S t=\"0\" d=\"15360\" r=\"6\"/><S d=\"13000\"/>");
        },
    },
    Case {
        name: "two representations of one name",
        rule: "DASH-9",
        damage: |s| {
            let (_, tail) = s.mpd.split_once("<Representation").expect("a representation");
            let (one, _) = tail.split_once("</Representation>").expect("its end");
            let two = format!("</Representation><Representation{one}</Representation>");
            s.change("</Representation>", &two);
        },
    },
    Case {
        name: "other codecs",
        rule: "DASH-10",
        damage: |s| {
            let (_, tail) = s.mpd.split_once("codecs=\"").expect("codecs");
            let codecs = tail.split('"').next().expect("a value").to_owned();
            s.change(&codecs, "avc1.640028");
        },
    },
    Case { name: "another size", rule: "DASH-10", damage: |s| s.change(" width=\"128\"", " width=\"1280\"") },
    Case {
        name: "sound that is a picture",
        rule: "DASH-10",
        damage: |s| s.change("\"video/mp4\"", "\"audio/mp4\""),
    },
    Case {
        name: "too little bandwidth",
        rule: "DASH-11",
        damage: |s| {
            let (_, tail) = s.mpd.split_once("bandwidth=\"").expect("a bandwidth");
            let value = format!("bandwidth=\"{}\"", tail.split('"').next().expect("a value"));
            s.change(&value, "bandwidth=\"100000\"");
        },
    },
    Case {
        name: "what left the buffer",
        rule: "DASH-12",
        damage: |s| {
            s.change("timeShiftBufferDepth=\"PT30S\"", "timeShiftBufferDepth=\"PT2S\"");
        },
    },
    Case { name: "a delay beyond the buffer", rule: "DASH-13", damage: |s| s.change("\"PT3S\"", "\"PT3M\"") },
    Case {
        name: "an offset of a whole segment",
        rule: "DASH-13a",
        damage: |s| s.change("\"0.75\"", "\"1.0\""),
    },
    Case {
        name: "an unfinished segment without offset",
        rule: "DASH-13a",
        damage: |s| s.change("\"0.75\"", "\"0\""),
    },
    Case {
        name: "whole segments for chunks",
        rule: "DASH-14",
        damage: |s| {
            let first = super::chunks(&s.segment(3).1).remove(0);
            s.segment(3).1 = first;
        },
    },
    Case { name: "chunks held back", rule: "DASH-14a", damage: |s| (s.now_s, s.arrivals) = (7.4, 1) },
    Case {
        name: "a renumbered segment",
        rule: "DASH-15",
        damage: |s| {
            s.changed("startNumber=\"1\"", "startNumber=\"2\"");
        },
    },
    Case { name: "other bytes under the same address", rule: "DASH-15a", damage: |s| s.again = Some(0) },
    Case {
        name: "renditions cut at other times",
        rule: "DASH-16",
        damage: |s| {
            let (_, tail) = s.mpd.split_once("<Representation").expect("a representation");
            let (one, _) = tail.split_once("</Representation>").expect("its end");
            let one = one.replace("id=\"0\"", "id=\"1\"").replace(S, "<S t=\"0\" d=\"7680\" r=\"15\" />");
            s.change("</Representation>", &format!("</Representation><Representation{one}</Representation>"));
        },
    },
    Case {
        name: "a manifest of another media type",
        rule: "DASH-17",
        damage: |s| {
            s.manifest_headers[0].1 = "text/xml".into();
        },
    },
    Case {
        name: "no CORS",
        rule: "DASH-18",
        damage: |s| {
            s.segment_headers.remove(1);
        },
    },
    Case {
        name: "a manifest cached too long",
        rule: "DASH-19",
        damage: |s| {
            s.manifest_headers[2].1 = "public, max-age=10".into();
        },
    },
    Case {
        name: "segments that may not be cached",
        rule: "DASH-19a",
        damage: |s| {
            s.segment_headers[2].1 = "no-store".into();
        },
    },
    Case {
        name: "a hole between periods",
        rule: "DASH-20",
        damage: |s| {
            s.change("<Period id", "<Period id=\"a\" start=\"PT0S\" duration=\"PT1S\"/>\n<Period id");
            s.change("start=\"PT0S\">", "start=\"PT3S\">");
        },
    },
    Case {
        name: "a period without id",
        rule: "DASH-20a",
        damage: |s| s.change("<Period id=\"0\"", "<Period"),
    },
    Case {
        name: "a cut segment",
        rule: "DASH-22",
        damage: |s| {
            let len = s.segment(3).1.len();
            s.segment(3).1.truncate(len - 9);
        },
    },
    Case {
        name: "an error page for an initialization segment",
        rule: "DASH-22",
        damage: |s| {
            *s.init() = b"<html></html>".to_vec();
        },
    },
    Case {
        name: "a jump inside of a segment",
        rule: "DASH-23",
        damage: |s| {
            let mut parts = super::chunks(&s.segment(3).1);
            super::add_to_tfdt(&mut parts[2], 900);
            s.segment(3).1 = parts.concat();
        },
    },
    Case {
        name: "no key frame although promised",
        rule: "DASH-24",
        damage: |s| super::hide_idr(&mut s.segment(3).1),
    },
    Case {
        name: "events that nobody declared",
        rule: "DASH-26",
        damage: |s| {
            let body = [&[1, 0, 0, 0, 0, 0, 0, 1][..], &[0; 16], b"urn:x\0\0"].concat();
            let size = u32::try_from(body.len() + 8).expect("a short box").to_be_bytes();
            let event = [&size[..], b"emsg", &body].concat();
            s.segment(3).1.splice(0..0, event);
        },
    },
    Case {
        name: "no producer's clock",
        rule: "DASH-27",
        damage: |s| {
            s.change("<ProducerReferenceTime", "<!-- -->\n<SupplementalProperty schemeIdUri=\"x\"");
        },
    },
];
