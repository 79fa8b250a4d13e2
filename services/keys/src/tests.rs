//! Keys from their making to their end, over the routes of the service; on both stores.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use http::Method;
use nx_chassis::test::{Answer, Postgres, TestApp};
use nx_chassis::{Caller, Event, Problem, Service, Tx, args};
use serde_json::{Value, json};
use tokio::task::JoinSet;

const TRANSIT: &str = "/key-service/v1/transit";

/// Hears what key-service tells.
fn ear() -> Service {
    ["created", "rotated", "changed", "exported", "destroyed"]
        .map(|fact| &*format!("cos.keys.key.{fact}.v1").leak())
        .into_iter()
        .fold(
            Service::new("ear")
                .migration("CREATE TABLE heard (nth BIGINT PRIMARY KEY, kind TEXT NOT NULL, subject TEXT NOT NULL, body TEXT NOT NULL)"),
            |service, kind| service.on(kind, hear),
        )
}

async fn hear(tx: &mut Tx, event: Event) -> Result<(), Problem> {
    let body = serde_json::to_string(&event).expect("JSON");
    let sql = "INSERT INTO heard (nth, kind, subject, body) SELECT COALESCE(MAX(nth), 0) + 1, $1, $2, $3 FROM heard";
    Ok(tx.run(sql, args![&event.kind, &event.subject, body]).await.map(drop)?)
}

struct Heard {
    kind: String,
    subject: String,
    body: String,
}
nx_chassis::row!(Heard { kind, subject, body });

fn services() -> Vec<Service> {
    let ours = crate::services(&nx_contract::hardware::Config::default()).expect("threads");
    [ours, vec![ear()]].concat()
}

async fn post(app: &TestApp, path: &str, body: Value) -> Answer {
    app.post(&format!("{TRANSIT}/{path}"), &body).await
}

/// What is in the envelope.
async fn data(app: &TestApp, path: &str, body: Value) -> Value {
    let answer = post(app, path, body).await;
    answer.is(200)["data"].clone()
}

fn text(value: &Value, at: &str) -> String {
    value[at].as_str().unwrap_or_else(|| panic!("{at} in {value}")).to_owned()
}

fn b64(text: &str) -> String {
    BASE64.encode(text)
}

async fn encrypt(app: &TestApp, key: &str, plain: &str) -> String {
    text(&data(app, &format!("encrypt/{key}"), json!({"plaintext": b64(plain)})).await, "ciphertext")
}

async fn status(app: &TestApp, path: &str, body: Value) -> u16 {
    post(app, path, body).await.status.as_u16()
}

