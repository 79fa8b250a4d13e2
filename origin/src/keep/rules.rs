//! What is kept of which stream.

use nx_media::{StreamKey, StreamPattern};
use serde::{Deserialize, Serialize};

use super::StoreConfig;

/// What a volume of a store may hold that keeps only recordings: eight times its length, milliseconds.
const RECORDED_MS: i64 = 480_000;

/// One of `[[origin.store.rule]]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreRule {
    /// `APP/STREAM`, or a beginning followed by `*`.
    pub streams: String,
    /// How long they are kept; `origin.store.keep_s` without it. Seconds.
    pub keep_s: Option<u32>,
    /// Each time that they are on becomes a recording.
    pub record: bool,
    /// How long recordings are kept; for ever without it. Seconds.
    pub record_keep_s: Option<u32>,
}

impl StoreConfig {
    /// What is wrong with the rules.
    pub(crate) fn faults(&self) -> impl Iterator<Item = (String, String)> {
        self.rule.iter().enumerate().filter_map(|(nth, rule)| {
            let fault = StreamPattern::new(&rule.streams).err()?;
            Some((format!("store.rule.{nth}.streams"), fault))
        })
    }
}

/// What is kept of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) keep_ms: i64,
    pub(crate) record: bool,
    /// How long recordings are kept.
    pub(crate) record_keep_ms: Option<i64>,
}

impl Rule {
    /// Whether its segments go to disk at all.
    pub(crate) fn keeps(self) -> bool {
        self.keep_ms > 0 || self.record
    }
}

/// Rules by stream.
#[derive(Debug)]
pub(crate) struct Rules {
    /// What says most comes first.
    by_pattern: Vec<(StreamPattern, Rule)>,
    others: Rule,
}

impl Rules {
    /// # Errors
    /// In words: a rule has no streams.
    pub(crate) fn new(config: &StoreConfig) -> Result<Self, String> {
        let others = Rule { keep_ms: i64::from(config.keep_s) * 1000, record: false, record_keep_ms: None };
        let rule = |rule: &StoreRule| {
            let pattern = StreamPattern::new(&rule.streams)
                .map_err(|fault| format!("origin.store.rule: streams {fault}"))?;
            let rule = Rule {
                keep_ms: rule.keep_s.map_or(others.keep_ms, |s| i64::from(s) * 1000),
                record: rule.record,
                record_keep_ms: rule.record_keep_s.map(|s| i64::from(s) * 1000),
            };
            Ok((pattern, rule))
        };
        let mut by_pattern = config.rule.iter().map(rule).collect::<Result<Vec<_>, String>>()?;
        by_pattern.sort_by_key(|(pattern, _)| std::cmp::Reverse(pattern.rank()));
        Ok(Self { by_pattern, others })
    }

    pub(crate) fn of(&self, key: &StreamKey) -> Rule {
        self.by_pattern
            .iter()
            .find(|(pattern, _)| pattern.matches(key))
            .map_or(self.others, |(_, rule)| *rule)
    }

    fn all(&self) -> impl Iterator<Item = Rule> {
        self.by_pattern.iter().map(|(_, rule)| *rule).chain([self.others])
    }

    /// Whether any stream is kept.
    pub(crate) fn keep_any(&self) -> bool {
        self.all().any(Rule::keeps)
    }

    /// The longest time that any stream is kept, milliseconds.
    pub(crate) fn longest_ms(&self) -> i64 {
        let keep_ms = |rule: Rule| rule.keep_ms.max(if rule.record { RECORDED_MS } else { 0 });
        self.all().map(keep_ms).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_that_says_most_counts() {
        let rule = |streams: &str, keep_s, record| StoreRule {
            streams: streams.into(),
            keep_s,
            record,
            ..StoreRule::default()
        };
        let config = StoreConfig {
            keep_s: 10,
            rule: vec![
                rule("*", Some(20), false),
                rule("live/a", Some(0), false),
                rule("live/*", None, true),
                rule("live/ab*", Some(0), true),
            ],
            ..StoreConfig::default()
        };
        let rules = Rules::new(&config).expect("good");
        for (stream, keep_ms, record, keeps) in [
            ("other/x", 20_000, false, true),
            ("live/a", 0, false, false),
            ("live/b", 10_000, true, true),
            ("live/abc", 0, true, true),
        ] {
            let rule = rules.of(&StreamKey::parse(stream).expect("a key"));
            assert_eq!((rule.keep_ms, rule.record, rule.keeps()), (keep_ms, record, keeps), "{stream}");
        }
        assert_eq!((rules.keep_any(), rules.longest_ms()), (true, RECORDED_MS));
        assert!(!Rules::new(&StoreConfig::default()).expect("good").keep_any());
        let bad = StoreConfig { rule: vec![rule("live", None, true)], ..StoreConfig::default() };
        assert_eq!(bad.faults().map(|(key, _)| key).collect::<Vec<_>>(), ["store.rule.0.streams"]);
        assert!(Rules::new(&bad).is_err());
    }
}
