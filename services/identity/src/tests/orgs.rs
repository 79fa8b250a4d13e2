//! Organisations: nobody is in one without their yes, nobody is more there than they were made, and one is never left without an owner.

use std::sync::Arc;

use super::*;

const ORGS: &str = "/user-auth/v1/orgs";

impl In {
    async fn gets(&self, app: &TestApp, path: &str) -> Answer {
        self.asks(app, Method::GET, path, json!({})).await
    }

    async fn posts(&self, app: &TestApp, path: &str, body: Value) -> Answer {
        self.asks(app, Method::POST, path, body).await
    }

    fn id(&self) -> &str {
        &self.caller.subject
    }

    /// Makes an organisation; its address.
    async fn makes(&self, app: &TestApp, handle: &str) -> String {
        let made = self.posts(app, ORGS, json!({"handle": handle})).await;
        format!("{ORGS}/{}", made.is(201)["id"].as_str().expect("an id"))
    }

    /// Changes what somebody is in an organisation.
    async fn sets(&self, app: &TestApp, org: &str, who: &Self, role: &str) -> Answer {
        self.asks(app, Method::PUT, &format!("{org}/members/{}", who.id()), json!({"role": role})).await
    }

    async fn drops(&self, app: &TestApp, org: &str, who: &Self) -> Answer {
        self.asks(app, Method::DELETE, &format!("{org}/members/{}", who.id()), json!({})).await
    }

    async fn accepts(&self, app: &TestApp, org: &str) -> Answer {
        self.posts(app, &format!("{}/accept", invitation(org)), json!({})).await
    }
}

/// Where who is invited finds the invitation to an organisation.
fn invitation(org: &str) -> String {
    org.replace("/orgs/", "/orgs/invites/")
}

/// Somebody with a role, who comes by invitation.
async fn comes(app: &TestApp, root: &In, handle: &str, role: &str) -> In {
    let made = root.posts(app, "/auth-service/v1/invites", json!({"roles": [role]})).await;
    let one = In::new(sign_up(app, handle, made.is(201)["token"].as_str()).await.is(200));
    app.settle().await;
    one
}

/// Has somebody in an organisation.
async fn joins(app: &TestApp, org: &str, owner: &In, handle: &str, who: &In, role: &str) {
    let invite = json!({"handle": handle, "role": role});
    let _ = owner.posts(app, &format!("{org}/invites"), invite).await.is(200);
    let _ = who.accepts(app, org).await.is(200);
}

/// Who is what there, by handle.
async fn roles(app: &TestApp, by: &In, org: &str) -> Vec<String> {
    let list = by.gets(app, &format!("{org}/members")).await;
    let items = list.is(200)["items"].as_array().expect("a list").clone();
    let text = |item: &Value, at: &str| item[at].as_str().expect("a text").to_owned();
    let mut all: Vec<_> =
        items.iter().map(|m| format!("{} {}", text(m, "handle"), text(m, "role"))).collect();
    all.sort();
    all
}

fn handles(answer: &Answer) -> Vec<&str> {
    let items = answer.is(200)["items"].as_array().expect("a list");
    items.iter().filter_map(|item| item["handle"].as_str()).collect()
}

