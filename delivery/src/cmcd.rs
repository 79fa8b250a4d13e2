//! Common Media Client Data (CTA-5004, versions 1 and 2): what players tell about themselves.
//!
//! It comes as the query parameter `CMCD` or in four headers, a list of `key=value` such as
//! `bl=2100,bs,mtp=48100,ot=v,sid="6e2fb550-…"`. In version 2 a value may be a list with an object type each,
//! `bl=(2100;v 1900;a)`: the least of a list counts, which is the one that will stall. Only what is counted is
//! read. It never decides what is answered and is never sent back.

use http::{HeaderMap, HeaderName};

/// Longest value that is looked at, bytes; a longer one is passed over.
const VALUE_MAX: usize = 2048;
/// Longest session name (CTA-5004: 64 characters).
const SESSION_MAX: usize = 64;
static HEADERS: [HeaderName; 4] = [
    HeaderName::from_static("cmcd-request"),
    HeaderName::from_static("cmcd-object"),
    HeaderName::from_static("cmcd-status"),
    HeaderName::from_static("cmcd-session"),
];

/// What a request told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// `v`: version, 1 when it is not told.
    pub(crate) version: u32,
    /// `sid`
    pub(crate) session: Option<String>,
    /// `bs`: the player ran dry since its last request.
    pub(crate) starved: bool,
    /// `su`: it wants this to start, or to start again.
    pub(crate) startup: bool,
    /// `bl`: media in its buffer, milliseconds.
    pub(crate) buffer_ms: Option<u32>,
    /// `mtp`: kilobits per second that it measured.
    pub(crate) throughput_kbps: Option<u32>,
    /// `ot`
    pub(crate) object: Option<Object>,
    /// `nor`: what it is going to ask for next, relative to this; the first of them.
    pub(crate) next: Option<String>,
}

/// What a player says that it is going to ask for next, relative to what it asks for now.
#[must_use]
pub fn next_object(query: &str, headers: &HeaderMap) -> Option<String> {
    read(query, headers)?.next
}

/// Kind of what is asked for (`ot`), the same in CMCD and CMSD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Object {
    Manifest,
    Video,
    Audio,
    Muxed,
    Init,
    Other,
}

impl Object {
    /// As metrics call it.
    pub(crate) const NAMES: [&str; 6] = ["manifest", "video", "audio", "muxed", "init", "other"];

    const TOKENS: [(&str, Self); 6] = [
        ("m", Self::Manifest),
        ("v", Self::Video),
        ("a", Self::Audio),
        ("av", Self::Muxed),
        ("i", Self::Init),
        ("o", Self::Other),
    ];

    fn of(token: &str) -> Self {
        Self::TOKENS.iter().find(|(t, _)| *t == token).map_or(Self::Other, |(_, object)| *object)
    }

    pub(crate) fn token(self) -> &'static str {
        Self::TOKENS.iter().find(|(_, object)| *object == self).map_or("o", |(token, _)| token)
    }
}

/// What a request tells, by query or by headers; `None` when nothing that is CMCD.
pub(crate) fn read(query: &str, headers: &HeaderMap) -> Option<Report> {
    let mut report = Report { version: 1, ..Report::default() };
    let mut any = false;
    let of_query = query.split('&').find_map(|pair| pair.strip_prefix("CMCD="));
    if let Some(value) = of_query.filter(|v| v.len() <= VALUE_MAX).and_then(unescape) {
        any |= report.take(&value);
    }
    for name in &HEADERS {
        let value = headers.get(name).and_then(|v| v.to_str().ok());
        any |= value.filter(|v| v.len() <= VALUE_MAX).is_some_and(|v| report.take(v));
    }
    any.then_some(report)
}

impl Report {
    /// Adds the pairs of a list; whether there was one.
    fn take(&mut self, mut list: &str) -> bool {
        let mut any = false;
        while !list.is_empty() {
            let (pair, rest) = first(list);
            list = rest;
            let (key, value) = pair.trim().split_once('=').unwrap_or((pair.trim(), ""));
            any |= !key.is_empty() && key.len() <= SESSION_MAX;
            match key {
                "bs" => self.starved = holds(value),
                "su" => self.startup = holds(value),
                "bl" => self.buffer_ms = least(value).or(self.buffer_ms),
                "mtp" => self.throughput_kbps = least(value).or(self.throughput_kbps),
                "v" => self.version = value.parse().unwrap_or(1),
                "ot" => self.object = Some(Object::of(value)),
                "sid" => self.session = session(value),
                "nor" => self.next = value.split('"').nth(1).and_then(unescape),
                _ => {}
            }
        }
        any
    }
}

/// The first element of a list, and what follows its comma. Commas within quotes or parentheses do not part.
fn first(list: &str) -> (&str, &str) {
    let (mut quoted, mut depth, mut escaped) = (false, 0usize, false);
    for (at, byte) in list.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'(' if !quoted => depth += 1,
            b')' if !quoted => depth = depth.saturating_sub(1),
            b',' if !quoted && depth == 0 => return (&list[..at], &list[at + 1..]),
            _ => {}
        }
    }
    (list, "")
}

