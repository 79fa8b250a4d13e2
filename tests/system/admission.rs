//! Who may publish: keys, addresses, tokens, a web service, limits. Over RTMP and SRT.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use nx_rtmp::client::Intent;

use crate::api::{SOON, multivariant, refusal, stream, until};
use crate::encoder::{Process, SMALL, eventually, ffmpeg, ffmpeg_to, run};
use crate::support::Server;
use crate::support::publish::dial;

/// What the server says to an RTMP publisher of that name; empty when it lets it in.
fn answer(server: &Server, name: &str) -> String {
    dial(server.rtmp(), "live", name, Intent::Publish).err().map_or_else(String::new, |e| e.to_string())
}

fn srt(server: &Server, id: &str) -> Process {
    ffmpeg_to(&["-f", "mpegts", &format!("srt://{}?streamid={id}", server.srt())], SMALL)
}

/// Waits until nobody has the name: who stopped just now may be seen to go only after the next has knocked.
fn free(server: &Server, key: &str) {
    let idle = |s: &serde_json::Value| s["inputs"].as_array().is_some_and(Vec::is_empty);
    let gone = eventually(SOON, || stream(server, key).is_none_or(|s| idle(&s)).then_some(()));
    assert!(gone.is_some(), "{key} is still taken: {}", server.log());
}

#[test]
fn a_key_opens_its_stream_and_nothing_else_does() {
    let server =
        Server::configured("[[origin.admission.streams]]\nname = \"live/show\"\nkeys = [\"k-right\"]\n");
    for (name, says) in [
        ("show", "live/show asks for a key"),
        ("show?key=k-wrong", "the key is not one of live/show"),
        ("other", "live/other may not be published"),
        ("other?key=k-right", "live/other may not be published"),
    ] {
        let said = answer(&server, name);
        assert!(
            said.starts_with("NetStream.Publish.Unauthorized: ") && said.contains(says),
            "{name}: {said}"
        );
        let told = refusal(&server, says).to_string();
        assert!(!told.contains("k-wrong") && !told.contains("k-right"), "{told}");
    }
    let url = format!("rtmp://{}/live/show?key=k-wrong", server.rtmp());
    let args = ["-v", "error", "-f", "lavfi", "-i", "testsrc2", "-t", "1", "-f", "flv", &url];
    let (ok, _, err) = run("ffmpeg", &args, SOON);
    assert!(!ok && err.contains("the key is not one of live/show"), "what its user reads: {err}");
    let mut wrong = srt(&server, "#!::r=live/show,m=publish,key=k-wrong");
    assert!(wrong.wait(SOON).is_some_and(|code| code != 0), "refused over SRT");
    let told = refusal(&server, "(SRT code 1401)");
    assert!(told["key"] == "live/show" && !told.to_string().contains("k-wrong"), "{told}");
    let encoder = ffmpeg(server.rtmp(), "live/show?key=k-right", SMALL);
    multivariant(&server, "live/show");
    let live = stream(&server, "live/show").expect("it is live");
    assert_eq!(live["inputs"][0]["admitted_by"], "key", "{live}");
    drop(encoder);
    free(&server, "live/show");
    let _encoder = srt(&server, "#!::r=live/show,m=publish,key=k-right");
    until(&server, "live/show", "on air over SRT", |s| s["inputs"][0]["protocol"] == "srt");
    assert!(!server.log().contains("k-right") && !server.log().contains("k-wrong"), "{}", server.log());
}

#[test]
fn only_listed_addresses_publish() {
    let server = Server::configured(
        "[[origin.admission.streams]]\nname = \"live/far\"\nallow = [\"10.0.0.0/8\", \"2001:db8::/32\"]\n\
         [[origin.admission.streams]]\nname = \"live/near\"\nallow = [\"127.0.0.0/8\"]\n",
    );
    let said = answer(&server, "far");
    assert!(said.starts_with("NetStream.Publish.Unauthorized") && said.contains("from 127.0.0.1"), "{said}");
    let mut far = srt(&server, "publish:live/far");
    assert!(far.wait(SOON).is_some_and(|code| code != 0), "refused over SRT");
    refusal(&server, "(SRT code 1403)");
    assert_eq!(answer(&server, "near"), "");
}