async fn one_is_made_joined_and_ended(app: TestApp) {
    let (root, ada) = two(&app).await;
    let cleo = comes(&app, &root, "cleo", "creator").await;
    for (by, new, status) in [
        (&ada, json!({"handle": "studio"}), 403),
        (&cleo, json!({"handle": "s"}), 422),
        (&cleo, json!({"handle": "studio", "owners": ["x"]}), 422),
        (&cleo, json!({"handle": "studio", "role": "owner"}), 422),
        (&cleo, json!({"handle": "studio", "name": "one\nline"}), 422),
        (&cleo, json!({"handle": "studio", "name": "turned \u{202e}round"}), 422),
    ] {
        assert_eq!(by.posts(&app, ORGS, new.clone()).await.status, status, "{new}");
    }
    let new = json!({"handle": " Studio ", "name": "The studio"});
    let headers = [("idempotency-key", "the same")];
    let again = || app.send_as(Some(cleo.caller.clone()), Method::POST, ORGS, &headers, &new);
    let (made, same) = (again().await, again().await);
    assert_eq!((made.is(201), &same.body), (&made.body, &made.body), "asked twice, it is one");
    assert_eq!((&made.body["handle"], &made.body["role"]), (&json!("studio"), &json!("owner")));
    assert_eq!(
        cleo.posts(&app, ORGS, json!({"handle": "stud1o"})).await.slug(),
        "taken",
        "it looks the same"
    );
    let org = format!("{ORGS}/{}", made.body["id"].as_str().expect("an id"));

    // Nobody is in it without their yes, and nobody sees it before.
    let invites = format!("{org}/invites");
    let stranger = cleo.posts(&app, &invites, json!({"handle": "nobody-here", "role": "manager"})).await;
    assert_eq!(stranger.slug(), "invalid");
    let _ = cleo.posts(&app, &invites, json!({"handle": "ADA", "role": "publisher"})).await.is(200);
    assert_eq!(handles(&cleo.gets(&app, &invites).await), ["ada"]);
    let _ = ada.gets(&app, &org).await.is(404);
    assert_eq!(handles(&ada.gets(&app, ORGS).await), Vec::<&str>::new());
    let mine = format!("{ORGS}/invites");
    assert_eq!(handles(&ada.gets(&app, &mine).await), ["studio"]);
    assert_eq!(handles(&root.gets(&app, &mine).await), Vec::<&str>::new());
    let _ = root.accepts(&app, &org).await.is(404);
    let key = In { caller: Caller { session: None, ..ada.caller.clone() }, ..ada.clone() };
    let _ = key.accepts(&app, &org).await.is(403);
    let _ = ada.asks(&app, Method::DELETE, &invitation(&org), json!({})).await.is(200);
    let _ = ada.accepts(&app, &org).await.is(404);
    joins(&app, &org, &cleo, "ada", &ada, "publisher").await;
    let _ = ada.accepts(&app, &org).await.is(404);
    assert_eq!(roles(&app, &ada, &org).await, ["ada publisher", "cleo owner"]);
    let twice = cleo.posts(&app, &invites, json!({"handle": "ada", "role": "manager"})).await;
    assert_eq!(twice.slug(), "member");

    let may = ada.gets(&app, &format!("/user-auth/v1/users/{}/permissions", ada.id())).await;
    assert_eq!(
        (&may.is(200)["orgs"][0]["handle"], &may.body["roles"]),
        (&json!("studio"), &json!(["viewer"]))
    );
    let _ = cleo.gets(&app, &format!("/user-auth/v1/users/{}/permissions", ada.id())).await.is(404);

    it_is_renamed_and_ended(&app, &org, [&cleo, &ada, &root]).await;
}

async fn it_is_renamed_and_ended(app: &TestApp, org: &str, [cleo, ada, root]: [&In; 3]) {
    // Another name, by who has read the one before.
    let tag = cleo.gets(app, org).await.etag().to_owned();
    let rename = async |tag: &str| {
        let (by, name) = (Some(cleo.caller.clone()), json!({"name": "Studio One"}));
        app.send_as(by, Method::PATCH, org, &[("if-match", tag)], &name).await
    };
    let renamed = rename(&tag).await;
    assert_eq!(renamed.is(200)["name"], "Studio One");
    assert_eq!(rename(&tag).await.status, 412);
    assert_ne!(renamed.etag(), tag);

    let _ = cleo.asks(app, Method::DELETE, org, json!({})).await.is(200);
    for by in [cleo, ada, root] {
        let _ = by.gets(app, org).await.is(404);
    }
    let _ = cleo.makes(app, "studio").await;
    for n in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        let _ = cleo.makes(app, &format!("studio-no-{n}")).await;
    }
    assert_eq!(cleo.posts(app, ORGS, json!({"handle": "too-many"})).await.slug(), "orgs-max");
}