async fn from_its_making_to_its_end(app: TestApp) {
    let made = post(&app, "keys/box", json!({})).await;
    let envelope = made.is(200);
    for (field, value) in [
        ("lease_id", json!("")),
        ("renewable", json!(false)),
        ("lease_duration", json!(0)),
        ("wrap_info", Value::Null),
        ("warnings", Value::Null),
        ("auth", Value::Null),
    ] {
        assert_eq!(envelope[field], value, "{field}");
    }
    assert_eq!(envelope["data"]["type"], "aes256-gcm96");
    assert_eq!(envelope["data"]["keys"], json!({"1": nx_chassis::test::START_MS / 1000}));
    let again = post(&app, "keys/box", json!({"type": "aes256-gcm96"})).await;
    assert_eq!(again.is(200)["warnings"], json!(["key box already existed"]));
    assert_eq!(post(&app, "keys/box", json!({"type": "ed25519"})).await.slug(), "taken");

    let old = encrypt(&app, "box", "one").await;
    assert!(old.starts_with("vault:v1:"));
    assert_eq!(data(&app, "keys/box/rotate", json!({})).await["latest_version"], 2);
    let new = text(&data(&app, "rewrap/box", json!({"ciphertext": old})).await, "ciphertext");
    assert!(new.starts_with("vault:v2:"));
    for sealed in [&old, &new] {
        assert_eq!(data(&app, "decrypt/box", json!({"ciphertext": sealed})).await["plaintext"], b64("one"));
    }
    assert_eq!(status(&app, "encrypt/box", json!({"plaintext": "", "key_version": 1})).await, 400);
    assert_eq!(status(&app, "keys/box/config", json!({"min_decryption_version": 3})).await, 400);
    let config =
        json!({"min_decryption_version": "2", "min_encryption_version": 2, "deletion_allowed": "false"});
    assert_eq!(data(&app, "keys/box/config", config).await["min_decryption_version"], 2);
    assert_eq!(status(&app, "decrypt/box", json!({"ciphertext": old})).await, 400, "below the least");
    assert_eq!(status(&app, "rewrap/box", json!({"ciphertext": old})).await, 400);
    let about = app.get(&format!("{TRANSIT}/keys/box")).await;
    let versions: Vec<_> = about.is(200)["data"]["keys"].as_object().unwrap().keys().collect();
    assert_eq!(versions, ["2"]);
    // What is only not used can be used again; what was trimmed is gone.
    assert_eq!(status(&app, "keys/box/config", json!({"min_decryption_version": 1})).await, 200);
    assert_eq!(status(&app, "decrypt/box", json!({"ciphertext": old})).await, 200);
    assert_eq!(status(&app, "keys/box/trim", json!({"min_available_version": 2})).await, 400);
    assert_eq!(status(&app, "keys/box/config", json!({"min_decryption_version": 2})).await, 200);
    assert_eq!(status(&app, "keys/box/trim", json!({"min_available_version": 2})).await, 200);
    assert_eq!(status(&app, "keys/box/config", json!({"min_decryption_version": 1})).await, 400);
    destroyed(&app, &new).await;
    told_of(&app).await;
}

/// A key goes when it may, and leaves nothing.
async fn destroyed(app: &TestApp, sealed: &str) {
    let delete = async || app.send(Method::DELETE, &format!("{TRANSIT}/keys/box"), &[], &json!({})).await;
    let rows = async || {
        let sql = "SELECT COUNT(*) AS n FROM key_version";
        app.cx("key-service").db().one::<i64>(sql, Vec::new()).await.unwrap().unwrap()
    };
    assert_eq!(delete().await.slug(), "deletion-not-allowed");
    assert_eq!(rows().await, 1);
    assert_eq!(status(app, "keys/box/config", json!({"deletion_allowed": true})).await, 200);
    assert_eq!(delete().await.status, 204);
    assert_eq!(rows().await, 0, "its bytes are gone");
    assert_eq!(delete().await.status, 404);
    assert_eq!(status(app, "decrypt/box", json!({"ciphertext": sealed})).await, 404);
    // Another of the name has nothing of it.
    assert_eq!(status(app, "keys/box", json!({})).await, 200);
    assert_eq!(status(app, "keys/box/rotate", json!({})).await, 200);
    assert_eq!(status(app, "decrypt/box", json!({"ciphertext": sealed})).await, 400);
}

async fn told_of(app: &TestApp) {
    assert_eq!(status(app, "keys/free", json!({"exportable": true})).await, 200);
    let exported = app.get(&format!("{TRANSIT}/export/encryption-key/free")).await;
    let bytes = text(&exported.is(200)["data"]["keys"], "1");
    assert_eq!(exported.headers["cache-control"], "no-store");
    app.settle().await;
    let sql = "SELECT kind, subject, body FROM heard ORDER BY nth";
    let heard: Vec<Heard> = app.cx("ear").db().all(sql, Vec::new()).await.unwrap();
    let kinds = |subject: &str| -> Vec<_> {
        let of = heard.iter().filter(|heard| heard.subject == subject);
        of.map(|heard| heard.kind.split('.').nth(3).unwrap()).collect()
    };
    assert_eq!(
        kinds("transit/box"),
        [
            "created",
            "rotated",
            "changed",
            "changed",
            "changed",
            "changed",
            "changed",
            "destroyed",
            "created",
            "rotated"
        ]
    );
    assert_eq!(kinds("transit/free"), ["created", "exported"]);
    assert!(
        heard.iter().all(|heard| !heard.body.contains(&bytes) && heard.body.contains("\"by\":\"operator\""))
    );
}

