//! Who is let in, and for how long.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{HeaderMap, Request, header};
use nx_media::{StreamKey, StreamPattern};

use super::{NOW_S, claims};
use crate::revoked::REVOCATIONS_MAX;
use crate::uri::{Match, Part};
use crate::{
    Algorithm, Claims, Config, Denial, Gate, HEADER, Key, Keys, List, NODE, Page, Pass, Revocation,
    RevokeError, Terms, What, generate, make, unfold,
};

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

struct House {
    gate: Arc<Gate>,
    keys: Keys,
    folder: std::path::PathBuf,
}

impl House {
    fn new(name: &str, change: impl FnOnce(&mut Terms)) -> Self {
        let folder = std::env::temp_dir().join(format!("nx-access-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let (private, _) = generate("k", Algorithm::Hs256).unwrap();
        std::fs::write(folder.join("keys.json"), &*private).unwrap();
        let mut terms = Terms {
            rules: vec![StreamPattern::new("live/paid*").unwrap()],
            keys_file: Some(folder.join("keys.json")),
            revoked_file: Some(folder.join("revoked.jsonl")),
            ..Terms::default()
        };
        change(&mut terms);
        Self { gate: Gate::open(terms).unwrap(), keys: Keys::parse(&private).unwrap(), folder }
    }

    fn key(&self) -> &Key {
        self.keys.maker(None).unwrap()
    }

    fn token(&self, claims: &Claims) -> String {
        make(claims, self.key()).unwrap()
    }

    fn ask(&self, address: &str, header: Option<(&str, &str)>) -> (Result<Option<Pass>, Denial>, String) {
        let mut request = Request::get(address);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let mut request = request.body(()).unwrap();
        let folded = unfold(&mut request);
        let answer = self.gate.enter(&mut request, folded, (HERE, None), NOW_S);
        (answer, request.uri().to_string())
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn stream(name: &str) -> StreamKey {
    StreamKey::parse(name).unwrap()
}

#[test]
fn a_token_may_come_in_four_ways_and_leaves_no_trace_in_the_address() {
    let house = House::new("ways", |_| {});
    let token = house.token(&claims());
    let cookie = format!("a=b; CTA-Common-Access-Token={token}; c=d");
    for (address, header, rest) in [
        (format!("/token={token}/live/paid/index.m3u8"), None, "/live/paid/index.m3u8"),
        (
            format!("/token={token}/live/paid/v1/index.m3u8?_HLS_msn=3"),
            None,
            "/live/paid/v1/index.m3u8?_HLS_msn=3",
        ),
        (format!("/live/paid/index.m3u8?token={token}"), None, "/live/paid/index.m3u8"),
        (format!("/token={token}/live/paid/index.m3u8?token=other&b=2"), None, "/live/paid/index.m3u8?b=2"),
        (format!("/live/paid/index.m3u8?a=1&token={token}&b=2"), None, "/live/paid/index.m3u8?a=1&b=2"),
        ("/live/paid/index.m3u8".into(), Some((HEADER, token.as_str())), "/live/paid/index.m3u8"),
        ("/live/paid/index.m3u8".into(), Some(("cookie", cookie.as_str())), "/live/paid/index.m3u8"),
    ] {
        let (answer, left) = house.ask(&address, header);
        assert!(answer.as_ref().is_ok_and(Option::is_some), "{address}: {answer:?}");
        assert_eq!(left, rest);
    }
    assert_eq!(house.ask("/live/paid/index.m3u8", None).0.unwrap_err(), Denial::Missing);
    assert_eq!(house.ask("/live/paid/index.m3u8?token=", None).0.unwrap_err(), Denial::Missing);
    assert_eq!(house.ask("/token=x/live/paid/index.m3u8", None).0.unwrap_err(), Denial::Malformed);
}

#[test]
fn only_what_asks_for_a_token_is_shut() {
    let house = House::new("shut", |_| {});
    for (address, shut) in [
        ("/live/paid/index.m3u8", true),
        ("/live/paid-2/v1/17.m4s", true),
        ("/live/paid/video.mp4", true),
        ("/live/paid/thumbnail.jpg", true),
        ("/live/paid/keys/licence.json", true),
        ("/live/paid/anything/at/all", true),
        ("/live/free/index.m3u8", false),
        ("/watch/live/paid", false),
        ("/", false),
    ] {
        let answer = house.ask(address, None).0;
        assert_eq!(answer.is_err(), shut, "{address}: {answer:?}");
    }
    // Of other sites it is theirs.
    assert_eq!(house.ask("/other/site/x?token=theirs", None).1, "/other/site/x?token=theirs");
}

#[test]
fn what_is_for_members_is_shut_without_any_setting() {
    let house = House::new("members", |terms| (terms.rules, terms.keys_file) = (Vec::new(), None));
    for (path, shut) in [
        ("/members/show/index.m3u8", true),
        ("/members/show/v1/1.m4s", true),
        ("/members/show/thumbnail.jpg", true),
        ("/channels/show/index.m3u8", false),
        ("/live/members/index.m3u8", false),
        ("/members", false),
    ] {
        let (answer, _) = house.ask(path, None);
        assert_eq!(matches!(answer, Err(Denial::Missing)), shut, "{path}");
        assert_eq!(matches!(answer, Ok(None)), !shut, "{path}");
    }
    let play = |name| house.gate.play(&stream(name), None, ("rtmp", HERE), NOW_S);
    assert!(matches!(play("members/show"), Err(Denial::Missing)));
    assert!(matches!(play("channels/show"), Ok(None)));
}

#[test]
fn an_origin_makes_a_key_of_its_own_once() {
    let folder = std::env::temp_dir().join(format!("nexus-access-own-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("playback.json");
    let own = || Config::default().with_own_keys(&folder).unwrap().keys_file.unwrap();
    let text = |path: &Path| std::fs::read_to_string(path).unwrap();
    assert_eq!(own(), file);
    let first = text(&file);
    // What a crash has left.
    std::fs::write(folder.join("playback.new"), "half").unwrap();
    assert_eq!((own(), text(&file)), (file.clone(), first.clone()), "the same after a restart");
    std::fs::remove_file(&file).unwrap();
    assert_ne!((own(), text(&file)).1, first, "another when it is gone");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let named = Config { keys_file: Some("other.json".into()), ..Config::default() };
    assert_eq!(named.with_own_keys(&folder).unwrap().keys_file.unwrap(), Path::new("other.json"));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_token_for_another_stream_issuer_or_audience_opens_nothing() {
    let house = House::new("foreign", |terms| terms.issuer = Some("shop".into()));
    let ours = Claims { issuer: Some("shop".into()), ..claims() };
    let elsewhere =
        Claims { places: vec![(Part::Path, Match::Prefix("/live/paid-2/".into()))], ..ours.clone() };
    let audience = |who: &str| Claims { audience: vec![who.into()], ..ours.clone() };
    for (claims, want) in [
        (ours.clone(), None),
        (audience("viewer"), None),
        (audience(NODE), None),
        (elsewhere, Some(Denial::Elsewhere)),
        (claims(), Some(Denial::Foreign)),
        (audience("shop-backend"), Some(Denial::Foreign)),
        (Claims { issuer: Some("other".into()), ..ours.clone() }, Some(Denial::Foreign)),
        (Claims { expires_s: NOW_S, ..ours.clone() }, Some(Denial::Expired)),
    ] {
        let address = format!("/token={}/live/paid/index.m3u8", house.token(&claims));
        assert_eq!(house.ask(&address, None).0.err(), want, "{claims:?}");
        let played =
            house.gate.play(&stream("live/paid"), Some(&house.token(&claims)), ("rtmp", HERE), NOW_S);
        // Nodes do not come that way.
        let want = if claims.is_node() { Some(Denial::Foreign) } else { want };
        assert_eq!(played.err(), want, "over RTMP: {claims:?}");
    }
    assert!(house.gate.play(&stream("live/free"), None, ("srt", HERE), NOW_S).unwrap().is_none());
}

#[test]
fn answers_are_kept_by_the_viewer_alone_and_by_nodes_for_all() {
    let house = House::new("private", |_| {});
    let dressed = |claims: &Claims, told: &str, query: bool| {
        let token = house.token(claims);
        let address = if query {
            format!("/live/paid/index.m3u8?token={token}")
        } else {
            format!("/token={token}/live/paid/index.m3u8")
        };
        let pass = house.ask(&address, None).0.unwrap().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header::CACHE_CONTROL, told.parse().unwrap());
        headers.insert("cdn-cache-control", "public, max-age=60".parse().unwrap());
        pass.dress(&mut headers, true, NOW_S);
        assert_eq!(headers.contains_key("cdn-cache-control"), claims.is_node());
        let text = |name| headers.get(name).map(|v: &http::HeaderValue| v.to_str().unwrap().to_owned());
        (text(header::CACHE_CONTROL).unwrap(), text(header::SET_COOKIE))
    };
    assert_eq!(dressed(&claims(), "public, max-age=1", false), ("private, max-age=1".into(), None));
    assert_eq!(dressed(&claims(), "max-age=5", false).0, "private, max-age=5");
    for (told, want) in [
        ("no-store", "private, no-store"),
        ("max-age=5, public", "private, max-age=5"),
        ("Public, s-maxage=9, max-age=5, stale-if-error=7", "private, max-age=5, stale-if-error=7"),
        ("", "private"),
    ] {
        assert_eq!(dressed(&claims(), told, false).0, want, "{told}");
    }
    let (_, cookie) = dressed(&claims(), "public, max-age=1", true);
    let cookie = cookie.unwrap();
    assert!(cookie.ends_with("; Path=/live/paid/; Max-Age=60; HttpOnly; SameSite=Lax"), "{cookie}");
    let node = Claims { audience: vec![NODE.into()], ..claims() };
    assert_eq!(dressed(&node, "public, max-age=1", true), ("public, max-age=1".into(), None));
}

#[test]
fn what_is_taken_back_is_refused_and_stays_so() {
    let house = House::new("revoked", |_| {});
    let enter = |claims: &Claims| {
        let address = format!("/token={}/live/paid/index.m3u8", house.token(claims));
        house.ask(&address, None).0
    };
    let other = Claims { subject: Some("bob".into()), id: vec![1], ..claims() };
    let pass = enter(&claims()).unwrap().unwrap();
    assert!(house.gate.holds(&pass, NOW_S) && !house.gate.holds(&pass, NOW_S + 60), "until it ends");
    house.gate.revoke(What::Token("abcd".into()), NOW_S).unwrap();
    assert_eq!(enter(&claims()).unwrap_err(), Denial::Revoked);
    assert!(!house.gate.holds(&pass, NOW_S), "who was let in leaves");
    assert!(enter(&other).is_ok(), "nobody else does");
    house.gate.revoke(What::Subject("bob".into()), NOW_S).unwrap();
    assert_eq!(enter(&other).unwrap_err(), Denial::Revoked);
    let claims_later = Claims { issued_s: Some(NOW_S), ..other.clone() };
    assert_eq!(enter(&claims_later).unwrap_err(), Denial::Revoked);
    house.gate.revoke(What::Stream("live/paid".into()), NOW_S - 50).unwrap();
    let early = Claims { subject: None, issued_s: Some(NOW_S - 55), id: vec![8], ..claims() };
    assert_eq!(enter(&early).unwrap_err(), Denial::Revoked);
    let later = Claims { issued_s: Some(NOW_S - 44), ..early };
    assert!(enter(&later).is_ok(), "what is made afterwards holds");
    let timeless = Claims { issued_s: None, subject: None, id: vec![9], ..claims() };
    assert_eq!(enter(&timeless).unwrap_err(), Denial::Revoked, "it might be older");

    let again = |file: &Path| {
        Gate::open(Terms {
            rules: vec![StreamPattern::new("*").unwrap()],
            keys_file: Some(house.folder.join("keys.json")),
            revoked_file: Some(file.to_owned()),
            ..Terms::default()
        })
        .unwrap()
    };
    let file = house.folder.join("revoked.jsonl");
    let before = house.gate.revocations("", 0, 99);
    assert_eq!(again(&file).revocations("", 0, 99), before, "after a restart");
    // The process died while it wrote: what was cut off was never acknowledged.
    let mut text = std::fs::read_to_string(&file).unwrap();
    text.push_str("{\"seq\":4,\"what\":{\"subject\":\"zo\u{eb}");
    std::fs::write(&file, text.as_bytes().split_last().unwrap().1).unwrap();
    let gate = again(&file);
    assert_eq!(gate.revocations("", 0, 99), before);
    gate.revoke(What::Everything, NOW_S + 5).unwrap();
    let left = again(&file).revocations("", 0, 99);
    assert_eq!((left.newest, left.items.len()), (before.newest + 1, 1), "older ones say nothing more");
}

#[test]
fn an_edge_learns_what_was_taken_back_and_lets_nobody_in_before() {
    let origin = House::new("feed", |_| {});
    let edge = House::new("fed", |terms| terms.others = 1);
    let token = edge.token(&claims());
    let enter = || edge.gate.play(&stream("live/paid"), Some(&token), ("srt", HERE), NOW_S).map(|_| ());
    assert_eq!(enter(), Err(Denial::NotReady));
    let page = origin.gate.revocations("", 0, 99);
    edge.gate.learn(&page);
    edge.gate.heard();
    assert_eq!(enter(), Ok(()));
    let newest = origin.gate.newest();
    let Revocation { seq, .. } = origin.gate.revoke(What::Subject("alice".into()), NOW_S).unwrap();
    assert!(newest.has_changed().unwrap(), "who waits is woken");
    let more = origin.gate.revocations(&page.log, page.newest, 99);
    assert_eq!(more.items.iter().map(|i| i.seq).collect::<Vec<_>>(), [seq]);
    edge.gate.learn(&more);
    assert_eq!(enter(), Err(Denial::Revoked));
    assert!(origin.gate.revocations(&page.log, seq, 99).items.is_empty());
    assert_eq!(
        origin.gate.revocations("another", seq, 99).items.len(),
        1,
        "a list that began anew is read anew"
    );
    edge.gate.learn(&Page { log: "other".into(), newest: 0, items: vec![] });
    assert_eq!(enter(), Err(Denial::Revoked), "an emptier list gives nothing back");
}

#[test]
fn taking_everything_back_makes_room() {
    let house = House::new("full", |terms| terms.revoked_file = None);
    let items = (1..=REVOCATIONS_MAX as u64)
        .map(|seq| Revocation { seq, what: What::Subject(seq.to_string()), before_s: NOW_S, until_s: None })
        .collect();
    house.gate.learn(&Page { log: "x".into(), newest: 1, items });
    assert_eq!(house.gate.figures().2, REVOCATIONS_MAX as u64);
    house.gate.revoke(What::Everything, NOW_S).unwrap();
    assert_eq!(house.gate.figures().2, 1, "older ones say nothing more");
    let full = House::new("fuller", |terms| terms.revoked_file = None);
    for nth in 0..REVOCATIONS_MAX {
        full.gate.revoke(What::Subject(nth.to_string()), NOW_S).unwrap();
    }
    let refused = full.gate.revoke(What::Subject("one more".into()), NOW_S);
    assert!(matches!(refused, Err(RevokeError::Full)));
    full.gate.revoke(What::Everything, NOW_S).unwrap();
    full.gate.revoke(What::Subject("one more".into()), NOW_S).expect("there is room again");
    assert_eq!(full.gate.revocations("", 0, 9).items.len(), 2);
}

#[test]
fn what_has_run_out_by_itself_is_forgotten_everywhere_and_makes_room() {
    let (origin, edge) =
        (House::new("over-origin", |_| {}), House::new("over-edge", |terms| terms.others = 1));
    let id = |nth: usize| What::Token(format!("{nth:08x}"));
    // Five an hour's third, each for an hour: more than there is room for at a time of all there ever were.
    let (mut now_s, mut seen) = (NOW_S, 0);
    for nth in 0..REVOCATIONS_MAX / 8 {
        now_s += 10;
        origin.gate.revoke_until(id(nth), Some(now_s + 3_600), now_s).unwrap();
        if nth % 1_000 == 0 {
            let page = origin.gate.revocations("", seen, usize::MAX);
            seen = page.newest;
            edge.gate.learn(&page);
        }
    }
    for house in [&origin, &edge] {
        let known = house.gate.figures().2;
        assert!(known < 4_000, "{known}");
    }
    let last = origin.gate.revocations("", 0, usize::MAX).items.pop().expect("the newest");
    assert_eq!(last.until_s, Some(now_s + 3_600));
    // Who says it for ever is believed, before and after.
    origin.gate.revoke(id(1), now_s).unwrap();
    origin.gate.revoke_until(id(1), Some(now_s + 1), now_s).unwrap();
    let items = origin.gate.revocations("", 0, usize::MAX).items;
    assert_eq!(items.iter().find(|item| item.what == id(1)).expect("it is there").until_s, None);
    // The same after a restart.
    let again =
        Gate::open(Terms { revoked_file: Some(origin.folder.join("revoked.jsonl")), ..Terms::default() });
    assert!(again.unwrap().figures().2 < 4_000);
}

#[test]
fn one_who_is_taken_back_again_and_again_takes_one_place() {
    let house = House::new("again", |_| {});
    for _ in 0..3_000 {
        house.gate.revoke(What::Subject("alice".into()), NOW_S).unwrap();
    }
    let file = std::fs::read_to_string(house.folder.join("revoked.jsonl")).unwrap();
    assert!(file.lines().count() < 2_000, "{} lines", file.lines().count());
    assert_eq!(house.gate.revocations("", 0, 9).items.len(), 1);
}

#[test]
fn a_token_whose_maker_is_ahead_can_be_taken_back_or_is_not_let_in() {
    let house = House::new("ahead", |_| {});
    let enter = |claims: &Claims| {
        house.gate.play(&stream("live/paid"), Some(&house.token(claims)), ("srt", HERE), NOW_S).map(|_| ())
    };
    let ahead = |s| Claims { issued_s: Some(NOW_S + s), ..claims() };
    assert_eq!(enter(&ahead(6)), Err(Denial::NotYet));
    assert_eq!(enter(&ahead(5)), Ok(()));
    house.gate.revoke(What::Subject("alice".into()), NOW_S).unwrap();
    assert_eq!(enter(&ahead(5)), Err(Denial::Revoked));
    house.gate.revoke(What::Token("abcd".into()), 0).unwrap();
    let other = Claims { subject: None, ..ahead(0) };
    assert_eq!(enter(&other), Err(Denial::Revoked), "a number is meant whenever it was made");
}

#[test]
fn who_came_in_by_a_key_that_is_gone_leaves() {
    let house = House::new("gone", |_| {});
    let pass = house
        .gate
        .play(&stream("live/paid"), Some(&house.token(&claims())), ("srt", HERE), NOW_S)
        .unwrap()
        .unwrap();
    let file = house.folder.join("keys.json");
    let same = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{same} ")).unwrap();
    assert_eq!(house.gate.refresh(), Ok(true));
    assert!(house.gate.holds(&pass, NOW_S), "its key is still there");
    std::fs::write(&file, &*generate("other", Algorithm::EdDsa).unwrap().0).unwrap();
    assert_eq!(house.gate.refresh(), Ok(true));
    assert!(!house.gate.holds(&pass, NOW_S));
}

#[test]
fn keys_are_changed_while_tokens_are_shown() {
    let house = House::new("rotate", |_| {});
    let old = house.token(&claims());
    let (next, _) = generate("next", Algorithm::Es256).unwrap();
    let new = make(&claims(), Keys::parse(&next).unwrap().maker(None).unwrap()).unwrap();
    let enter =
        |token: &str| house.gate.play(&stream("live/paid"), Some(token), ("srt", HERE), NOW_S).map(|_| ());
    assert_eq!((enter(&old), enter(&new)), (Ok(()), Err(Denial::Unproven)));
    let file = house.folder.join("keys.json");
    let first: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let second: serde_json::Value = serde_json::from_str(&next).unwrap();
    let both = serde_json::json!({"keys": [first["keys"][0], second["keys"][0]]});
    std::fs::write(&file, both.to_string()).unwrap();
    assert_eq!(house.gate.refresh(), Ok(true));
    assert_eq!((enter(&old), enter(&new)), (Ok(()), Ok(())));
    std::fs::write(&file, "no keys").unwrap();
    assert!(house.gate.refresh().is_err());
    assert_eq!(house.gate.refresh(), Ok(false), "said once");
    assert_eq!((enter(&old), enter(&new)), (Ok(()), Ok(())), "what cannot be read changes nothing");
    std::fs::write(&file, &*next).unwrap();
    assert_eq!(house.gate.refresh(), Ok(true));
    assert_eq!((enter(&old), enter(&new)), (Err(Denial::Unproven), Ok(())), "remembered or not");
}

#[test]
fn a_key_comes_and_goes_while_thousands_of_tokens_are_shown_and_none_is_refused() {
    let house = House::new("load", |_| {});
    let set = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap()["keys"][0].clone();
    let file = house.folder.join("keys.json");
    let stays = set(&std::fs::read_to_string(&file).unwrap());
    let shown = AtomicUsize::new(0);
    let rounds = |thread: usize| {
        for nth in 0..2_500 {
            // Each a token of its own: none is remembered.
            let claims = Claims { id: format!("{thread}-{nth}").into_bytes(), ..claims() };
            let played =
                house.gate.play(&stream("live/paid"), Some(&house.token(&claims)), ("srt", HERE), NOW_S);
            assert!(played.is_ok_and(|pass| pass.is_some()), "{thread}-{nth}");
            shown.fetch_add(1, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|thread| scope.spawn(move || rounds(thread))).collect();
        let mut turns = 0;
        while threads.iter().any(|thread| !thread.is_finished()) {
            let comes = set(&generate(&format!("next-{turns}"), Algorithm::Es256).unwrap().0);
            let next = serde_json::json!({"keys": [comes, stays]}).to_string();
            std::fs::write(house.folder.join("next.json"), next).unwrap();
            std::fs::rename(house.folder.join("next.json"), &file).unwrap();
            turns += usize::from(house.gate.refresh().unwrap());
        }
        assert!(turns > 2, "the keys were changed {turns} times");
    });
    assert_eq!(shown.into_inner(), 10_000);
}

#[test]
fn nodes_ask_each_other_before_either_is_ready() {
    let [one, other] = ["one", "other"].map(|name| House::new(name, |terms| terms.others = 1));
    for house in [&one, &other] {
        let node = Claims { audience: vec![NODE.into()], ..claims() };
        let mut request = Request::get("/revocations").header(HEADER, house.token(&node)).body(()).unwrap();
        assert!(house.gate.node(&mut request, HERE, NOW_S).is_ok());
        let mut request =
            Request::get("/revocations").header(HEADER, house.token(&claims())).body(()).unwrap();
        assert_eq!(
            house.gate.node(&mut request, HERE, NOW_S).unwrap_err(),
            Denial::Foreign,
            "viewers are none"
        );
    }
}

#[test]
fn a_list_that_an_older_state_was_put_back_of_is_read_anew() {
    let item =
        |seq, who: &str| Revocation { seq, what: What::Subject(who.into()), before_s: NOW_S, until_s: None };
    let page = |log: &str, newest, items| Page { log: log.into(), newest, items };
    let mut list = List::default();
    list.follow(page("a", 3, vec![item(1, "x"), item(2, "y"), item(3, "z")]));
    list.follow(page("a", 4, vec![item(4, "x")]));
    let names = |list: &List| -> Vec<u64> { list.since("", 0, 9).items.iter().map(|i| i.seq).collect() };
    assert_eq!(names(&list), [2, 3, 4], "what is said again takes the last place");
    list.follow(page("a", 2, vec![item(1, "x"), item(2, "y")]));
    assert_eq!(names(&list), [1, 2]);
    list.follow(page("a", 3, vec![item(3, "other")]));
    list.follow(page("a", 4, vec![item(4, "z")]));
    assert_eq!(names(&list), [1, 2, 3, 4], "nobody's place is taken");
    list.follow(page("b", 0, vec![]));
    assert_eq!(names(&list), [0; 0]);
}
