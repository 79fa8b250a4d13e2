//! Settings: what is read, what is refused, what is shown.

use super::*;
use crate::{Input, Policy};

const WHOLE: &str = r#"
publish = "closed"
allow = ["10.0.0.0/8", "::1"]
[[streams]]
name = "live/show"
keys = [{ key = "hunter1", input = "primary" }, { key_file = "/run/secret", input = "backup" }, "hunter2"]
passphrase = "hunter3hunter3"
allow = ["192.0.2.0/24"]
limits = { bitrate_bps = 8_000_000, width = 1920, height = 1080, duration_s = 86400, concurrent = 1 }
[[streams]]
name = "live/*"
keys = "hunter4"
[tokens]
secret = "hunter5-hunter5-hunter5-hunter5-hunter5"
issuer = "me"
audience = "you"
[hook]
url = "http://127.0.0.1:9000/publish"
timeout_ms = 500
cache_s = 10
on_failure = "allow"
secret = "hunter6"
"#;

#[test]
fn the_whole_section_is_read_and_never_shown() {
    let config = parsed(WHOLE);
    assert_eq!(config.validate(), []);
    let [show, live] = config.streams.as_slice() else { panic!("two rules") };
    assert_eq!(
        show.keys.iter().map(|k| k.input).collect::<Vec<_>>(),
        [Some(Input::Primary), Some(Input::Backup), None]
    );
    assert_eq!(show.keys[2].key, Some(Secret::new("hunter2")));
    assert_eq!(live.keys[0].key, Some(Secret::new("hunter4")));
    for shown in [format!("{config:?}"), format!("{config:#?}"), toml::to_string(&config).unwrap()] {
        assert!(!shown.contains("hunter") && shown.contains("***"), "{shown}");
    }
}

#[test]
fn mistakes_are_named_by_key_with_what_to_do() {
    for (toml, key, hint) in [
        ("[[streams]]\nname = 'live'", "streams.0.name", "APPLICATION/STREAM"),
        ("[[streams]]\nname = 'a/b'\n[[streams]]\nname = 'a/b'", "streams.1.name", "join"),
        ("[[streams]]\nname = 'a/b'\nkeys = [{}]", "streams.0.keys.0", "either"),
        ("[[streams]]\nname = 'a/b'\nkeys = [{ key = 'x', key_file = 'y' }]", "streams.0.keys.0", "either"),
        ("[[streams]]\nname = 'a/b'\nkeys = ['x', '']", "streams.0.keys.1.key", "1 to 256"),
        ("[[streams]]\nname = 'a/b'\npassphrase = 'hunter123'", "streams.0.passphrase", "10 to 79"),
        (
            "[[streams]]\nname = 'a/b'\npassphrase = 'hunter1234'\npassphrase_file = 'y'",
            "streams.0.passphrase",
            "twice",
        ),
        ("[[streams]]\nname = 'a/b'\nlimits = { width = 0 }", "streams.0.limits.width", "at least 1"),
        ("[tokens]", "tokens", "one of"),
        ("[tokens]\nsecret_file = 'x'\npublic_key_file = 'y'", "tokens", "one of"),
        ("[tokens]\nsecret = 'hunter2'", "tokens.secret", "32 bytes"),
        ("[tokens]\nsecret_file = 'x'\nissuer = ''", "tokens.issuer", "leave it out"),
        ("[hook]", "hook.url", "http://"),
        ("[hook]\nurl = 'ftp://x/'", "hook.url", "http://"),
        ("[hook]\nurl = 'http://bob:hunter2@x/'", "hook.url", "user"),
        ("[hook]\nurl = 'http://x/'\ntimeout_ms = 10_001", "hook.timeout_ms", "1 to 10000"),
        ("[hook]\nurl = 'http://x/'\ntimeout_ms = 0", "hook.timeout_ms", "1 to 10000"),
        ("[hook]\nurl = 'http://x/'\ncache_s = 3601", "hook.cache_s", "3600"),
        ("[hook]\nurl = 'http://x/'\nsecret = ''", "hook.secret", "empty"),
        ("[hook]\nurl = 'http://x/'\nsecret = 'hunter2'\nsecret_file = 'y'", "hook.secret", "twice"),
    ] {
        let faults = parsed(toml).validate();
        let found = faults.iter().any(|(k, text)| k == key && text.contains(hint));
        assert!(found, "{toml}: {faults:?}");
        assert!(!format!("{faults:?}").contains("hunter"), "{faults:?}");
        assert_eq!(Admission::new(parsed(toml)).err(), Some(faults), "new() checks the same");
    }
}

