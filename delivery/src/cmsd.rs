//! Common Media Server Data (CTA-5006): what the answer is, for caches and players behind us.
//!
//! `CMSD-Static` belongs to the object and is kept with it; `CMSD-Dynamic` is about this answer of this node. A
//! cache that keeps both loses nothing: `ht` says how long the origin held the answer it keeps. Values that would
//! differ between viewers of the same object are not sent.

use std::fmt::Write;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};

use crate::cmcd::Object;

/// What is told of an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    pub(crate) object: Object,
    /// It is of DASH, not of HLS: `d`; of both, as media are: `h`.
    pub(crate) dash: bool,
    /// Its duration, when it is media.
    pub(crate) duration_ms: Option<u64>,
    /// The stream is over.
    pub(crate) ended: bool,
    /// How long it was waited for, when it was.
    pub(crate) held: Option<Duration>,
    /// The node is near the most requests it can hold.
    pub(crate) duress: bool,
}

impl Told {
    /// Adds both headers; `node` is `nexus-origin` or `nexus-edge`.
    pub(crate) fn write(&self, node: &str, headers: &mut HeaderMap) {
        let stream = if self.ended { "v" } else { "l" };
        // Keys in the order of the alphabet; `v=1` is left out, as the standard wants it.
        let mut text = String::with_capacity(64);
        if let Some(ms) = self.duration_ms {
            let _ = write!(text, "d={ms},");
        }
        let held_ms = self.held.map(|held| held.as_millis());
        if let Some(ms) = held_ms {
            let _ = write!(text, "ht={ms},");
        }
        let _ =
            write!(text, "ot={},sf={},st={stream}", self.object.token(), if self.dash { "d" } else { "h" });
        let duress = if self.duress { ";du" } else { "" };
        let dynamic = format!("\"{node}\"{duress};rd={}", held_ms.unwrap_or(0));
        for (name, text) in [("cmsd-static", text), ("cmsd-dynamic", dynamic)] {
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_a_dictionary_and_a_list_of_structured_fields() {
        let told = Told {
            object: Object::Manifest,
            dash: false,
            duration_ms: None,
            ended: false,
            held: None,
            duress: false,
        };
        let held = Some(Duration::from_micros(333_900));
        for (told, fixed, moving) in [
            (told, "ot=m,sf=h,st=l", "\"nexus-edge\";rd=0"),
            (
                Told { object: Object::Video, duration_ms: Some(2000), held, duress: true, ..told },
                "d=2000,ht=333,ot=v,sf=h,st=l",
                "\"nexus-edge\";du;rd=333",
            ),
            (Told { object: Object::Init, ended: true, ..told }, "ot=i,sf=h,st=v", "\"nexus-edge\";rd=0"),
        ] {
            let mut headers = HeaderMap::new();
            told.write("nexus-edge", &mut headers);
            assert_eq!(
                (&headers["cmsd-static"], &headers["cmsd-dynamic"]),
                (&HeaderValue::from_static(fixed), &HeaderValue::from_static(moving))
            );
        }
    }
}