/// What each may, route by route.
async fn who_may_what(app: TestApp) {
    let (root, _) = two(&app).await;
    let cleo = comes(&app, &root, "cleo", "creator").await;
    let org = cleo.makes(&app, "studio").await;
    let (mary, paul) =
        (comes(&app, &root, "mary", "creator").await, comes(&app, &root, "pavel", "creator").await);
    let eve = comes(&app, &root, "eve", "creator").await;
    let other = comes(&app, &root, "other", "viewer").await;
    joins(&app, &org, &cleo, "mary", &mary, "manager").await;
    joins(&app, &org, &cleo, "pavel", &paul, "publisher").await;
    let (invites, member) = (format!("{org}/invites"), format!("{org}/members/{}", paul.id()));
    let pending = format!("{invites}/{}", other.id());
    let as_manager = json!({"handle": "other", "role": "manager"});
    let as_owner = json!({"handle": "other", "role": "owner"});
    // Of what changes nothing for the next: who is nobody there, publisher, manager, owner, operator.
    let table = [
        (Method::GET, org.clone(), json!({}), [404, 200, 200, 200, 200]),
        (Method::GET, format!("{org}/members"), json!({}), [404, 200, 200, 200, 200]),
        (Method::GET, invites.clone(), json!({}), [404, 403, 200, 200, 200]),
        (Method::POST, invites.clone(), as_manager.clone(), [404, 403, 200, 200, 200]),
        (Method::POST, invites.clone(), as_owner, [404, 403, 403, 200, 200]),
        (Method::DELETE, pending.clone(), json!({}), [404, 403, 403, 200, 404]),
        (Method::POST, invites.clone(), as_manager, [404, 403, 200, 200, 200]),
        (Method::DELETE, pending, json!({}), [404, 403, 200, 404, 404]),
        (Method::PUT, member.clone(), json!({"role": "publisher"}), [404, 403, 403, 200, 200]),
        (Method::PUT, member.clone(), json!({"role": "emperor"}), [422, 422, 422, 422, 422]),
        (Method::PUT, member.clone(), json!({"role": "publisher", "org": 1}), [422, 422, 422, 422, 422]),
        (
            Method::PUT,
            format!("{org}/members/{}", eve.id()),
            json!({"role": "owner"}),
            [404, 403, 403, 404, 404],
        ),
        (Method::PATCH, org.clone(), json!({"name": "x"}), [404, 403, 403, 412, 412]),
        (Method::DELETE, format!("{org}/members/{}", cleo.id()), json!({}), [404, 403, 403, 409, 409]),
        (
            Method::PUT,
            format!("{org}/members/{}", cleo.id()),
            json!({"role": "manager"}),
            [404, 403, 403, 409, 409],
        ),
        (Method::DELETE, format!("{org}/invites/{}", mary.id()), json!({}), [404, 403, 404, 404, 404]),
        (Method::DELETE, format!("{org}/members/{}", eve.id()), json!({}), [404, 403, 403, 404, 404]),
    ];
    for (method, path, body, want) in table {
        for (who, want) in [&eve, &paul, &mary, &cleo, &root].into_iter().zip(want) {
            let headers = [("if-match", "\"0\""), ("idempotency-key", &*nx_chassis::new_id(0))];
            let by = Some(who.caller.clone());
            let answer = app.send_as(by, method.clone(), &path, &headers, &body).await;
            assert_eq!(answer.status, want, "{method} {path} {body} {:?} {answer:?}", who.caller.roles);
            let nobody = app.send_as(None, method.clone(), &path, &headers, &body).await;
            assert_eq!(nobody.status, 401, "{method} {path}");
        }
    }
    // What ends it, last: each by who may not, and by who may.
    for (by, method, path, want) in [
        (&eve, Method::DELETE, &member, 404),
        (&mary, Method::DELETE, &member, 403),
        (&paul, Method::DELETE, &member, 200),
        (&paul, Method::GET, &org, 404),
        (&mary, Method::DELETE, &org, 403),
        (&eve, Method::DELETE, &org, 404),
        (&cleo, Method::DELETE, &org, 200),
    ] {
        assert_eq!(by.asks(&app, method.clone(), path, json!({})).await.status, want, "{method} {path}");
    }
}

