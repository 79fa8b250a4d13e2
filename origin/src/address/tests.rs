//! Good and bad URLs, and what is seen of them.

use super::*;

#[test]
fn takes_rtmp_addresses_apart() {
    // URL; TLS, host, port, application, stream; what is shown.
    type Want = (bool, &'static str, u16, &'static str, &'static str, &'static str);
    let rows: [(&str, Want); 7] = [
        ("rtmp://a.example/live/key", (false, "a.example", 1935, "live", "key", "rtmp://a.example/live/***")),
        (
            "rtmp://a.example:19350/live/deep/key?a=b/c",
            (false, "a.example", 19350, "live/deep", "key?a=b/c", "rtmp://a.example:19350/live/deep/***"),
        ),
        (
            "RTMPS://a.example/app/FB-1-0-Ab?s_bl=1&s_ps=1",
            (true, "a.example", 443, "app", "FB-1-0-Ab?s_bl=1&s_ps=1", "rtmps://a.example/app/***"),
        ),
        ("rtmp://[::1]:1/a/b", (false, "::1", 1, "a", "b", "rtmp://[::1]:1/a/***")),
        ("rtmp://h//a/b", (false, "h", 1935, "a", "b", "rtmp://h/a/***")),
        ("rtmp://h/a/k%20#{}", (false, "h", 1935, "a", "k%20#{}", "rtmp://h/a/***")),
        ("rtmp://h/a/k@x:y", (false, "h", 1935, "a", "k@x:y", "rtmp://h/a/***")),
    ];
    for (url, want) in rows {
        let Ok(Target::Rtmp(rtmp)) = Target::parse(url) else { panic!("{url}") };
        let shown = rtmp.shown();
        let got = (rtmp.tls, rtmp.host.as_str(), rtmp.port, rtmp.app.as_str(), rtmp.stream.as_str());
        assert_eq!((got.0, got.1, got.2, got.3, got.4, shown.as_str()), want, "{url}");
    }
}

#[test]
fn takes_srt_addresses_apart() {
    let url = "srt://h:9000?streamid=#!::r=live/x,m=publish&passphrase=correct%2Dhorse&latency=200&pbkeylen=32&mode=caller";
    let Ok(target) = Target::parse(url) else { panic!("{url}") };
    assert_eq!(target.shown(), "srt://h:9000?streamid=***&passphrase=***&latency=200");
    let Target::Srt(srt) = target else { panic!("no SRT") };
    assert_eq!(
        (srt.host.as_str(), srt.port, srt.stream_id.as_str(), srt.passphrase.as_deref(), srt.latency_ms),
        ("h", 9000, "#!::r=live/x,m=publish", Some("correct-horse"), Some(200))
    );
    assert_eq!(srt.key, KeyLength::Aes256);
    assert_eq!(Target::parse("srt://h:1").ok().map(|t| t.shown()).as_deref(), Some("srt://h:1"));
}

#[test]
fn refuses_bad_targets_without_showing_them() {
    for (url, part) in [
        ("", "begin it with rtmp://"),
        ("h/a/hunter22", "begin it with rtmp://"),
        ("http://h/a/hunter22", "scheme http"),
        ("rtmp:///a/hunter22", "names no host"),
        ("rtmp://h/hunter22", "application and a stream key"),
        ("rtmp://h/a/", "application and a stream key"),
        ("rtmp://h", "application and a stream key"),
        ("rtmp://h:0/a/hunter22", "port"),
        ("rtmp://h:99999/a/hunter22", "port"),
        ("rtmp://u:hunter22@h/a/b", "user and password"),
        ("rtmp://h/a/hunter22 b", "blank"),
        ("srt://h?streamid=hunter22", "port"),
        ("srt://h:1?passphrase=hunter22", "10 to 79"),
        ("srt://h:1?latency=hunter22", "20 to 30000"),
        ("srt://h:1?mode=listener&passphrase=hunter22222", "this server calls"),
        ("srt://h:1?pasphrase=hunter22222", "pasphrase is no parameter"),
        ("srt://h:1?pbkeylen=hunter22", "16, 24 or 32"),
    ] {
        let text = Target::parse(url).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(text.contains(part), "{url}: {text:?}");
        assert!(!text.contains("hunter"), "{url}: {text}");
    }
    let long = format!("rtmp://h/a/{}", "k".repeat(URL_BYTES_MAX));
    assert_eq!(Target::parse(&long).err(), Some(AddressError::TooLong(long.len())));
}

