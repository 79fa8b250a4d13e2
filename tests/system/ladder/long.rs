//! Ladders over a long time, and who watches them.
//!
//! In short with all other tests; as long as is promised with
//! `NEXUS_TEST_LONG_LADDER=1 cargo test --test system ladder::long:: -- --nocapture`.

use std::time::Instant;

use super::*;
use crate::players::Players;
use crate::support::server::rss_kib;

/// Key frames where no interval puts them: 0.5 to 2 s apart.
const UNEVEN: Source =
    Source { extra: &["-force_key_frames", "expr:gte(t,n_forced*1.3+0.6*mod(n_forced,2))"], ..LITTLE };

fn is_long() -> bool {
    std::env::var_os("NEXUS_TEST_LONG_LADDER").is_some()
}

fn keys(frames: &[(i64, bool)]) -> Vec<i64> {
    frames.iter().filter(|frame| frame.1).map(|frame| frame.0).collect()
}

#[test]
fn key_frames_of_all_rungs_are_at_the_same_times_and_stay_there() {
    let server = server(LITTLE_TWO, "", "");
    let key = "live/keys";
    let _encoder = ffmpeg(server.rtmp(), key, UNEVEN);
    variants(&server, key, 3);
    let end = Instant::now() + Duration::from_secs(if is_long() { 600 } else { 10 });
    let mut held = ["v1", "v2", "v3"].map(|track| (track, BTreeMap::new()));
    while Instant::now() < end {
        std::thread::sleep(Duration::from_secs(2));
        held.iter_mut().for_each(|(track, all)| gather(&server, key, track, all));
    }
    let [(_, source), rungs @ ..] = &held;
    let frames: usize = source.values().map(Vec::len).sum();
    for (track, rung) in rungs {
        let both: Vec<_> = rung.iter().filter_map(|(msn, made)| Some((source.get(msn)?, made))).collect();
        // A machine that is too busy leaves pictures out, to the next key frame: what there is, is where it was.
        for (sent, made) in &both {
            assert!(made.iter().all(|frame| sent.contains(frame)), "{track}: {sent:?} {made:?}");
        }
        let whole: Vec<_> = both.iter().filter(|(sent, made)| keys(sent) == keys(made)).collect();
        let count: usize = whole.iter().map(|(sent, _)| keys(sent).len()).sum();
        eprintln!(
            "{track}: {count} key frames of {} of {} segments at the times of the source, of {frames} pictures",
            whole.len(),
            both.len()
        );
        assert!(whole.len() * 2 > both.len() && count > 3, "{track}: {} of {}", whole.len(), both.len());
    }
    let told = running(&server, key);
    assert_eq!(told["crashes"].as_u64(), Some(0), "{told:#}");
}

#[test]
fn players_go_on_while_its_worker_is_killed_every_ten_seconds() {
    let kills: u32 = if is_long() { 12 } else { 2 };
    let server = server(LITTLE_TWO, "crashes_max = 20", "");
    let key = "live/watched";
    let _encoder = ffmpeg(server.rtmp(), key, LITTLE);
    variants(&server, key, 3);
    let url = format!("http://{}/{key}", server.edge());
    let seconds = format!("--seconds={}", kills * 10 + 6);
    // Some choose what they play, and leave what has gaps; one has to stay with what its worker makes.
    let free = Players::with(&url, &[seconds.clone(), "--players=hls,shaka-hls".to_owned()]);
    let bound = Players::with(&url, &[seconds, "--players=hls".to_owned(), "--switch".to_owned()]);
    let (begun, files) = (Instant::now(), open_files(&server));
    let (mut source, mut memory) = (Segments::new(), Vec::new());
    for nth in 1..=kills {
        let worker = running(&server, key)["worker"].as_u64().expect("a process");
        assert!(
            Command::new("kill").args(["-9", &worker.to_string()]).status().expect("kill runs").success()
        );
        gather(&server, key, "v1", &mut source);
        memory.push(rss_kib(server.pid()));
        std::thread::sleep(Duration::from_secs(10 * u64::from(nth)).saturating_sub(begun.elapsed()));
    }
    for (player, fared) in free.report().into_iter().chain(bound.report()) {
        eprintln!("{player} {fared}");
        let fatal = fared["fatal"].as_array().is_none_or(|all| !all.is_empty());
        assert!(
            fared["alive"] == true && !fatal && fared["reopened"] == 0,
            "{player}: {fared}\n{}",
            server.log()
        );
    }
    gather(&server, key, "v1", &mut source);
    let whole = source.values().all(|frames| frames.len() == 60 && frames[0].1);
    let numbers: Vec<u64> = source.keys().copied().collect();
    assert!(whole && numbers.windows(2).all(|two| two[0] + 1 == two[1]), "{source:?}");
    let all = stream(&server, key).expect("it is on");
    assert_eq!((all["discontinuities"].as_u64(), all["state"].as_str()), (Some(0), Some("live")));
    assert_eq!(running(&server, key)["crashes"].as_u64(), Some(kills.into()));
    assert_eq!((zombies(&server), children(&server).len()), (0, 1));
    eprintln!(
        "{kills} kills: {} whole segments of the source, {files} then {} files, {memory:?} then {} KiB",
        source.len(),
        open_files(&server),
        rss_kib(server.pid())
    );
    assert!(open_files(&server) <= files + 4, "{} of {files}", open_files(&server));
    assert!(rss_kib(server.pid()) < memory[0] + (64 << 10), "{memory:?} KiB, then {}", rss_kib(server.pid()));
}

/// How long they stall, if they do, is told: the machine has other work.
#[test]
fn players_switch_to_the_highest_rung_and_back() {
    let server = server(LITTLE_TWO, "", "");
    let key = "live/switched";
    let _encoder = ffmpeg(server.rtmp(), key, LITTLE);
    variants(&server, key, 3);
    let url = format!("http://{}/{key}", server.edge());
    let options = ["--seconds=24", "--players=hls,shaka-hls", "--switch"].map(str::to_owned);
    for (player, fared) in Players::with(&url, &options).report() {
        eprintln!("{player} {fared}");
        let heights = fared["heights"].as_array().expect("a list");
        // A third is eight seconds, of which a player may need some to get there.
        let shown: Vec<u64> =
            heights.iter().filter(|h| h[1].as_u64() > Some(60)).filter_map(|h| h[0].as_u64()).collect();
        let fatal = fared["fatal"].as_array().is_none_or(|all| !all.is_empty());
        assert!(fared["alive"] == true && !fatal && fared["reopened"] == 0, "{player}: {fared}");
        assert!(shown.ends_with(&[90, 270, 90]), "{player}: {fared}");
    }
}