/// An invitation holds for 30 days, as long as who made it could make it, and a manager does not put less in the place of an owner's.
async fn invitations_that_hold_no_more(app: TestApp) {
    let (root, ada) = two(&app).await;
    let (cleo, mary) =
        (comes(&app, &root, "cleo", "creator").await, comes(&app, &root, "mary", "creator").await);
    let org = cleo.makes(&app, "studio").await;
    joins(&app, &org, &cleo, "mary", &mary, "manager").await;
    let invites = format!("{org}/invites");
    let invite = async |by: &In, role: &str| {
        by.posts(&app, &invites, json!({"handle": "ada", "role": role})).await.status.as_u16()
    };
    assert_eq!(invite(&cleo, "owner").await, 200);
    assert_eq!(invite(&mary, "publisher").await, 403, "it is an owner's");
    assert_eq!(invite(&cleo, "publisher").await, 200);
    assert_eq!(invite(&mary, "manager").await, 200);

    // Who has made it is shut out.
    let user = |who: &In| format!("/user-auth/v1/users/{}", who.id());
    let _ = root.posts(&app, &format!("{}/disable", user(&mary)), json!({})).await.is(200);
    let _ = ada.accepts(&app, &org).await.is(404);
    let _ = root.posts(&app, &format!("{}/enable", user(&mary)), json!({})).await.is(200);

    // Or was an operator, and is none.
    let eve = comes(&app, &root, "eve", "operator").await;
    assert_eq!(invite(&eve, "owner").await, 200);
    let roles_of = async |roles: Value| {
        let tag = root.gets(&app, &user(&eve)).await.etag().to_owned();
        let (by, path) = (Some(root.caller.clone()), format!("{}/roles", user(&eve)));
        let _ = app.send_as(by, Method::PUT, &path, &[("if-match", &tag)], &roles).await.is(200);
    };
    roles_of(json!({"roles": ["creator"]})).await;
    let _ = ada.accepts(&app, &org).await.is(404);
    roles_of(json!({"roles": ["operator"]})).await;

    // Nobody says yes to what was asked a month ago.
    app.pass(Duration::from_secs(30 * 86_400)).await;
    let _ = ada.accepts(&app, &org).await.is(404);
    assert_eq!(invite(&cleo, "publisher").await, 200);
    let _ = ada.accepts(&app, &org).await.is(200);
}

