//! What was found: rules broken, where, and what to do. Repeated findings are counted, not repeated.

mod write;

use std::collections::BTreeMap;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Allowed, but some player or cache suffers.
    Warning,
    /// Forbidden by the standard.
    Error,
}

impl Severity {
    /// Lower-case name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What a stream promises to be; some rules are strict only then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Profile {
    /// Whatever the playlist claims.
    #[default]
    Auto,
    /// HLS.
    Hls,
    /// Low-latency HLS: what Apple demands of it is an error, and so is its absence.
    LlHls,
    /// MPEG-DASH.
    Dash,
}

/// When breaking a rule is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Always.
    Error,
    /// Never.
    Warning,
    /// When the profile is [`Profile::LlHls`]; a warning otherwise.
    ErrorInLl,
}

/// One rule of the table.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Short name for people and for `--ignore`, such as `HLS-13a`.
    pub id: &'static str,
    /// When it is an error.
    pub level: Level,
    /// What must hold, in one line.
    pub title: &'static str,
    /// Where it stands.
    pub spec: &'static str,
    /// What to do when it does not hold.
    pub remedy: &'static str,
}

impl Rule {
    /// How bad a breach is under `profile`.
    #[must_use]
    pub fn severity(&self, profile: Profile) -> Severity {
        match (self.level, profile) {
            (Level::Error, _) | (Level::ErrorInLl, Profile::LlHls) => Severity::Error,
            _ => Severity::Warning,
        }
    }

    /// Sorts `HLS-9` before `HLS-13`.
    pub(crate) fn order(&self) -> (&'static str, u32, &'static str) {
        let (family, rest) = self.id.split_once('-').unwrap_or(("", self.id));
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(digits);
        (family, number.parse().unwrap_or(u32::MAX), suffix)
    }
}

/// Makes one static per rule and `ALL`, the table of them.
macro_rules! rules {
    ($($name:ident: $id:literal, $level:ident, $title:literal, $spec:literal, $remedy:literal;)*) => {
        $(pub(crate) static $name: $crate::report::Rule = $crate::report::Rule {
            id: $id,
            level: $crate::report::Level::$level,
            title: $title,
            spec: $spec,
            remedy: $remedy,
        };)*
        /// Every rule of this table, in order.
        pub(crate) static ALL: &[&$crate::report::Rule] = &[$(&$name),*];
    };
}
pub(crate) use rules;

/// A line of a playlist or manifest, shown with a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Counted from 1.
    pub number: u32,
    /// The line as received, without its end; cut when very long.
    pub text: String,
}

/// Longest line that is shown, in characters.
const LINE_CHARS_MAX: usize = 160;

impl Line {
    /// Line `number` of a text, cut for display.
    #[must_use]
    pub fn new(number: u32, text: &str) -> Self {
        let mut shown: String = text.chars().take(LINE_CHARS_MAX).map(printable).collect();
        if text.chars().nth(LINE_CHARS_MAX).is_some() {
            shown.push('…');
        }
        Self { number, text: shown }
    }
}

/// A stranger's text must not move our cursor.
fn printable(c: char) -> char {
    if c.is_control() && c != '\t' { '\u{fffd}' } else { c }
}

/// One breach of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Address of the playlist, manifest or segment.
    pub url: String,
    /// Lines that show it; empty when it is not about lines.
    pub lines: Vec<Line>,
    /// What was seen, with figures.
    pub what: String,
    /// When it was seen, in microseconds since the watch began; 0 when time does not matter.
    pub at_us: u64,
}

/// All breaches of one rule.
#[derive(Debug, Clone)]
pub struct Breach {
    /// The rule.
    pub rule: &'static Rule,
    /// How bad, under the profile of the report.
    pub severity: Severity,
    /// How often it was seen.
    pub count: u64,
    /// The first of them, one per address, at most [`EXAMPLES_MAX`].
    pub examples: Vec<Finding>,
}

/// Examples kept per rule; more are counted only.
pub const EXAMPLES_MAX: usize = 3;
/// Lines kept per finding.
const LINES_MAX: usize = 8;
/// Longest description, in characters: addresses in it may come from a stranger.
const WHAT_CHARS_MAX: usize = 600;

/// Everything that was found. Bounded: a few examples per rule.
#[derive(Debug, Clone, Default)]
pub struct Report {
    profile: Profile,
    ignored: Vec<String>,
    breaches: BTreeMap<&'static str, Breach>,
}

impl Report {
    /// An empty report. Breaches of the rules in `ignored` (ids, any case) are not recorded.
    #[must_use]
    pub fn new(profile: Profile, ignored: Vec<String>) -> Self {
        Self { profile, ignored, breaches: BTreeMap::new() }
    }

    /// What the stream promised.
    #[must_use]
    pub const fn profile(&self) -> Profile {
        self.profile
    }

    /// Records that `finding` breaks `rule`.
    pub fn add(&mut self, rule: &'static Rule, mut finding: Finding) {
        if self.ignored.iter().any(|id| id.eq_ignore_ascii_case(rule.id)) {
            return;
        }
        finding.lines.truncate(LINES_MAX);
        finding.what = finding.what.chars().take(WHAT_CHARS_MAX).map(printable).collect();
        let severity = rule.severity(self.profile);
        let breach = self.breaches.entry(rule.id).or_insert_with(|| Breach {
            rule,
            severity,
            count: 0,
            examples: Vec::new(),
        });
        breach.count = breach.count.saturating_add(1);
        let known = breach.examples.iter().any(|e| e.url == finding.url);
        if !known && breach.examples.len() < EXAMPLES_MAX {
            breach.examples.push(finding);
        }
    }

    /// Breaches, errors first, then in the order of the rules.
    #[must_use]
    pub fn breaches(&self) -> Vec<&Breach> {
        let mut all: Vec<&Breach> = self.breaches.values().collect();
        all.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.rule.order().cmp(&b.rule.order())));
        all
    }

    /// Whether the rule with this id was broken.
    #[must_use]
    pub fn has(&self, id: &str) -> bool {
        self.breaches.contains_key(id)
    }

    /// Number of rules broken with this severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.breaches.values().filter(|b| b.severity == severity).count()
    }
}

#[cfg(test)]
mod tests;
