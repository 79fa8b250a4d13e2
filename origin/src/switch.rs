//! Which input of a stream is on air.
//!
//! The best one that is well. A switch away from a dead input happens at once, a switch back only when the
//! better one has been well for a while, at one of its key frames.

use crate::claims::Role;

/// When to switch; milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// An input that gave no frame for this long is dead.
    pub(crate) dead_ms: i64,
    /// A better input must have been well for this long.
    pub(crate) well_ms: i64,
}

/// What to do with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is on air.
    Take,
    /// From here on its input is on air.
    Switch,
    /// It is not on air.
    Leave,
}

/// State machine.
#[derive(Debug, Default)]
pub(crate) struct Switch {
    active: Option<Role>,
    /// The input on air, or the last that was.
    last: Option<Role>,
    health: [Health; Role::ALL.len()],
    /// Switches from one input to another.
    pub(crate) count: u64,
}

#[derive(Debug, Default, Clone, Copy)]
struct Health {
    heard_ms: Option<i64>,
    well_since_ms: i64,
    /// It shows or says nothing.
    poor: bool,
}

impl Switch {
    /// The input on air.
    pub(crate) fn active(&self) -> Option<Role> {
        self.active
    }

    /// An input is gone.
    pub(crate) fn gone(&mut self, role: Role) {
        self.health(role).heard_ms = None;
        if self.active == Some(role) {
            self.active = None;
        }
    }

    /// Judges a frame; `entry` says that decoding can start with it, `poor` that its input is black or silent.
    pub(crate) fn frame(
        &mut self,
        rules: Rules,
        role: Role,
        now_ms: i64,
        entry: bool,
        poor: bool,
    ) -> Verdict {
        let health = self.health(role);
        let fresh = health.heard_ms.is_some_and(|heard| now_ms - heard < rules.dead_ms);
        if !fresh || poor {
            health.well_since_ms = now_ms;
        }
        (health.heard_ms, health.poor) = (Some(now_ms), poor);
        let well = now_ms - health.well_since_ms >= rules.well_ms;
        let Some(active) = self.active else { return self.turn_to(role) };
        if active == role {
            return Verdict::Take;
        }
        let on_air = *self.health(active);
        let dead = on_air.heard_ms.is_none_or(|heard| now_ms - heard >= rules.dead_ms);
        let ailing = dead || (on_air.poor && !poor);
        let better = role < active && (well || active == Role::Slate);
        if entry && (ailing && role < Role::Slate || better) { self.turn_to(role) } else { Verdict::Leave }
    }

    fn turn_to(&mut self, role: Role) -> Verdict {
        self.active = Some(role);
        self.count += u64::from(self.last.replace(role).is_some_and(|last| last != role));
        Verdict::Switch
    }

    fn health(&mut self, role: Role) -> &mut Health {
        let [primary, backup, slate] = &mut self.health;
        match role {
            Role::Primary => primary,
            Role::Backup => backup,
            Role::Slate => slate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Role::{Backup, Primary, Slate};
    use Verdict::{Leave, Switch as Turn, Take};

    const RULES: Rules = Rules { dead_ms: 1_000, well_ms: 2_500 };

    #[test]
    fn the_best_input_that_is_well_is_on_air() {
        type Step = (Role, i64, bool, Verdict);
        let cases: [(&str, &[Step]); 5] = [
            ("the first to come", &[(Backup, 0, false, Turn), (Backup, 33, false, Take)]),
            (
                "a backup waits while the primary lives",
                &[(Primary, 0, true, Turn), (Backup, 10, true, Leave), (Primary, 33, false, Take)],
            ),
            (
                "the backup comes in at its key frame when the primary is silent",
                &[
                    (Primary, 0, true, Turn),
                    (Backup, 900, true, Leave),
                    (Backup, 1_100, false, Leave),
                    (Backup, 1_200, true, Turn),
                ],
            ),
            (
                "the primary comes back when it has been well, at a key frame",
                &[
                    (Backup, 0, true, Turn),
                    (Primary, 100, true, Leave),
                    (Backup, 900, true, Take),
                    (Primary, 1_000, true, Leave),
                    (Backup, 1_800, true, Take),
                    (Primary, 1_900, true, Leave),
                    (Primary, 2_800, true, Turn),
                ],
            ),
            (
                "anybody is better than the slate",
                &[
                    (Slate, 0, true, Turn),
                    (Backup, 10, false, Leave),
                    (Backup, 20, true, Turn),
                    (Slate, 30, true, Leave),
                ],
            ),
        ];
        for (name, steps) in cases {
            let mut switch = Switch::default();
            for (nth, &(role, at, entry, want)) in steps.iter().enumerate() {
                assert_eq!(switch.frame(RULES, role, at, entry, false), want, "{name}, step {nth}");
            }
        }
    }

    #[test]
    fn a_black_primary_gives_way_and_comes_back_when_it_shows_something() {
        let mut switch = Switch::default();
        assert_eq!(switch.frame(RULES, Primary, 0, true, false), Turn);
        assert_eq!(switch.frame(RULES, Backup, 10, true, false), Leave);
        assert_eq!(switch.frame(RULES, Primary, 500, true, true), Take);
        assert_eq!(switch.frame(RULES, Backup, 510, true, true), Leave, "no better itself");
        assert_eq!(switch.frame(RULES, Backup, 520, true, false), Turn);
        for at in (600..6_000).step_by(500) {
            assert_eq!(switch.frame(RULES, Primary, at, true, true), Leave, "{at}");
            switch.frame(RULES, Backup, at, true, false);
        }
        let turned = (6_000..9_000).step_by(500).find(|&at| {
            switch.frame(RULES, Backup, at, true, false);
            switch.frame(RULES, Primary, at, true, false) == Turn
        });
        assert_eq!(turned, Some(8_500));
    }

    #[test]
    fn a_switch_counts_when_the_input_before_has_left_too() {
        let mut switch = Switch::default();
        for (role, count) in [(Primary, 0), (Primary, 0), (Backup, 1), (Slate, 2), (Backup, 3), (Backup, 3)] {
            assert_eq!(switch.frame(RULES, role, 0, true, false), Turn);
            assert_eq!(switch.count, count, "{role:?}");
            switch.gone(role);
        }
    }

    #[test]
    fn an_unsteady_primary_must_prove_itself_anew() {
        let mut switch = Switch::default();
        switch.frame(RULES, Backup, 0, true, false);
        for at in (0..20_000).step_by(500) {
            switch.frame(RULES, Backup, at, true, false);
            // A second and a half of silence every four seconds.
            if at % 4_000 < 2_500 {
                assert_eq!(switch.frame(RULES, Primary, at, true, false), Leave, "{at}");
            }
        }
        let verdicts: Vec<Verdict> = (20_000..26_000)
            .step_by(500)
            .map(|at| {
                switch.frame(RULES, Backup, at, true, false);
                switch.frame(RULES, Primary, at, true, false)
            })
            .collect();
        assert_eq!(verdicts.iter().filter(|v| **v == Turn).count(), 1);
        assert_eq!(switch.count, 1);
    }
}
