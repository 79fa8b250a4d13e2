//! Delivery directives: `_HLS_msn` and `_HLS_part` (RFC 8216bis §6.2.5.2).
//!
//! Decisions where the text leaves room: a segment number older than the window is answered at once; a part
//! beyond a finished segment means the first part of the next; a request may be two segments ahead of the last
//! finished one and three seconds of parts ahead of the last part, not more; unknown directives are ignored.

use nx_hls::{Position, Window};

/// Which state of the playlist a player waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Want {
    msn: u64,
    part: Option<u32>,
}

/// Why directives are refused with 400.
pub(crate) type Refusal = String;

/// Reads the directives of a query string.
pub(crate) fn parse(query: &str) -> Result<Option<Want>, Refusal> {
    let value = |name: &str| {
        let found = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let number =
            |text: &str| text.parse::<u64>().map_err(|_| format!("{name} is not a number: {text:.40}"));
        found.map(number).transpose()
    };
    match (value("_HLS_msn")?, value("_HLS_part")?) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err("_HLS_part needs _HLS_msn beside it".into()),
        (Some(msn), part) => {
            let part = part.map(|p| u32::try_from(p).map_err(|_| "_HLS_part is out of range".to_owned()));
            Ok(Some(Want { msn, part: part.transpose()? }))
        }
    }
}

impl Want {
    /// Refuses what lies further ahead than a player can know of.
    pub(crate) fn check(self, next: Position, part_target_us: u32) -> Result<(), Refusal> {
        let Position { msn, part } = next;
        if self.msn > msn + 1 {
            return Err(format!("_HLS_msn {} is too far ahead: the newest segment is {msn}", self.msn));
        }
        let ahead = 3_000_000u32.div_ceil(part_target_us.max(1));
        match self.part {
            Some(wanted) if self.msn == msn && wanted > part.saturating_add(ahead) => {
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
            Some(part) if self.msn + 1 == next.msn => {
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
        let want = |msn, part| Ok(Some(Want { msn, part }));
        for (query, expected) in [
            ("", Ok(None)),
            ("token=1", Ok(None)),
            ("_HLS_msn=7", want(7, None)),
            ("_HLS_msn=7&_HLS_part=2", want(7, Some(2))),
            ("_HLS_part=2&x=y&_HLS_msn=7", want(7, Some(2))),
            ("_HLS_part=2", Err("_HLS_part needs _HLS_msn beside it".to_owned())),
            ("_HLS_msn=x", Err("_HLS_msn is not a number: x".to_owned())),
            ("_HLS_msn=-1", Err("_HLS_msn is not a number: -1".to_owned())),
        ] {
            assert_eq!(parse(query), expected, "{query}");
        }
    }

    #[test]
    fn allows_two_segments_and_three_seconds_ahead() {
        let next = Position { msn: 10, part: 2 };
        for (msn, part, ok) in [
            (10, None, true),
            (11, None, true),
            (12, None, false),
            (10, Some(11), true),
            (10, Some(12), false),
            (11, Some(0), true),
            (3, Some(900), true),
        ] {
            assert_eq!(Want { msn, part }.check(next, 333_334).is_ok(), ok, "{msn} {part:?}");
        }
    }
}