#[test]
fn takes_sources_apart_and_shows_them_without_secrets() {
    for (url, shown) in [
        ("https://u:hunter22@h/a/b.m3u8?token=hunter22", "hls https://***@h/a/b.m3u8?***"),
        ("http://h:81/x.M3U8", "hls http://h:81/x.M3U8"),
        ("http://h/x.ts", "http http://h/x.ts"),
        ("udp://239.1.1.1:5000?interface=192.0.2.1", "udp udp://239.1.1.1:5000?interface=192.0.2.1"),
        ("udp://@239.1.1.1:5000", "udp udp://239.1.1.1:5000"),
        ("udp://[ff05::1]:5000", "udp udp://[ff05::1]:5000"),
        ("srt://h:1?streamid=hunter22", "srt srt://h:1?streamid=***"),
        ("udp://h:5000", "the URL names no host: write udp://ADDRESS:PORT"),
        ("udp://127.0.0.1", "the URL's port is missing"),
        ("udp://127.0.0.1:1?iface=x", "iface is no parameter"),
        ("rtmp://h/a/hunter22", "a URL of scheme rtmp cannot be used here"),
        ("ftp://h/a", "a URL of scheme ftp cannot be used here"),
    ] {
        let got = match Source::parse(url) {
            Ok(source) => {
                let kind = match &source {
                    Source::Srt(_) => "srt",
                    Source::Udp(_) => "udp",
                    Source::Hls(_) => "hls",
                    Source::Http(_) => "http",
                };
                format!("{kind} {}", source.shown())
            }
            Err(error) => error.to_string(),
        };
        assert!(got.starts_with(shown), "{url}: {got}");
        assert!(!got.contains("hunter"), "{got}");
    }
}

#[test]
fn follows_a_server_that_sends_on_but_never_out_of_tls() {
    let rtmp = |url| match Target::parse(url) {
        Ok(Target::Rtmp(rtmp)) => rtmp,
        _ => panic!("{url}"),
    };
    for (from, to, want) in [
        ("rtmp://h/a/key", None, Some("rtmp://h/a/key")),
        ("rtmp://h/a/key", Some(""), Some("rtmp://h/a/key")),
        ("rtmp://h/a/key", Some("/b"), Some("rtmp://h/b/key")),
        ("rtmp://h/a/key", Some("rtmp://other:7/b"), Some("rtmp://other:7/b/key")),
        ("rtmp://h/a/key", Some("rtmps://other"), Some("rtmps://other/a/key")),
        ("rtmps://h/a/key", Some("rtmp://other/b"), None),
        ("rtmps://h/a/key", Some("srt://other:1"), None),
    ] {
        let got = rtmp(from).moved(to);
        assert!(got == want.map(rtmp), "{from} to {to:?}: {:?}", got.map(|g| g.tc_url()));
    }
}

#[test]
fn what_a_server_says_is_cleaned_of_our_secrets() {
    let Ok(Target::Rtmp(rtmp)) = Target::parse("rtmp://h/a/streamkey?pass=hunter22&x=1") else {
        panic!("good")
    };
    let said = "streamkey?pass=hunter22&x=1 is taken; streamkey, hunter22: 1";
    assert_eq!(rtmp.scrub(said), "*** is taken; ***, ***: 1");
}

#[test]
fn no_text_makes_it_fall_over() {
    let urls = ["rtmps://h:1/a/b?c=d", "srt://[::1]:1?streamid=a%2", "udp://@239.0.0.1:5?interface=1.1.1.1"];
    for url in urls {
        for end in 0..=url.len() {
            let _ = (Target::parse(&url[..end]), Source::parse(&url[..end]));
            for odd in ["\u{0}", "%", "@", "[", "]", ":", "?", "é"] {
                let text = format!("{}{odd}{}", &url[..end], &url[end..]);
                let _ = (Target::parse(&text), Source::parse(&text).map(|s| s.shown()));
            }
        }
    }
}
