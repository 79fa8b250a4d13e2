//! Private keys over the routes: one suite for keys in the store and keys in hardware, on both stores.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use http::Method;
use nx_chassis::test::{Answer, Postgres, TestApp};
use nx_chassis::{Api, Caller, Json, Path, Problem, Service, Tx};
use nx_contract::hardware::{Config, Pkcs11};
use nx_contract::identity::CREDENTIAL_CHANGED;
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};

use super::private::point_bytes;
use crate::crypto::{Form, Kind, Scheme, verify};

const DAY: Duration = Duration::from_secs(86_401);
const KEYS: &str = "/pv-keys/v1/keys";
const CEREMONIES: &str = "/pv-keys/v1/ceremonies";
const AUTHORITIES: &str = "/pv-keys/v1/authorities";

/// Who is who: everybody is an operator but `viewer` and who is not there.
fn user_auth() -> Service {
    async fn user(Path(id): Path<String>) -> Result<Json<Value>, Problem> {
        match id.as_str() {
            "nobody" => Err(Problem::not_found("nobody")),
            "viewer" => Ok(Json(json!({"roles": ["viewer"], "disabled": false}))),
            "gone" => Ok(Json(json!({"roles": ["operator"], "disabled": true}))),
            _ => Ok(Json(json!({"roles": ["operator"], "disabled": false}))),
        }
    }
    async fn changes(mut tx: Tx, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
        tx.emit(CREDENTIAL_CHANGED, &id, &json!({})).await?;
        Ok(Json(json!({})))
    }
    let api = Api::new().get("/users/{id}", user).post("/users/{id}/password", changes);
    Service::new("user-auth").api(api).emits(CREDENTIAL_CHANGED)
}

fn services(config: &Config) -> Vec<Service> {
    [crate::services(config).expect("threads"), vec![user_auth()]].concat()
}

fn b64(text: &str) -> String {
    BASE64.encode(text)
}

/// Somebody of the operators, signed in.
fn person(name: &str) -> Caller {
    Caller { session: Some(format!("session of {name}")), ..Caller::new(name, &["operator"]) }
}

async fn make(app: &TestApp, name: &str, kind: &str) -> Value {
    post(app, KEYS, &json!({"name": name, "type": kind})).await.is(201).clone()
}

/// What follows the markers of a PEM.
fn der(pem: &Value) -> Vec<u8> {
    let text = pem.as_str().expect("PEM");
    let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    BASE64.decode(body).expect("base64")
}

async fn signs_what_others_verify(app: &TestApp, place: &str) {
    for (name, kind) in [("ecdsa-p256", Kind::P256), ("ecdsa-p384", Kind::P384), ("ed25519", Kind::Ed25519)] {
        let made = make(app, name, name).await;
        assert_eq!((&made["place"], &made["root"]), (&json!(place), &json!(false)), "{made}");
        let known = der(&made["public_key"]);
        let public =
            if kind == Kind::Ed25519 { known[known.len() - point_bytes(kind)..].to_vec() } else { known };
        for form in [Form::Asn1, Form::Jws] {
            let marshaling = if form == Form::Jws { "jws" } else { "asn1" };
            let body = json!({"input": b64("to be signed"), "marshaling": marshaling});
            let signed = post(app, &format!("{KEYS}/{name}/sign"), &body).await.is(200).clone();
            let signature = BASE64.decode(signed["signature"].as_str().expect("text")).expect("base64");
            let hash =
                if kind == Kind::P384 { crate::crypto::Hash::Sha384 } else { crate::crypto::Hash::Sha256 };
            let scheme = Scheme { form, hash, ..Scheme::default() };
            assert!(
                verify(kind, &public, &scheme, b"to be signed", &signature).expect("it can be"),
                "{name}"
            );
            assert!(!verify(kind, &public, &scheme, b"something else", &signature).expect("it can be"));
        }
        let wrap = json!({"key": name, "plaintext": b64("x")});
        assert_eq!(post(app, "/pv-keys/v1/wrap", &wrap).await.status, 400, "it only signs");
        let ended = post(app, &format!("{KEYS}/{name}/destroy"), &json!({})).await;
        assert_eq!(ended.is(200)["done"], true);
        let body = json!({"input": b64("more")});
        assert_eq!(post(app, &format!("{KEYS}/{name}/sign"), &body).await.slug(), "gone");
        let again = post(app, KEYS, &json!({"name": name, "type": name})).await;
        assert_eq!(again.slug(), "taken", "no other key ever bears the name");
    }
}