/// A key alone means true; version 2 may write it out.
fn holds(value: &str) -> bool {
    matches!(value, "" | "true" | "?1")
}

/// A number, or the least of a list of numbers with parameters.
fn least(value: &str) -> Option<u32> {
    let list = value.strip_prefix('(').and_then(|v| v.split(')').next()).unwrap_or(value);
    let number = |item: &str| item.split(';').next()?.split('.').next()?.parse().ok();
    list.split_ascii_whitespace().filter_map(number).min()
}

fn session(value: &str) -> Option<String> {
    let text = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
    (1..=SESSION_MAX).contains(&text.len()).then(|| text.to_owned())
}

/// Undoes percent escapes; `None` when the result is no text.
fn unescape(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let mut digit = || char::from(bytes.next()?).to_digit(16);
            let (high, low) = (digit()?, digit()?);
            out.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of CTA-5004 §2.4, escaped as there.
    const EXAMPLE: &str = "CMCD=bl%3D21300%2Cbr%3D3200%2Cbs%2Ccid%3D%22faec5fc2-ac30-11ea-bb37-0242ac130002%22%2Cd%3D4004%2Cdl%3D18500%2Cmtp%3D48100%2Cnor%3D%22..%252F300kbps%252Ftrack.m4v%22%2Cnrr%3D%2212323-48763%22%2Cot%3Dv%2Cpr%3D1.08%2Crtp%3D12000%2Csf%3Dd%2Csid%3D%226e2fb550-c457-11e9-bb97-0800200c9a66%22%2Cst%3Dv%2Csu%2Ctb%3D6000";

    fn example() -> Report {
        Report {
            version: 1,
            session: Some("6e2fb550-c457-11e9-bb97-0800200c9a66".into()),
            starved: true,
            startup: true,
            buffer_ms: Some(21_300),
            throughput_kbps: Some(48_100),
            object: Some(Object::Video),
            next: Some("../300kbps/track.m4v".into()),
        }
    }

    #[test]
    fn reads_the_example_of_the_specification_from_query_and_headers() {
        assert_eq!(read(EXAMPLE, &HeaderMap::new()), Some(example()));
        assert_eq!(read(&format!("_HLS_msn=7&{EXAMPLE}&x=1"), &HeaderMap::new()), Some(example()));
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("cmcd-request", "bl=21300,dl=18500,mtp=48100,nor=\"..%2F300kbps%2Ftrack.m4v\",su"),
            ("cmcd-object", "br=3200,d=4004,ot=v,tb=6000"),
            ("cmcd-status", "bs,rtp=12000"),
            ("cmcd-session", "cid=\"faec\",pr=1.08,sf=d,sid=\"6e2fb550-c457-11e9-bb97-0800200c9a66\",st=v"),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        assert_eq!(read("", &headers), Some(example()));
    }

    #[test]
    fn reads_the_lists_of_version_2() {
        let report = read(
            "CMCD=v%3D2,bl%3D(2400;v%201900;a),mtp%3D(5000%204800.5),bs%3Dfalse,ot%3Dav,nor%3D(%223.m4s%22;r%3D%220-9%22%20%224.m4s%22)",
            &HeaderMap::new(),
        );
        let want = Report {
            version: 2,
            buffer_ms: Some(1900),
            throughput_kbps: Some(4800),
            object: Some(Object::Muxed),
            next: Some("3.m4s".into()),
            ..Report::default()
        };
        assert_eq!(report, Some(want));
    }

    #[test]
    fn what_is_no_cmcd_is_none() {
        for query in ["", "CMCD=", "CMCD", "cmcd=bs", "x=1", "CMCD=%2", "CMCD=%ff%fe", "CMCD=,,,"] {
            assert_eq!(read(query, &HeaderMap::new()), None, "{query}");
        }
        assert_eq!(read(&format!("CMCD=bs,x={}", "a".repeat(VALUE_MAX)), &HeaderMap::new()), None);
        let long = read(&format!("CMCD=sid=\"{}\"", "a".repeat(65)), &HeaderMap::new());
        assert_eq!(long.map(|r| r.session), Some(None));
    }

    #[test]
    fn no_damage_to_an_example_does_any() {
        for cut in 0..EXAMPLE.len() {
            let _ = read(&EXAMPLE[..cut], &HeaderMap::new());
        }
        // A fixed sequence of mutations: xorshift.
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        for _ in 0..20_000 {
            let mut bytes = EXAMPLE.as_bytes().to_vec();
            for _ in 0..4 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let at = 5 + state as usize % (bytes.len() - 5);
                bytes[at] = b" !\"%(),.;=?\\0aAfv~"[(state >> 32) as usize % 18];
            }
            let report = read(&String::from_utf8(bytes).unwrap(), &HeaderMap::new());
            assert!(report.is_none_or(|r| r.session.is_none_or(|s| s.len() <= SESSION_MAX)));
        }
    }
}
