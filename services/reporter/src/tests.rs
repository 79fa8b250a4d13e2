//! What becomes of an error: its event, its pace, and a queue that nobody empties.

use serde_json::json;

use super::*;
use crate::work::Pace;

#[test]
fn a_dsn_is_read_as_sentrys_sdks_read_it() {
    let read = |text: &str| Dsn::try_from(text.to_owned());
    for (text, url) in [
        ("http://abc@localhost:3000/api/glitch/v1/7", "http://localhost:3000/api/glitch/v1/api/7/envelope/"),
        ("https://abc@o1.ingest.example.org/42", "https://o1.ingest.example.org/api/42/envelope/"),
        ("https://abc:old@example.org/42?x=1", "https://example.org/api/42/envelope/"),
    ] {
        let dsn = read(text).expect(text);
        assert_eq!((dsn.url.as_str(), dsn.key.as_str()), (url, "abc"));
        assert_eq!((format!("{dsn:?}"), json!(dsn)), ("***".into(), json!("***")));
    }
    for text in [
        "",
        "http://localhost/1",
        "ftp://abc@localhost/1",
        "http://abc@localhost/",
        "http://a%20b@localhost/1",
        "abc",
    ] {
        assert!(read(text).is_err(), "{text}");
    }
}

fn fault(message: &str) -> Fault {
    let mut fault = at(7);
    fault.note("message", message);
    fault
}

fn at(line: u32) -> Fault {
    Fault::new("nx_origin::keep", Some("origin/src/keep.rs"), Some(line))
}

#[test]
fn an_error_becomes_an_event_with_its_fields() {
    let mut fault = fault("cannot write");
    fault.note("stream", "live/cam1");
    fault.note("long", &"x".repeat(1 << 20));
    (0..100).for_each(|n| fault.note(&format!("f{n}"), "x"));
    let event = fault.event(3);
    assert_eq!((&event["level"], &event["logger"]), (&json!("error"), &json!("nx_origin::keep")));
    assert_eq!(event["logentry"]["formatted"], "cannot write");
    assert_eq!(
        (&event["extra"]["stream"], &event["extra"]["dropped_before"]),
        (&json!("live/cam1"), &json!(3))
    );
    assert!(event.to_string().len() < 8 << 10, "what is reported is bounded");
    let envelope = fault.envelope(0);
    let lines: Vec<_> = envelope.lines().collect();
    assert_eq!(serde_json::from_str::<serde_json::Value>(lines[1]).expect("JSON")["length"], lines[2].len());
    let panic = Fault::panic("index out of bounds", "a.rs", 3).event(0);
    assert_eq!(
        (&panic["level"], &panic["exception"]["values"][0]["type"]),
        (&json!("fatal"), &json!("panic"))
    );
}

#[test]
fn one_place_reports_ten_times_in_a_minute_and_not_while_it_is_refused() {
    let mut pace = Pace::new();
    let admitted = (0..100).filter(|n| pace.admits(&fault(&n.to_string()), 60_000)).count();
    assert_eq!(admitted, 10);
    assert!(pace.admits(&at(8), 60_001) && !pace.admits(&at(7), 119_999) && pace.admits(&at(7), 120_000));
    pace.pause(120_000, 5_000);
    assert!(!pace.admits(&at(9), 124_999) && pace.admits(&at(9), 125_000));
}

#[test]
fn a_full_queue_and_glitch_itself_are_counted_and_nobody_waits() {
    let queue = Queue::default();
    (0..QUEUE_MAX + 5).for_each(|_| queue.push(fault("x")));
    assert_eq!(queue.dropped.load(Ordering::Relaxed), 5);
    let queue = Arc::new(Queue::default());
    for name in ["glitch", work::THREAD] {
        let queue = queue.clone();
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || queue.push(fault("loop")));
        thread.expect("a thread").join().expect("no panic");
    }
    assert_eq!(queue.dropped.load(Ordering::Relaxed), 2);
    let end = queue.end.lock().expect("a lock").take().expect("not taken");
    assert!(end.try_recv().is_err(), "nothing of them is in the queue");
}
