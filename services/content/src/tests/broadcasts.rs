//! Broadcasts on the test's clock: planned, following their streams, marked, cut and sent on; and policies of
//! those who watch. On both stores.

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

impl House {
    /// Has the core say that the club is published since so long, or by nobody.
    fn club(&self, since: Option<Duration>, viewers: u64) {
        let item = |since: Duration| {
            let uptime_ms = u64::try_from(since.as_millis()).unwrap();
            let video = json!({"kind": "video", "fps": 30.0, "key_interval_ms": 2000});
            json!({"key": "members/club", "state": "live", "uptime_ms": uptime_ms, "bitrate_bps": 2_500_000,
                "tracks": [{"kind": "audio"}, video], "repairs": {"total": 3}, "discontinuities": 1,
                "hints": ["send more key frames"], "viewers": {"hls": viewers, "rtmp": 1}})
        };
        self.core.told().on = Some(since.map(item).into_iter().collect());
    }

    async fn seconds(&self, seconds: u64) {
        self.app.pass(Duration::from_secs(seconds)).await;
    }
}

/// What is told of broadcasts by those who watch, latest first.
async fn states(house: &House, by: &In, path: &str) -> Vec<(String, String)> {
    let list = by.get(house, path).await;
    let text = |item: &Value, at: &str| item[at].as_str().unwrap().to_owned();
    let all = list.is(200)["items"].as_array().unwrap();
    all.iter().map(|item| (text(item, "title"), text(item, "state"))).collect()
}

fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter().map(|(title, state)| ((*title).to_owned(), (*state).to_owned())).collect()
}

async fn planned(house: &House, cleo: &In, path: &str) -> [String; 2] {
    let year = json!({"title": "x", "planned_at": "2027-06-01T00:00:00Z"});
    assert_eq!(cleo.post(house, path, year).await.status, 422);
    assert_eq!(cleo.post(house, path, json!({"title": "x".repeat(101)})).await.status, 422);
    let soon = json!({"title": "Soon", "planned_at": "2026-01-01T00:50:00Z"});
    let later = json!({"title": "Later", "description": "For all", "planned_at": "2026-01-01T03:00:00Z"});
    let mut ids = Vec::new();
    for new in [soon, later] {
        let made = cleo.post(house, path, new).await;
        assert_eq!(
            (&made.is(201)["state"], made.headers.contains_key("location")),
            (&json!("scheduled"), true)
        );
        ids.push(made.body["id"].as_str().unwrap().to_owned());
        house.seconds(1).await;
    }
    ids.try_into().unwrap()
}

