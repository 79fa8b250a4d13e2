//! Configuration files with mistakes in them, and what is said about them.

use super::*;

fn faults(text: &str, env: &[(&str, &str)]) -> Vec<String> {
    let file = std::env::temp_dir().join(format!("nexus-config-{}-{}.toml", std::process::id(), text.len()));
    std::fs::write(&file, text).unwrap();
    let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    let found = load(Some(&file), env);
    std::fs::remove_file(&file).unwrap();
    let name = file.display().to_string();
    found.err().unwrap_or_default().iter().map(|f| f.to_string().replace(&name, "FILE")).collect()
}

#[test]
fn an_empty_file_and_no_file_are_the_defaults() {
    assert!(faults("", &[]).is_empty());
    assert_eq!(load(None, std::iter::empty()).unwrap().config.origin.rtmp.listen.port(), 1935);
}

#[test]
fn reports_every_mistake_at_once_with_its_line() {
    let text = "[origin.stream]\nsegment_ms = 2500\npart_ms = \"x\"\n[edge.http]\nlissten = \"1\"\n[orign]\n";
    let found = faults(text, &[("gateway.listen", "nowhere")]);
    let expected = [
        "FILE:5: edge.http.lissten: there is no such key; write `listen`",
        "FILE:6: orign: there is no such key; write `origin`",
        "NEXUS__GATEWAY__LISTEN: gateway.listen: ",
        "FILE:3: origin.stream.part_ms: invalid type: string \"x\", expected u32",
        "FILE:2: origin.stream.segment_ms: must be whole seconds",
    ];
    for part in expected {
        assert!(found.iter().any(|f| f.starts_with(part)), "{part} in {found:#?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn the_environment_wins_over_the_file() {
    let file = std::env::temp_dir().join(format!("nexus-config-{}-env.toml", std::process::id()));
    std::fs::write(&file, "[origin.stream]\npart_ms = 500\nreconnect_s = 5\n").unwrap();
    let env = [("origin.stream.part_ms", "200"), ("gateway.listen", "127.0.0.1:0")];
    let loaded = load(Some(&file), env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))).unwrap();
    std::fs::remove_file(&file).unwrap();
    let stream = &loaded.config.origin.stream;
    assert_eq!((stream.part_ms, stream.reconnect_s, loaded.config.gateway.listen.port()), (200, 5, 0));
}

#[test]
fn a_file_that_is_not_toml_says_where() {
    assert!(faults("a = 1\nb = = 2\n", &[])[0].starts_with("FILE:2: is not TOML"));
}

#[test]
fn settings_say_where_they_come_from_and_no_secret() {
    let file = std::env::temp_dir().join(format!("nexus-config-{}-told.toml", std::process::id()));
    let text = "[origin.stream]\npart_ms = 500\n[gateway]\ntoken = \"s3cret-of-the-gateway\"\n[[origin.targets]]\n\
                stream = \"live/a\"\nurl = \"rtmp://h/app/s3cret\"\n[playback]\n\
                revocations = [\"http://me:s3cret@10.0.0.1:8887\", \"http://10.0.0.2:8887\"]\n";
    std::fs::write(&file, text).unwrap();
    let env = [("edge.http.listen".to_owned(), "127.0.0.1:9000".to_owned())];
    let loaded = load(Some(&file), env.into_iter()).unwrap();
    std::fs::remove_file(&file).unwrap();
    let all = loaded.config.gateway.settings.told()["items"].as_array().unwrap().clone();
    let name = file.display().to_string();
    let told = |key: &str| {
        let found = all.iter().find(|setting| setting["key"] == key).unwrap();
        let place = found["place"].as_str().map(|place| place.replace(&name, "FILE"));
        (found["value"].to_string(), place)
    };
    let some = |value: &str, place: &str| (value.to_owned(), Some(place.to_owned()));
    assert_eq!(told("origin.stream.part_ms"), some("500", "FILE:2"));
    assert_eq!(told("origin.stream.segment_ms").1, None);
    assert_eq!(told("edge.http.listen"), some("\"127.0.0.1:9000\"", "NEXUS__EDGE__HTTP__LISTEN"));
    assert_eq!(told("gateway.token"), some("\"***\"", "FILE:4"));
    assert_eq!(told("origin.targets[0].url"), some("\"***\"", "FILE:7"));
    assert_eq!(told("origin.targets[0].enabled").1, None);
    let (value, _) = told("playback.revocations");
    assert_eq!(value, "[\"http://***@10.0.0.1:8887\",\"http://10.0.0.2:8887\"]");
    let said = format!("{all:?}");
    assert!(!said.contains("s3cret") && all.len() > 100, "{said}");
    let later = load(None, [("log.filter".to_owned(), "warn".to_owned())].into_iter()).unwrap();
    loaded.config.gateway.settings.change("log.filter", &later.config.gateway.settings);
    let now = loaded.config.gateway.settings.told().to_string();
    assert!(now.contains("\"warn\"") && now.contains("NEXUS__LOG__FILTER"), "{now}");
}
