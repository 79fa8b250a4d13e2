//! What can be said, and what is wrong with the rest.

use nx_container::scte35;
use nx_contract::announce::{Attribute, Break, NewCue};

use super::read::bytes;
use super::*;

const NOW_MS: i64 = 1_795_000_000_000;

#[test]
fn dates_are_read_as_rfc_3339_writes_them() {
    for (text, want) in [
        ("1970-01-01T00:00:00Z", Some(0)),
        ("2026-11-18T11:06:40.000Z", Some(NOW_MS)),
        ("2026-11-18T12:06:40.5+01:00", Some(NOW_MS + 500)),
        ("2026-11-18T09:36:40.123456-01:30", Some(NOW_MS + 123)),
        ("2024-02-29T00:00:00Z", Some(1_709_164_800_000)),
        ("2023-02-29T00:00:00Z", None),
        ("2026-13-01T00:00:00Z", None),
        ("2026-11-18T24:00:00Z", None),
        ("2026-11-18T11:06:40", None),
        ("2026-11-18", None),
        ("26-11-18T11:06:40Z", None),
        ("2026-11-18T11:06:40.Z", None),
        ("2026-11-18T11:06:40.\u{e4}Z", None),
        ("", None),
    ] {
        assert_eq!(Rfc3339::parse(text), want, "{text}");
        if let Some(ms) = want {
            assert_eq!(Rfc3339::parse(&Rfc3339(ms).to_string()), want);
        }
    }
}

#[test]
fn bytes_are_read_in_both_spellings() {
    for (text, want) in [
        ("0xFC30", Some(&[0xfc, 0x30][..])),
        ("fc30", Some(&[0xfc, 0x30])),
        ("/DAR", Some(&[0xfc, 0x30, 0x11])),
        ("_DA=", Some(&[0xfc, 0x30])),
        ("/DA", Some(&[0xfc, 0x30])),
        ("", None),
        ("0x", None),
        ("\u{e4}", None),
        ("abcde", None),
    ] {
        assert_eq!(bytes(text).as_deref(), want, "{text}");
    }
}

fn cue(text: &str) -> NewCue {
    let (language, text) = ("en".into(), text.into());
    NewCue { start: None, offset_ms: None, duration_ms: 1000, text, language, rendition: None }
}

#[test]
fn every_fault_of_a_batch_is_named() {
    let cues = vec![
        cue("fine"),
        NewCue { duration_ms: 0, ..cue(" ") },
        NewCue { start: Some("soon".into()), language: "e n".into(), ..cue("x") },
        NewCue { offset_ms: Some(-61_000), rendition: Some("\"".into()), ..cue("x") },
        NewCue { offset_ms: Some(0), start: Some("2026-11-18T11:06:40Z".into()), ..cue("x") },
    ];
    let faults = check::cues(NewCaptions { cues }, NOW_MS).unwrap_err();
    let fields: Vec<&str> = faults.iter().map(|f| f.split(' ').next().unwrap()).collect();
    let want = [
        "cues[1].duration_ms",
        "cues[1].text",
        "cues[2].start",
        "cues[2].language",
        "cues[3].offset_ms",
        "cues[3].rendition",
        "cues[4].start",
    ];
    assert_eq!(fields, want, "{faults:?}");
    assert!(check::cues(NewCaptions { cues: vec![] }, NOW_MS).is_err());
    let good = NewCaptions { cues: vec![NewCue { offset_ms: Some(-500), ..cue("a < b") }] };
    let good = check::cues(good, NOW_MS).unwrap().remove(0);
    assert_eq!(
        (good.start_ms, good.text.as_str(), good.name.as_str()),
        (NOW_MS - 500, "a &lt; b", "English")
    );
}

fn faults(new: NewDateRange) -> Vec<String> {
    check::range(new, "id".into(), NOW_MS).err().unwrap_or_default()
}

