//! Seeded faults on a real wire: a small HTTP server that does one thing wrong, and the rule that must notice it.
#![expect(clippy::panic, reason = "a test fails by panic")]

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use nx_doctor::Judge;
use nx_doctor::report::{Profile, Report};
use nx_doctor::watch::{Options, watch};
use tokio::time::Duration;

const PLAYLIST: &str = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-PLAYLIST-TYPE:VOD\n\
#EXTINF:2.00000,\n1.vtt\n#EXTINF:2.00000,\n2.vtt\n#EXT-X-ENDLIST\n";
const TEXT: &str =
    "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n\n00:00:00.000 --> 00:00:02.000\nwords\n";

/// What the server answers.
struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// Bytes of the body that are sent before the connection is closed.
    sent: usize,
}

impl Answer {
    fn set(&mut self, name: &'static str, value: &str) {
        self.drop(name);
        self.headers.push((name, value.to_owned()));
    }

    fn drop(&mut self, name: &str) {
        self.headers.retain(|(n, _)| *n != name);
    }
}

/// A request: its path, and whether it has such a header.
struct Asked {
    path: String,
    range: bool,
    gzip: bool,
}

impl Asked {
    fn playlist(&self) -> bool {
        self.path.ends_with(".m3u8")
    }

    fn segment(&self) -> bool {
        self.path.ends_with(".vtt")
    }
}

/// An answer as it should be. The compressed playlist is only said to be: nobody unpacks it.
fn good(asked: &Asked) -> Answer {
    let (status, kind, body) = match asked.path.as_str() {
        "/list.m3u8" => (200, "application/vnd.apple.mpegurl", PLAYLIST),
        "/1.vtt" | "/2.vtt" | "/moved/1.vtt" | "/moved/2.vtt" => (200, "text/vtt", TEXT),
        _ => (404, "text/plain", "nothing"),
    };
    let mut answer = Answer {
        status,
        headers: vec![("content-type", kind.to_owned())],
        body: body.into(),
        sent: usize::MAX,
    };
    answer.set("cache-control", if status == 200 { "max-age=3600" } else { "max-age=1" });
    answer.set("access-control-allow-origin", "*");
    answer.set("timing-allow-origin", "*");
    if asked.gzip && asked.playlist() {
        answer.set("content-encoding", "gzip");
    }
    if asked.range && asked.segment() && status == 200 {
        answer.set("content-range", &format!("bytes 4-35/{}", TEXT.len()));
        answer.status = 206;
        answer.body = TEXT.as_bytes()[4..36].to_vec();
    }
    answer
}

type Spoil = fn(&Asked, &mut Answer);

fn serve(stream: TcpStream, spoil: Spoil) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let start = lines.next().transpose()?.unwrap_or_default();
    let path = start.split([' ', '?']).nth(1).unwrap_or_default().to_owned();
    let mut asked = Asked { path, range: false, gzip: false };
    for line in lines {
        let line = line?.to_ascii_lowercase();
        asked.range |= line.starts_with("range:");
        asked.gzip |= line.starts_with("accept-encoding:") && line.contains("gzip");
        if line.is_empty() {
            break;
        }
    }
    let mut answer = good(&asked);
    spoil(&asked, &mut answer);
    let (status, length) = (answer.status, answer.body.len());
    let mut head = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n");
    answer.headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
    let mut stream = stream;
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    stream.write_all(&answer.body[..length.min(answer.sent)])
}

/// Serves until the test ends.
fn server(spoil: Spoil) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback can be bound");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // A client that goes away is its own business.
            std::thread::spawn(move || drop(serve(stream, spoil)));
        }
    });
    address
}

async fn examine(spoil: Spoil) -> Report {
    let url = format!("http://{}/list.m3u8", server(spoil));
    let options = Options { time: Duration::from_secs(20), insecure: false, twin: None };
    let judge = Judge::new(Profile::Auto, vec![]);
    let watched = watch(&url, options, judge, |_, _| {}).await;
    watched.unwrap_or_else(|e| panic!("{e}")).finish()
}

/// The rule, and what breaks it.
const FAULTS: &[(&str, Spoil)] = &[
    ("HLS-0f", |q, a| {
        if q.segment() && !q.range {
            a.status = 404;
        }
    }),
    ("HLS-18", |q, a| {
        if q.segment() && !q.path.starts_with("/moved") {
            a.status = 302;
            a.set("location", &format!("/moved{}", q.path));
        }
    }),
    ("HLS-31a", |q, a| {
        if q.segment() {
            a.body.rotate_left(1);
        }
    }),
    ("HLS-31b", |q, a| {
        if q.segment() {
            a.body = b"WEBVTT\n\n00:00:00.000 --> 00:00:02.000\nwords, words, words\n".to_vec();
        }
    }),
    ("HLS-32a", |_, a| a.drop("content-encoding")),
    ("HLS-32c", |q, a| {
        if q.playlist() {
            a.set("content-type", "text/plain");
        }
    }),
    ("HLS-32d", |q, a| {
        if q.segment() {
            a.set("content-type", "application/octet-stream");
        }
    }),
    ("HLS-34a", |_, a| a.drop("access-control-allow-origin")),
    ("HLS-34b", |_, a| a.drop("timing-allow-origin")),
    ("HLS-34c", |q, a| {
        if q.range && q.segment() {
            a.set("content-range", "bytes 0-31/1");
        }
    }),
    ("HLS-34d", |q, a| {
        if q.range && q.segment() {
            (a.status, a.body) = (200, TEXT.into());
        }
    }),
    ("HLS-34e", |q, a| {
        if q.range && q.playlist() {
            a.status = 206;
        }
    }),
    ("HLS-34f", |q, a| {
        if q.segment() && !q.range {
            a.sent = 20;
        }
    }),
];

#[tokio::test]
async fn a_good_server_has_no_finding() {
    let report = examine(|_, _| {}).await;
    assert!(report.breaches().is_empty(), "{}", report.text("good", false));
}

#[tokio::test]
async fn each_fault_of_a_server_is_noticed() {
    for (rule, spoil) in FAULTS {
        let report = examine(*spoil).await;
        assert!(report.has(rule), "{rule} not found\n{}", report.text("seeded", false));
    }
}
