//! SCIM: people and groups as a directory of others keeps them, with the rules that everybody has.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;

const SCIM: &str = "/user-auth/v1/scim/v2";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

impl In {
    async fn scim(&self, app: &TestApp, method: Method, path: &str, body: Value) -> Answer {
        self.scim_if(app, method, path, "", body).await
    }

    /// The same under a condition.
    async fn scim_if(&self, app: &TestApp, method: Method, path: &str, tag: &str, body: Value) -> Answer {
        let condition = if method == Method::GET { "if-none-match" } else { "if-match" };
        let headers = [("content-type", "application/scim+json"), (condition, tag)];
        let headers = if tag.is_empty() { &headers[..1] } else { &headers[..] };
        let body = if body.is_null() { vec![] } else { body.to_string().into_bytes() };
        app.send_bytes(Some(self.caller.clone()), method, &format!("{SCIM}{path}"), headers, body).await
    }

    /// A PUT of one version, as JSON.
    async fn asks_if(&self, app: &TestApp, path: &str, tag: &str, body: Value) -> Answer {
        app.send_as(Some(self.caller.clone()), Method::PUT, path, &[("if-match", tag)], &body).await
    }

    async fn finds(&self, app: &TestApp, kind: &str, filter: &str) -> Answer {
        let query: String = filter.bytes().map(|b| format!("%{b:02x}")).collect();
        self.scim(app, Method::GET, &format!("/{kind}?filter={query}"), Value::Null).await
    }
}

fn patch(operations: Value) -> Value {
    json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations})
}

fn id(answer: &Answer) -> String {
    answer.body["id"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
}

/// Makes somebody; their id.
async fn made(root: &In, app: &TestApp, user_name: &str) -> String {
    let answer = root.scim(app, Method::POST, "/Users", json!({"userName": user_name})).await;
    let _ = answer.is(201);
    id(&answer)
}

/// A refusal in the form of SCIM: its status and `scimType`.
#[track_caller]
fn refused(answer: &Answer, status: u16, kind: Option<&str>) {
    let body = answer.is(status);
    assert_eq!(body["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:Error"]));
    assert_eq!(body["status"], json!(status.to_string()));
    assert_eq!(body.get("scimType").and_then(Value::as_str), kind, "{body}");
    assert_eq!(answer.headers["content-type"], "application/scim+json");
}

