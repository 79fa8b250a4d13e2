//! An authority of ours, with its key in hardware: what it signs is good for OpenSSL and for the plane between nodes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::encoder::{SMALL, ffmpeg, fresh, run};
use crate::live::playable;
use crate::support::Server;
use crate::support::http::Client;
use crate::support::plane::Plane;

const TOKEN: &str = "the-token-of-the-gateway";
const KEYS: &str = "/api/pv-keys/v1";
const LIMIT: Duration = Duration::from_secs(30);

/// Runs a program of others in a folder.
fn good(folder: &Path, program: &str, args: &str) -> String {
    let line = format!("cd {:?} && {program} {args}", folder.display());
    let (ok, out, err) = run("sh", &["-c", &line], LIMIT);
    assert!(ok, "{program} {args}: {out}{err}");
    out + &err
}

fn ask(server: &Server, method: &str, path: &str, body: &Value) -> (u16, Vec<u8>) {
    let bearer = format!("Bearer {TOKEN}");
    let headers =
        [("content-type", "application/json"), ("idempotency-key", path), ("authorization", bearer.as_str())];
    let mut client = Client::connect(server.gateway()).expect("a connection");
    let path = format!("{KEYS}/{path}");
    let reply = client.ask(method, &path, &headers, body.to_string().as_bytes()).expect("an answer");
    (reply.status, reply.body)
}

fn made(server: &Server, path: &str, body: &Value) -> Value {
    let (status, answer) = ask(server, "POST", path, body);
    assert!((200..300).contains(&status), "{path}: {status} {}", String::from_utf8_lossy(&answer));
    serde_json::from_slice(&answer).unwrap_or_default()
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_else(|| panic!("{field} in {value}")).to_owned()
}

/// A token of SoftHSM, and a server that makes its keys there.
fn with_hardware(folder: &Path) -> Server {
    let conf = folder.join("softhsm2.conf");
    let tokens = folder.join("tokens");
    std::fs::create_dir_all(&tokens).expect("a folder");
    let settings = format!("directories.tokendir = {}\nobjectstore.backend = file\n", tokens.display());
    std::fs::write(&conf, settings)
        .and_then(|()| std::fs::write(folder.join("pin"), "pin-of-a-test-735\n"))
        .expect("files");
    let conf = conf.display().to_string();
    good(
        folder,
        &format!("SOFTHSM2_CONF={conf:?} softhsm2-util"),
        "--init-token --free --label nexus --so-pin 1234 --pin pin-of-a-test-735",
    );
    let settings = format!(
        "[gateway]\ntoken = {TOKEN:?}\n[gateway.keys.pkcs11]\nmodule = \"/usr/lib/softhsm/libsofthsm2.so\"\n\
         token = \"nexus\"\npin_file = {:?}\n",
        folder.join("pin").display()
    );
    Server::role_in("up", &folder.join("data"), &settings, &[("SOFTHSM2_CONF", &conf)])
}

#[test]
fn nodes_trust_what_it_signs() {
    let folder: PathBuf = fresh("authority");
    let server = with_hardware(&folder);
    let key = made(&server, "keys", &json!({"name": "nodes", "type": "ecdsa-p256"}));
    assert_eq!(key["place"], "hardware", "{key}");
    let new = json!({"name": "nodes", "key": "nodes", "common_name": "Nodes of a test", "days": 3650});
    assert_eq!(made(&server, "authorities", &new)["done"], true);
    let (_, authority) = ask(&server, "GET", "authorities/nodes", &Value::Null);
    let authority: Value = serde_json::from_slice(&authority).expect("JSON");

    good(
        &folder,
        "openssl",
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=node \
         -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout node.key -out node.csr",
    );
    let csr = std::fs::read_to_string(folder.join("node.csr")).expect("a request");
    let issued = made(&server, "authorities/nodes/certificates", &json!({"csr": csr}));
    for (file, of) in [("ca.pem", &authority), ("node.pem", &issued)] {
        std::fs::write(folder.join(file), text(of, "certificate")).expect("a file");
    }
    good(&folder, "openssl", "verify -x509_strict -purpose sslserver -CAfile ca.pem node.pem");
    good(&folder, "openssl", "verify -x509_strict -purpose sslclient -CAfile ca.pem node.pem");

    // An edge and an origin that have it find each other, and a stream its way.
    let plane = Plane::in_folder(&folder);
    let origin = plane.origin();
    let _encoder = ffmpeg(origin.rtmp(), "live/show", SMALL);
    let edge = plane.edge(&[origin.plane()]);
    playable(&edge, "live/show");

    // What leaves the hardware: requests for others, signatures, and the list of what was taken back.
    let subject = json!({"common_name": "elsewhere.example", "names": ["elsewhere.example", "::1"]});
    std::fs::write(folder.join("ours.csr"), text(&made(&server, "keys/nodes/csr", &subject), "csr"))
        .expect("a file");
    assert!(good(&folder, "openssl", "req -in ours.csr -verify -noout").contains("OK"));
    let serial = text(&issued, "serial");
    made(&server, &format!("authorities/nodes/certificates/{serial}/revoke"), &json!({}));
    let (status, list) = ask(&server, "GET", "authorities/nodes/crl", &Value::Null);
    assert_eq!(status, 200);
    std::fs::write(folder.join("list.der"), list).expect("a file");
    good(&folder, "openssl", "crl -inform DER -in list.der -CAfile ca.pem -out list.pem");
    let line = "verify -crl_check -CAfile ca.pem -CRLfile list.pem node.pem; true";
    assert!(good(&folder, "openssl", line).contains("certificate revoked"));
    let log = server.log();
    assert!(!log.contains("pin-of-a-test-735"), "no PIN in a log");
}
