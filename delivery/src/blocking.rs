//! Delivery directives: `_HLS_msn`, `_HLS_part` and `_HLS_skip` (RFC 8216bis §6.2.5).
//!
//! Decisions where the text leaves room: a segment number older than the window is answered at once; a part
//! beyond a finished segment means the first part of the next; a request may be two segments ahead of the last
//! finished one and three seconds of parts (three parts, when they are longer than a second) ahead of the part
//! hinted, not more; a directive twice is nonsense even if both say the same; names are compared as they are
//! written, without undoing escapes; unknown directives and parameters are ignored.

use nx_hls::{Position, Skip, Window};

/// Longest query that is looked at, bytes: directives, and what players add for CMCD.
pub(crate) const QUERY_MAX: usize = 4096;

/// What a query asks of a playlist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Directives {
    /// Which state to wait for.
    pub(crate) want: Option<Want>,
    /// What the player knows already.
    pub(crate) skip: Skip,
}

/// Which state of the playlist a player waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Want {
    msn: u64,
    part: Option<u32>,
}

/// Why directives are refused with 400.
pub(crate) type Refusal = String;

/// Reads the directives of a query string, in any order.
pub(crate) fn parse(query: &str) -> Result<Directives, Refusal> {
    let value = |name: &str| {
        let of = |pair| match str::split_once(pair, '=') {
            Some((n, value)) => (n == name).then_some(value),
            None => (pair == name).then_some(""),
        };
        let mut found = query.split('&').filter_map(of);
        match (found.next(), found.next()) {
            (_, Some(_)) => Err(format!("{name} is given twice")),
            (value, None) => Ok(value),
        }
    };
    let number = |name: &str| value(name)?.map(|text| digits(name, text)).transpose();
    let skip = match value("_HLS_skip")? {
        None => Skip::None,
        Some("YES") => Skip::Segments,
        Some("v2") => Skip::DateRanges,
        Some(other) => return Err(format!("_HLS_skip is YES or v2, not {other:.40}")),
    };
    let want = match (number("_HLS_msn")?, number("_HLS_part")?) {
        (None, None) => None,
        (None, Some(_)) => return Err("_HLS_part needs _HLS_msn beside it".into()),
        (Some(msn), part) => {
            let part = part.map(|p| u32::try_from(p).map_err(|_| "_HLS_part is out of range".to_owned()));
            Some(Want { msn, part: part.transpose()? })
        }
    };
    Ok(Directives { want, skip })
}

/// A decimal integer (RFC 8216bis §4.2): digits only.
fn digits(name: &str, text: &str) -> Result<u64, Refusal> {
    let number = text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
    number.ok_or_else(|| format!("{name} is not a number: {text:.40}"))
}

impl Want {
    /// Refuses what lies further ahead than a player can know of.
    pub(crate) fn check(self, window: &Window, track: usize) -> Result<(), Refusal> {
        if window.is_ended() {
            return Ok(());
        }
        self.within(window.next(track).unwrap_or_default(), window.part_target_us())
    }

    fn within(self, next: Position, part_target_us: u32) -> Result<(), Refusal> {
        let Position { msn, part } = next;
        if self.msn > msn.saturating_add(1) {
            return Err(format!("_HLS_msn {} is too far ahead: the newest segment is {msn}", self.msn));
        }
        let ahead = 3_000_000u32.div_ceil(part_target_us.max(1)).max(3);
        // What the open segment will still get is not known; it may end with what it has.
        let there = if self.msn == msn { part } else { 0 };
        match self.part {
            Some(wanted) if self.msn >= msn && wanted > there.saturating_add(ahead) => {
                Err(format!("_HLS_part {wanted} is too far ahead: segment {msn} has {part} parts"))
            }
            _ => Ok(()),
        }
    }