async fn a_directory_keeps_people(app: TestApp) {
    let (root, ada) = two(&app).await;
    let enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
    let new = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", enterprise],
        "userName": "BJensen@example.com", "externalId": "x-1", "name": {"givenName": "Barbara", "familyName": "Jensen"},
        "emails": [{"value": "b@example.com", "type": "work", "primary": true}],
        "roles": [{"value": "Viewer", "primary": true}], "password": PASSWORD, "admin": true, "groups": [{"value": "g"}],
        "id": "mine", enterprise: {"department": "Sales", "manager": {"value": "m", "displayName": "no"}},
    });
    let barbara = root.scim(&app, Method::POST, "/Users", new).await;
    let _ = barbara.is(201);
    let key = id(&barbara);
    for unknown in ["password", "admin", "groups"] {
        assert_eq!(barbara.body.get(unknown), None, "{unknown}");
    }
    assert_eq!(barbara.body[enterprise], json!({"department": "Sales", "manager": {"value": "m"}}));
    assert_eq!(barbara.body["active"], true);
    assert_eq!(barbara.headers["location"], format!("/api{SCIM}/Users/{key}"));
    let user = app.get(&format!("/user-auth/v1/users/{key}")).await;
    let seen = ["handle", "name", "roles", "disabled"].map(|name| user.is(200)[name].clone());
    assert_eq!(seen, [json!("bjensen"), json!("Barbara Jensen"), json!(["viewer"]), json!(false)]);

    let same = root.scim(&app, Method::GET, &format!("/Users/{key}"), Value::Null).await;
    assert_eq!((same.is(200), same.etag()), (&barbara.body, barbara.etag()));
    let path = format!("/Users/{key}");
    let known = root.scim_if(&app, Method::GET, &path, barbara.etag(), Value::Null).await;
    let _ = known.is(304);
    let some = format!("{path}?attributes=emails.value,{enterprise}:department");
    let part = root.scim(&app, Method::GET, &some, Value::Null).await;
    let want = json!({
        "id": key, "schemas": barbara.body["schemas"], "emails": [{"value": "b@example.com"}], enterprise: {"department": "Sales"},
    });
    assert_eq!(part.is(200), &want);
    let part =
        root.scim(&app, Method::GET, &format!("{path}?excludedAttributes=emails,id,meta"), Value::Null).await;
    assert_eq!(
        (part.is(200).get("emails"), part.body.get("meta"), &part.body["id"]),
        (None, None, &json!(key))
    );

    // Whoever signed up is there too.
    let found = root.finds(&app, "Users", "userName eq \"ADA\"").await;
    let item = &found.is(200)["Resources"][0];
    assert_eq!(
        (&item["userName"], &item["id"], &item["active"]),
        (&json!("ada"), &json!(ada.caller.subject), &json!(true))
    );
    let whom = format!("/Users/{}", ada.caller.subject);
    let change = patch(json!([{"op": "replace", "value": {"displayName": "Ada L", "title": "Countess"}}]));
    let changed = root.scim(&app, Method::PATCH, &whom, change).await;
    assert_eq!(
        (&changed.is(200)["displayName"], &changed.body["title"]),
        (&json!("Ada L"), &json!("Countess"))
    );
    let own =
        ada.asks(&app, Method::GET, &format!("/user-auth/v1/users/{}", ada.caller.subject), json!({})).await;
    assert_eq!((&own.is(200)["name"], &own.body["handle"]), (&json!("Ada L"), &json!("ada")));
    let tag = [("if-match", own.etag())];
    let renamed = app
        .send_as(
            Some(ada.caller.clone()),
            Method::PATCH,
            &format!("/user-auth/v1/users/{}", ada.caller.subject),
            &tag,
            &json!({"name": "Zed"}),
        )
        .await;
    let _ = renamed.is(200);
    let seen = root.scim(&app, Method::GET, &whom, Value::Null).await;
    assert_eq!((&seen.is(200)["displayName"], &seen.body["title"]), (&json!("Zed"), &json!("Countess")));
    assert_ne!(seen.etag(), changed.etag());
}

async fn who_is_not_active_is_shut_out_and_who_is_deleted_is_forgotten(app: TestApp) {
    let (root, ada) = two(&app).await;
    let path = format!("/Users/{}", ada.caller.subject);
    let told = async || {
        let sql = "SELECT COUNT(*) AS n FROM chassis_subject WHERE subject = $1";
        let cx = app.cx("user-auth");
        cx.db().one::<i64>(sql, nx_chassis::args![&ada.caller.subject]).await.expect("a store")
    };
    assert_eq!(told().await, Some(1));
    let shut = root
        .scim(
            &app,
            Method::PATCH,
            &path,
            patch(json!([{"op": "Replace", "path": "active", "value": "False"}])),
        )
        .await;
    assert_eq!(shut.is(200)["active"], false);
    app.settle().await;
    assert_eq!(refresh(&app, &ada.refresh).await.slug(), "unauthorized", "the fact has ended the session");
    let _ = log_in(&app, "ada", PASSWORD).await.is(403);
    let put = json!({"userName": "ada", "title": "Countess"});
    assert_eq!(root.scim(&app, Method::PUT, &path, put).await.is(200)["active"], false, "as she was");
    let back =
        root.scim(&app, Method::PATCH, &path, patch(json!([{"op": "add", "value": {"active": true}}]))).await;
    assert_eq!(back.is(200)["active"], true);
    let _ = In::new(log_in(&app, "ada", PASSWORD).await.is(200));

    let group = json!({"displayName": "all", "members": [{"value": ada.caller.subject}]});
    let group = root.scim(&app, Method::POST, "/Groups", group).await;
    let _ = group.is(201);
    let _ = root.scim_if(&app, Method::DELETE, &path, "W/\"1\"", Value::Null).await.is(412);
    let _ = root.scim(&app, Method::DELETE, &path, Value::Null).await.is(204);
    refused(&root.scim(&app, Method::GET, &path, Value::Null).await, 404, None);
    refused(&root.scim(&app, Method::DELETE, &path, Value::Null).await, 404, None);
    app.settle().await;
    let _ = log_in(&app, "ada", PASSWORD).await.is(401);
    let now = root.scim(&app, Method::GET, &format!("/Groups/{}", id(&group)), Value::Null).await;
    assert_eq!(now.is(200).get("members"), None);
    assert_ne!(now.etag(), group.etag());
    let sql = "SELECT (SELECT COUNT(*) FROM scim_user) + (SELECT COUNT(*) FROM scim_member) AS n";
    assert_eq!(
        app.cx("user-auth").db().one::<i64>(sql, vec![]).await.expect("a store"),
        Some(0),
        "nothing is left"
    );
}

