//! Two ends in memory, on a clock that stands still.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

use super::*;

const IDLE: Duration = Duration::from_secs(60);

struct Tunnel {
    client: DuplexStream,
    service: DuplexStream,
    stop: watch::Sender<bool>,
    done: JoinHandle<()>,
}

fn open() -> Tunnel {
    let ((client, near), (service, far)) = (duplex(16), duplex(16));
    let (stop, stopped) = watch::channel(false);
    Tunnel { client, service, stop, done: tokio::spawn(between(near, far, IDLE, stopped)) }
}

impl Tunnel {
    /// Sends a byte each way.
    async fn moves(&mut self) {
        let (client, service) = (&mut self.client, &mut self.service);
        client.write_all(b"a").await.expect("room");
        assert_eq!(service.read_u8().await.expect("a byte"), b'a');
        service.write_all(b"b").await.expect("room");
        assert_eq!(client.read_u8().await.expect("a byte"), b'b');
    }

    async fn passes(&self, time: Duration) -> bool {
        tokio::time::sleep(time).await;
        !self.done.is_finished()
    }
}

#[tokio::test(start_paused = true)]
async fn carries_more_than_it_keeps_and_ends_when_both_have_ended() {
    let mut tunnel = open();
    let sent: Vec<u8> = (0..100_000_u32).map(|n| n as u8).collect();
    let (mut read, mut write) = tokio::io::split(tunnel.client);
    let expected = sent.clone();
    let sends = tokio::spawn(async move {
        write.write_all(&sent).await.expect("it is taken");
        write.shutdown().await.expect("an end");
    });
    let mut got = Vec::new();
    tunnel.service.read_to_end(&mut got).await.expect("all of it");
    assert_eq!(got, expected);
    sends.await.expect("it was sent");
    tunnel.service.write_all(b"bye").await.expect("the other way is open");
    drop(tunnel.service);
    let mut last = Vec::new();
    read.read_to_end(&mut last).await.expect("the last of it");
    assert_eq!(last, b"bye");
    tunnel.done.await.expect("it ended");
}

#[tokio::test(start_paused = true)]
async fn closes_what_is_silent_and_nothing_else() {
    let mut tunnel = open();
    for _ in 0..5 {
        tunnel.moves().await;
        assert!(tunnel.passes(IDLE - Duration::from_secs(1)).await, "somebody spoke");
    }
    assert!(!tunnel.passes(2 * IDLE).await, "nobody did");
    assert_eq!(tunnel.client.read(&mut [0; 1]).await.expect("an end"), 0);
    assert_eq!(tunnel.service.read(&mut [0; 1]).await.expect("an end"), 0);
}

#[tokio::test(start_paused = true)]
async fn ends_in_the_first_lull_when_the_listener_stops() {
    let mut tunnel = open();
    tunnel.moves().await;
    tunnel.stop.send(true).expect("it listens");
    for _ in 0..10 {
        assert!(tunnel.passes(LULL / 2).await, "they are in the middle of something");
        tunnel.moves().await;
    }
    assert!(!tunnel.passes(3 * LULL).await, "they are not");
}

#[tokio::test(start_paused = true)]
async fn one_that_is_busy_when_the_listener_stops_is_not_cut_where_its_two_watches_meet() {
    let mut tunnel = open();
    tunnel.moves().await;
    // The first lull is looked for just before silence is.
    assert!(tunnel.passes(IDLE - LULL - LULL / 10).await, "somebody spoke");
    tunnel.moves().await;
    tunnel.stop.send(true).expect("it listens");
    for _ in 0..10 {
        assert!(tunnel.passes(LULL * 4 / 5).await, "they are in the middle of something");
        tunnel.moves().await;
    }
}

#[tokio::test(start_paused = true)]
async fn has_an_end_however_busy_it_is() {
    let mut tunnel = open();
    let step = IDLE / 2;
    for _ in 1..OPEN_MAX.as_secs() / step.as_secs() {
        assert!(tunnel.passes(step).await, "somebody spoke");
        tunnel.moves().await;
    }
    assert!(!tunnel.passes(step + LULL).await, "nobody may for ever");
}