/// A secret that was not made to leave does not, and what was made so stays so.
async fn what_may_leave(app: TestApp) {
    for (kind, what) in [
        ("aes128-gcm96", "encryption-key"),
        ("ed25519", "signing-key"),
        ("ecdsa-p384", "signing-key"),
        ("hmac", "hmac-key"),
    ] {
        let export = async |rest: &str| app.get(&format!("{TRANSIT}/export/{what}/{kind}{rest}")).await;
        assert_eq!(status(&app, &format!("keys/{kind}"), json!({"type": kind})).await, 200);
        assert_eq!(export("").await.status, 403, "{kind}");
        let config = format!("keys/{kind}/config");
        assert_eq!(status(&app, &config, json!({"exportable": true})).await, 200);
        assert_eq!(status(&app, &config, json!({"exportable": false})).await, 400);
        assert_eq!(status(&app, &format!("keys/{kind}/rotate"), Value::Null).await, 200);
        assert_eq!(export("").await.is(200)["data"]["keys"].as_object().unwrap().len(), 2);
        for (rest, version) in [("/2", "2"), ("/latest", "2"), ("/1", "1")] {
            let one = export(rest).await;
            assert_eq!(
                one.is(200)["data"]["keys"].as_object().unwrap().keys().collect::<Vec<_>>(),
                [version]
            );
        }
        assert_eq!(export("/3").await.status, 400);
        let other = if what == "signing-key" { "encryption-key" } else { "signing-key" };
        assert_eq!(app.get(&format!("{TRANSIT}/export/{other}/{kind}")).await.status, 400);
    }
    // In the store is nothing of what leaves.
    let key = text(
        &app.get(&format!("{TRANSIT}/export/encryption-key/aes128-gcm96/1")).await.is(200)["data"]["keys"],
        "1",
    );
    let key = BASE64.decode(key).unwrap();
    let sql = "SELECT sealed FROM key_version";
    let sealed: Vec<Sealed> = app.cx("key-service").db().all(sql, Vec::new()).await.unwrap();
    assert!(!sealed.is_empty() && sealed.iter().all(|kept| !kept.sealed.windows(16).any(|at| at == key)));
}

struct Sealed {
    sealed: Vec<u8>,
}
nx_chassis::row!(Sealed { sealed });

/// A key encrypts for its own context and associated data alone.
async fn contexts_and_associated_data(app: TestApp) {
    for kind in ["aes128-gcm96", "aes256-gcm96", "chacha20-poly1305"] {
        let (own, other) = (format!("own-{kind}"), format!("other-{kind}"));
        for name in [&own, &other] {
            assert_eq!(
                status(&app, &format!("keys/{name}"), json!({"type": kind, "derived": true})).await,
                200
            );
        }
        let [context, aad] = ["tenant 1", "row 7"].map(b64);
        let new = json!({"plaintext": b64("x"), "context": context, "associated_data": aad});
        let sealed = text(&data(&app, &format!("encrypt/{own}"), new).await, "ciphertext");
        let open = async |name: &str, context: Value, aad: Value| {
            let body = json!({"ciphertext": sealed, "context": context, "associated_data": aad});
            status(&app, &format!("decrypt/{name}"), body).await
        };
        assert_eq!(open(&own, json!(context), json!(aad)).await, 200);
        assert_eq!(open(&own, json!(b64("tenant 2")), json!(aad)).await, 400);
        assert_eq!(open(&own, Value::Null, json!(aad)).await, 400);
        assert_eq!(open(&own, json!(context), json!(b64("row 8"))).await, 400);
        assert_eq!(open(&own, json!(context), Value::Null).await, 400);
        assert_eq!(open(&other, json!(context), json!(aad)).await, 400);
        // Any character that is another one.
        for at in (0..sealed.len()).step_by(3) {
            let mut altered = sealed.clone().into_bytes();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).unwrap();
            let body = json!({"ciphertext": altered, "context": context, "associated_data": aad});
            assert_eq!(status(&app, &format!("decrypt/{own}"), body).await, 400, "{at}");
        }
    }
    assert_eq!(status(&app, "keys/plain", json!({})).await, 200);
    let body = json!({"plaintext": "", "context": b64("tenant 1")});
    assert_eq!(status(&app, "encrypt/plain", body).await, 400, "a context that would mean nothing");
}