async fn the_last_operator_stays(app: TestApp) {
    let (root, ada) = two(&app).await;
    let path = format!("/Users/{}", root.caller.subject);
    let out = patch(json!([{"op": "replace", "path": "active", "value": false}]));
    refused(&root.scim(&app, Method::PATCH, &path, out.clone()).await, 409, None);
    let put = json!({"userName": "root", "active": false});
    refused(&root.scim(&app, Method::PUT, &path, put).await, 409, None);
    refused(&root.scim(&app, Method::DELETE, &path, Value::Null).await, 409, None);
    let seen = root.scim(&app, Method::GET, &path, Value::Null).await;
    assert_eq!(seen.is(200)["active"], true, "nothing of it was done");

    refused(&ada.scim(&app, Method::GET, "/Users", Value::Null).await, 403, None);
    refused(&ada.scim(&app, Method::PATCH, &path, out.clone()).await, 403, None);
    let nobody = app.send_as(None, Method::GET, &format!("{SCIM}/Users"), &[], &()).await;
    refused(&nobody, 401, None);
    // One who was an operator when their token was made, and is none any more.
    let late = In { caller: Caller { roles: vec!["operator".into()], ..ada.caller.clone() }, ..ada.clone() };
    refused(&late.scim(&app, Method::PATCH, &path, out).await, 403, None);
    refused(&late.scim(&app, Method::POST, "/Users", json!({"userName": "eve"})).await, 403, None);
    refused(&late.scim(&app, Method::POST, "/Groups", json!({"displayName": "eve"})).await, 403, None);
}

async fn of_fifty_who_make_somebody_one_does(app: TestApp) {
    let (root, _) = two(&app).await;
    let (app, mut all) = (Arc::new(app), JoinSet::new());
    for nth in 0..50 {
        let (app, root) = (app.clone(), root.clone());
        let name = if nth % 2 == 0 { "bjensen@example.com" } else { "BJENSEN@example.com" };
        all.spawn(async move { root.scim(&app, Method::POST, "/Users", json!({"userName": name})).await });
    }
    let mut statuses: Vec<u16> = Vec::new();
    for answer in all.join_all().await {
        if answer.status == 409 {
            refused(&answer, 409, Some("uniqueness"));
        }
        statuses.push(answer.status.as_u16());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [&[201][..], &[409; 49]].concat());

    // Another userName, and a handle that would look the same.
    let _ = made(&root, &app, "b.jensen@example.org").await;
    let found = root.finds(&app, "Users", "userName sw \"b\"").await;
    let mut handles = Vec::new();
    for item in found.is(200)["Resources"].as_array().expect("a list") {
        let path = format!("/user-auth/v1/users/{}", item["id"].as_str().expect("an id"));
        handles.push(app.get(&path).await.is(200)["handle"].as_str().expect("a handle").to_owned());
    }
    handles.sort();
    assert!(
        handles.len() == 2 && handles[0].starts_with("b.jensen-") && handles[1] == "bjensen",
        "{handles:?}"
    );

    // Handles and names that SCIM has given are the same kind of name.
    let id = made(&root, &app, "zoe").await;
    let rename = json!({"userName": "Yoe"});
    let _ = root.scim(&app, Method::PUT, &format!("/Users/{id}"), rename).await.is(200);
    assert_eq!(sign_up(&app, "yoe", None).await.slug(), "taken");
    refused(
        &root.scim(&app, Method::POST, "/Users", json!({"userName": "ADA"})).await,
        409,
        Some("uniqueness"),
    );
    let rename = json!({"userName": "Ada"});
    refused(&root.scim(&app, Method::PUT, &format!("/Users/{id}"), rename).await, 409, Some("uniqueness"));
}

