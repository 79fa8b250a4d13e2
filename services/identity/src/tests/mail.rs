//! Links by mail, read where mail goes while there is no server for it.

use std::path::{Path, PathBuf};

use http::Method;
use nx_chassis::test::{Answer, TestApp};
use nx_contract::identity::{Config, SignUp};
use serde_json::{Value, json};

use super::{In, PASSWORD, built_in, log_in, service, sign_up, two};

const AUTH: &str = "/auth-service/v1";

/// The services, and where they put mail.
struct Post {
    app: TestApp,
    box_: PathBuf,
}

impl Drop for Post {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.box_.parent().unwrap_or(&self.box_));
    }
}

impl Post {
    async fn new(config: &Config) -> Self {
        let folder =
            std::env::temp_dir().join(format!("nexus-mail-{}", nx_chassis::fresh().expect("random bytes")));
        Self { app: TestApp::new(built_in(config, &folder)).await, box_: folder.join("mail") }
    }

    async fn posts(&self, host: &str, path: &str, body: Value) -> Answer {
        let headers = [("x-nexus-reached", host), ("x-nexus-client", "127.0.0.1")];
        let answer = self.app.send_as(None, Method::POST, &format!("{AUTH}{path}"), &headers, &body).await;
        self.app.settle().await;
        answer
    }

    /// Signed in.
    async fn theirs(&self, who: &In, method: Method, path: &str, body: Value) -> Answer {
        let headers = [("x-nexus-reached", "localhost:3000"), ("x-nexus-client", "127.0.0.1")];
        let path = format!("{AUTH}{path}");
        let answer = self.app.send_as(Some(who.caller.clone()), method, &path, &headers, &body).await;
        self.app.settle().await;
        answer
    }

    /// The mails that have come since they were last looked at, as they are written.
    fn come(&self) -> Vec<String> {
        let Ok(files) = std::fs::read_dir(&self.box_) else { return Vec::new() };
        let read = |path: &Path| {
            let text = std::fs::read_to_string(path).expect("a mail");
            std::fs::remove_file(path).expect("it was there");
            // Long lines go on behind an equals sign.
            text.replace("=\r\n", "").replace("=3D", "=")
        };
        files.map(|file| read(&file.expect("a file").path())).collect()
    }

    /// The token of the one mail that has come.
    fn token(&self, kind: &str) -> String {
        let come = self.come();
        let [mail] = &come[..] else { panic!("{come:#?}") };
        let (_, rest) = mail.split_once(&format!("/account#{kind}=")).unwrap_or_else(|| panic!("{mail}"));
        rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).collect()
    }

    async fn has(&self, who: &In, mail: &str) {
        let _ = self
            .theirs(who, Method::POST, "/mail", json!({"mail": mail, "password": PASSWORD}))
            .await
            .is(200);
        let token = self.token("confirm");
        let _ = self.theirs(who, Method::POST, "/mail/confirm", json!({"token": token})).await.is(200);
    }
}

#[tokio::test]
async fn who_has_confirmed_an_address_gets_in_by_it_once_a_link() {
    let post = Post::new(&Config::default()).await;
    let (_, ada) = two(&post.app).await;
    let read = post.theirs(&ada, Method::GET, "/mail", json!({})).await;
    assert_eq!(read.is(200), &json!({"mail": null}));
    let wrong =
        post.theirs(&ada, Method::POST, "/mail", json!({"mail": "ada@example.org", "password": "x"})).await;
    assert_eq!(wrong.slug(), "invalid");
    for none in ["ada", "ada@", "Ada <ada@example.org>", "ada@example.org\r\nBcc: all@example.org"] {
        let answer =
            post.theirs(&ada, Method::POST, "/mail", json!({"mail": none, "password": PASSWORD})).await;
        assert_eq!(answer.slug(), "invalid", "{none}");
    }
    post.has(&ada, " Ada@Example.org ").await;
    let read = post.theirs(&ada, Method::GET, "/mail", json!({})).await;
    assert_eq!(read.is(200), &json!({"mail": "ada@example.org"}));

    let ask = json!({"mail": "ADA@example.org"});
    let _ = post.posts("localhost:3000", "/magic-links", ask.clone()).await.is(200);
    let token = post.token("enter");
    let enter =
        async |token: &str| post.posts("localhost:3000", "/magic-links/enter", json!({"token": token})).await;
    let _ = In::new(enter(&token).await.is(200));
    assert_eq!(enter(&token).await.slug(), "gone");
    let _ = post.posts("localhost:3000", "/password/reset-request", ask.clone()).await.is(200);
    let reset = post.token("reset");
    assert_eq!(enter(&reset).await.slug(), "gone", "it is for something else");
    let new = json!({"token": reset, "password": "battery staple"});
    let _ = post.posts("localhost:3000", "/password/reset", new.clone()).await.is(200);
    assert_eq!(post.posts("localhost:3000", "/password/reset", new).await.slug(), "gone");
    let ada = In::new(log_in(&post.app, "ada", "battery staple").await.is(200));

    // With an address that is gone, so is what was sent to it.
    post.app.pass(std::time::Duration::from_secs(3700)).await;
    let _ = post.posts("localhost:3000", "/magic-links", ask).await.is(200);
    let token = post.token("enter");
    let _ = post.theirs(&ada, Method::DELETE, "/mail", json!({"password": "battery staple"})).await.is(200);
    assert_eq!(enter(&token).await.slug(), "gone");
}