/// What is signed is verified in every form, and in no other.
async fn signed(app: TestApp) {
    let input = b64("text");
    for kind in ["ed25519", "ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "rsa-2048"] {
        assert_eq!(status(&app, &format!("keys/{kind}"), json!({"type": kind})).await, 200);
        for how in [
            json!({}),
            json!({"marshaling_algorithm": "jws", "hash_algorithm": "sha2-512"}),
            json!({"signature_algorithm": "pkcs1v15", "hash_algorithm": "sha2-384"}),
        ] {
            let with = |more: Value| {
                let mut body = how.clone();
                body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                body
            };
            let made = data(&app, &format!("sign/{kind}"), with(json!({"input": input}))).await;
            let verify = async |input: &str, signature: &str| {
                let body = with(json!({"input": input, "signature": signature, "name": kind}));
                data(&app, &format!("verify/{kind}"), body).await["valid"].as_bool().unwrap()
            };
            let signature = text(&made, "signature");
            assert!(verify(&input, &signature).await, "{kind} {how}");
            assert!(!verify(&b64("test"), &signature).await);
            let short = signature[..signature.len() / 4 * 4 - 8].trim_end_matches(['-', '_']);
            let body = with(json!({"input": input, "signature": short}));
            assert_ne!(post(&app, &format!("verify/{kind}"), body).await.body["data"]["valid"], true);
        }
        let body = json!({"plaintext": input});
        assert_eq!(status(&app, &format!("encrypt/{kind}"), body).await == 200, kind == "rsa-2048");
    }
    let tag = text(&data(&app, "hmac/ed25519/sha2-512", json!({"input": input})).await, "hmac");
    let verify = async |path: &str, tag: &str, input: &str| {
        data(&app, path, json!({"input": input, "hmac": tag})).await["valid"].as_bool().unwrap()
    };
    assert!(verify("verify/ed25519/sha2-512", &tag, &input).await);
    assert!(!verify("verify/ed25519/sha2-256", &tag, &input).await);
    assert!(!verify("verify/ed25519/sha2-512", &tag, &b64("test")).await);
    let short = format!("vault:v1:{}", BASE64.encode(&BASE64.decode(&tag[9..]).unwrap()[..63]));
    assert!(!verify("verify/ed25519/sha2-512", &short, &input).await);
}

/// What is done as a batch is done whole or not at all.
async fn batches(app: TestApp) {
    assert_eq!(status(&app, "keys/box", json!({})).await, 200);
    let items =
        |n: usize| (0..n).map(|i| json!({"plaintext": b64(&i.to_string()), "reference": i.to_string()}));
    let many = async |n: usize| {
        post(&app, "encrypt/box", json!({"batch_input": items(n).collect::<Vec<_>>()})).await
    };
    let results = many(256).await.is(200)["data"]["batch_results"].as_array().unwrap().clone();
    assert_eq!((results.len(), &results[7]["reference"]), (256, &json!("7")));
    assert_eq!(many(257).await.status, 422);
    let mut sealed: Vec<_> = results.iter().map(|r| json!({"ciphertext": r["ciphertext"]})).collect();
    let opened = data(&app, "decrypt/box", json!({"batch_input": sealed})).await;
    assert_eq!(opened["batch_results"][255]["plaintext"], b64("255"));
    sealed[3] = json!({"ciphertext": "vault:v1:AAAA"});
    let refused = post(&app, "decrypt/box", json!({"batch_input": sealed})).await;
    assert!(refused.is(400)["detail"].as_str().unwrap().starts_with("batch_input 3: "));
}

