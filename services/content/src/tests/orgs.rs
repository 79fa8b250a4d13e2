//! Channels of organisations: who may what with them, and who may no more. On both stores.

use super::*;

const ORGS: &str = "/user-auth/v1/orgs";
const STREAMING: &str = "streaming-service-v2";

impl House {
    /// Somebody who may make channels, whoever is asked.
    async fn creator(&self, handle: &str) -> In {
        let one = self.sign_up(handle, &["creator"]).await;
        let path = format!("/user-auth/v1/users/{}", one.0.subject);
        let tag = self.app.get(&path).await.etag().to_owned();
        let (path, roles) = (format!("{path}/roles"), json!({"roles": ["creator"]}));
        let given = self.app.send(Method::PUT, &path, &[("if-match", &tag)], &roles).await;
        assert_eq!(given.status, 200, "{given:?}");
        self.app.settle().await;
        one
    }

    async fn joins(&self, org: &str, owner: &In, handle: &str, role: &str) -> In {
        let who = self.creator(handle).await;
        let invite = json!({"handle": handle, "role": role});
        let invited = owner.post(self, &format!("{ORGS}/{org}/invites"), invite).await;
        assert_eq!(invited.status, 200, "{invited:?}");
        let joined = who.post(self, &format!("{ORGS}/invites/{org}/accept"), json!({})).await;
        assert_eq!(joined.status, 200, "{joined:?}");
        self.app.settle().await;
        who
    }

    /// Has the service hear what user-auth would tell.
    async fn hears(&self, fact: &str, org: &str, number: i64, data: Value) {
        let (id, kind) = (nx_chassis::new_id(0), format!("cos.identity.org.{fact}.v1"));
        let event = json!({"specversion": "1.0", "id": id, "source": "/services/user-auth", "type": kind,
            "subject": org, "time": "2026-01-01T00:00:00.000Z", "sequence": number,
            "datacontenttype": "application/json", "data": data});
        let sql = "INSERT INTO chassis_inbox (source, id, subject, number, body, state, attempts, due_ms, at_ms) \
                   VALUES ('user-auth', $1, $2, $3, $4, 0, 0, 0, 1)";
        let args = nx_chassis::args![&id, org, number, event.to_string()];
        assert_eq!(self.app.cx(STREAMING).run(sql, args).await.unwrap(), 1);
        self.app.settle().await;
    }
}

impl In {
    async fn org(&self, house: &House, handle: &str) -> String {
        let made = self.post(house, ORGS, json!({"handle": handle})).await;
        house.app.settle().await;
        made.is(201)["id"].as_str().unwrap().to_owned()
    }

    async fn channel_of(&self, house: &House, org: &str, handle: &str) -> String {
        let new = json!({"handle": handle, "members_only": true, "org_id": org});
        self.post(house, CHANNELS, new).await.is(201)["id"].as_str().unwrap().to_owned()
    }

    /// Asks as who has read a version.
    async fn asks_if(&self, house: &House, method: Method, path: &str, tag: &str, body: Value) -> Answer {
        let key = nx_chassis::new_id(0);
        let headers = [("idempotency-key", key.as_str()), ("if-match", tag)];
        house.app.send_as(Some(self.0.clone()), method, path, &headers, &body).await
    }

    /// Gives a channel to an organisation, or takes it.
    async fn transfers(&self, house: &House, channel: &str, wish: Value) -> Answer {
        let path = format!("{CHANNELS}/{channel}");
        let tag = self.get(house, &path).await.etag().to_owned();
        self.asks_if(house, Method::POST, &format!("{path}/transfer"), &tag, wish).await
    }

    async fn key(&self, house: &House, channel: &str) -> String {
        let path = format!("{CHANNELS}/{channel}/stream-keys");
        let made = self.post(house, &path, json!({"name": "a key"})).await;
        made.is(201)["id"].as_str().unwrap().to_owned()
    }
}

/// Where the core is told of a key of the club.
fn told(key: &str) -> String {
    format!("/v1/streams/members/club/keys/{key}")
}