#[tokio::test]
async fn nobody_learns_whose_an_address_is_and_boxes_are_not_filled() {
    let post = Post::new(&Config::default()).await;
    let (root, ada) = two(&post.app).await;
    post.has(&ada, "ada@example.org").await;
    let known = post.posts("localhost:3000", "/magic-links", json!({"mail": "ada@example.org"})).await;
    let unknown = post.posts("localhost:3000", "/magic-links", json!({"mail": "eve@example.org"})).await;
    assert_eq!((known.is(200), known.status), (unknown.is(200), unknown.status));
    assert_eq!(post.come().len(), 1);

    // An address is whose who has confirmed it first.
    let _ = post
        .theirs(&root, Method::POST, "/mail", json!({"mail": "ada@example.org", "password": PASSWORD}))
        .await;
    let token = post.token("confirm");
    let confirm = json!({"token": token});
    assert_eq!(post.theirs(&ada, Method::POST, "/mail/confirm", confirm.clone()).await.slug(), "forbidden");
    assert_eq!(post.theirs(&root, Method::POST, "/mail/confirm", confirm).await.slug(), "taken");

    let mut sent = 0;
    for _ in 0..10 {
        let answer =
            post.posts("localhost:3000", "/password/reset-request", json!({"mail": "ada@example.org"})).await;
        sent += i32::from(answer.status.as_u16() == 200);
    }
    assert!((1..=3).contains(&sent), "{sent}");
    assert!(sign_up(&post.app, "bob", None).await.status.is_success(), "others go on");
}

#[tokio::test]
async fn links_lead_nowhere_else() {
    let post = Post::new(&Config::default()).await;
    let (_, ada) = two(&post.app).await;
    post.has(&ada, "ada@example.org").await;
    for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80"] {
        let answer = post.posts(host, "/password/reset-request", json!({"mail": "ada@example.org"})).await;
        assert_eq!(answer.slug(), "no-address", "{host}");
    }
    assert_eq!(post.come(), Vec::<String>::new());
    let set = Post::new(&Config { url: Some("https://stream.example".into()), ..Config::default() }).await;
    let (_, ada) = two(&set.app).await;
    set.has(&ada, "ada@example.org").await;
    // What is set the gateway says in place of what the request does.
    let _ = set
        .posts("stream.example", "/password/reset-request", json!({"mail": "ada@example.org"}))
        .await
        .is(200);
    let come = set.come();
    assert!(come[0].contains("https://stream.example/account#reset="), "{come:?}");
}

