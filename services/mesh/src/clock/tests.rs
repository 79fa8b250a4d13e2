//! Ids, and a clock that is moved.

use super::*;

#[test]
fn ids_sort_by_time_and_have_the_form_of_version_7() {
    let (earlier, later) = (new_id(1_700_000_000_000), new_id(1_700_000_000_001));
    assert!(earlier < later, "{earlier} {later}");
    let id = new_id(0x0001_7F22_E279);
    assert!(id.starts_with("00017f22-e279-7"), "{id}");
    assert_eq!((id.len(), id.matches('-').count()), (36, 4));
    assert!(matches!(id.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "{id}");
}

#[tokio::test]
async fn a_manual_clock_wakes_those_whose_time_has_come() {
    let clock = Clock::manual(0);
    let mut early = std::pin::pin!(clock.sleep(Duration::from_secs(1)));
    let mut late = std::pin::pin!(clock.sleep(Duration::from_secs(5)));
    assert!(futures_poll(early.as_mut()).await.is_none());
    assert!(futures_poll(late.as_mut()).await.is_none());
    clock.advance(Duration::from_secs(2));
    early.await;
    assert!(futures_poll(late.as_mut()).await.is_none());
}

/// One poll of a future.
async fn futures_poll<F: Future>(mut future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|cx| {
        std::task::Poll::Ready(match future.as_mut().poll(cx) {
            std::task::Poll::Ready(out) => Some(out),
            std::task::Poll::Pending => None,
        })
    })
    .await
}