async fn others_are_refused(app: TestApp) {
    assert_eq!(status(&app, "keys/box", json!({})).await, 200);
    let routes = [
        (Method::GET, "transit/keys"),
        (Method::POST, "transit/keys/new"),
        (Method::GET, "transit/keys/box"),
        (Method::DELETE, "transit/keys/box"),
        (Method::POST, "transit/keys/box/rotate"),
        (Method::POST, "transit/keys/box/config"),
        (Method::POST, "transit/keys/box/trim"),
        (Method::GET, "transit/export/hmac-key/box"),
        (Method::PUT, "transit/encrypt/box"),
        (Method::POST, "transit/decrypt/box"),
        (Method::POST, "transit/rewrap/box"),
        (Method::POST, "transit/datakey/plaintext/box"),
        (Method::POST, "transit/sign/box"),
        (Method::POST, "transit/verify/box"),
        (Method::POST, "transit/hmac/box"),
        (Method::POST, "transit/random/8"),
        (Method::POST, "transit/hash"),
        (Method::GET, "media-keys/film/1"),
        (Method::DELETE, "media-keys/film"),
    ];
    for (method, path) in routes {
        for (caller, status) in [(None, 401), (Some(Caller::new("cleo", &["creator", "viewer"])), 403)] {
            let path = format!("/key-service/v1/{path}");
            let answer = app.send_as(caller, method.clone(), &path, &[], &json!({})).await;
            assert_eq!(answer.status, status, "{method} {path}");
        }
    }
    let by = Some(Caller::service("token-mgr"));
    let answer = app.send_as(by, Method::PUT, &format!("{TRANSIT}/random"), &[], &json!({})).await;
    assert_eq!(BASE64.decode(text(&answer.is(200)["data"], "random_bytes")).unwrap().len(), 32);
}

/// What is not built is refused in words, and so is what cannot be.
async fn refusals(app: TestApp) {
    assert_eq!(status(&app, "keys/box", json!({})).await, 200);
    for (path, body, status) in [
        ("keys/x", json!({"type": "xchacha20-poly1305"}), 400),
        ("keys/x", json!({"auto_rotate_period": "720h"}), 400),
        ("keys/x", json!({"convergent_encryption": true, "derived": true}), 400),
        ("keys/x", json!({"allow_plaintext_backup": true}), 400),
        ("keys/x", json!({"derived": true, "type": "rsa-2048"}), 400),
        ("keys/x", json!({"surprise": 1}), 422),
        ("keys/x", json!({"exportable": "perhaps"}), 422),
        ("keys/-x", json!({}), 400),
        ("keys/box/config", json!({"allow_plaintext_backup": true}), 400),
        ("keys/none/rotate", json!({}), 404),
        ("encrypt/none", json!({"plaintext": ""}), 404),
        ("encrypt/box", json!({}), 400),
        ("encrypt/box", json!({"plaintext": "?"}), 400),
        ("encrypt/box", json!({"plaintext": "", "nonce": "AAAAAAAAAAAAAAAA"}), 422),
        ("decrypt/box", json!({"ciphertext": "vault:v9:AAAA"}), 400),
        ("sign/box", json!({"input": ""}), 400),
        ("hmac/box/sha3-256", json!({"input": ""}), 400),
        ("hmac/box/md5", json!({"input": ""}), 400),
        ("datakey/plaintext/box", json!({"bits": 100}), 400),
        ("datakey/shown/box", json!({}), 400),
        ("random/0", json!({}), 400),
        ("random", json!({"bytes": 131_073}), 400),
        ("random", json!({"format": "morse"}), 400),
    ] {
        let answer = post(&app, path, body).await;
        assert_eq!(answer.status.as_u16(), status, "{path}: {answer:?}");
        assert!(!answer.body["detail"].as_str().unwrap().is_empty(), "{path}");
    }
    let huge = "A".repeat(1 << 20);
    assert_eq!(status(&app, "encrypt/box", json!({"plaintext": huge})).await, 413);
    assert_eq!(data(&app, "hash", json!({"input": ""})).await["sum"].as_str().unwrap()[..8], *"e3b0c442");
    for (how, bits, shown) in [("plaintext", 512, true), ("wrapped", 128, false)] {
        let made = data(&app, &format!("datakey/{how}/box"), json!({"bits": bits})).await;
        let opened = data(&app, "decrypt/box", json!({"ciphertext": made["ciphertext"]})).await;
        assert_eq!(made["plaintext"] == opened["plaintext"], shown);
        assert_eq!(BASE64.decode(text(&opened, "plaintext")).unwrap().len() * 8, bits);
    }
}

