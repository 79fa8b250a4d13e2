//! Letters, and the same promises of both buses.

use std::collections::HashSet;
use std::sync::Mutex;
use std::time::Duration;

use nx_peers::Rabbit as Broker;
use tokio::sync::Notify;

use super::*;

const KIND: &str = "cos.test.item.sold.v1";

fn letter(subject: &str, number: i64) -> Letter {
    let id = format!("{subject}-{number}");
    let body = serde_json::json!({
        "specversion": "1.0", "id": id, "source": "/services/till", "type": KIND, "subject": subject,
        "time": "2026-01-01T00:00:00Z", "sequence": number, "datacontenttype": "application/json", "data": {},
    });
    Letter {
        source: "till".into(),
        id,
        kind: KIND.into(),
        subject: subject.into(),
        number,
        body: body.to_string(),
    }
}

/// Keeps letters once, as services do; fails as often as it is told to.
#[derive(Default)]
struct Shelf {
    kept: Mutex<Vec<Letter>>,
    failures: Mutex<u32>,
    bell: Notify,
}

impl Inbox for Shelf {
    fn keep<'a>(&'a self, letters: &'a [Letter]) -> Done<'a> {
        Box::pin(async move {
            let mut failures = self.failures.lock().expect("a lock");
            if *failures > 0 {
                *failures -= 1;
                return Err(BusError::Inbox("as asked for".into()));
            }
            let mut kept = self.kept.lock().expect("a lock");
            for letter in letters {
                if !kept.iter().any(|k| (&k.source, &k.id) == (&letter.source, &letter.id)) {
                    kept.push(letter.clone());
                }
            }
            self.bell.notify_one();
            Ok(())
        })
    }
}

impl Shelf {
    /// Waits until so many are there; their subjects and numbers.
    async fn has(&self, count: usize) -> Vec<(String, i64)> {
        let enough = async {
            loop {
                let kept = self.kept.lock().expect("a lock").clone();
                if kept.len() >= count {
                    return kept.into_iter().map(|l| (l.subject, l.number)).collect();
                }
                self.bell.notified().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), enough).await.expect("they come")
    }
}

#[test]
fn a_letter_is_read_whole_or_becomes_one_of_nobody() {
    let good = letter("tea", 7);
    assert_eq!(Letter::read(good.body.as_bytes()), good);
    let mut ids = HashSet::new();
    for end in 0..good.body.len() {
        let torn = Letter::read(&good.body.as_bytes()[..end]);
        assert_eq!((torn.source.as_str(), torn.kind.as_str(), torn.number), ("", "", 0), "{end}");
        assert!(ids.insert(torn.id), "{end}: the same id for another body");
    }
    let nul = Letter::read(
        b"{\"id\": \"a\\u0000b\", \"source\": \"s\", \"type\": \"t\", \"subject\": \"\", \"sequence\": 1}\0",
    );
    assert_eq!(nul.source, "");
    assert!(!nul.body.contains('\0') && !Letter::read(&[0xff, 0]).body.contains('\0'));
}

#[tokio::test]
async fn within_a_process_what_is_handed_on_is_there_and_one_who_goes_keeps_it_from_being_forgotten() {
    let (bus, publisher, shelf) = (Bus::default(), Publisher::default(), Arc::new(Shelf::default()));
    let inbox: Arc<dyn Inbox> = shelf.clone();
    bus.join([KIND, "other"].into_iter(), &inbox);
    let letters =
        [letter("tea", 1), Letter { kind: "unheard".into(), ..letter("milk", 1) }, letter("tea", 2)];
    bus.publish(&publisher, &letters).await.expect("handed on");
    assert_eq!(shelf.has(2).await, [("tea".into(), 1), ("tea".into(), 2)]);
    *shelf.failures.lock().expect("a lock") = 1;
    assert!(matches!(bus.publish(&publisher, &letters).await, Err(BusError::Inbox(_))));
    drop((shelf, inbox));
    assert!(matches!(bus.publish(&publisher, &letters).await, Err(BusError::Stopping)));
}

/// One broker for all of it, since one takes ten seconds to start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_rabbitmq_nothing_is_lost_and_each_subject_is_in_order() {
    let mut broker = Broker::start();
    let topic = |service, kinds: &[&'static str]| Topic { service, kinds: kinds.to_vec() };
    let topics = vec![topic("book", &[KIND]), topic("till", &[])];
    let bus = Arc::new(Bus::Rabbit(Rabbit::new(broker.url(), topics)));
    let publisher = Publisher::default();
    let mut letters: Vec<Letter> =
        (1..=50).flat_map(|nth| [letter("tea", nth), letter("milk", nth)]).collect();
    // Told before anybody hears.
    bus.publish(&publisher, &letters).await.expect("confirmed");
    let shelf = Arc::new(Shelf::default());
    *shelf.failures.lock().expect("a lock") = 1;
    let reader = {
        let (bus, shelf) = (bus.clone(), shelf.clone());
        tokio::spawn(async move {
            loop {
                // A broker that is away, or an inbox that fails: again.
                let _ = bus.fetch("book", &*shelf).await;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        })
    };
    shelf.has(100).await;
    // Twice, as after a relay that was killed.
    bus.publish(&publisher, &letters).await.expect("confirmed");
    letters.push(letter("tea", 51));
    if std::env::var_os("NX_BROKER_KILLS").is_some() {
        // RabbitMQ 3.10 does not always find the leader of a young queue again, hence only where it is asked for.
        broker.kill();
        assert!(bus.publish(&publisher, &letters).await.is_err(), "nobody has confirmed it");
        broker.revive();
    }
    // As a relay does: until the broker, which takes its time to begin, has it. Not timed, only bounded.
    let mut tries = 0;
    while let Err(error) = bus.publish(&publisher, &letters).await {
        tries += 1;
        assert!(tries < 100, "confirmed, over a new connection: {error}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let kept = shelf.has(101).await;
    for (subject, last) in [("tea", 51), ("milk", 50)] {
        let numbers: Vec<i64> = kept.iter().filter(|(s, _)| s == subject).map(|(_, n)| *n).collect();
        assert_eq!(numbers, (1..=last).collect::<Vec<_>>(), "{subject}");
    }
    reader.abort();
}
