//! The API of recordings and clips over a shelf that only remembers.

use nx_contract::assets::{Found, Manifest, State};
use nx_contract::desired::Fault;
use serde_json::json;

use super::*;
use crate::desired::tests::{AFAR, Fake, JSON, LOCAL, ask_at, face};

fn asset(id: &str, title: &str) -> Asset {
    Asset {
        id: id.into(),
        kind: Kind::Clip,
        stream: "live/a".into(),
        title: title.into(),
        start: String::new(),
        end: String::new(),
        created_at: String::new(),
        keep_until: None,
        deleted_at: None,
        bytes: 7,
        duration_ms: 5,
        state: State::Ready,
        hls_path: "/live/a/index.m3u8?start=1".into(),
        dash_path: "/live/a/manifest.mpd?start=1".into(),
        mp4_path: "/live/a/video.mp4?start=1".into(),
    }
}

impl Assets for Fake {
    fn find(&self, wanted: &Wanted) -> Result<Found, Fault> {
        let title = format!("{wanted:?}");
        Ok(Found { items: vec![asset("1", &title)], next: wanted.cursor.clone() })
    }

    fn asset(&self, id: &str) -> Result<Asset, Fault> {
        if id == "gone" { Err(Fault::NotFound("no".into())) } else { Ok(asset(id, "")) }
    }

    fn room(&self) -> Room {
        Room { full: true, ..Room::default() }
    }

    fn manifest(&self, id: &str) -> Result<Manifest, Fault> {
        let pieces =
            [Ok(format!("[{id}")), Ok("]".into()), Err(Fault::NotFound("gone".into())), Ok("!".into())];
        if id == "gone" { Err(Fault::NotFound("no".into())) } else { Ok(Box::new(pieces.into_iter())) }
    }

    fn cut(&self, new: NewCut, once: Option<&str>) -> Result<Asset, Fault> {
        Ok(asset("made", &format!("{:?} {:?} {:?} {once:?}", new.title, new.from, new.to)))
    }

    fn change(&self, id: &str, change: AssetChange) -> Result<Asset, Fault> {
        Ok(asset(id, &format!("{:?} {:?}", change.title, change.keep_until)))
    }

    fn delete(&self, id: &str) -> Result<Asset, Fault> {
        self.asset(id)
    }

    fn restore(&self, id: &str) -> Result<Asset, Fault> {
        self.asset(id)
    }
}

#[test]
fn addresses_have_one_spelling() {
    for (rest, want) in [
        ("/cuts", Some(Route::Cuts)),
        ("/assets", Some(Route::All)),
        ("/assets/0197-a", Some(Route::One("0197-a".into()))),
        ("/assets/0197-a/restore", Some(Route::Restore("0197-a".into()))),
        ("/assets/", None),
        ("/assets/a/restore/b", None),
        ("/assets/a%2f", None),
        ("/assets/a/delete", None),
        ("/cuts/1", None),
        ("/streams", None),
        ("", None),
    ] {
        assert_eq!(route(rest), want, "{rest}");
    }
}