async fn nobody_undoes_what_they_have_not_read(app: TestApp) {
    let (root, _) = two(&app).await;
    for (kind, new, name) in [
        ("Users", json!({"userName": "x@y"}), "title"),
        ("Groups", json!({"displayName": "x"}), "externalId"),
    ] {
        let made = root.scim(&app, Method::POST, &format!("/{kind}"), new.clone()).await;
        let _ = made.is(201);
        let path = format!("/{kind}/{}", id(&made));
        let change = |value: &str| patch(json!([{"op": "replace", "path": name, "value": value}]));
        let first = root.scim_if(&app, Method::PATCH, &path, made.etag(), change("first")).await;
        assert_eq!(first.is(200)["meta"]["version"], first.etag());
        refused(&root.scim_if(&app, Method::PATCH, &path, made.etag(), change("second")).await, 412, None);
        refused(&root.scim_if(&app, Method::PUT, &path, made.etag(), new).await, 412, None);
        refused(&root.scim_if(&app, Method::DELETE, &path, made.etag(), Value::Null).await, 412, None);
        let seen = root.scim(&app, Method::GET, &path, Value::Null).await;
        assert_eq!((&seen.is(200)[name], seen.etag()), (&json!("first"), first.etag()));
        let again = root.scim(&app, Method::PATCH, &path, change("first")).await;
        assert_eq!((again.is(200), again.etag()), (&seen.body, seen.etag()), "nothing has changed");
        let strong = first.etag().trim_start_matches("W/").to_owned();
        let _ =
            root.scim_if(&app, Method::DELETE, &path, &format!("\"0\", {strong}"), Value::Null).await.is(204);
    }
}

async fn groups_have_members_and_give_nothing(app: TestApp) {
    let (root, ada) = two(&app).await;
    let (a, b) = (ada.caller.subject.clone(), made(&root, &app, "b@example.com").await);
    let new = json!({"schemas": [GROUP], "displayName": "operator", "members": [{"value": a}, {"value": a}]});
    let group = root.scim(&app, Method::POST, "/Groups", new).await;
    let member = |id: &str| json!({"value": id, "$ref": format!("/api{SCIM}/Users/{id}"), "type": "User"});
    assert_eq!(group.is(201)["members"], json!([member(&a)]));
    let path = format!("/Groups/{}", id(&group));
    let seen = root.scim(&app, Method::GET, &format!("/Users/{a}"), Value::Null).await;
    let of = json!([{"value": id(&group), "$ref": format!("/api{SCIM}{path}"), "display": "operator", "type": "direct"}]);
    assert_eq!(seen.is(200)["groups"], of);
    let roles = app.get(&format!("/user-auth/v1/users/{a}")).await;
    assert_eq!(roles.is(200)["roles"], json!(["viewer"]), "a group of that name is no role");
    let add = patch(
        json!([{"op": "add", "path": "members", "value": [{"value": b}]}, {"op": "replace", "path": "displayName", "value": "both"}]),
    );
    let both = root.scim(&app, Method::PATCH, &path, add).await;
    let members = |answer: &Answer| -> BTreeSet<String> {
        let all = answer.is(200)["members"].as_array().cloned().unwrap_or_default();
        all.iter().map(|member| member["value"].as_str().expect("an id").to_owned()).collect()
    };
    assert_eq!(members(&both), BTreeSet::from([a.clone(), b.clone()]));
    let now = root.scim(&app, Method::GET, &format!("/Users/{a}"), Value::Null).await;
    assert_eq!(now.is(200)["groups"][0]["display"], "both");
    assert_ne!(now.etag(), seen.etag(), "who has read it has not read that");
    for (filter, want) in [
        ("members.value", &b),
        ("members", &b),
        ("members[type eq \"User\"] and displayName", &"both".to_owned()),
    ] {
        let found = root.finds(&app, "Groups", &format!("{filter} eq \"{want}\"")).await;
        assert_eq!(found.is(200)["totalResults"], 1, "{filter}");
    }
    let found =
        root.finds(&app, "Users", &format!("groups.value eq \"{}\" and userName sw \"b\"", id(&group))).await;
    assert_eq!(found.is(200)["Resources"][0]["id"], json!(b));
    for wrong in [
        json!([{"value": "nobody"}]),
        json!([{"value": b, "type": "Group"}]),
        json!([{"type": "User"}]),
        json!(["b"]),
    ] {
        let put = json!({"displayName": "both", "members": wrong});
        refused(&root.scim(&app, Method::PUT, &path, put).await, 400, Some("invalidValue"));
    }
    let gone = patch(json!([{"op": "remove", "path": format!("members[value eq \"{a}\"]")}]));
    assert_eq!(members(&root.scim(&app, Method::PATCH, &path, gone).await), BTreeSet::from([b.clone()]));
    assert_eq!(
        members(&root.scim(&app, Method::PUT, &path, json!({"displayName": "none"})).await),
        BTreeSet::new()
    );
    let _ = root.scim(&app, Method::DELETE, &path, Value::Null).await.is(204);
    refused(&root.scim(&app, Method::GET, &path, Value::Null).await, 404, None);
}