async fn wraps(app: &TestApp) {
    make(app, "root", "aes256-gcm96").await;
    let wrap = json!({"key": "root", "plaintext": b64("a secret"), "context": "here"});
    let wrapped = post(app, "/pv-keys/v1/wrap", &wrap).await.is(200)["wrapped"].clone();
    let unwrap =
        |wrapped: Value, context: &str| json!({"key": "root", "wrapped": wrapped, "context": context});
    let opened = post(app, "/pv-keys/v1/unwrap", &unwrap(wrapped.clone(), "here")).await;
    assert_eq!(opened.is(200)["plaintext"], b64("a secret"));
    let elsewhere = post(app, "/pv-keys/v1/unwrap", &unwrap(wrapped.clone(), "there")).await;
    assert_eq!(elsewhere.status, 400);
    let text = wrapped.as_str().expect("text");
    let flipped = if text.ends_with("A=") { "B=" } else { "A=" };
    let altered = json!(format!("{}{flipped}", &text[..text.len() - 2]));
    assert_eq!(post(app, "/pv-keys/v1/unwrap", &unwrap(altered, "here")).await.status, 400);
    let alone = post(app, &format!("{KEYS}/root/destroy"), &json!({})).await;
    assert_eq!(alone.slug(), "no-custodians");
}

/// Asks under a key of its own.
async fn post(app: &TestApp, path: &str, body: &Value) -> Answer {
    let once = app.cx("pv-keys").new_id();
    app.send(Method::POST, path, &[("idempotency-key", &once)], body).await
}

/// As somebody who is signed in.
async fn put(app: &TestApp, path: &str, body: &Value) -> Answer {
    app.send_as(Some(person("ada")), Method::PUT, path, &[], body).await
}

async fn approve(app: &TestApp, id: &Value, who: &Caller) -> Answer {
    let path = format!("{CEREMONIES}/{}/approvals", id.as_str().expect("an id"));
    app.send_as(Some(who.clone()), Method::POST, &path, &[], &json!({})).await
}