/// A link is for what it was sent for: it invites nobody, and outlives neither a change of the password nor of the address.
#[tokio::test]
async fn links_are_good_for_nothing_else() {
    let post = Post::new(&Config { sign_up: SignUp::Closed, ..Config::default() }).await;
    let root = service(&post.app, "/auth-service/v1/first-invite").await;
    let root = In::new(sign_up(&post.app, "root", root.is(201)["token"].as_str()).await.is(200));
    post.app.settle().await;
    let new = json!({"mail": "root@example.org", "password": PASSWORD});
    let _ = post.theirs(&root, Method::POST, "/mail", new.clone()).await.is(200);
    let confirm = post.token("confirm");
    assert_eq!(sign_up(&post.app, "eve", Some(&confirm)).await.slug(), "gone");
    let _ = post.theirs(&root, Method::POST, "/mail/confirm", json!({"token": confirm})).await.is(200);
    let ask = json!({"mail": "root@example.org"});
    let _ = post.posts("localhost:3000", "/magic-links", ask.clone()).await.is(200);
    let enter = post.token("enter");
    assert_eq!(sign_up(&post.app, "eve", Some(&enter)).await.slug(), "gone");

    // Another address: what went to the old one is over.
    let other = json!({"mail": "other@example.org", "password": PASSWORD});
    let _ = post.theirs(&root, Method::POST, "/mail", other).await.is(200);
    let confirm = json!({"token": post.token("confirm")});
    let _ = post.theirs(&root, Method::POST, "/mail/confirm", confirm).await.is(200);
    let entered = post.posts("localhost:3000", "/magic-links/enter", json!({"token": enter})).await;
    assert_eq!(entered.slug(), "gone");
    let _ = post.posts("localhost:3000", "/password/reset-request", ask).await.is(200);
    assert_eq!(post.come(), Vec::<String>::new(), "it is nobody's any more");

    // A password given anew by an operator's link leaves no address behind that somebody else may have put there.
    let reset = json!({"user_id": root.caller.subject});
    let link = root.asks(&post.app, Method::POST, "/auth-service/v1/resets", reset).await;
    let new = json!({"token": link.is(201)["token"], "password": "battery staple"});
    let _ = post.posts("localhost:3000", "/password/reset", new).await.is(200);
    let root = In::new(log_in(&post.app, "root", "battery staple").await.is(200));
    assert_eq!(post.theirs(&root, Method::GET, "/mail", json!({})).await.is(200), &json!({"mail": null}));
}

#[tokio::test]
async fn operators_read_the_mail_that_lies_here_and_nobody_else_does() {
    let post = Post::new(&Config::default()).await;
    let (root, ada) = two(&post.app).await;
    let none = post.theirs(&root, Method::GET, "/mails", json!({})).await;
    assert_eq!(none.is(200), &json!({"by_server": false, "items": []}));
    let new = json!({"mail": "ada@example.org", "password": PASSWORD});
    let _ = post.theirs(&ada, Method::POST, "/mail", new).await.is(200);

    let list = post.theirs(&root, Method::GET, "/mails", json!({})).await;
    assert_eq!(list.headers["cache-control"], "no-store");
    let mail = &list.is(200)["items"][0];
    assert_eq!(
        (&mail["to"], &mail["title"]),
        (&json!("ada@example.org"), &json!("Nexus COS: Confirm your address"))
    );
    assert!(!list.body.to_string().contains("#confirm="), "what it says is told of one at a time");
    let path = format!("/mails/{}", mail["id"].as_str().expect("an id"));
    let read = post.theirs(&root, Method::GET, &path, json!({})).await;
    assert_eq!(read.headers["cache-control"], "no-store");
    let text = read.is(200)["text"].as_str().expect("a text");
    let line =
        text.lines().find(|line| line.contains("/account#confirm=")).expect("a link on a line of its own");
    let token = line.split('=').nth(1).expect("a token");

    // Who is no operator, an app of others in the name of one, and ids that are none.
    let mut app = root.clone();
    app.caller.scope = Some("operate".into());
    for who in [&ada, &app] {
        for path in ["/mails", &path] {
            assert_eq!(post.theirs(who, Method::GET, path, json!({})).await.slug(), "forbidden", "{path}");
        }
    }
    for id in ["..%2F..%2Fsecret", "..", "%2Fetc%2Fpasswd", "no-such-mail", "%00"] {
        let answer = post.theirs(&root, Method::GET, &format!("/mails/{id}"), json!({})).await;
        assert!([404, 400].contains(&answer.status.as_u16()), "{id}: {answer:?}");
    }
    let _ = post.theirs(&ada, Method::POST, "/mail/confirm", json!({"token": token})).await.is(200);
}
