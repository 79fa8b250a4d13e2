//! Addresses that a webhook must not reach, in every way to write them.

use super::*;

fn admits(guard: &Guard, url: &str) -> bool {
    guard.check(&Url::parse(url).expect("a URL")).is_ok()
}

#[test]
fn only_the_public_network_is_reached() {
    let guard = Guard::new(Vec::new());
    for good in
        ["http://8.8.8.8/", "https://[2606:4700::1111]/x", "https://172.32.0.1/", "https://example.org/"]
    {
        assert!(admits(&guard, good), "{good}");
    }
    for bad in [
        "http://127.0.0.1/",
        "http://127.9.9.9:80/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://0.0.0.0/",
        "http://10.0.0.1/",
        "http://172.16.0.1/",
        "http://192.168.1.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://100.100.100.200/",
        "http://224.0.0.1/",
        "http://255.255.255.255/",
        "http://[::1]/",
        "http://[::]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:a00:1]/",
        "http://[::127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[2002:7f00:1::]/",
        "http://[2001:0:1::]/",
        "http://[fd00:ec2::254]/",
        "http://[fe80::1]/",
        "ftp://8.8.8.8/",
        "file:///etc/passwd",
    ] {
        assert!(!admits(&guard, bad), "{bad}");
    }
}

#[test]
fn what_is_allowed_is_reached_and_nothing_beside_it() {
    let guard = Guard::new(vec!["10.1.0.0/16".parse().expect("a network")]);
    assert!(admits(&guard, "http://10.1.2.3/") && admits(&guard, "http://[::ffff:10.1.2.3]/"));
    assert!(!admits(&guard, "http://10.2.0.1/") && !admits(&guard, "http://127.0.0.1/"));
}

#[tokio::test]
async fn a_name_leads_only_to_what_was_checked() {
    let lookup = |guard: Guard| async move {
        let name = "localhost".parse().expect("a name");
        guard.resolve(name).await.map(|found| found.map(|a| a.ip()).collect::<Vec<_>>())
    };
    let refused = lookup(Guard::new(Vec::new())).await.expect_err("this machine");
    assert!(refused.to_string().contains("gateway.notify.allow"), "{refused}");
    let allowed = lookup(Guard::new(vec!["127.0.0.1/32".parse().expect("a network")])).await;
    assert_eq!(allowed.expect("allowed"), [IpAddr::from([127, 0, 0, 1])], "and not ::1");
}