/// What each may, route by route.
async fn who_may_what(house: House) {
    let cleo = house.creator("cleo").await;
    let org = cleo.org(&house, "studio").await;
    let mary = house.joins(&org, &cleo, "mary", "manager").await;
    let paul = house.joins(&org, &cleo, "pavel", "publisher").await;
    let eve = house.creator("eve").await;
    let _ = house.sign_up("vera", &["viewer"]).await;
    let root = In(Caller::operator());
    for (by, status) in [(&eve, 404), (&paul, 403), (&mary, 201)] {
        let new = json!({"handle": "club", "members_only": true, "org_id": org});
        assert_eq!(by.post(&house, CHANNELS, new).await.status, status);
    }
    let none = json!({"handle": "lost", "org_id": "no-such-organisation"});
    assert_eq!(cleo.post(&house, CHANNELS, none).await.status, 404);
    let listed = paul.get(&house, CHANNELS).await;
    let club = &listed.is(200)["items"][0];
    assert_eq!((&club["right"], &club["mine"]), (&json!("publish"), &json!(true)));
    assert_eq!((&club["org"]["handle"], &club["org_id"]), (&json!("studio"), &json!(org)));
    assert_eq!(club.get("owner_id"), None);
    assert_eq!(eve.handles(&house).await, Vec::<String>::new());
    let at = format!("{CHANNELS}/{}", club["id"].as_str().unwrap());
    let planned = |id: &str| format!("{at}/broadcasts/{id}");
    let plan = paul.post(&house, &format!("{at}/broadcasts"), json!({"title": "Tonight"})).await;
    let plan = planned(plan.is(201)["id"].as_str().unwrap());
    let target = json!({"name": "there", "url": "rtmp://192.0.2.1/app/key"});
    let policy = json!({"access": "members"});
    // Of who is nobody there, publisher, manager, owner, operator. No version is 0.
    let table = [
        (Method::GET, at.clone(), json!({}), [404, 200, 200, 200, 200]),
        (Method::GET, format!("{at}/live"), json!({}), [404, 200, 200, 200, 200]),
        (Method::GET, format!("{at}/stream-keys"), json!({}), [404, 200, 200, 200, 200]),
        (Method::POST, format!("{at}/stream-keys"), json!({"name": "x"}), [404, 201, 201, 201, 201]),
        (Method::DELETE, format!("{at}/stream-keys/none"), json!({}), [404, 403, 404, 404, 404]),
        (Method::GET, format!("{at}/broadcasts"), json!({}), [404, 200, 200, 200, 200]),
        (Method::POST, format!("{at}/broadcasts"), json!({"title": "x"}), [404, 201, 201, 201, 201]),
        (Method::PATCH, plan.clone(), json!({"title": "y"}), [404, 412, 412, 412, 412]),
        (Method::POST, format!("{plan}/start"), json!({}), [404, 409, 409, 409, 409]),
        (Method::GET, format!("{plan}/health"), json!({}), [404, 409, 409, 409, 409]),
        (Method::DELETE, plan, json!({}), [404, 403, 200, 404, 404]),
        (Method::GET, format!("{at}/playback-policy"), json!({}), [404, 200, 200, 200, 200]),
        (Method::PUT, format!("{at}/playback-policy"), policy, [404, 403, 412, 412, 412]),
        (Method::POST, format!("{at}/playback"), json!({}), [404, 200, 200, 200, 200]),
        (Method::DELETE, format!("{at}/playback"), json!({}), [404, 403, 200, 200, 200]),
        (Method::GET, format!("{at}/simulcast-targets"), json!({}), [404, 200, 200, 200, 200]),
        (Method::POST, format!("{at}/simulcast-targets"), target, [404, 403, 201, 201, 201]),
        (Method::DELETE, format!("{at}/simulcast-targets/none"), json!({}), [404, 403, 404, 404, 404]),
        (Method::GET, format!("{at}/members"), json!({}), [404, 403, 200, 200, 200]),
        (Method::POST, format!("{at}/members"), json!({"handle": "vera"}), [404, 403, 200, 200, 200]),
        (Method::DELETE, format!("{at}/members/none"), json!({}), [404, 403, 404, 404, 404]),
        (Method::PATCH, at.clone(), json!({"title": "z"}), [404, 403, 412, 412, 412]),
        (Method::POST, format!("{at}/transfer"), json!({}), [404, 403, 403, 412, 412]),
    ];
    for (method, path, body, want) in table {
        for (who, want) in [&eve, &paul, &mary, &cleo, &root].into_iter().zip(want) {
            let answer = who.asks_if(&house, method.clone(), &path, "\"0\"", body.clone()).await;
            assert_eq!(answer.status, want, "{method} {path} {} {answer:?}", who.0.subject);
        }
    }
    for (by, want) in [(&eve, 404), (&paul, 403), (&mary, 200), (&cleo, 404)] {
        assert_eq!(by.delete(&house, &at).await.status, want);
    }
    who_is_taken_out_may_nothing(&house, &org, [&cleo, &mary, &paul]).await;
    a_channel_changes_hands(&house, &org, [&cleo, &mary]).await;
}

