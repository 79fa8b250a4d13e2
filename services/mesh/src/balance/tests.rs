//! Who is asked, by rule.

use super::*;

fn choices<'a>(of: &[(&'a str, u32, bool)]) -> Vec<Choice<'a>> {
    of.iter().map(|&(id, load, failed)| Choice { id, load, failed }).collect()
}

#[test]
fn each_rule_shares_out_as_it_says() {
    use Balance::{LeastLoaded, RoundRobin};
    let three = choices(&[("a", 2, false), ("b", 1, false), ("c", 1, false)]);
    let one_failed = choices(&[("a", 0, true), ("b", 5, false), ("c", 6, false)]);
    let all_failed = choices(&[("a", 0, true), ("b", 0, true)]);
    for (name, rule, among, want) in [
        ("in turn", RoundRobin, &three, vec![0, 1, 2, 0, 1, 2]),
        ("fewest, in turn among equals", LeastLoaded, &three, vec![1, 1, 2, 1, 1, 2]),
        ("without the one that failed", RoundRobin, &one_failed, vec![1, 2, 1, 2, 1, 2]),
        ("fewest without the one that failed", LeastLoaded, &one_failed, vec![1; 6]),
        ("all failed: then all", RoundRobin, &all_failed, vec![0, 1, 0, 1, 0, 1]),
    ] {
        let got: Vec<_> = (0..6).filter_map(|turn| rule.choose(among, turn, "")).collect();
        assert_eq!(got, want, "{name}");
        assert_eq!(rule.choose(&[], 0, ""), None);
    }
}

#[test]
fn sticky_stays_when_another_goes_and_spreads_evenly() {
    let of =
        |ids: &[&'static str]| ids.iter().map(|id| Choice { id, load: 0, failed: false }).collect::<Vec<_>>();
    let (four, three) = (of(&["a", "b", "c", "d"]), of(&["a", "b", "c"]));
    let mut counts = [0; 4];
    for nth in 0..4000 {
        let who = format!("user-{nth}");
        let at = Balance::Sticky.choose(&four, nth, &who).expect("one");
        assert_eq!(Balance::Sticky.choose(&four, nth + 1, &who), Some(at), "whatever the turn");
        counts[at] += 1;
        if at < 3 {
            assert_eq!(Balance::Sticky.choose(&three, nth, &who), Some(at), "d went, and was not theirs");
        }
    }
    assert!(counts.iter().all(|n| (850..1150).contains(n)), "{counts:?}");
}
