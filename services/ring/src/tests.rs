//! What is built against the catalogue, and what goes through all of it.

mod persons;

use super::*;

#[test]
fn what_is_built_is_what_the_catalogue_says() {
    // Those two are the core and its gateway, which stand on no chassis.
    let listed = nx_catalog::catalog().services.iter().filter(|s| s.built).map(|s| s.id.as_str());
    let mut listed: Vec<_> = listed.filter(|id| !["streamcore", "backend-api"].contains(id)).collect();
    let sender = Sender::new(&nx_webhooks::Config::default(), Path::new("")).expect("the defaults are good");
    let services = services(&sender, &IdentityConfig::default(), &KeysConfig::default()).expect("threads");
    let mut built: Vec<_> = services.iter().map(Service::id).collect();
    listed.sort_unstable();
    built.sort_unstable();
    assert_eq!(listed, built);
}

#[test]
fn every_service_says_whether_it_keeps_something_of_people() {
    // That it is so is in `persons.rs`.
    for service in nx_catalog::catalog().services.iter().filter(|service| service.built) {
        assert!(
            service.persons.is_some(),
            "{}: say in the catalogue whether it keeps something of people",
            service.id
        );
    }
}
