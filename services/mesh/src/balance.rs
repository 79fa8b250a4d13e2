//! Which of several instances is asked.

use serde::{Deserialize, Serialize};

/// How requests are shared out among the instances of a service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Balance {
    /// To the one with the fewest requests, in turn among equals.
    #[default]
    LeastLoaded,
    /// In turn.
    RoundRobin,
    /// Who asks goes to the same one as long as it is there (rendezvous hashing).
    Sticky,
}

/// An instance that could be asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choice<'a> {
    pub(crate) id: &'a str,
    /// Requests that it has.
    pub(crate) load: u32,
    /// Whether it did not answer when it was asked last.
    pub(crate) failed: bool,
}

impl Balance {
    /// The place of the one to ask. `turn` grows by one with each request, `who` asks. One that failed is asked only when
    /// all have.
    pub(crate) fn choose(self, choices: &[Choice<'_>], turn: usize, who: &str) -> Option<usize> {
        let all_failed = choices.iter().all(|c| c.failed);
        let open: Vec<(usize, &Choice<'_>)> =
            choices.iter().enumerate().filter(|(_, c)| all_failed || !c.failed).collect();
        // The first in turn, then the others.
        let first = turn.checked_rem(open.len())?;
        let mut in_turn = open.iter().cycle().skip(first).take(open.len());
        let chosen = match self {
            Self::RoundRobin => in_turn.next(),
            Self::LeastLoaded => in_turn.min_by_key(|(_, choice)| choice.load),
            Self::Sticky => in_turn.max_by_key(|(_, choice)| weight(who, choice.id)),
        };
        chosen.map(|(place, _)| *place)
    }
}

/// The same in every process: FNV-1a, mixed once more.
fn weight(who: &str, id: &str) -> u64 {
    let bytes = who.bytes().chain([0]).chain(id.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests;