async fn who_is_taken_out_may_nothing(house: &House, org: &str, [cleo, mary, paul]: [&In; 3]) {
    let show = mary.channel_of(house, org, "the-show").await;
    let (at, key) = (format!("{CHANNELS}/{show}"), paul.key(house, &show).await);
    let kept = mary.key(house, &show).await;
    let token = paul.post(house, &format!("{at}/playback"), json!({})).await.is(200)["token"]["id"].clone();
    house.app.settle().await;
    let path = |key: &str| format!("/v1/streams/members/the-show/keys/{key}");
    assert!(house.core.told().keys.iter().any(|(at, _)| *at == path(&key)));
    let member = format!("{ORGS}/{org}/members/{}", paul.0.subject);
    assert_eq!(cleo.delete(house, &member).await.status, 200);
    house.app.settle().await;
    {
        let told = house.core.told();
        assert!(told.deleted.contains(&path(&key)) && !told.deleted.contains(&path(&kept)), "{told:?}");
        assert!(told.revoked.contains(&token));
    }
    for (method, path) in [
        (Method::GET, at.clone()),
        (Method::GET, format!("{at}/live")),
        (Method::GET, format!("{at}/broadcasts")),
        (Method::POST, format!("{at}/stream-keys")),
        (Method::POST, format!("{at}/playback")),
        (Method::DELETE, at.clone()),
    ] {
        let answer = paul.asks(house, method.clone(), &path, json!({"name": "x"})).await;
        let want = if path.ends_with("playback") { 422 } else { 404 };
        assert_eq!(answer.status, want, "{method} {path}");
    }
    assert_eq!(paul.post(house, &format!("{at}/playback"), json!({})).await.status, 404);
    // Less is less at once, and what they have made for it goes on.
    let member = format!("{ORGS}/{org}/members/{}", mary.0.subject);
    let less = cleo.asks(house, Method::PUT, &member, json!({"role": "publisher"})).await;
    assert_eq!(less.status, 200);
    house.app.settle().await;
    assert_eq!(mary.delete(house, &at).await.status, 403);
    assert!(!house.core.told().deleted.contains(&path(&kept)));
    let more = cleo.asks(house, Method::PUT, &member, json!({"role": "manager"})).await;
    assert_eq!(more.status, 200);
    house.app.settle().await;
}