/// Nobody who uses a key notices that it is rotated.
async fn rotation_under_load(app: TestApp) {
    let app = Arc::new(app);
    assert_eq!(status(&app, "keys/box", json!({})).await, 200);
    let first = encrypt(&app, "box", "first").await;
    let mut users = JoinSet::new();
    for user in 0..16 {
        let (app, first) = (app.clone(), first.clone());
        users.spawn(async move {
            let mut versions = BTreeSet::new();
            for round in 0..25 {
                let plain = format!("{user} {round}");
                let sealed = encrypt(&app, "box", &plain).await;
                let moved = data(&app, "rewrap/box", json!({"ciphertext": sealed})).await;
                let opened = data(&app, "decrypt/box", json!({"ciphertext": moved["ciphertext"]})).await;
                assert_eq!(opened["plaintext"], b64(&plain));
                assert_eq!(
                    data(&app, "decrypt/box", json!({"ciphertext": first})).await["plaintext"],
                    b64("first")
                );
                versions.insert(moved["key_version"].as_i64().unwrap());
            }
            versions
        });
    }
    for _ in 0..4 {
        let app = app.clone();
        users.spawn(async move {
            for _ in 0..10 {
                data(&app, "keys/box/rotate", json!({})).await;
            }
            BTreeSet::new()
        });
    }
    let seen = users.join_all().await.concat_sets();
    assert!(seen.len() > 2, "it was rotated meanwhile: {seen:?}");
    let about = app.get(&format!("{TRANSIT}/keys/box")).await;
    assert_eq!(about.is(200)["data"]["latest_version"], 41, "no rotation was lost");
    assert_eq!(about.body["data"]["keys"].as_object().unwrap().len(), 41);
}

trait ConcatSets {
    fn concat_sets(self) -> BTreeSet<i64>;
}

impl ConcatSets for Vec<BTreeSet<i64>> {
    fn concat_sets(self) -> BTreeSet<i64> {
        self.into_iter().flatten().collect()
    }
}

