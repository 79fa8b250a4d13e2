//! Files that are good, that change and that are broken.

use std::path::PathBuf;

use super::*;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("nexus-certs-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn pair(&self, name: &str, host: &str) -> Pair {
        let pair = Pair { cert: self.0.join(format!("{name}.pem")), key: self.0.join(format!("{name}.key")) };
        let made = rcgen::generate_simple_self_signed([host.to_owned()]).unwrap();
        std::fs::write(&pair.cert, made.cert.pem()).unwrap();
        std::fs::write(&pair.key, made.signing_key.serialize_pem()).unwrap();
        pair
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn first(certs: &Certs) -> Vec<u8> {
    certs.held().first().unwrap().key.cert.first().unwrap().to_vec()
}

#[test]
fn a_new_pair_is_taken_over_and_a_broken_one_is_not() {
    let folder = Folder::new("swap");
    let certs = Certs::read(vec![folder.pair("a", "a.example")]).unwrap();
    let (before, stamp_before) = (first(&certs), stamp(&certs.pairs));
    folder.pair("a", "longer.a.example");
    assert_ne!(stamp(&certs.pairs), stamp_before);
    certs.reload();
    let after = first(&certs);
    assert_ne!(after, before);
    for (file, text) in [("a.pem", "no certificate"), ("a.pem", ""), ("a.key", "no key")] {
        let path = folder.0.join(file);
        let good = std::fs::read(&path).unwrap();
        std::fs::write(&path, text).unwrap();
        certs.reload();
        assert_eq!(first(&certs), after, "{file} {text:?}");
        std::fs::write(&path, good).unwrap();
    }
    // A key of another certificate.
    let other = folder.pair("b", "b.example");
    std::fs::copy(&other.key, &certs.pairs[0].key).unwrap();
    certs.reload();
    assert_eq!(first(&certs), after);
}

#[test]
fn says_which_file_is_wrong() {
    let folder = Folder::new("words");
    let (a, b) = (folder.pair("a", "a.example"), folder.pair("b", "b.example"));
    let missing = Pair { cert: folder.0.join("none.pem"), key: a.key.clone() };
    let cases = [
        (missing, "none.pem cannot be used"),
        (Pair { cert: a.key.clone(), key: a.key.clone() }, "there is no certificate in it"),
        (Pair { cert: a.cert.clone(), key: b.key }, "do not go together"),
    ];
    for (pair, words) in cases {
        let error = Certs::read(vec![pair]).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn finds_the_certificate_for_a_name_and_shows_when_it_ends() {
    let folder = Folder::new("names");
    let certs = Certs::read(vec![folder.pair("a", "a.example"), folder.pair("b", "*.b.example")]).unwrap();
    let held = certs.held();
    for (name, of_a, of_b) in
        [("a.example", true, false), ("x.b.example", false, true), ("c.example", false, false)]
    {
        let name = ServerName::try_from(name).unwrap();
        assert_eq!((held[0].is_for(&name), held[1].is_for(&name)), (of_a, of_b), "{name:?}");
    }
    let mut metrics = Metrics::default();
    certs.metrics(&mut metrics);
    let text = metrics.into_text();
    // rcgen's own end: the year 4096.
    assert!(text.contains("a.pem\"} 67090118400\n") && text.contains("b.pem\"} 67090118400\n"), "{text}");
    assert!(!certs.warn(1_800_000_000) && certs.warn(67_090_118_400 - WARN_S + 1));
}

/// Whether a client that speaks these versions gets as far as a session.
fn shakes_hands(certs: &Arc<Certs>, versions: &[&'static rustls::SupportedProtocolVersion]) -> bool {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(first(certs))).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(certs.provider.clone());
    let config = config.with_protocol_versions(versions).unwrap().with_root_certificates(roots);
    let name = ServerName::try_from("a.example").unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(config.with_no_client_auth()), name).unwrap();
    let mut server = rustls::ServerConnection::new(certs.server(&[]).unwrap()).unwrap();
    for _ in 0..4 {
        let (mut there, mut back) = (Vec::new(), Vec::new());
        while client.wants_write() {
            client.write_tls(&mut there).unwrap();
        }
        let mut left = there.as_slice();
        while !left.is_empty() {
            server.read_tls(&mut left).unwrap();
            if server.process_new_packets().is_err() {
                return false;
            }
        }
        while server.wants_write() {
            server.write_tls(&mut back).unwrap();
        }
        let mut left = back.as_slice();
        while !left.is_empty() {
            client.read_tls(&mut left).unwrap();
            client.process_new_packets().unwrap();
        }
    }
    !client.is_handshaking() && !server.is_handshaking() && certs.admits(server.protocol_version())
}

#[test]
fn tls_1_3_is_required_while_it_is_said_so() {
    let folder = Folder::new("versions");
    let certs = Certs::read(vec![folder.pair("a", "a.example")]).unwrap();
    let (old, new) = (&[&rustls::version::TLS12][..], &[&rustls::version::TLS13][..]);
    for (required, old_works) in [(false, true), (true, false), (false, true)] {
        certs.require_tls13(required);
        assert_eq!((shakes_hands(&certs, old), shakes_hands(&certs, new)), (old_works, true), "{required}");
    }
    assert!(certs.has("a.example") && !certs.has("b.example") && !certs.has("no name"));
}
