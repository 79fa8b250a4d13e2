//! SRT from encoders that we did not write, over good and bad networks.

use std::process::{Command, Stdio};

use crate::api::{SOON, multivariant, refusal, status, stream, until};
use crate::encoder::{Process, SMALL, decode, eventually, ffmpeg_to};
use crate::support::Server;

/// Publishes a transport stream with the system's ffmpeg; `options` go behind the address.
fn ffmpeg_srt(server: &Server, options: &str) -> Process {
    let url = format!("srt://{}?{options}", server.srt());
    ffmpeg_to(&["-f", "mpegts", &url], SMALL)
}

fn check(server: &Server, key: &str) {
    multivariant(server, key);
    let decoded = decode(&format!("http://{}/{key}/index.m3u8", server.edge()), 3);
    assert!(decoded.ok && decoded.complaints.is_empty(), "{key}: {decoded:?}");
    assert!(decoded.video.abs_diff(90) <= 2 && decoded.audio.abs_diff(140) <= 4, "{key}: {decoded:?}");
}

#[test]
fn both_forms_of_stream_ids_publish_and_a_player_reads() {
    let server = Server::start(&[]);
    let _short = ffmpeg_srt(&server, "streamid=publish:live/short");
    let _long = ffmpeg_srt(&server, "streamid=#!::r=live/long,m=publish");
    check(&server, "live/short");
    check(&server, "live/long");
    let live =
        until(&server, "live/long", "on air", |s| s["inputs"][0]["link"]["packets"].as_u64() > Some(50));
    let input = &live["inputs"][0];
    assert_eq!((&input["protocol"], &input["link"]["encryption"]), (&"srt".into(), &"none".into()), "{live}");
    assert!(input["client"].as_str().is_some_and(|c| c.starts_with("libsrt 1.")), "{live}");
    let played = decode(&format!("srt://{}?streamid=read:live/short", server.srt()), 3);
    assert!(played.ok && played.video >= 80 && played.audio >= 120, "{played:?}");
}

#[test]
fn stream_ids_that_mean_nothing_are_refused_in_words() {
    let server = Server::start(&[]);
    for (id, reason) in [
        ("#!::m=publish", "names no stream"),
        ("#!::r=live/x,m=dance", "`dance` is not possible"),
        ("publish:live/../x", ""),
        ("read:live/nobody", "nobody publishes live/nobody"),
    ] {
        let mut encoder = ffmpeg_srt(&server, &format!("streamid={id}"));
        let end = encoder.wait(SOON);
        assert!(end.is_some_and(|code| code != 0), "{id}: {end:?}");
        let told = refusal(&server, reason);
        assert!(told["peer"].as_str().is_some_and(|p| p.starts_with("127.0.0.1:")), "{id}: {told}");
    }
}

const PASSPHRASE: &str = "correct horse battery";

fn guarded() -> Server {
    Server::configured(&format!(
        "[[origin.admission.streams]]\nname = \"live/*\"\npassphrase = \"{PASSPHRASE}\"\n"
    ))
}

#[test]
fn encrypted_links_with_keys_of_every_length() {
    let server = guarded();
    for (bytes, name) in [(16, "AES-128"), (24, "AES-192"), (32, "AES-256")] {
        let key = format!("live/aes{bytes}");
        let options = format!("streamid=publish:{key}&pbkeylen={bytes}&passphrase={PASSPHRASE}");
        let _encoder = ffmpeg_srt(&server, &options);
        check(&server, &key);
        let live = until(&server, &key, "encrypted", |s| s["inputs"][0]["link"]["encryption"] == name);
        assert_eq!(live["inputs"][0]["admitted_by"], "passphrase", "{live}");
    }
}

#[test]
fn a_wrong_passphrase_or_none_is_refused_and_said_so() {
    let server = guarded();
    let cases = [("&passphrase=wrong horse battery", "passphrase"), ("", "encrypted")];
    for (nth, (passphrase, reason)) in cases.into_iter().enumerate() {
        let mut encoder = ffmpeg_srt(&server, &format!("streamid=publish:live/secret{nth}{passphrase}"));
        let end = encoder.wait(SOON);
        assert!(end.is_some_and(|code| code != 0), "{passphrase}: {end:?}");
        let told = eventually(SOON, || {
            let key = format!("live/secret{nth}");
            status(&server)["server"]["refusals"].as_array()?.iter().find(|r| r["key"] == *key).cloned()
        });
        let told = told.unwrap_or_else(|| panic!("{passphrase:?} is not in the list: {}", server.log()));
        assert!(told["reason"].as_str().is_some_and(|r| r.contains(reason)), "{told}");
        assert!(!told.to_string().contains("horse"), "{told}");
        // Whoever does not arrive leaves no name behind.
        let gone = || stream(&server, &format!("live/secret{nth}")).is_none().then_some(());
        assert!(eventually(SOON, gone).is_some(), "live/secret{nth} is still there");
    }
}

#[test]
fn gstreamer_publishes_over_srt() {
    let server = Server::start(&[]);
    let uri = format!("uri=srt://{}?mode=caller&streamid=publish:live/gst", server.srt());
    let mut command = Command::new("gst-launch-1.0");
    command.args(["-q", "videotestsrc", "is-live=true", "!"]);
    command.args(["video/x-raw,width=320,height=180,framerate=30/1", "!", "x264enc", "tune=zerolatency"]);
    command.args(["key-int-max=60", "!", "h264parse", "!", "mux.", "audiotestsrc", "is-live=true", "!"]);
    command.args(["audioconvert", "!", "avenc_aac", "!", "aacparse", "!", "mux."]);
    command.args(["mpegtsmux", "name=mux", "alignment=7", "!", "srtsink", &uri, "wait-for-connection=false"]);
    let _encoder = Process::start(command.stderr(Stdio::null()));
    multivariant(&server, "live/gst");
    let decoded = decode(&format!("http://{}/live/gst/index.m3u8", server.edge()), 3);
    assert!(decoded.ok && decoded.complaints.is_empty(), "{decoded:?}");
    assert!(decoded.video >= 85 && decoded.audio >= 100, "{decoded:?}");
}

/// libsrt's own tool, fed over UDP by ffmpeg.
fn srt_live_transmit(server: &Server, options: &str) -> [Process; 2] {
    let free = std::net::UdpSocket::bind("127.0.0.1:0").and_then(|s| s.local_addr()).expect("a port");
    let url = format!("srt://{}?{options}", server.srt());
    let mut command = Command::new("srt-live-transmit");
    command.args(["-q", "-loglevel:fatal", &format!("udp://{free}"), &url]).stderr(Stdio::null());
    let carrier = Process::start(&mut command);
    [carrier, ffmpeg_to(&["-f", "mpegts", &format!("udp://{free}?pkt_size=1316")], SMALL)]
}

#[test]
fn srt_live_transmit_publishes() {
    let server = Server::start(&[]);
    let _sender = srt_live_transmit(&server, "streamid=publish:live/slt");
    check(&server, "live/slt");
}

#[test]
fn srt_live_transmit_publishes_with_a_passphrase() {
    let server = guarded();
    let options = format!("streamid=publish:live/slt&passphrase={PASSPHRASE}&pbkeylen=32");
    let _sender = srt_live_transmit(&server, &options);
    check(&server, "live/slt");
    until(&server, "live/slt", "encrypted", |s| s["inputs"][0]["link"]["encryption"] == "AES-256");
}