#[test]
fn what_is_no_setting_is_refused_without_showing_secrets() {
    for toml in [
        "nonsense = 1",
        "publish = 'maybe'",
        "allow = ['10.0.0.0/40']",
        "[[streams]]\nname = 'a/b'\nkeys = 8675309",
        "[[streams]]\nname = 'a/b'\nkeys = [8675309]",
        "[[streams]]\nname = 'a/b'\nkeys = [{ key = 8675309 }]",
        "[[streams]]\nname = 'a/b'\nkeys = [{ key = 'hunter2', inputs = 'backup' }]",
        "[[streams]]\nname = 'a/b'\nkeys = [{ key = 'hunter2', input = 'third' }]",
        "[[streams]]\nname = 'a/b'\nlimits = { bitrate = 1 }",
        "[hook]\nurls = 'x'",
        "[hook]\non_failure = 'open'",
        "[tokens]\nsecret = 86753.09",
    ] {
        let error = toml::from_str::<Config>(toml).unwrap_err().message().to_owned();
        assert!(!error.contains("hunter") && !error.contains("8675"), "{toml}: {error}");
    }
}

#[test]
fn publishing_closes_with_the_first_credential_unless_set() {
    let stream = |what: &str| format!("[[streams]]\nname = 'a/b'\n{what}");
    for (toml, policy, configured) in [
        (String::new(), Policy::Open, false),
        ("publish = 'closed'".into(), Policy::Closed, true),
        ("allow = ['10.0.0.0/8']".into(), Policy::Open, false),
        (stream("limits = { width = 1 }"), Policy::Open, false),
        (stream("keys = 'x'"), Policy::Closed, true),
        (stream("passphrase = '0123456789'"), Policy::Closed, true),
        (format!("publish = 'open'\n{}", stream("keys = 'x'")), Policy::Open, false),
        ("[tokens]\nsecret_file = 'x'".into(), Policy::Closed, true),
        ("[hook]\nurl = 'http://x/'".into(), Policy::Closed, true),
        ("publish = 'open'\n[hook]\nurl = 'http://x/'".into(), Policy::Open, true),
    ] {
        let config = parsed(&toml);
        assert_eq!((config.publish_policy(), config.is_configured()), (policy, configured), "{toml}");
    }
}

#[tokio::test]
async fn secrets_come_from_files_without_their_line_end() {
    let (good, short) = (TempFile::new("good", "hunter2hunter2\r\n"), TempFile::new("short", "\n"));
    let (good, short) = (good.path(), short.path());
    let held = admission(&format!(
        "[[streams]]\nname = 'live/show'\npassphrase_file = '{good}'\nkeys = [{{ key_file = '{good}' }}]"
    ));
    assert_eq!(held.passphrase(&key("live/show")), Some(Secret::new("hunter2hunter2")));
    assert_eq!(by(&held, &ask("key=hunter2hunter2")).await, Ok("key"));
    for (toml, key) in [
        (
            format!("[[streams]]\nname = 'a/b'\nkeys = [{{ key_file = '{short}' }}]"),
            "streams.0.keys.0.key_file",
        ),
        ("[[streams]]\nname = 'a/b'\nkeys = [{ key_file = '/no/such' }]".into(), "streams.0.keys.0.key_file"),
        (format!("[[streams]]\nname = 'a/b'\npassphrase_file = '{short}'"), "streams.0.passphrase_file"),
        (format!("[tokens]\nsecret_file = '{good}'"), "tokens.secret_file"),
        (format!("[tokens]\npublic_key_file = '{good}'"), "tokens.public_key_file"),
        (format!("[hook]\nurl = 'http://x/'\nsecret_file = '{short}'"), "hook.secret_file"),
    ] {
        let faults = Admission::new(parsed(&toml)).err().unwrap();
        assert_eq!(faults.iter().map(|f| f.0.as_str()).collect::<Vec<_>>(), [key], "{faults:?}");
        assert!(!format!("{faults:?}").contains("hunter"), "{faults:?}");
    }
}