async fn a_channel_changes_hands(house: &House, org: &str, [cleo, mary]: [&In; 2]) {
    let own = mary.channel(house, "marys", true).await;
    let path = |key: &str| format!("/v1/streams/members/marys/keys/{key}");
    let first = mary.key(house, &own).await;
    let path_of = format!("{CHANNELS}/{own}/transfer");
    let hers = cleo.asks_if(house, Method::POST, &path_of, "\"1\"", json!({"org_id": org})).await;
    assert_eq!(hers.status, 404, "it is not cleo's to give");
    let given = mary.transfers(house, &own, json!({"org_id": org})).await;
    assert_eq!((&given.is(200)["org_id"], given.body.get("owner_id")), (&json!(org), None));
    let second = cleo.key(house, &own).await;
    assert_eq!(mary.transfers(house, &own, json!({})).await.status, 403, "a manager takes none away");
    let wish = json!({"org_id": "another"});
    assert_eq!(cleo.transfers(house, &own, wish).await.status, 404);
    assert_eq!(cleo.asks_if(house, Method::POST, &path_of, "\"1\"", json!({})).await.status, 412);
    let taken = cleo.transfers(house, &own, json!({})).await;
    assert_eq!(taken.is(200)["owner_id"], json!(cleo.0.subject));
    house.app.settle().await;
    {
        let told = house.core.told();
        assert!(told.deleted.contains(&path(&first)), "mary knows it");
        assert!(!told.deleted.contains(&path(&second)));
    }
    assert_eq!(mary.get(house, &format!("{CHANNELS}/{own}")).await.status, 404);
    // With the organisation its channels end, and nobody gets their names.
    let show = house.app.get(CHANNELS).await;
    let shows = show.is(200)["items"].as_array().unwrap();
    let show = shows.iter().find(|channel| channel["handle"] == "the-show").unwrap()["id"].clone();
    let key = cleo.key(house, show.as_str().unwrap()).await;
    assert_eq!(cleo.delete(house, &format!("{ORGS}/{org}")).await.status, 200);
    house.app.settle().await;
    let path = format!("/v1/streams/members/the-show/keys/{key}");
    assert!(house.core.told().deleted.contains(&path));
    assert_eq!(house.app.get(&format!("{CHANNELS}/{}", show.as_str().unwrap())).await.status, 404);
    assert_eq!(cleo.handles(house).await, ["marys"]);
    assert_eq!(cleo.post(house, CHANNELS, json!({"handle": "the-show"})).await.slug(), "taken");
    let late = json!({"handle": "late", "org_id": org});
    assert_eq!(cleo.post(house, CHANNELS, late).await.status, 404);
}

/// Facts that come twice, or in another order, and who is shut out or forgotten.
async fn in_any_order(house: House) {
    let cleo = house.creator("cleo").await;
    let org = cleo.org(&house, "studio").await;
    let paul = house.joins(&org, &cleo, "pavel", "publisher").await;
    let club = cleo.channel_of(&house, &org, "club").await;
    let at = format!("{CHANNELS}/{club}");
    let members = |who: &[(&In, &str)]| -> Value {
        who.iter().map(|(who, role)| json!({"user_id": who.0.subject, "role": role})).collect()
    };
    let now = |version: i64, members: Value| json!({"version": version, "handle": "studio", "name": "Studio", "members": members, "about": null});
    let may = async |who: &In| who.get(&house, &at).await.status.as_u16();
    for (fact, number, version, who, want) in [
        ("member_removed", 12, 12, members(&[(&cleo, "owner")]), 404),
        ("member_added", 10, 10, members(&[(&cleo, "owner"), (&paul, "owner")]), 404),
        ("member_changed", 11, 12, members(&[(&cleo, "owner"), (&paul, "manager")]), 404),
        ("member_added", 13, 13, members(&[(&cleo, "owner"), (&paul, "publisher")]), 200),
        ("member_added", 14, 13, members(&[(&cleo, "owner")]), 200),
    ] {
        house.hears(fact, &org, number, now(version, who)).await;
        assert_eq!(may(&paul).await, want, "{fact} {version}");
    }
    // Disabled, he keeps no key that opens anything; hers goes on.
    let (his, hers) = (paul.key(&house, &club).await, cleo.key(&house, &club).await);
    let user = |who: &In| format!("/user-auth/v1/users/{}", who.0.subject);
    assert_eq!(house.app.post(&format!("{}/disable", user(&paul)), &json!({})).await.status, 200);
    house.app.settle().await;
    assert_eq!(house.core.told().deleted, [told(&his)]);
    // His token holds for some minutes yet, and is worth nothing there.
    assert_eq!(may(&paul).await, 404);
    assert_eq!(paul.post(&house, &format!("{at}/stream-keys"), json!({"name": "x"})).await.status, 404);
    assert_eq!(house.app.post(&format!("{}/enable", user(&paul)), &json!({})).await.status, 200);
    // The owner is forgotten: what is the organisation's stays, and paul makes another key.
    house.app.settle().await;
    let made = house.app.send(Method::DELETE, &user(&cleo), &[], &json!({})).await;
    assert_eq!(made.status, 200, "{made:?}");
    house.app.settle().await;
    assert_eq!(house.core.told().deleted, [told(&his), told(&hers)]);
    assert_eq!(may(&paul).await, 200);
    let third = paul.key(&house, &club).await;
    // It is deleted, whatever is heard of it after that.
    house.hears("deleted", &org, 30, Value::Null).await;
    assert_eq!(may(&paul).await, 404);
    house.hears("member_added", &org, 31, now(99, members(&[(&paul, "owner")]))).await;
    house.hears("deleted", &org, 32, Value::Null).await;
    assert_eq!(may(&paul).await, 404);
    assert!(house.core.told().deleted.contains(&told(&third)));
    assert_eq!(paul.post(&house, CHANNELS, json!({"handle": "club"})).await.slug(), "taken");
}