#[test]
fn every_fault_of_a_range_is_named() {
    let base = NewDateRange::default;
    let text = |t: &str| Some(t.to_owned());
    let attribute = |name: &str, value| [(name.to_owned(), value)].into();
    let gap = Some(Break { duration_ms: 1000, auto_return: true });
    let asset = |uri: &str, duration_ms| nx_contract::announce::Asset { uri: uri.into(), duration_ms };
    let scte35 = |out: &str| nx_contract::announce::Scte35 { out: text(out), ..Default::default() };
    for (new, want) in [
        (base(), &[][..]),
        (NewDateRange { start: text("2026-11-18T11:05:00Z"), ..base() }, &["start"]),
        (NewDateRange { class: text("a\"b"), ..base() }, &["class"]),
        (NewDateRange { end_on_next: true, ..base() }, &["end_on_next"]),
        (NewDateRange { end_on_next: true, class: text("c"), gap, ..base() }, &["end_on_next"]),
        (
            NewDateRange { end_on_next: true, class: text("c"), duration_ms: Some(1), ..base() },
            &["end_on_next"],
        ),
        (NewDateRange { end_on_next: true, class: text("c"), planned_duration_ms: Some(1), ..base() }, &[]),
        (NewDateRange { end_on_next: true, class: text("c"), ..base() }, &[]),
        (NewDateRange { cue: vec!["PRE".into(), "POST".into()], ..base() }, &["cue"]),
        (NewDateRange { cue: vec!["MID".into()], ..base() }, &["cue"]),
        (NewDateRange { attributes: attribute("X-ok", Attribute::Number(1.0)), ..base() }, &["attributes:"]),
        (
            NewDateRange { attributes: attribute("X-A", Attribute::Number(f64::NAN)), ..base() },
            &["attributes:"],
        ),
        (
            NewDateRange { attributes: attribute("X-A", Attribute::Text("a\nb".into())), ..base() },
            &["attributes:"],
        ),
        (
            NewDateRange { attributes: attribute("X-ASSET-URI", Attribute::Text("x".into())), ..base() },
            &["attributes:"],
        ),
        (NewDateRange { gap, planned_duration_ms: Some(1), ..base() }, &["planned_duration_ms"]),
        (NewDateRange { gap: gap.map(|b| Break { duration_ms: 0, ..b }), ..base() }, &["break.duration_ms"]),
        (
            NewDateRange { assets: vec![asset("/a.m3u8", 0)], ..base() },
            &["assets[0].uri", "assets[0].duration_ms"],
        ),
        (NewDateRange { assets: vec![asset("http://a/b", 1)], class: text("c"), ..base() }, &["assets"]),
        (NewDateRange { restrict: vec!["PAUSE".into()], ..base() }, &["restrict"]),
        (NewDateRange { scte35: scte35("?"), ..base() }, &["scte35.out"]),
        (NewDateRange { scte35: scte35("FC30"), ..base() }, &["scte35.out:"]),
    ] {
        let faults = faults(new);
        let fields: Vec<&str> = faults.iter().map(|f| f.split(' ').next().unwrap()).collect();
        assert_eq!(fields, want, "{faults:?}");
    }
    assert!(check::range(base(), "a b".into(), NOW_MS).is_err(), "a blank in the id");
}

#[test]
fn what_was_said_of_a_range_stays() {
    let base = |class: &str| NewDateRange { class: Some(class.into()), ..Default::default() };
    let until_next = || NewDateRange { end_on_next: true, ..base("c") };
    let long = || NewDateRange { duration_ms: Some(5), ..base("c") };
    for (old, new, want) in [
        (base("c"), NewDateRange::default(), &[][..]),
        (base("c"), long(), &[]),
        (base("c"), base("d"), &["class"]),
        (base("c"), until_next(), &["end_on_next"]),
        (long(), until_next(), &["end_on_next"]),
        (until_next(), until_next(), &[]),
        (until_next(), long(), &["duration_ms:"]),
        (long(), NewDateRange { duration_ms: Some(6), ..base("c") }, &["duration_ms"]),
    ] {
        let checked = |new| check::range(new, "id".into(), NOW_MS).unwrap();
        let mut window = nx_hls::Window::new(6, 2, 0);
        let (number, first_msn, tracks, start_ms) = (0, 0, vec![], NOW_MS);
        window.apply(nx_hls::Event::Run(std::sync::Arc::new(nx_hls::Run {
            number,
            first_msn,
            tracks,
            start_ms,
            wall_at_zero_ms: NOW_MS,
            part_target_us: 1,
            keys: Vec::new(),
        })));
        window.apply(nx_hls::Event::DateRange(checked(old).range));
        let known = window.date_ranges().next().unwrap();
        let faults = check::adds(known, &checked(new)).err().unwrap_or_default();
        let fields: Vec<&str> = faults.iter().map(|f| f.split(' ').next().unwrap()).collect();
        assert_eq!(fields, want, "{faults:?}");
    }
}

#[test]
fn a_break_becomes_a_section_at_its_time() {
    let gap = Some(Break { duration_ms: 30_000, auto_return: true });
    let new = check::range(NewDateRange { gap, ..Default::default() }, "ad".into(), NOW_MS).unwrap();
    let (event_id, auto_return) = new.splice.unwrap();
    let range = nx_hls::DateRange { pts_us: 10_000_000, ..new.range };
    let splice = scte35::parse(&section(event_id, Some(&range), auto_return)).unwrap();
    let scte35::Command::Insert(insert) = splice.command else { panic!("{splice:?}") };
    let action = insert.action.unwrap();
    assert_eq!((splice.time(), action.out_of_network), (Some(900_000), true));
    assert_eq!(action.duration, Some(BreakDuration { auto_return: true, duration_90k: 2_700_000 }));
    let back = scte35::parse(&section(event_id, None, false)).unwrap();
    assert_eq!(back.time(), None);
    // The events are told apart, and the same whenever they are told.
    assert_eq!((check::event_id("ad"), check::event_id("ad") == check::event_id("ae")), (event_id, false));
}