async fn follow_their_stream(house: House) {
    let cleo = house.sign_up("cleo", &["creator"]).await;
    let vera = house.sign_up("vera", &["creator"]).await;
    let club = cleo.channel(&house, "club", true).await;
    let path = format!("{CHANNELS}/{club}/broadcasts");
    house.club(None, 0);
    let [soon, later] = planned(&house, &cleo, &path).await;
    assert_eq!(vera.get(&house, &path).await.status, 404, "of a channel for members others learn nothing");
    assert_eq!(vera.post(&house, &path, json!({})).await.status, 404);
    let at = |id: &str, what: &str| format!("{path}/{id}/{what}");
    let start = cleo.post(&house, &at(&later, "start"), json!({})).await;
    assert_eq!(start.slug(), "nobody-publishes");
    assert_eq!(cleo.get(&house, &at(&soon, "health")).await.slug(), "not-on-air");

    // The nearest begins by itself, and only one is on air.
    house.club(Some(Duration::from_secs(1)), 4);
    house.seconds(10).await;
    assert_eq!(states(&house, &cleo, &path).await, pairs(&[("Later", "scheduled"), ("Soon", "live")]));
    assert_eq!(cleo.post(&house, &at(&later, "start"), json!({})).await.slug(), "on-air");
    let health = cleo.get(&house, &at(&soon, "health")).await;
    for (what, want) in [
        ("fps", json!(30.0)),
        ("key_interval_ms", json!(2000)),
        ("repairs", json!(3)),
        ("viewers", json!(5)),
        ("bitrate_bps", json!(2_500_000)),
    ] {
        assert_eq!(health.is(200)[what], want, "{what}");
    }
    assert_eq!(vera.get(&house, &at(&soon, "health")).await.status, 404);

    // Away, back in time, away for too long.
    for (on, pass, want) in [
        (false, 10, "away"),
        (true, 5, "live"),
        (false, 5, "away"),
        (false, 20, "away"),
        (false, 10, "ended"),
    ] {
        house.club(on.then_some(Duration::ZERO), 2);
        house.seconds(pass).await;
        let of = cleo.get(&house, &format!("{path}/{soon}")).await;
        assert_eq!(of.is(200)["state"], want, "{pass}");
    }
    let over = cleo.get(&house, &format!("{path}/{soon}")).await.body;
    assert_eq!((&over["viewers_peak"], &over["ended_at"]), (&json!(3), &json!("2026-01-01T00:00:27.000Z")));

    // One is made where none is planned for now; ended by hand it is over, whatever goes on being sent.
    house.club(Some(Duration::ZERO), 0);
    house.seconds(5).await;
    let all = states(&house, &cleo, &path).await;
    assert_eq!(all, pairs(&[("club", "live"), ("Later", "scheduled"), ("Soon", "ended")]));
    let made = cleo.get(&house, &path).await.body["items"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(cleo.delete(&house, &format!("{path}/{made}")).await.slug(), "begun");
    assert_eq!(cleo.post(&house, &at(&made, "end"), json!({})).await.is(200)["state"], "ended");
    assert_eq!(cleo.post(&house, &at(&made, "end"), json!({})).await.slug(), "not-on-air");
    house.club(Some(MINUTE), 0);
    house.seconds(10).await;
    assert_eq!(states(&house, &cleo, &path).await[0], ("club".into(), "ended".into()), "nothing begins anew");
    assert_eq!(cleo.post(&house, &at(&later, "start"), json!({})).await.is(200)["state"], "live");
    assert_eq!(cleo.post(&house, &at(&soon, "start"), json!({})).await.slug(), "begun");
    changed(&house, &cleo, &format!("{path}/{later}")).await;

    // What is not planned any more, and what goes with its channel.
    let gone = cleo.post(&house, &path, json!({})).await.is(201)["id"].as_str().unwrap().to_owned();
    assert_eq!(cleo.delete(&house, &format!("{path}/{gone}")).await.status, 200);
    assert_eq!(cleo.delete(&house, &format!("{path}/{gone}")).await.status, 404);
    assert_eq!(cleo.delete(&house, &format!("{CHANNELS}/{club}")).await.status, 200);
    house.seconds(60).await;
    assert_eq!(cleo.get(&house, &path).await.status, 404);
}

async fn changed(house: &House, cleo: &In, path: &str) {
    let version = cleo.get(house, path).await.etag().to_owned();
    let send = async |body: Value, version: &str| {
        let headers = [("if-match", version)];
        house.app.send_as(Some(cleo.0.clone()), Method::PATCH, path, &headers, &body).await
    };
    let changed = send(json!({"title": "Now"}), &version).await;
    assert_eq!((&changed.is(200)["title"], &changed.body["description"]), (&json!("Now"), &json!("For all")));
    assert_eq!(send(json!({"title": "Then"}), &version).await.status, 412);
    let again = send(json!({"planned_at": "2026-01-01T05:00:00Z"}), changed.etag()).await;
    assert_eq!(again.slug(), "begun");
}

/// While the core says nothing nobody knows, and what is on air is not over; nor live, after a while.
async fn with_a_core_that_is_away(house: House) {
    let cleo = house.sign_up("cleo", &["creator"]).await;
    let club = cleo.channel(&house, "club", true).await;
    let path = format!("{CHANNELS}/{club}/broadcasts");
    house.club(Some(Duration::ZERO), 0);
    house.seconds(10).await;
    house.core.told().away = true;
    house.seconds(20).await;
    assert_eq!(states(&house, &cleo, &path).await, pairs(&[("club", "live")]));
    house.seconds(3600).await;
    assert_eq!(states(&house, &cleo, &path).await, pairs(&[("club", "away")]));
    assert_eq!(cleo.post(&house, &path, json!({"title": "Planned"})).await.status, 201, "planning goes on");
    house.core.told().away = false;
    house.club(Some(Duration::from_secs(4000)), 0);
    house.seconds(300).await;
    let all = states(&house, &cleo, &path).await;
    assert_eq!(all, pairs(&[("Planned", "scheduled"), ("club", "live")]), "it has never been gone");
}

async fn marked_and_cut(house: House) {
    let cleo = house.sign_up("cleo", &["creator"]).await;
    let club = cleo.channel(&house, "club", true).await;
    let path = format!("{CHANNELS}/{club}/broadcasts");
    house.club(None, 0);
    let show = cleo.post(&house, &path, json!({"title": "Show"})).await.is(201)["id"].clone();
    let path = format!("{path}/{}", show.as_str().unwrap());
    let (markers, clips) = (format!("{path}/markers"), format!("{path}/clips"));
    assert_eq!(cleo.post(&house, &markers, json!({"label": "early"})).await.slug(), "not-begun");
    house.club(Some(Duration::from_secs(90)), 0);
    house.seconds(5).await;
    house.seconds(60).await;
    for (body, status) in [
        (json!({"label": "The \"goal\""}), 201),
        (json!({"label": "Spot", "kind": "ad", "at": "2026-01-01T00:00:30Z"}), 201),
        (json!({"label": "too late"}), 201),
        (json!({"label": "two\nlines"}), 422),
        (json!({"label": ""}), 422),
        (json!({"label": "x", "kind": "poll"}), 400),
        (json!({"label": "x", "at": "2026-01-01T00:10:00Z"}), 422),
        (json!({"label": "x", "at": "2025-12-31T00:00:00Z"}), 422),
    ] {
        let answer = cleo.post(&house, &markers, body.clone()).await;
        assert!(answer.status == status || (status == 400 && answer.status == 422), "{body} {answer:?}");
        house.seconds(1).await;
    }
    let made = std::mem::take(&mut house.core.told().made);
    let labels: Vec<_> = made.iter().map(|(_, _, range)| &range["attributes"]["X-LABEL"]).collect();
    assert_eq!(labels, ["The \u{201d}goal\u{201d}", "Spot"]);
    assert_eq!(made[1].0, "/v1/streams/members/club/daterange");
    let (id, class) = (made[1].1.clone(), &made[1].2["class"]);
    assert_eq!((class, &made[1].2["start"]), (&json!("cos.nexus.ad"), &json!("2026-01-01T00:00:30.000Z")));
    let listed = cleo.get(&house, &markers).await;
    let announced: Vec<_> =
        listed.is(200)["items"].as_array().unwrap().iter().map(|m| &m["announced"]).collect();
    assert_eq!(announced, ["yes", "yes", "no"]);
    assert_eq!(cleo.delete(&house, &format!("{markers}/{id}")).await.status, 200);
    assert_eq!(cleo.delete(&house, &format!("{markers}/{id}")).await.status, 404);
    let (from, to) = ("2026-01-01T00:00:20Z", "2026-01-01T00:00:40Z");
    for (body, status) in [
        (json!({"from": from, "to": to}), 201),
        (json!({"from": to, "to": from}), 422),
        (json!({"from": "2025-12-31T23:00:00Z", "to": to}), 422),
        (json!({"from": from}), 422),
        (json!({"from": from, "to": to, "last_s": 30}), 422),
        (json!({"last_s": 0}), 422),
        (json!({"last_s": 3601}), 422),
        (json!({}), 422),
    ] {
        let clip = cleo.post(&house, &clips, body.clone()).await;
        assert_eq!(clip.status, status, "{body} {clip:?}");
    }
    let cut = house.core.told().made[0].clone();
    assert_eq!(
        (&*cut.0, &cut.2["stream"], &cut.2["title"]),
        ("/v1/cuts", &json!("members/club"), &json!("Show"))
    );
    let listed = cleo.get(&house, &clips).await;
    assert_eq!(listed.is(200)["items"][0]["hls_path"], "/members/club/from-1-to-2/index.m3u8");
    clipped_to_the_end(&house, &cleo, &clips).await;
}

/// The last seconds of what is on, and clips that go, with their assets.
async fn clipped_to_the_end(house: &House, cleo: &In, clips: &str) {
    let vera = house.sign_up("vera", &["creator"]).await;
    let last = cleo.post(house, clips, json!({"last_s": 30, "title": "End"})).await;
    let (from, to) = (last.is(201)["from"].as_str().unwrap(), last.body["to"].as_str().unwrap());
    let second = |text: &str| text[17..19].parse::<i32>().unwrap();
    assert_eq!((second(to) - second(from)).rem_euclid(60), 30, "{last:?}");
    let all = cleo.post(house, clips, json!({"last_s": 3600, "title": "All"})).await;
    let begun = cleo.get(house, clips.trim_end_matches("/clips")).await.body["started_at"].clone();
    assert_eq!(all.is(201)["from"], begun, "no more than there is");
    let path = format!("{clips}/{}", last.body["id"].as_str().unwrap());
    assert_eq!(vera.delete(house, &path).await.status, 404);
    house.core.told().away = true;
    assert_eq!(cleo.delete(house, &path).await.status, 503, "and nothing is half done");
    house.core.told().away = false;
    assert_eq!(cleo.delete(house, &path).await.status, 200);
    let asset = format!("/v1/assets/{}", last.body["id"].as_str().unwrap());
    assert!(house.core.told().deleted.contains(&asset));
    assert_eq!(cleo.delete(house, &path).await.status, 404);
    let left = cleo.get(house, clips).await;
    let left: Vec<_> = left.is(200)["items"].as_array().unwrap().iter().map(|c| &c["title"]).collect();
    assert_eq!(left, ["All", "Show"]);
}

async fn sent_on(house: House) {
    let cleo = house.sign_up("cleo", &["creator"]).await;
    let vera = house.sign_up("vera", &["creator"]).await;
    let club = cleo.channel(&house, "club", true).await;
    let path = format!("{CHANNELS}/{club}/simulcast-targets");
    let secret = "live_1234_s3cret";
    let url = format!("rtmp://192.0.2.7/app/{secret}");
    let add = async |url: &str| cleo.post(&house, &path, json!({"name": "Other", "url": url})).await;
    let state = async |id: &str| {
        let list = cleo.get(&house, &path).await;
        assert!(!list.body.to_string().contains(secret), "{list:?}");
        let all = list.is(200)["items"].as_array().unwrap();
        all.iter().find(|target| target["id"] == id).map(|target| target["state"].clone())
    };
    assert_eq!(vera.post(&house, &path, json!({"name": "x", "url": url})).await.status, 404);
    assert_eq!(add("https://192.0.2.7/app/key").await.status, 422);
    house.core.told().away = true;
    let made = add(&url).await;
    assert_eq!(made.is(201)["url"], "rtmp://192.0.2.7/app/***");
    let id = made.body["id"].as_str().unwrap().to_owned();
    house.seconds(1).await;
    assert_eq!(state(&id).await.unwrap(), "waiting");
    house.core.told().away = false;
    house.seconds(120).await;
    assert_eq!(state(&id).await.unwrap(), "live");
    let told = house.core.told().made.clone();
    assert_eq!((&told[0].2["url"], &*told[0].1), (&json!(url), &*id));
    assert_eq!(told[0].2["public_only"], true, "no name of a creator's leads into our networks");

    // Into a network of our own nobody but operators; and what the core does not take.
    for url in ["rtmp://127.0.0.1/app/key", "rtmp://[::1]/app/key", "srt://[::ffff:10.0.0.1]:9000"] {
        assert_eq!(add(url).await.is(422)["errors"][0]["pointer"], "/url", "{url}");
    }
    let refused = add("rtmp://192.0.2.9/app/refused").await.is(201)["id"].as_str().unwrap().to_owned();
    house.seconds(1).await;
    assert_eq!(state(&refused).await.unwrap(), "refused");
    assert_eq!(cleo.delete(&house, &format!("{path}/{refused}")).await.status, 200);
    assert_eq!(house.core.told().made.len(), 1, "nothing of that was wanted of the core");

    // Lost by the core it is told again, deleted it is gone, with its channel too.
    house.core.told().made.clear();
    house.seconds(3600).await;
    assert_eq!(house.core.told().made.len(), 1);
    assert_eq!(cleo.delete(&house, &format!("{path}/{id}")).await.status, 200);
    house.seconds(1).await;
    assert_eq!(house.core.told().deleted, ["/v1/streams/members/club/targets/c0"]);
    for n in 0..8 {
        assert_eq!(add(&format!("srt://192.0.2.7:90{n:02}")).await.status, 201);
    }
    assert_eq!(add("srt://192.0.2.7:9100").await.slug(), "targets-max");
    house.seconds(1).await;
    house.core.told().deleted.clear();
    assert_eq!(cleo.delete(&house, &format!("{CHANNELS}/{club}")).await.status, 200);
    house.seconds(1).await;
    assert_eq!(house.core.told().deleted.len(), 8);
}

/// Two that begin at the same time are one.
async fn begun_at_once(house: House) {
    let cleo = house.sign_up("cleo", &["creator"]).await;
    let club = cleo.channel(&house, "club", true).await;
    let path = format!("{CHANNELS}/{club}/broadcasts");
    house.club(Some(Duration::ZERO), 0);
    let (house, cleo, mut all) = (Arc::new(house), Arc::new(cleo), JoinSet::new());
    for _ in 0..10 {
        let id = cleo.post(&house, &path, json!({})).await.is(201)["id"].as_str().unwrap().to_owned();
        let (house, cleo, path) = (house.clone(), cleo.clone(), format!("{path}/{id}/start"));
        all.spawn(async move { cleo.post(&house, &path, json!({})).await });
    }
    let all = all.join_all().await;
    assert_eq!(all.iter().filter(|answer| answer.status == 200).count(), 1);
    assert!(
        all.iter().filter(|answer| answer.status != 200).all(|answer| answer.slug() == "on-air"),
        "{all:?}"
    );
}

/// What a policy says a token carries, from then on.
async fn limited(house: House) {
    let cleo = house.sign_up("cleo", &["creator"]).await;
    let vera = house.sign_up("vera", &["viewer"]).await;
    let open = cleo.channel(&house, "open", false).await;
    let club = cleo.channel(&house, "club", true).await;
    let playback = format!("{CHANNELS}/{club}/playback");
    let members = format!("{CHANNELS}/{club}/members");
    assert_eq!(cleo.post(&house, &members, json!({"handle": "vera"})).await.status, 200);
    assert_eq!(vera.post(&house, &playback, json!({})).await.status, 200);
    let policy = format!("{CHANNELS}/{club}/playback-policy");
    let put = async |path: &str, version: &str, body: Value| {
        let headers = [("if-match", version)];
        house.app.send_as(Some(cleo.0.clone()), Method::PUT, path, &headers, &body).await
    };
    assert_eq!(vera.get(&house, &policy).await.status, 403);
    let now = cleo.get(&house, &policy).await;
    assert_eq!(*now.is(200), json!({"access": "members", "networks": [], "token_s": 21600}));
    let tag = now.etag().to_owned();
    for (body, status) in [
        (json!({"access": "ticket"}), 501),
        (json!({"access": "public"}), 409),
        (json!({"access": "members", "networks": ["home"]}), 422),
        (json!({"access": "members", "networks": ["192.0.2.0/024"]}), 422),
        (json!({"access": "members", "token_s": 899}), 422),
        (json!({"access": "members", "countries": ["DE"]}), 422),
    ] {
        let answer = put(&policy, &tag, body.clone()).await;
        assert!(answer.status == status || (status == 422 && answer.status == 400), "{body} {answer:?}");
    }
    let elsewhere = format!("{CHANNELS}/{open}/playback-policy");
    let limits = json!({"access": "public", "networks": ["192.0.2.0/24"]});
    assert_eq!(put(&elsewhere, "\"1\"", limits).await.slug(), "open-channel");
    let limits = json!({"access": "members", "networks": ["192.0.2.0/24"], "token_s": 1200});
    assert_eq!(put(&policy, &tag, limits.clone()).await.is(200), &limits);
    assert_eq!(put(&policy, &tag, limits.clone()).await.status, 412);
    house.app.settle().await;
    assert_eq!(house.core.told().revoked.len(), 1, "who watches comes back with another token");
    let given = vera.post(&house, &playback, json!({})).await;
    assert_eq!(given.is(200)["token"]["expires_at"], "2026-01-01T00:20:00.000Z");
    let wish = house.core.told().tokens.last().cloned().unwrap();
    assert_eq!((&wish["networks"], &wish["lasts_s"]), (&limits["networks"], &limits["token_s"]));
    let tag = cleo.get(&house, &policy).await.etag().to_owned();
    assert_eq!(put(&policy, &tag, json!({"access": "members"})).await.is(200)["token_s"], 21600);
    house.app.settle().await;
}

/// Runs each scene on SQLite, and all of them on one PostgreSQL.
macro_rules! scenes {
    ($($name:ident: $scene:ident),*) => {
        $(#[tokio::test]
        async fn $name() {
            $scene(House::lite().await).await;
        })*

        #[tokio::test(flavor = "multi_thread")]
        async fn the_same_on_postgresql() {
            let postgres = Postgres::start();
            $($scene(House::of(TestApp::on(&postgres, House::services()).await).await).await;)*
        }
    };
}
scenes!(
    broadcasts_follow_their_stream: follow_their_stream,
    a_core_that_is_away_ends_no_broadcast: with_a_core_that_is_away,
    moments_are_marked_and_stretches_cut: marked_and_cut,
    a_channel_is_sent_on_and_no_secret_shown: sent_on,
    one_broadcast_of_a_channel_is_on_air: begun_at_once,
    tokens_carry_the_policy_of_their_channel: limited
);
