//! Common Media Server Data (CTA-5006): what the answer is, for caches and players behind us.
//!
//! `CMSD-Static` belongs to the object and is kept with it; `CMSD-Dynamic` is about this answer of this node. A
//! cache that keeps both loses nothing: `ht` says how long the origin held the answer it keeps. Values that would
//! differ between viewers of the same object are not sent.

use std::fmt::Write;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

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

/// Who answers.
#[derive(Debug)]
pub(crate) struct Node {
    name: String,
    /// What it says of an answer that nobody waited for: of nearly all.
    at_once: HeaderValue,
}

impl Node {
    /// `nexus-origin` or `nexus-edge`, by its role.
    pub(crate) fn new(role: &str) -> Self {
        let name = format!("nexus-{role}");
        Self { at_once: value(dynamic(&name, 0, false)), name }
    }
}

impl Told {
    /// Adds both headers.
    pub(crate) fn write(&self, node: &Node, headers: &mut HeaderMap) {
        // Keys in the order of the alphabet; `v=1` is left out, as the standard wants it.
        let mut text = String::with_capacity(64);
        if let Some(ms) = self.duration_ms {
            let _ = write!(text, "d={ms},");
        }
        let held_ms = self.held.map(|held| held.as_millis());
        if let Some(ms) = held_ms {
            let _ = write!(text, "ht={ms},");
        }
        text.push_str("ot=");
        text.push_str(self.object.token());
        text.push_str(if self.dash { ",sf=d" } else { ",sf=h" });
        text.push_str(if self.ended { ",st=v" } else { ",st=l" });
        headers.insert(&STATIC, value(text));
        let dynamic = match held_ms {
            None if !self.duress => node.at_once.clone(),
            _ => value(dynamic(&node.name, held_ms.unwrap_or(0), self.duress)),
        };
        headers.insert(&DYNAMIC, dynamic);
    }
}

static STATIC: HeaderName = HeaderName::from_static("cmsd-static");
static DYNAMIC: HeaderName = HeaderName::from_static("cmsd-dynamic");

fn dynamic(node: &str, held_ms: u128, duress: bool) -> String {
    format!("\"{node}\"{};rd={held_ms}", if duress { ";du" } else { "" })
}

/// Names of nodes and numbers are visible ASCII.
fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
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
            told.write(&Node::new("edge"), &mut headers);
            assert_eq!(
                (&headers["cmsd-static"], &headers["cmsd-dynamic"]),
                (&HeaderValue::from_static(fixed), &HeaderValue::from_static(moving))
            );
        }
    }
}