    /// Whether the playlist of `track` shows it already.
    pub(crate) fn is_met(self, window: &Window, track: usize) -> bool {
        let Some(next) = window.next(track) else { return true };
        if window.is_ended() {
            return true;
        }
        match self.part {
            None => next.msn > self.msn,
            Some(part) if self.msn == next.msn => next.part > part,
            Some(part) if self.msn.checked_add(1) == Some(next.msn) => {
                // Its last part is there; a part beyond it is the next segment's first. A gap never had any.
                let parts = window.parts_of(track, self.msn);
                next.part > 0 || parts > part || parts == 0
            }
            Some(_) => next.msn > self.msn,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_directives_in_any_order_and_refuses_nonsense() {
        let plain = |skip| Ok(Directives { want: None, skip });
        let want = |msn, part, skip| Ok(Directives { want: Some(Want { msn, part }), skip });
        let no = |why: &str| Err(why.to_owned());
        for (query, expected) in [
            ("", plain(Skip::None)),
            ("token=1", plain(Skip::None)),
            ("&&=&_HLS_", plain(Skip::None)),
            ("_HLS_skip=YES", plain(Skip::Segments)),
            ("_HLS_skip=v2", plain(Skip::DateRanges)),
            ("_HLS_msn=7", want(7, None, Skip::None)),
            ("_HLS_msn=7&_HLS_part=2", want(7, Some(2), Skip::None)),
            ("_HLS_part=2&x=y&_HLS_msn=7", want(7, Some(2), Skip::None)),
            ("_HLS_skip=YES&_HLS_part=2&_HLS_msn=7", want(7, Some(2), Skip::Segments)),
            ("_HLS_msn=7&_HLS_skip=v2&CMCD=bl%3D2000&_HLS_part=0", want(7, Some(0), Skip::DateRanges)),
            ("_HLS_report=/a.m3u8&_HLS_msn=0", want(0, None, Skip::None)),
            ("_HLS_part=2", no("_HLS_part needs _HLS_msn beside it")),
            ("_HLS_part=4294967296&_HLS_msn=1", no("_HLS_part is out of range")),
            ("_HLS_msn=x", no("_HLS_msn is not a number: x")),
            ("_HLS_msn=-1", no("_HLS_msn is not a number: -1")),
            ("_HLS_msn=+1", no("_HLS_msn is not a number: +1")),
            ("_HLS_msn=", no("_HLS_msn is not a number: ")),
            ("_HLS_msn", no("_HLS_msn is not a number: ")),
            ("_HLS_msn=99999999999999999999", no("_HLS_msn is not a number: 99999999999999999999")),
            ("_HLS_msn=7&_HLS_msn=7", no("_HLS_msn is given twice")),
            ("_HLS_skip=YES&_HLS_skip=v2", no("_HLS_skip is given twice")),
            ("_HLS_skip=NO", no("_HLS_skip is YES or v2, not NO")),
            ("_HLS_skip=yes", no("_HLS_skip is YES or v2, not yes")),
        ] {
            assert_eq!(parse(query), expected, "{query}");
        }
    }

    #[test]
    fn no_damage_to_a_query_does_any() {
        let golden = "_HLS_skip=YES&_HLS_part=2&_HLS_msn=1795000";
        for cut in 0..golden.len() {
            let _ = parse(&golden[..cut]);
            for byte in b"&=_%09+- vX" {
                let mut bytes = golden.as_bytes().to_vec();
                bytes[cut] = *byte;
                let read = parse(std::str::from_utf8(&bytes).unwrap());
                // A number is what the digits say, or nothing.
                let want = read.ok().and_then(|d| d.want);
                assert!(
                    want.is_none_or(|w| w.msn < 10_000_000 && w.part.is_none_or(|p| p < 10)),
                    "{bytes:?}"
                );
            }
        }
    }

    #[test]
    fn allows_two_segments_and_three_seconds_ahead() {
        let next = Position { msn: 10, part: 2 };
        for (msn, part, target_us, ok) in [
            (10, None, 333_334, true),
            (11, None, 333_334, true),
            (12, None, 333_334, false),
            (u64::MAX, None, 333_334, false),
            (10, Some(11), 333_334, true),
            (10, Some(12), 333_334, false),
            (11, Some(0), 333_334, true),
            (11, Some(9), 333_334, true),
            (11, Some(10), 333_334, false),
            (10, Some(5), 2_000_000, true),
            (10, Some(6), 2_000_000, false),
            (3, Some(900), 333_334, true),
        ] {
            let got = Want { msn, part }.within(next, target_us);
            assert_eq!(got.is_ok(), ok, "{msn} {part:?} {target_us}");
        }
    }
}