async fn several_decide(app: &TestApp) {
    let [ada, bo, cy, mallory] = ["ada", "bo", "cy", "mallory"].map(person);
    let quorum = json!({"people": ["ada", "bo", "cy"], "approvals": 2});
    let path = format!("{KEYS}/root/custodians");
    assert_eq!(put(app, &path, &json!({"people": ["ada", "bo"], "approvals": 1})).await.status, 422);
    assert_eq!(put(app, &path, &json!({"people": ["ada", "ada"], "approvals": 2})).await.status, 422);
    assert_eq!(put(app, &path, &json!({"people": ["ada", "bo"], "approvals": 3})).await.status, 422);
    for (people, why) in
        [(["ada", "viewer"], "no operator"), (["ada", "gone"], "disabled"), (["ada", "nobody"], "unknown")]
    {
        assert_eq!(put(app, &path, &json!({"people": people, "approvals": 2})).await.status, 422, "{why}");
    }
    let machine = app.send(Method::PUT, &path, &[], &quorum).await;
    assert_eq!(machine.status, 403, "nobody is signed in");
    assert_eq!(put(app, &path, &quorum).await.is(200)["done"], true);
    let soon = post(app, &format!("{KEYS}/root/destroy"), &json!({})).await;
    assert_eq!(soon.slug(), "entrusted-lately");
    // From now on nobody changes that alone.
    let taken_over = json!({"people": ["mallory", "mallet"], "approvals": 2});
    let asked = put(app, &path, &taken_over).await.is(200).clone();
    assert_eq!(asked["done"], false);
    assert_eq!(approve(app, &asked["ceremony"], &mallory).await.status, 403, "no custodian");
    let key = Caller { session: None, ..ada.clone() };
    assert_eq!(approve(app, &asked["ceremony"], &key).await.status, 403, "a key of hers is not she");
    let first = approve(app, &asked["ceremony"], &ada).await;
    assert_eq!(first.is(200), &json!({"done": false, "missing": 1}));
    assert_eq!(approve(app, &asked["ceremony"], &ada).await.is(200)["missing"], 1, "twice is once");

    // Somebody has given her another password: perhaps to be her.
    app.settle().await;
    assert_eq!(app.post("/user-auth/v1/users/ada/password", &json!({})).await.status, 200);
    app.settle().await;
    assert_eq!(approve(app, &asked["ceremony"], &ada).await.status, 403, "not today");
    let other = approve(app, &asked["ceremony"], &bo).await;
    assert_eq!(other.is(200)["missing"], 1, "and what she said before is void");

    app.pass(DAY).await;
    let asked = put(app, &path, &taken_over).await.is(200).clone();
    let end = post(app, &format!("{KEYS}/root/destroy"), &json!({})).await.is(200)["ceremony"].clone();
    assert_eq!(approve(app, &end, &bo).await.is(200)["done"], false);
    assert_eq!(approve(app, &end, &cy).await.is(200)["done"], true);
    let late = approve(app, &asked["ceremony"], &bo).await;
    assert_eq!(late.slug(), "over", "nothing is decided about a key that is gone");
    let body = json!({"key": "root", "plaintext": b64("x")});
    assert_eq!(post(app, "/pv-keys/v1/wrap", &body).await.slug(), "gone");
    let read = app.get(&format!("{CEREMONIES}/{}", asked["ceremony"].as_str().expect("an id"))).await;
    assert_eq!(read.is(200)["state"], "void");
}

async fn signs_certificates(app: &TestApp) {
    make(app, "authority", "ecdsa-p256").await;
    let new = json!({"name": "nodes", "key": "authority", "common_name": "Nodes of a test", "days": 365});
    assert_eq!(post(app, AUTHORITIES, &new).await.is(200)["done"], true);
    assert_eq!(post(app, &format!("{KEYS}/authority/destroy"), &json!({})).await.slug(), "no-custodians");
    let forged = post(app, &format!("{KEYS}/authority/sign"), &json!({"input": b64("a certificate")})).await;
    assert_eq!(forged.status, 403, "it signs what its authority has looked at");
    let pair = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec!["edge.example".to_owned()]).expect("a name");
    // What somebody asks for beside names is not given.
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let csr = params.serialize_request(&pair).and_then(|csr| csr.pem()).expect("a request");
    let path = format!("{AUTHORITIES}/nodes/certificates");
    let issued = post(app, &path, &json!({"csr": csr, "days": 825})).await.is(201).clone();
    assert_eq!(issued["names"], json!(["edge.example"]));
    let authority = app.get(&format!("{AUTHORITIES}/nodes")).await.is(200).clone();
    assert_eq!(issued["expires_at"], authority["expires_at"], "no longer than its authority");
    let (root, leaf) = (der(&authority["certificate"]), der(&issued["certificate"]));
    let (_, root) = x509_parser::parse_x509_certificate(&root).expect("a certificate");
    let (_, leaf) = x509_parser::parse_x509_certificate(&leaf).expect("a certificate");
    assert!(root.is_ca() && !leaf.is_ca(), "who is signed signs nobody");
    assert_eq!(leaf.issuer(), root.subject());
    for (body, status) in [
        (json!({"csr": csr, "names": ["not a name"]}), 422),
        (json!({"csr": csr.replace("MI", "NI")}), 400),
        (json!({"csr": csr, "days": 1000}), 422),
    ] {
        assert_eq!(post(app, &path, &body).await.status, status, "{body}");
    }
    let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).expect("a key");
    let params = CertificateParams::new(vec!["edge.example".to_owned()]).expect("a name");
    let other = params.serialize_request(&pair).and_then(|csr| csr.pem()).expect("a request");
    assert_eq!(post(app, &path, &json!({"csr": other})).await.status, 201, "another curve");
    let serial = issued["serial"].as_str().expect("text");
    assert_eq!(post(app, &format!("{path}/{serial}/revoke"), &json!({})).await.status, 204);
    assert_eq!(post(app, &format!("{path}/00/revoke"), &json!({})).await.status, 404);
    let listed = app.get(&path).await.is(200)["items"].clone();
    let listed =
        listed.as_array().into_iter().flatten().find(|each| each["serial"] == serial).expect("listed");
    assert!(listed["revoked_at"].is_string(), "{listed}");
}

