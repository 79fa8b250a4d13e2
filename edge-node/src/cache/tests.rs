//! Routing of requests.

use http::Method;
use nx_access::Gate;
use nx_delivery::Upload;

use super::*;

fn request(uri: &str, host: Option<&str>) -> Request {
    let mut request = Request::new(Upload::None);
    *request.uri_mut() = uri.parse().expect("a target");
    if let Some(host) = host {
        request.headers_mut().insert(header::HOST, host.parse().expect("a name"));
    }
    request
}

#[test]
fn hosts_are_told_by_name_whatever_their_port_and_version_of_http() {
    for (uri, named, want) in [
        ("/a", Some("CDN.example:8888"), "cdn.example"),
        ("/a", Some("cdn.example"), "cdn.example"),
        ("/a", Some("[::1]:80"), "[::1]"),
        ("/a", Some("[::1]"), "[::1]"),
        ("https://cdn.example:8443/a", None, "cdn.example"),
        ("/a", None, ""),
    ] {
        assert_eq!(host(&request(uri, named)), want, "{uri} {named:?}");
    }
}

fn cache(upstream: &UpstreamConfig) -> Arc<Cache> {
    let (_stop, stopped) = watch::channel(false);
    let gate = Gate::open(nx_access::Terms::default()).expect("a gate");
    let cache = Cache::open(&CacheConfig::default(), std::slice::from_ref(upstream), (&gate, None), &stopped);
    cache.expect("sound settings")
}

#[tokio::test]
async fn what_leads_out_of_its_route_or_back_to_us_is_refused() {
    let origins = vec!["http://127.0.0.1:1".to_owned()];
    let cache = cache(&UpstreamConfig { path: "/vod/".into(), origins, ..Default::default() });
    assert!(
        cache.route(&request("/vod/a", None)).is_some() && cache.route(&request("/live/a", None)).is_none()
    );
    let status = |request: Request| {
        let wanted = cache.wanted(&cache.upstreams()[0], &request);
        wanted.err().map(|problem| problem.status.as_u16())
    };
    assert_eq!(status(request("/vod/a/../../secret", None)), Some(400));
    assert_eq!(status(request("/vod/%2e%2e/secret", None)), Some(400));
    let mut round = request("/vod/a", None);
    round.headers_mut().insert(CDN_LOOP, "other".parse().expect("a name"));
    assert_eq!(status(round), None);
    let mut round = request("/vod/a", None);
    let nodes = format!("other, {}", cache.node);
    round.headers_mut().insert(CDN_LOOP, nodes.parse().expect("names"));
    assert_eq!(status(round), Some(508));
}

#[tokio::test]
async fn nobody_purges_without_the_key() {
    let origins = vec!["http://127.0.0.1:1".to_owned()];
    let cache = cache(&UpstreamConfig { origins, ..Default::default() });
    let purge = || {
        let mut purge = request("/cache/purge", None);
        *purge.method_mut() = Method::POST;
        purge
    };
    let answer = cache.purge(purge()).await;
    assert_eq!(answer.err().map(|problem| problem.status.as_u16()), Some(403), "there is no key");
}

#[test]
fn routes_of_a_network_keep_what_is_known_of_origins() {
    let text = |more: &str| {
        format!(
            "[[origin]]\nname = \"theirs\"\nhttp = \"http://a.example\"\n[[origin]]\nname = \"ours\"\n\
             http = \"http://b.example:8887\"\nplane = \"b.example:8886\"\n[[route]]\npath = \"/hls/*\"\n\
             origins = [\"theirs\"]\ncache = \"c\"\n[[cache]]\nname = \"c\"\nplaylists_s = 2\nobject_bytes_max = 7\n{more}"
        )
    };
    let network = |more: &str| Network::from_toml(&text(more)).expect("a network");
    let gate = Gate::open(nx_access::Terms::default()).expect("a gate");
    let token = HeaderValue::from_static("node");
    let shown = (&gate, Some(&token));
    let first = Upstream::of_network(&network(""), &[], shown);
    let second = Upstream::of_network(
        &network("[[route]]\npath = \"/*\"\norigins = [\"ours\", \"theirs\"]\n"),
        &first,
        shown,
    );
    let shows = |upstream: &Upstream, nth| upstream.origin(nth).shows_token();
    assert!(
        !shows(&first[0], 0) && shows(&second[1], 0) && !shows(&second[1], 1),
        "only nodes of ours see the token"
    );
    let find = |path: &str| second.iter().find(|u| u.takes("any", path)).expect("a route");
    let (hls, all) = (find("/hls/a.m3u8"), find("/live/a"));
    assert_eq!((hls.name.as_str(), hls.is_behind_live()), ("/hls/*", false));
    assert_eq!((all.name.as_str(), all.is_behind_live(), all.origins()), ("/*", true, 2));
    assert!(Arc::ptr_eq(first[0].origin(0), hls.origin(0)) && Arc::ptr_eq(hls.origin(0), all.origin(1)));
    let usual = Terms { error_ms_max: 5, ..Terms::default() };
    let fresh = |upstream: &Upstream, target| upstream.terms(target, &usual).fresh_ms;
    assert_eq!([fresh(hls, "/hls/a.m3u8?_HLS_msn=1"), fresh(hls, "/hls/a.ts")], [Some(2_000), None]);
    assert_eq!((fresh(all, "/a.m3u8"), hls.kept_max()), (None, Some(7)));
}
