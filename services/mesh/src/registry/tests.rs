//! The table on a clock of the test.

use super::*;

fn instance(id: &str, service: &str) -> Instance {
    let (id, service, address) = (id.to_owned(), service.to_owned(), "127.0.0.1:3023".to_owned());
    Instance { id, service, address, ready: true, running: 0, circuits: BTreeMap::new() }
}

fn passing(table: &Registry, service: &str) -> Vec<String> {
    table.passing(service).into_iter().map(|i| i.id.clone()).collect()
}

#[test]
fn out_after_two_beats_that_did_not_come_forgotten_after_a_minute() {
    let mut table = Registry::default();
    table.beat(instance("a", "s"), 0).expect("taken");
    table.beat(instance("b", "s"), 1_000).expect("taken");
    assert_eq!(table.next_ms(), Some(5_000));
    // One beat is missed: nobody is out.
    table.expire(4_999);
    assert_eq!((passing(&table, "s"), table.index()), (vec!["a".into(), "b".into()], 2));
    table.expire(5_000);
    assert_eq!((passing(&table, "s"), table.index()), (vec!["b".into()], 3));
    assert_eq!((table.list().count(), table.next_ms()), (2, Some(6_000)), "out, and still listed");
    table.beat(instance("a", "s"), 5_500).expect("taken");
    assert_eq!((passing(&table, "s").len(), table.index()), (2, 4), "it came back");
    table.expire(61_000);
    assert_eq!(table.list().map(|l| l.instance.id.as_str()).collect::<Vec<_>>(), ["a"], "b is forgotten");
    table.expire(65_500);
    assert_eq!((table.list().count(), table.next_ms()), (0, None));
}

#[test]
fn the_index_grows_with_what_those_who_watch_need_to_know_and_with_nothing_else() {
    let mut table = Registry::default();
    let mut beat = |change: fn(&mut Instance)| {
        let mut instance = instance("a", "s");
        change(&mut instance);
        table.beat(instance, 0).expect("taken");
        table.index()
    };
    assert_eq!(beat(|_| {}), 1, "it came");
    assert_eq!(beat(|_| {}), 1);
    assert_eq!(beat(|i| i.running = 9), 1, "load is no news");
    assert_eq!(beat(|i| i.ready = false), 2);
    assert_eq!(beat(|i| i.address = "127.0.0.1:1".into()), 3);
    assert!(table.leave("a") && !table.leave("a"));
    assert_eq!(table.index(), 4);
}

#[test]
fn who_is_not_ready_is_listed_and_not_asked() {
    let mut table = Registry::default();
    table.beat(Instance { ready: false, ..instance("a", "s") }, 0).expect("taken");
    table.beat(instance("b", "other"), 0).expect("taken");
    assert_eq!((passing(&table, "s"), table.list().count()), (vec![], 2));
}

#[test]
fn what_was_known_last_stays() {
    let (mut held, mut copy) = (Registry::default(), Registry::default());
    held.beat(instance("a", "s"), 0).expect("taken");
    copy.replace(held.list().cloned().collect());
    copy.expire(3_600_000);
    assert_eq!(passing(&copy, "s"), ["a"]);
    copy.replace(Vec::new());
    assert_eq!(passing(&copy, "s"), [""; 0]);
}

#[test]
fn nonsense_and_too_many_are_refused() {
    let mut table = Registry::default();
    let mut refused = |change: fn(&mut Instance)| {
        let mut instance = instance("a", "s");
        change(&mut instance);
        table.beat(instance, 0)
    };
    assert_eq!(refused(|i| i.id = String::new()), Err(RegistryError::Invalid("id")));
    assert_eq!(refused(|i| i.service = "a/b".into()), Err(RegistryError::Invalid("service")));
    assert_eq!(refused(|i| i.address = "host".into()), Err(RegistryError::Invalid("address")));
    assert_eq!(refused(|i| i.address = "host:1/../x".into()), Err(RegistryError::Invalid("address")));
    assert_eq!(
        refused(|i| i.circuits = [("x".repeat(201), "up".to_owned())].into()),
        Err(RegistryError::Invalid("circuits"))
    );
    for nth in 0..INSTANCES_MAX {
        table.beat(instance(&nth.to_string(), "s"), 0).expect("taken");
    }
    assert_eq!(table.beat(instance("more", "s"), 0), Err(RegistryError::Full));
    table.beat(instance("7", "s"), 0).expect("one that is there may go on");
}