/// Nine people, two of whom signed up, and a group.
async fn nine(app: &TestApp) -> In {
    let (root, _) = two(app).await;
    for nth in 0..7 {
        let new = json!({"userName": format!("u{nth}@example.com"), "externalId": format!("e-{nth}"), "title": if nth < 5 { "A" } else { "B" }});
        let _ = root.scim(app, Method::POST, "/Users", new).await.is(201);
    }
    let _ = root
        .scim(app, Method::POST, "/Groups", json!({"displayName": "A", "externalId": "e-1"}))
        .await
        .is(201);
    root
}

async fn pages_are_what_they_say(app: TestApp) {
    let root = nine(&app).await;
    let names = async |query: &str| {
        let page = root.scim(&app, Method::GET, &format!("/Users{query}"), Value::Null).await;
        let items = page.is(200)["Resources"].as_array().expect("a list").iter();
        let names = items.filter_map(|item| item["userName"].as_str()?.split('@').next().map(str::to_owned));
        let names: Vec<String> = names.collect();
        assert_eq!(page.body["itemsPerPage"], names.len());
        (names, page)
    };
    let (all, _) = names("").await;
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 9, "{all:?}");
    let (a, u) = ("u0 u1 u2 u3 u4", "userName+eq+%22u6@example.com%22");
    for (query, of, start, count) in [
        ("?count=2&startIndex=3".to_owned(), "*", 3, 2),
        ("?count=-1".to_owned(), "*", 1, 0),
        ("?count=0".to_owned(), "*", 1, 0),
        ("?startIndex=0&count=1".to_owned(), "*", 1, 1),
        ("?startIndex=9".to_owned(), "*", 9, 200),
        ("?startIndex=10".to_owned(), "*", 10, 200),
        ("?filter=title+eq+%22a%22".to_owned(), a, 1, 200),
        ("?filter=title+eq+%22a%22&startIndex=2&count=2".to_owned(), a, 2, 2),
        ("?filter=externalId+eq+%22e-6%22".to_owned(), "u6", 1, 200),
        ("?filter=externalId+eq+%22E-6%22".to_owned(), "", 1, 200),
        ("?filter=userName+eq+%22U6@EXAMPLE.com%22+and+title+eq+%22B%22".to_owned(), "u6", 1, 200),
        (format!("?filter={u}+and+title+eq+%22A%22"), "", 1, 200),
        (format!("?filter={u}+or+title+eq+%22A%22&count=1"), "u0 u1 u2 u3 u4 u6", 1, 1),
    ] {
        let such = all.iter().filter(|name| of == "*" || of.split(' ').any(|of| of == **name));
        let such: Vec<_> = such.cloned().collect();
        let want: Vec<_> = such.iter().skip(start - 1).take(count).cloned().collect();
        let (got, page) = names(&query).await;
        assert_eq!((got, &page.body["totalResults"]), (want, &json!(such.len())), "{query}");
        assert_eq!(page.body["startIndex"], start);
    }
}

