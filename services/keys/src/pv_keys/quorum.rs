//! How many of whom it takes.

use std::collections::BTreeSet;

use garde::Validate;
use nx_chassis::Problem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// People who watch over a key at most.
const PEOPLE_MAX: usize = 20;
/// Fewest who decide: one alone never does.
const APPROVALS_MIN: i64 = 2;

/// Who watches over a key, and how many of them decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Quorum {
    /// Ids of users, each an operator.
    #[garde(length(min = 2, max = PEOPLE_MAX), inner(length(min = 1, max = 100)))]
    pub(super) people: Vec<String>,
    /// How many of them, two at least.
    #[garde(range(min = APPROVALS_MIN, max = 20))]
    pub(super) approvals: i64,
}

impl Quorum {
    /// Refuses what nobody could ever decide.
    ///
    /// # Errors
    /// 422 when somebody is named twice, or more are asked for than there are.
    pub(super) fn check(&self) -> Result<(), Problem> {
        let different = self.people.iter().collect::<BTreeSet<_>>().len();
        if different < self.people.len() {
            return Err(Problem::invalid("/people", "somebody is named twice"));
        }
        match usize::try_from(self.approvals).is_ok_and(|approvals| approvals <= different) {
            true => Ok(()),
            false => Err(Problem::invalid(
                "/approvals",
                format!("there are {different} people: ask for so many at most"),
            )),
        }
    }
}

/// What becomes of a request to do something with a key that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// It is done.
    Now,
    /// By its custodians, in a ceremony.
    Ceremony,
    /// By nobody, before it has custodians.
    Never,
}

/// How a key ends: a root by several alone.
pub(super) fn to_destroy(root: bool, approvals: i64) -> Way {
    match (approvals > 0, root) {
        (true, _) => Way::Ceremony,
        (false, true) => Way::Never,
        (false, false) => Way::Now,
    }
}

/// How it gets custodians, or becomes the key of an authority.
pub(super) fn to_entrust(approvals: i64) -> Way {
    if approvals > 0 { Way::Ceremony } else { Way::Now }
}

/// Whether those who have approved are enough.
pub(super) fn is_enough(approved: i64, needs: i64) -> bool {
    needs >= APPROVALS_MIN && approved >= needs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nobody_decides_alone(root: bool, approvals in 0..30_i64, needs in -1..30_i64) {
            prop_assert!(!is_enough(1, needs) && !is_enough(0, needs));
            if root {
                prop_assert_ne!(to_destroy(root, approvals), Way::Now);
            }
        }
    }
}