/// Whoever gives a channel away may do so now, whatever was heard of them before; and of what others have made on it goes on what they
/// have a right to.
async fn nobody_gives_by_what_was(house: House) {
    let cleo = house.creator("cleo").await;
    let org = cleo.org(&house, "studio").await;
    let mary = house.joins(&org, &cleo, "mary", "manager").await;
    let eve = house.creator("eve").await;
    let club = cleo.channel_of(&house, &org, "club").await;
    // Here eve is its owner, and user-auth knows nothing of that.
    let all = json!([{"user_id": cleo.0.subject, "role": "owner"}, {"user_id": eve.0.subject, "role": "owner"},
        {"user_id": mary.0.subject, "role": "manager"}]);
    let now = json!({"version": 50, "handle": "studio", "name": "Studio", "members": all, "about": null});
    house.hears("member_added", &org, 50, now).await;
    assert_eq!(eve.transfers(&house, &club, json!({})).await.status, 403);
    let own = eve.channel(&house, "eves", true).await;
    assert_eq!(eve.transfers(&house, &own, json!({"org_id": org})).await.status, 403);
    // Her token says that she is an operator, and she was.
    let was = In(Caller { roles: vec!["operator".into()], ..eve.0.clone() });
    let hers = mary.channel(&house, "marys", true).await;
    assert_eq!(was.transfers(&house, &hers, json!({})).await.status, 403);
    // Nor does a key give anything away, nor an app.
    let key = In(Caller { session: None, ..cleo.0.clone() });
    assert_eq!(key.transfers(&house, &club, json!({})).await.status, 403);
    let app = In(Caller { scope: Some("channels.write".into()), ..cleo.0.clone() });
    assert_eq!(app.transfers(&house, &club, json!({})).await.status, 403);
    let new = json!({"handle": "by-an-app", "org_id": org});
    assert_eq!(app.post(&house, CHANNELS, new).await.status, 403);
    assert_eq!(app.delete(&house, &format!("{CHANNELS}/{club}")).await.status, 403);
    what_is_left_by_who_is_gone(&house, (&org, &own), [&cleo, &mary, &eve]).await;
}