async fn searches_find_all_types(app: TestApp) {
    let root = nine(&app).await;
    for (path, body, total, first) in [
        (
            "/.search",
            json!({"filter": "externalId eq \"e-1\"", "attributes": ["externalId"]}),
            2,
            json!("e-1"),
        ),
        (
            "/.search",
            json!({"filter": "title eq \"A\" or displayName eq \"a\"", "startIndex": 6}),
            6,
            json!("e-1"),
        ),
        ("/.search", json!({"startIndex": 10, "count": 5}), 10, json!("e-1")),
        ("/Users/.search", json!({"filter": "externalId eq \"e-1\""}), 1, json!("e-1")),
        ("/Groups/.search", json!({"excludedAttributes": ["externalId"]}), 1, Value::Null),
    ] {
        let page = root.scim(&app, Method::POST, path, body.clone()).await;
        assert_eq!(
            (&page.is(200)["totalResults"], &page.body["Resources"][0]["externalId"]),
            (&json!(total), &first),
            "{body}"
        );
    }
    for path in [
        "/Users?filter=title+is+1",
        "/Groups?filter=title+pr",
        "/Users?filter=members+pr",
        "/Users?filter=password+pr",
    ] {
        refused(&root.scim(&app, Method::GET, path, Value::Null).await, 400, Some("invalidFilter"));
    }
    let neither = root.scim(&app, Method::POST, "/.search", json!({"filter": "password pr"})).await;
    refused(&neither, 400, Some("invalidFilter"));
    refused(&root.scim(&app, Method::GET, "/Users?count=many", Value::Null).await, 400, Some("invalidValue"));
}

on_both! {
    scim_people: a_directory_keeps_people;
    scim_ends: who_is_not_active_is_shut_out_and_who_is_deleted_is_forgotten;
    scim_last: the_last_operator_stays;
    scim_names: of_fifty_who_make_somebody_one_does;
    scim_versions: nobody_undoes_what_they_have_not_read;
    scim_groups: groups_have_members_and_give_nothing;
    scim_pages: pages_are_what_they_say;
    scim_search: searches_find_all_types;
}

#[tokio::test]
async fn whom_a_directory_has_made_gets_in_by_a_link() {
    let app = lite(&Config::default()).await;
    let (root, _) = two(&app).await;
    let key = made(&root, &app, "bjensen@example.com").await;
    assert_eq!(log_in(&app, "bjensen", PASSWORD).await.slug(), "unauthorized");
    let link = root.asks(&app, Method::POST, "/auth-service/v1/resets", json!({"user_id": key})).await;
    let new = json!({"token": link.is(201)["token"], "password": PASSWORD});
    let _ = anybody(&app, "/auth-service/v1/password/reset", new).await.is(200);
    let barbara = In::new(log_in(&app, "bjensen", PASSWORD).await.is(200));
    assert_eq!((barbara.caller.subject, barbara.caller.roles), (key, vec!["viewer".to_owned()]));
}

async fn what_a_directory_gives(app: TestApp) {
    let (root, ada) = two(&app).await;
    let new =
        json!({"userName": "bjones@example.com", "password": PASSWORD, "roles": [{"value": "creator"}]});
    let made = root.scim(&app, Method::POST, "/Users", new.clone()).await;
    assert_eq!((made.is(201).get("password"), &made.body["roles"]), (None, &json!([{"value": "creator"}])));
    app.settle().await;
    let barbara = In::new(log_in(&app, "bjones", PASSWORD).await.is(200));
    assert_eq!(barbara.caller.roles, ["creator"]);
    let path = format!("/Users/{}", id(&made));

    // Another password ends what there was; saying nothing of it does nothing, nor does saying nothing of roles.
    let change = patch(json!([{"op": "replace", "path": "password", "value": "battery staple"}]));
    let _ = root.scim(&app, Method::PATCH, &path, change).await.is(200);
    let _ = root.scim(&app, Method::PUT, &path, json!({"userName": "bjones@example.com"})).await.is(200);
    app.settle().await;
    assert_eq!(refresh(&app, &barbara.refresh).await.slug(), "unauthorized");
    assert_eq!(log_in(&app, "bjones", PASSWORD).await.slug(), "unauthorized");
    let barbara = In::new(log_in(&app, "bjones", "battery staple").await.is(200));
    assert_eq!(barbara.caller.roles, ["creator"]);
    let change = patch(json!([{"op": "remove", "path": "roles"}]));
    assert_eq!(root.scim(&app, Method::PATCH, &path, change).await.is(200).get("roles"), None);
    app.settle().await;
    assert_eq!(In::new(refresh(&app, &barbara.refresh).await.is(200)).caller.roles, ["viewer"]);

    for (path, change, kind) in [
        (&path, json!({"roles": [{"value": "Operator"}]}), "invalidValue"),
        (&path, json!({"roles": [{"value": "king"}]}), "invalidValue"),
        (&path, json!({"password": "short"}), "invalidValue"),
        (&format!("/Users/{}", ada.caller.subject), json!({"password": "battery staple"}), "mutability"),
    ] {
        let change = patch(json!([{"op": "replace", "value": change}]));
        refused(&root.scim(&app, Method::PATCH, path, change).await, 400, Some(kind));
    }
    // An operator stays one, whatever a directory says, and chooses their own password.
    let user = app.get(&format!("/user-auth/v1{}", path.to_lowercase())).await;
    let put = format!("/user-auth/v1{}/roles", path.to_lowercase());
    let roles = json!({"roles": ["operator"]});
    let _ = root.asks_if(&app, &put, user.etag(), roles).await.is(200);
    let change = patch(json!([{"op": "add", "path": "roles", "value": [{"value": "viewer"}]}]));
    let _ = root.scim(&app, Method::PATCH, &path, change).await.is(200);
    let user = app.get(&format!("/user-auth/v1{}", path.to_lowercase())).await;
    assert_eq!(user.is(200)["roles"], json!(["operator", "viewer"]));
    let change = patch(json!([{"op": "replace", "path": "password", "value": "battery horse"}]));
    refused(&root.scim(&app, Method::PATCH, &path, change).await, 400, Some("mutability"));
}