const SECRET: &str = "a secret of at least thirty-two bytes";
/// HS256 tokens, made by Python: `sub` live/tv, `act` publish, `exp` in 2100; the same expired in 2001; the same
/// signed with another secret; the same for players.
const GOOD: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJsaXZlL3R2IiwiYWN0IjoicHVibGlzaCIsImV4cCI6NDEwMjQ0NDgwMH0.vqWWHQlh5zLj7KvFaEz6Fi4irDfGAQJQJwbf8FQBBKM";
const EXPIRED: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJsaXZlL3R2IiwiYWN0IjoicHVibGlzaCIsImV4cCI6MTAwMDAwMDAwMH0.iqCjJOuXVjA58G3EPTJ0JTNWww8cvpJIABm0tgnK4Wk";
const FORGED: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJsaXZlL3R2IiwiYWN0IjoicHVibGlzaCIsImV4cCI6NDEwMjQ0NDgwMH0.fGIiXSxbF9MDUHfRB8iVzEdPhtY6MPr88EqUi5jVaQE";
const TO_PLAY: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJsaXZlL3R2IiwiYWN0IjoicGxheSIsImV4cCI6NDEwMjQ0NDgwMH0.1W5-vqaoGI87gpRAEf9eTRv6j9KOcoAYj6BPUI-uqtQ";

#[test]
fn a_signed_token_opens_the_stream_it_names() {
    let server = Server::configured(&format!("[origin.admission.tokens]\nsecret = \"{SECRET}\"\n"));
    let unsigned = GOOD.rsplit_once('.').expect("three parts").0;
    for (name, says) in [
        ("tv".to_owned(), "live/tv asks for a token"),
        (format!("tv?token={EXPIRED}"), "the token has expired"),
        (format!("tv?token={FORGED}"), "signature is wrong"),
        (format!("tv?token={unsigned}."), "token"),
        (format!("tv?token={TO_PLAY}"), "the token is for something else"),
        (format!("radio?token={GOOD}"), "the token is for another stream"),
    ] {
        let said = answer(&server, &name);
        assert!(
            said.starts_with("NetStream.Publish.Unauthorized: ") && said.contains(says),
            "{says}: {said}"
        );
    }
    assert_eq!(answer(&server, &format!("tv?token={GOOD}")), "");
    free(&server, "live/tv");
    let _encoder = srt(&server, &format!("publish:live/tv?token={GOOD}"));
    let live = until(&server, "live/tv", "on air over SRT", |s| s["inputs"][0]["protocol"] == "srt");
    assert_eq!(live["inputs"][0]["admitted_by"], "token", "{live}");
}

/// A web service that answers by the name of the stream, for as long as the test lasts.
fn hook() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || answer_hook(socket));
        }
    });
    address
}

fn answer_hook(socket: TcpStream) {
    let mut reader = BufReader::new(socket);
    let mut length = 0;
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
        if let Some((name, value)) =
            line.split_once(':').filter(|h| h.0.eq_ignore_ascii_case("content-length"))
        {
            length = value.trim().parse().unwrap_or_else(|_| panic!("{name}: {value}"));
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a question");
    let asked: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    let text = match asked["stream"].as_str().unwrap_or_default() {
        "live/allowed" => "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        "live/denied" => {
            "HTTP/1.1 403 Forbidden\r\ncontent-type: application/json\r\ncontent-length: 26\r\n\r\n\
             {\"text\":\"not on Sundays.\"} "
        }
        "live/broken" => "HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n",
        // Until the server gives up.
        _ => return drop(reader.read(&mut [0])),
    };
    let _ = reader.get_mut().write_all(text.as_bytes());
}

#[test]
fn a_web_service_decides_and_silence_means_no() {
    let server = Server::configured(&format!(
        "[origin.admission.hook]\nurl = \"http://{}/ask\"\ntimeout_ms = 500\n",
        hook()
    ));
    assert_eq!(answer(&server, "allowed"), "");
    let said = answer(&server, "denied");
    assert!(
        said.starts_with("NetStream.Publish.Unauthorized: ") && said.contains("not on Sundays."),
        "{said}"
    );
    for name in ["broken", "slow"] {
        let since = Instant::now();
        let said = answer(&server, name);
        assert!(said.starts_with("NetStream.Publish.Unauthorized: "), "{name}: {said}");
        assert!(since.elapsed() < Duration::from_secs(2), "{name}: {:?}", since.elapsed());
    }
    let mut denied = srt(&server, "publish:live/denied");
    assert!(denied.wait(SOON).is_some_and(|code| code != 0), "refused over SRT");
    refusal(&server, "(SRT code 1403)");
}

#[test]
fn a_publisher_that_sends_too_much_is_ended_and_told_why() {
    let server = Server::configured(
        "[[origin.admission.streams]]\nname = \"live/thin\"\nlimits = { bitrate_bps = 200_000 }\n",
    );
    let mut encoder = ffmpeg(server.rtmp(), "live/thin", SMALL);
    multivariant(&server, "live/thin");
    assert!(encoder.wait(SOON).is_some_and(|code| code != 0), "{}", server.log());
    let told = refusal(&server, "and 200 are allowed: lower the bitrate");
    assert_eq!(told["key"], "live/thin", "{told}");
    until(&server, "live/thin", "waiting", |s| s["state"] == "reconnecting");
}