#[test]
fn queries_are_read_in_every_spelling() {
    let want = Wanted {
        limit: 3,
        cursor: Some("5.id".into()),
        stream: Some("live/a".into()),
        kind: Some(Kind::Clip),
        from: Some(Moment::Text("-60".into())),
        to: Some(Moment::Text("2026-11-21T10:00:00+01:00".into())),
        words: Some("é 50%".into()),
        deleted: true,
    };
    let query = "limit=3&cursor=5.id&stream=live%2fa&kind=clip&from=-60&to=2026-11-21T10%3A00:00%2B01:00\
                 &q=%C3%A9+50%25&deleted=true&other=1";
    assert_eq!(wanted(query).ok(), Some(want));
    let long = format!("q={}", "x".repeat(201));
    for wrong in ["limit=0", "kind=film", "deleted=yes", "q=%zz", "q=%C3", "q=%4", &long] {
        assert!(wanted(wrong).is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn an_asset_is_cut_shown_changed_and_deleted() {
    let cut = r#"{"stream":"live/a","from":-10.5,"to":"2026-11-21T04:00:00Z","title":"Goal"}"#;
    let once = [JSON, ("idempotency-key", "abc")];
    let face = face(false);
    let (code, made, headers) = ask_at(&face, LOCAL, CORE, ("POST", "/cuts", &once, cut)).await;
    assert_eq!((code, headers["location"].to_str().ok()), (201, Some("/api/streamcore/v1/assets/made")));
    let title = r#"Some("Goal") Seconds(-10.5) Text("2026-11-21T04:00:00Z") Some("abc")"#;
    assert_eq!((&made["title"], &made["kind"]), (&json!(title), &json!("clip")));
    assert_eq!(made["mp4_url"], "http://127.0.0.1:8888/live/a/video.mp4?start=1");
    let (_, page, _) = ask_at(&face, AFAR, CORE, ("GET", "/assets?cursor=1.x&q=a", &[], "")).await;
    assert_eq!((&page["next_cursor"], &page["room"]["full"]), (&json!("1.x"), &json!(true)));
    assert_eq!(page["items"][0]["hls_url"], "http://127.0.0.1:8888/live/a/index.m3u8?start=1");
    for (body, want) in [
        (r#"{"title":"T"}"#, r#"Some("T") None"#),
        (r#"{"keep_until":null}"#, "None Some(None)"),
        (r#"{"keep_until":"x"}"#, r#"None Some(Some("x"))"#),
    ] {
        let (code, one, _) = ask_at(&face, LOCAL, CORE, ("PATCH", "/assets/1", &[JSON], body)).await;
        assert_eq!((code, &one["title"]), (200, &json!(want)), "{body}");
    }
    for (peer, method, path, body, want) in [
        (LOCAL, "GET", "/assets/1", "", 200),
        (LOCAL, "GET", "/assets/gone", "", 404),
        (AFAR, "GET", "/assets/gone/manifest.json", "", 404),
        (AFAR, "POST", "/assets/1/manifest.json", "", 405),
        (LOCAL, "DELETE", "/assets/1", "", 204),
        (LOCAL, "DELETE", "/assets/gone", "", 404),
        (LOCAL, "POST", "/assets/1/restore", "", 200),
        (AFAR, "POST", "/assets/1/restore", "", 403),
        (AFAR, "DELETE", "/assets/1", "", 403),
        (AFAR, "PATCH", "/assets/1", "{}", 403),
        (AFAR, "POST", "/cuts", cut, 403),
        (LOCAL, "GET", "/cuts", "", 405),
        (LOCAL, "POST", "/assets", "{}", 405),
        (LOCAL, "GET", "/assets/1/restore", "", 405),
        (LOCAL, "POST", "/cuts", r#"{"stream":"live/a","from":1}"#, 400),
        (LOCAL, "POST", "/cuts", r#"{"stream":"live/a","from":1,"to":[2]}"#, 400),
        (LOCAL, "PATCH", "/assets/1", r#"{"name":"T"}"#, 400),
        (LOCAL, "GET", "/assets?limit=0", "", 400),
    ] {
        let (code, answer, _) = ask_at(&face, peer, CORE, (method, path, &[JSON], body)).await;
        assert_eq!(code, want, "{peer} {method} {path} {body}: {answer}");
    }
}

#[tokio::test]
async fn a_manifest_comes_piece_by_piece_and_ends_where_it_cannot_be_read() {
    let face = face(false);
    let (code, told, _) = ask_at(&face, AFAR, CORE, ("GET", "/assets/1/manifest.json", &[], "")).await;
    assert_eq!((code, told), (200, json!([1])));
}

#[test]
fn the_page_may_play_what_the_edge_has_and_nothing_else() {
    let page = page(&HeaderMap::new(), "http://h:8888");
    let policy = page.headers()["content-security-policy"].to_str().expect("text");
    assert!(
        policy.contains("connect-src 'self' http://h:8888;")
            && policy.contains("media-src 'self' http://h:8888 blob:;")
    );
}