on_both! {
    scim_gives: what_a_directory_gives;
}

#[tokio::test]
async fn a_password_is_nowhere_while_auth_service_is_away() {
    let all = built(&Config::default());
    let app = TestApp::new(all.into_iter().filter(|service| service.id() != "auth-service").collect()).await;
    let new = json!({"userName": "bjones@example.com", "password": PASSWORD});
    let headers = [("content-type", "application/scim+json")];
    let made = app.send(Method::POST, &format!("{SCIM}/Users"), &headers, &new).await;
    refused(&made, 503, None);
    assert_eq!(app.get(&format!("{SCIM}/Users")).await.is(200)["totalResults"], 0);
}

#[tokio::test]
async fn what_is_wrong_is_told_in_the_form_of_scim() {
    let app = lite(&Config::default()).await;
    let (root, _) = two(&app).await;
    let long = "x".repeat(65_000);
    for (body, status, kind) in [
        (json!({}), 400, Some("invalidValue")),
        (json!({"userName": " "}), 400, Some("invalidValue")),
        (json!({"userName": "a\nb"}), 400, Some("invalidValue")),
        (json!({"userName": 5}), 400, Some("invalidValue")),
        (json!({"userName": "a", "emails": ["a@b"]}), 400, Some("invalidValue")),
        (json!({"userName": "a", "title": "\u{0}"}), 400, Some("invalidSyntax")),
        (json!(["userName"]), 400, Some("invalidSyntax")),
        (json!({"userName": "a", "title": long, "nickName": long}), 413, None),
    ] {
        refused(&root.scim(&app, Method::POST, "/Users", body).await, status, kind);
    }
    for (method, path, status) in [
        (Method::GET, "/Users/nobody", 404),
        (Method::GET, "/Nothing", 404),
        (Method::GET, "/Schemas/nothing", 404),
        (Method::GET, "/ResourceTypes/nothing", 404),
        (Method::GET, "/Schemas?filter=id+pr", 403),
        (Method::GET, "/Me", 501),
        (Method::DELETE, "/Me", 501),
        (Method::POST, "/Bulk", 501),
    ] {
        refused(&root.scim(&app, method, path, Value::Null).await, status, None);
    }
    let text = [("content-type", "text/plain")];
    let users = format!("{SCIM}/Users");
    let plain = app.send_bytes(Some(root.caller.clone()), Method::POST, &users, &text, b"{}".into()).await;
    refused(&plain, 415, None);
    let _ = root.scim(&app, Method::POST, "/ServiceProviderConfig", json!({})).await.is(405);
    let schemas = root.scim(&app, Method::GET, "/Schemas", Value::Null).await;
    let text = schemas.is(200).to_string();
    assert!(text.contains("\"writeOnly\"") && !text.contains("\"operator\""), "no operator is promised");
    assert_eq!(schemas.body["totalResults"], 3);
}