async fn what_is_left_by_who_is_gone(house: &House, (org, own): (&str, &str), [cleo, mary, eve]: [&In; 3]) {
    // An operator gives eve's channel to the organisation, where she is nobody.
    let one =
        json!([{"user_id": cleo.0.subject, "role": "owner"}, {"user_id": mary.0.subject, "role": "manager"}]);
    let now = json!({"version": 51, "handle": "studio", "name": "Studio", "members": one, "about": null});
    house.hears("member_removed", org, 51, now).await;
    let root = In(Caller::operator());
    let (first, at) = (eve.key(house, own).await, format!("{CHANNELS}/{own}"));
    let (kept, targets) = (root.key(house, own).await, format!("{at}/simulcast-targets"));
    let target = async |by: &In, at: &str| {
        let url = format!("rtmp://192.0.2.1/app/{at}");
        let made = by.post(house, &targets, json!({"name": at, "url": url})).await;
        assert_eq!(made.status, 201, "{made:?}");
        // The core is told of one by one: two of the same millisecond come in any order.
        house.app.settle().await;
    };
    let names = async || -> Vec<String> {
        let list = root.get(house, &targets).await;
        let all = list.is(200)["items"].as_array().unwrap();
        all.iter().map(|target| target["name"].as_str().unwrap().to_owned()).collect()
    };
    target(eve, "eves").await;
    target(&root, "roots").await;
    assert_eq!(root.transfers(house, own, json!({"org_id": org})).await.status, 200);
    house.app.settle().await;
    let path = |key: &str| format!("/v1/streams/members/eves/keys/{key}");
    {
        let told = house.core.told();
        assert!(told.deleted.contains(&path(&first)) && !told.deleted.contains(&path(&kept)), "{told:?}");
        assert!(told.deleted.contains(&"/v1/streams/members/eves/targets/c0".to_owned()), "{told:?}");
    }
    assert_eq!(names().await, ["roots"]);

    // Mary, who is taken out, is left no place among the viewers, nor anything that is sent to her.
    target(mary, "marys").await;
    let viewer = mary.post(house, &format!("{at}/members"), json!({"handle": "mary"})).await;
    assert_eq!(viewer.status, 200, "{viewer:?}");
    let token = mary.post(house, &format!("{at}/playback"), json!({})).await.is(200)["token"]["id"].clone();
    house.app.settle().await;
    let now = json!({"version": 52, "handle": "studio", "name": "Studio", "about": null,
        "members": [{"user_id": cleo.0.subject, "role": "owner"}]});
    house.hears("member_removed", org, 52, now).await;
    assert_eq!(names().await, ["roots"]);
    assert_eq!(mary.get(house, &at).await.status, 404);
    assert_eq!(cleo.get(house, &format!("{at}/members")).await.is(200)["items"], json!([]));
    let told = house.core.told();
    assert!(told.revoked.contains(&token), "{told:?}");
    assert!(told.deleted.contains(&"/v1/streams/members/eves/targets/c2".to_owned()), "{told:?}");
}

/// No key is left of who makes one while they are taken out.
async fn no_key_outlives_its_maker(house: House) {
    let cleo = house.creator("cleo").await;
    let org = cleo.org(&house, "studio").await;
    let paul = house.joins(&org, &cleo, "pavel", "publisher").await;
    let club = cleo.channel_of(&house, &org, "club").await;
    let keys = format!("{CHANNELS}/{club}/stream-keys");
    let both =
        json!([{"user_id": cleo.0.subject, "role": "owner"}, {"user_id": paul.0.subject, "role": "manager"}]);
    let alone = json!([{"user_id": cleo.0.subject, "role": "owner"}]);
    for round in 0..10_i64 {
        let now = |version: i64, members: &Value| json!({"version": version, "handle": "x", "name": "x", "members": members});
        house.hears("member_added", &org, 100 + round * 2, now(100 + round * 2, &both)).await;
        let add = async || paul.post(&house, &keys, json!({"name": "x"})).await.status.as_u16();
        let gone = house.hears("member_removed", &org, 101 + round * 2, now(101 + round * 2, &alone));
        let (a, b, (), c) = tokio::join!(add(), add(), gone, add());
        assert!([a, b, c].iter().all(|status| [201, 404].contains(status)), "{a} {b} {c}");
        let list = cleo.get(&house, &keys).await;
        assert_eq!(list.is(200)["items"], json!([]), "{round}");
    }
    house.app.settle().await;
    let told = house.core.told();
    assert!(told.keys.iter().all(|(key, _)| told.deleted.contains(key)), "{told:?}");
}

#[tokio::test]
async fn who_may_what_with_channels_of_an_organisation() {
    who_may_what(House::lite().await).await;
}

#[tokio::test]
async fn nobody_gives_a_channel_of_an_organisation_by_what_was() {
    nobody_gives_by_what_was(House::lite().await).await;
}

#[tokio::test]
async fn facts_of_organisations_come_in_any_order() {
    in_any_order(House::lite().await).await;
    no_key_outlives_its_maker(House::lite().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_of_an_organisation_on_postgresql() {
    let postgres = Postgres::start();
    let house = async || House::of(TestApp::on(&postgres, House::services()).await).await;
    who_may_what(house().await).await;
    in_any_order(house().await).await;
    nobody_gives_by_what_was(house().await).await;
    no_key_outlives_its_maker(house().await).await;
}