/// Whatever owners do to each other at once, one is left.
async fn an_owner_is_always_left(app: TestApp) {
    let (root, _) = two(&app).await;
    let (ann, bob) =
        (comes(&app, &root, "ann", "creator").await, comes(&app, &root, "bobby", "creator").await);
    let org = ann.makes(&app, "studio").await;
    joins(&app, &org, &ann, "bobby", &bob, "owner").await;
    let app = Arc::new(app);
    for round in 0..50 {
        let (a, b) = match round % 3 {
            0 => tokio::join!(ann.sets(&app, &org, &bob, "manager"), bob.sets(&app, &org, &ann, "manager")),
            1 => tokio::join!(ann.sets(&app, &org, &ann, "publisher"), bob.sets(&app, &org, &bob, "manager")),
            _ => tokio::join!(ann.drops(&app, &org, &ann), bob.drops(&app, &org, &bob)),
        };
        let done = [&a, &b].iter().filter(|answer| answer.status == 200).count();
        assert_eq!(done, 1, "{round} {a:?} {b:?}");
        let left = roles(&app, &root, &org).await;
        assert_eq!(left.iter().filter(|who| who.ends_with(" owner")).count(), 1, "{round} {left:?}");
        for (who, handle) in [(&ann, "ann"), (&bob, "bobby")] {
            if !left.iter().any(|it| it.starts_with(handle)) {
                joins(&app, &org, &root, handle, who, "owner").await;
            }
            let _ = root.sets(&app, &org, who, "owner").await.is(200);
        }
    }
    // Many invitations that are accepted at once, and one that is taken twice.
    let invite = json!({"handle": "ann", "role": "owner"});
    let _ = ann.drops(&app, &org, &ann).await.is(200);
    let _ = bob.posts(&app, &format!("{org}/invites"), invite).await.is(200);
    let mut all = JoinSet::new();
    for _ in 0..20 {
        let (app, ann, org) = (app.clone(), ann.clone(), org.clone());
        all.spawn(async move { ann.accepts(&app, &org).await.status.as_u16() });
    }
    let mut all = all.join_all().await;
    all.sort_unstable();
    assert_eq!((all[0], &all[1..]), (200, &[404; 19][..]));
}

/// An owner who is shut out is none; one who is forgotten leaves it to operators; with its last member it ends.
async fn owners_who_are_gone(app: TestApp) {
    let (root, _) = two(&app).await;
    let (ann, bob) =
        (comes(&app, &root, "ann", "creator").await, comes(&app, &root, "bobby", "creator").await);
    let org = ann.makes(&app, "studio").await;
    joins(&app, &org, &ann, "bobby", &bob, "owner").await;
    let user = |who: &In| format!("/user-auth/v1/users/{}", who.id());
    let _ = root.posts(&app, &format!("{}/disable", user(&bob)), json!({})).await.is(200);
    assert_eq!(ann.drops(&app, &org, &ann).await.slug(), "last-owner", "bob is shut out");
    // His token holds for some minutes yet.
    let _ = bob.sets(&app, &org, &ann, "publisher").await.is(404);
    let may = root.gets(&app, &format!("{}/permissions", user(&bob))).await;
    assert_eq!(may.is(200)["orgs"], json!([]));
    let _ = root.posts(&app, &format!("{}/enable", user(&bob)), json!({})).await.is(200);
    let _ = ann.sets(&app, &org, &bob, "manager").await.is(200);
    let invited = json!({"handle": "ada", "role": "publisher"});
    let _ = ann.posts(&app, &format!("{org}/invites"), invited).await.is(200);

    // The last owner is forgotten.
    let _ = root.asks(&app, Method::DELETE, &user(&ann), json!({})).await.is(200);
    app.settle().await;
    assert_eq!(roles(&app, &bob, &org).await, ["bobby manager"]);
    let seen = bob.gets(&app, &org).await;
    assert_eq!(seen.is(200)["owners"], 0);
    assert_eq!(
        handles(&bob.gets(&app, &format!("{org}/invites")).await),
        Vec::<&str>::new(),
        "ann's went with her"
    );
    let _ = bob.sets(&app, &org, &bob, "owner").await.is(403);
    let _ = root.sets(&app, &org, &bob, "owner").await.is(200);
    assert_eq!(root.gets(&app, &org).await.is(200)["owners"], 1);

    // And the last member.
    let _ = root.asks(&app, Method::DELETE, &user(&bob), json!({})).await.is(200);
    app.settle().await;
    let _ = root.gets(&app, &org).await.is(404);
    assert_eq!(handles(&root.gets(&app, ORGS).await), Vec::<&str>::new());
}

on_both! {
    made: one_is_made_joined_and_ended;
    rights: who_may_what;
    invitations: invitations_that_hold_no_more;
    owners: an_owner_is_always_left;
    gone: owners_who_are_gone;
}