async fn everything(app: &TestApp, place: &str) {
    signs_what_others_verify(app, place).await;
    wraps(app).await;
    several_decide(app).await;
    signs_certificates(app).await;
    let lines = app.get("/pv-keys/v1/audit?limit=200").await.is(200)["items"].clone();
    for what in ["created", "signed", "wrapped", "unwrapped", "approved", "destroyed", "issued a certificate"]
    {
        let found = lines.as_array().is_some_and(|lines| lines.iter().any(|line| line["what"] == what));
        assert!(found, "{what} is written down: {lines}");
    }
    let eve = Caller::new("eve", &["creator"]);
    assert_eq!(app.send_as(Some(eve), Method::GET, KEYS, &[], &json!({})).await.status, 403);
}

/// What key-service keeps rests on a root that pv-keys unwraps.
async fn holds_the_root_of_key_service(app: &TestApp) {
    let transit = "/key-service/v1/transit";
    assert_eq!(post(app, &format!("{transit}/keys/box"), &json!({})).await.status, 200);
    let sealed = post(app, &format!("{transit}/encrypt/box"), &json!({"plaintext": b64("kept")})).await;
    let ciphertext = sealed.is(200)["data"]["ciphertext"].clone();
    let opened = post(app, &format!("{transit}/decrypt/box"), &json!({"ciphertext": ciphertext})).await;
    assert_eq!(opened.is(200)["data"]["plaintext"], b64("kept"));
    let listed = app.get(&format!("{KEYS}?limit=200")).await.is(200)["items"].clone();
    let keys = listed.as_array().into_iter().flatten();
    let roots: Vec<&Value> = keys
        .filter(|key| key["name"].as_str().is_some_and(|name| name.starts_with("key-service.")))
        .collect();
    assert_eq!(roots.len(), 1, "{listed}");
    assert_eq!((&roots[0]["type"], &roots[0]["root"]), (&json!("aes256-gcm96"), &json!(true)));
    let name = roots[0]["name"].as_str().expect("text");
    assert_eq!(post(app, &format!("{KEYS}/{name}/destroy"), &json!({})).await.slug(), "no-custodians");
    let kept: Vec<Row> =
        app.cx("key-service").db().all("SELECT wrapped AS text FROM root", vec![]).await.expect("rows");
    let theirs = json!({"key": name, "wrapped": kept[0].text, "context": "root of key-service"});
    assert_eq!(post(app, "/pv-keys/v1/unwrap", &theirs).await.status, 403, "no operator has it either");
}

struct Row {
    text: String,
}
nx_chassis::row!(Row { text });

#[tokio::test]
async fn in_the_store_on_sqlite() {
    let app = TestApp::new(services(&Config::default())).await;
    everything(&app, "store").await;
    holds_the_root_of_key_service(&app).await;
}

#[tokio::test]
async fn in_the_store_on_postgresql() {
    let postgres = Postgres::start();
    let app = TestApp::on(&postgres, services(&Config::default())).await;
    everything(&app, "store").await;
    holds_the_root_of_key_service(&app).await;
}

