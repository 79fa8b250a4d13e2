//! Traces that are taken over, and those that are none.

use super::*;

#[tokio::test]
async fn a_trace_is_taken_over_when_it_is_one_and_passed_on() {
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    assert_eq!(id_of(Some(&format!("00-{trace}-00f067aa0ba902b7-01"))), trace);
    for bad in
        [None, Some("x"), Some("00-abc-00f067aa0ba902b7-01"), Some(&*format!("00-{}-1-01", "0".repeat(32)))]
    {
        assert_eq!(id_of(bad).len(), 32, "{bad:?}");
        assert_ne!(id_of(bad), id_of(bad), "{bad:?}");
    }
    let child = within(trace.into(), 700, async { (child(), left(200), left(900)) }).await;
    let (child, left, late) = child;
    assert_eq!((left, late), (Some(Duration::from_millis(500)), Some(Duration::ZERO)));
    assert_eq!((&child[3..35], child.len()), (trace, 55));
}