async fn media_keys(app: TestApp) {
    let app = Arc::new(app);
    let get = async |path: &str| app.get(&format!("/key-service/v1/media-keys/{path}")).await;
    let mut asks = JoinSet::new();
    for _ in 0..50 {
        let app = app.clone();
        asks.spawn(async move { app.get("/key-service/v1/media-keys/film-1/7").await.is(200).to_string() });
    }
    let answers: BTreeSet<_> = asks.join_all().await.into_iter().collect();
    assert_eq!(answers.len(), 1, "fifty who ask at once have one key");
    let first = get("film-1/7").await;
    assert!(answers.contains(&first.is(200).to_string()), "and so has who asks later");
    assert_eq!(first.headers["cache-control"], "no-store");
    assert_eq!(BASE64.decode(text(&first.body, "key")).unwrap().len(), 16);
    assert_eq!(text(&first.body, "key_id").len(), 36);
    let (next, other) = (get("film-1/8").await, get("film-2/7").await);
    for field in ["key", "key_id"] {
        assert_ne!(first.body[field], next.is(200)[field]);
        assert_ne!(first.body[field], other.is(200)[field]);
    }
    assert_eq!(get("film-1/x").await.status, 400);
    assert_eq!(get("-/1").await.status, 400);
    let shred = async || app.send(Method::DELETE, "/key-service/v1/media-keys/film-1", &[], &json!({})).await;
    assert_eq!(shred().await.status, 204);
    assert_eq!(shred().await.status, 204);
    assert_eq!([get("film-1/7").await.status, get("film-1/9").await.status], [410, 410], "for good");
    assert_eq!(get("film-2/7").await.is(200), &other.body);
    let sql = "SELECT COUNT(*) AS n FROM media_key WHERE asset = $1";
    let rows = app.cx("key-service").db().one::<i64>(sql, args!["film-1"]).await.unwrap();
    assert_eq!(rows, Some(0), "its bytes are gone");
}

/// An answer with a secret is not kept under an `Idempotency-Key`.
async fn nothing_is_kept_of_answers(app: TestApp) {
    assert_eq!(status(&app, "keys/box", json!({})).await, 200);
    let sealed = encrypt(&app, "box", "a very secret text").await;
    let once = async |path: &str, body: Value| {
        app.send(Method::POST, &format!("{TRANSIT}/{path}"), &[("idempotency-key", "k")], &body).await
    };
    assert_eq!(once("decrypt/box", json!({"ciphertext": sealed})).await.status, 200);
    assert_eq!(once("decrypt/box", json!({"ciphertext": sealed})).await.slug(), "shown-once");
    let sql = "SELECT COUNT(*) AS n FROM chassis_once WHERE LENGTH(body) > 0";
    assert_eq!(app.cx("key-service").db().one::<i64>(sql, Vec::new()).await.unwrap(), Some(0));
}

/// Versions end where they are said to, and trimming makes room.
async fn versions_are_bounded(app: TestApp) {
    assert_eq!(status(&app, "keys/box", json!({})).await, 200);
    let cx = app.cx("key-service");
    cx.run("UPDATE transit_key SET latest = 1000, min_decryption = 1000", Vec::new()).await.unwrap();
    assert_eq!(post(&app, "keys/box/rotate", json!({})).await.slug(), "versions-max");
    assert_eq!(status(&app, "keys/box/trim", json!({"min_available_version": 2})).await, 200);
    assert_eq!(data(&app, "keys/box/rotate", json!({})).await["latest_version"], 1001);
}

/// Runs each scene on SQLite, and all of them on one PostgreSQL.
macro_rules! scenes {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                super::$name(TestApp::new(services()).await).await;
            })*
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn the_same_on_postgresql() {
            let postgres = Postgres::start();
            $($name(TestApp::on(&postgres, services()).await).await;)*
        }
    };
}
scenes!(
    from_its_making_to_its_end,
    what_may_leave,
    contexts_and_associated_data,
    signed,
    batches,
    others_are_refused,
    refusals,
    rotation_under_load,
    media_keys,
    nothing_is_kept_of_answers,
    versions_are_bounded,
);

/// Every route describes what it takes and answers.
#[tokio::test]
async fn routes_are_described() {
    let app = TestApp::new(services()).await;
    let document = app.openapi();
    let paths = document["paths"].as_object().unwrap();
    let sealed = &paths["/api/key-service/v1/transit/encrypt/{name}"]["post"];
    assert!(sealed["requestBody"]["content"]["application/json"]["schema"].is_object(), "{sealed}");
    assert!(paths.contains_key("/api/key-service/v1/media-keys/{asset}/{period}"));
}