/// Approvals that come at one moment: one of them is the last.
#[tokio::test]
async fn the_last_of_several_at_once_has_it_done() {
    let postgres = Postgres::start();
    let app = TestApp::on(&postgres, services(&Config::default())).await;
    make(&app, "root", "aes256-gcm96").await;
    let quorum = json!({"people": ["ada", "bo"], "approvals": 2});
    assert_eq!(put(&app, &format!("{KEYS}/root/custodians"), &quorum).await.status, 200);
    app.pass(DAY).await;
    let end = post(&app, &format!("{KEYS}/root/destroy"), &json!({})).await.is(200)["ceremony"].clone();
    let (ada, bo) = (person("ada"), person("bo"));
    let (one, other) = tokio::join!(approve(&app, &end, &ada), approve(&app, &end, &bo));
    let done = [one, other].map(|answer| answer.is(200)["done"] == true);
    assert_eq!(done.iter().filter(|done| **done).count(), 1, "{done:?}");
}

/// Says where the hardware of a test process is, which reads its place from the environment.
const HARDWARE: &str = "NX_PV_KEYS_HARDWARE";

fn module() -> PathBuf {
    let places = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm2.so"];
    places
        .map(PathBuf::from)
        .into_iter()
        .find(|file| file.exists())
        .expect("make system-test installs SoftHSM")
}

/// Not a test, but the process of the one below.
#[tokio::test]
async fn the_process_with_hardware() {
    let Some(folder) = std::env::var_os(HARDWARE).map(PathBuf::from) else { return };
    let config = Config {
        pkcs11: Some(Pkcs11 { module: module(), token: "nexus".into(), pin_file: folder.join("pin") }),
    };
    let app = TestApp::new(services(&config)).await;
    everything(&app, "hardware").await;
    holds_the_root_of_key_service(&app).await;
    // What was destroyed is gone from the hardware too, once somebody had time for that.
    app.settle().await;
}

#[tokio::test]
async fn in_hardware() {
    let app = TestApp::new(vec![]).await;
    let folder = app.folder().join("hardware");
    std::fs::create_dir_all(folder.join("tokens")).expect("a folder");
    let conf = folder.join("softhsm2.conf");
    let text = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
        folder.join("tokens").display()
    );
    std::fs::write(&conf, text)
        .and_then(|()| std::fs::write(folder.join("pin"), "PIN of a test 735\n"))
        .expect("files");
    let run = |program: &str, args: &[&str]| {
        let mut command = Command::new(program);
        command.args(args).env("SOFTHSM2_CONF", &conf).env(HARDWARE, &folder);
        let out = command.output().unwrap_or_else(|e| panic!("{program}: {e}; make system-test installs it"));
        let said =
            format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert!(out.status.success(), "{program}: {said}");
        said
    };
    let init =
        ["--init-token", "--free", "--label", "nexus", "--so-pin", "1234", "--pin", "PIN of a test 735"];
    run("softhsm2-util", &init);
    let ourselves = std::env::current_exe().expect("ourselves").display().to_string();
    run(&ourselves, &["pv_keys::tests::the_process_with_hardware", "--exact", "--nocapture"]);
    // Others see what is left, and that none of it ever leaves.
    let module = module().display().to_string();
    let inside = ["--module", &module, "--token-label", "nexus", "--login", "--pin", "PIN of a test 735"];
    let seen = run("pkcs11-tool", &[&inside[..], &["--list-objects"]].concat());
    assert!(seen.contains("nexus authority") && seen.contains("nexus key-service."), "{seen}");
    assert!(!seen.contains("nexus root") && !seen.contains("nexus ed25519"), "destroyed: {seen}");
    let secret = seen.split("Private Key Object").skip(1).chain(seen.split("Secret Key Object").skip(1));
    assert!(
        secret.clone().count() >= 2 && secret.clone().all(|key| key.contains("never extractable")),
        "{seen}"
    );
    let tried = run("pkcs11-tool", &[&inside[..], &["--test"]].concat());
    assert!(tried.contains("No errors"), "{tried}");
}
