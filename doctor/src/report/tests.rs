//! The report counts, sorts and escapes.

use super::*;

static A: Rule = Rule { id: "HLS-13", level: Level::Warning, title: "a < b", spec: "§1", remedy: "do a" };
static B: Rule = Rule { id: "HLS-9", level: Level::Warning, title: "b", spec: "§2", remedy: "do b" };
static C: Rule = Rule { id: "HLS-40", level: Level::ErrorInLl, title: "c", spec: "§3", remedy: "do c" };

fn finding(url: &str) -> Finding {
    let line = Line::new(7, "#EXT-X-\u{1b}[31m\"red\"");
    Finding { url: url.to_owned(), lines: vec![line], what: "seen & noted".to_owned(), at_us: 1_500_000 }
}

fn report(profile: Profile) -> Report {
    let mut report = Report::new(profile, vec!["hls-1".to_owned()]);
    for rule in [&A, &B, &C, &A, &A] {
        report.add(rule, finding("http://x/1"));
    }
    (0..9).for_each(|n| report.add(&A, finding(&format!("http://x/{n}"))));
    report
}

#[test]
fn repeated_findings_are_counted_and_few_are_kept() {
    let report = report(Profile::Auto);
    let a = report.breaches.get("HLS-13").unwrap();
    assert_eq!((a.count, a.examples.len()), (12, EXAMPLES_MAX));
}

#[test]
fn errors_come_first_and_numbers_sort_as_numbers() {
    let ids = |p| report(p).breaches().iter().map(|b| b.rule.id).collect::<Vec<_>>();
    assert_eq!(ids(Profile::Auto), ["HLS-9", "HLS-13", "HLS-40"]);
    assert_eq!(ids(Profile::LlHls), ["HLS-40", "HLS-9", "HLS-13"]);
}

#[test]
fn an_ignored_rule_leaves_no_trace() {
    let mut report = Report::new(Profile::Auto, vec!["hls-13".to_owned()]);
    report.add(&A, finding("x"));
    assert!(report.breaches().is_empty());
    assert_eq!(report.text("x", false), "x: no findings\n");
}

#[test]
fn text_shows_lines_and_remedy_and_no_strangers_escapes() {
    let text = report(Profile::LlHls).text("http://x", false);
    assert!(text.contains("    7 │ #EXT-X-\u{fffd}[31m\"red\"\n"), "{text}");
    assert!(text.contains("remedy: do a\n") && text.contains("… and 9 more") && text.contains("at 1.500 s"));
    assert!(text.ends_with("http://x: 1 error, 2 warnings\n"), "{text}");
    assert!(!text.contains('\u{1b}'));
}

#[test]
fn json_and_junit_hold_what_the_text_holds() {
    let report = report(Profile::LlHls);
    let json: serde_json::Value = serde_json::from_str(&report.json("s")).unwrap();
    assert_eq!(json["findings"][0]["rule"], "HLS-40");
    assert_eq!(json["findings"][2]["count"], 12);
    let junit = report.junit("s", &[&A, &B, &C], false);
    let parsed = roxmltree::Document::parse(&junit).unwrap();
    assert_eq!(parsed.descendants().filter(|n| n.has_tag_name("failure")).count(), 1);
    assert_eq!(parsed.descendants().filter(|n| n.has_tag_name("testcase")).count(), 3);
    let strict = report.junit("s", &[&A, &B, &C], true);
    assert!(strict.contains("failures=\"3\""));
}
