// Plays one stream in real players at the same time, one page each, and prints how each of them fared.
//
//   node e2e/players.mjs STREAM_URL [--seconds 10] [--players hls,shaka-hls,shaka-dash,dashjs,native,hls-ts] [--clearkey] [--switch]
//
// STREAM_URL is the folder of the stream, such as http://127.0.0.1:8888/live/cam1; a query behind it, such as
// ?start=-60, goes to the playlists and manifests. Players come with their default settings, hls.js with lowLatencyMode
// and a rate to catch up, Shaka with liveSync and without autoCorrectDrift. With --clearkey the stream is encrypted and
// they get its keys at STREAM_URL/keys/licence.json. With --switch hls.js and Shaka play the lowest rendition for a third
// of the time, the highest for another, and the lowest again, instead of what they think best. Two lines on standard
// output: the word `playing` once all of them play (or after 20 s), and, that many seconds later, JSON with one object
// per player:
//
//   first_frame_ms  from its first request to its first picture; null when there was none
//   stalls          milliseconds of every wait of more than 300 ms after that
//   latency_s       median, p95 and last of the clock less the capture time of what is shown
//   alive           in the last 3 s, time and pictures went on
//   heights         lines of what was shown, in its order, each with how many pictures it had
//   reopened        how often the page had to open the stream anew
//   fatal, errors   what the player called fatal, and what else it complained about
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { fileURLToPath } from "node:url";
import { launch } from "./browser.mjs";

const PLAYERS = {
  hls: { source: "hls.js/dist/hls.min.js", path: "index.m3u8" },
  "shaka-hls": { source: "shaka-player/dist/shaka-player.compiled.js", path: "index.m3u8" },
  "shaka-dash": { source: "shaka-player/dist/shaka-player.compiled.js", path: "manifest.mpd" },
  dashjs: { source: "dashjs/dist/modern/umd/dash.all.min.js", path: "manifest.mpd" },
  native: { path: "index.m3u8" },
  "hls-ts": { source: "hls.js/dist/hls.min.js", path: "ts/index.m3u8" },
};
// What is watched when nobody says what: the players of CMAF.
const USUAL = Object.keys(PLAYERS).filter((name) => name !== "hls-ts");
const SAMPLE_MS = 250;
const START_MS = 20_000;
const ALIVE_MS = 3_000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seconds: { type: "string", default: "10" }, clearkey: { type: "boolean", default: false }, switch: { type: "boolean", default: false }, players: { type: "string", default: USUAL.join() } },
});
const [url] = positionals;
const seconds = Number(values.seconds);
const [folder, query] = (url ?? "").split("?");
const names = values.players.split(",");
if (!url || !(seconds > 0) || names.some((name) => !PLAYERS[name])) {
  console.error(`usage: node e2e/players.mjs STREAM_URL [--seconds 10] [--players ${Object.keys(PLAYERS).join()}]`);
  process.exit(2);
}

/**
 * Runs in the page: starts a player and notes what happens to it. Like any page that means to go on, it opens the
 * stream anew when the video element is broken, which no player can mend, or a player says that it has given up.
 */
const play = async ({ name, url, licence }) => {
  const AGAIN_MS = 500;
  const state = { errors: [], fatal: [], waits: [], first: null, waiting: null, reopened: 0, frames: 0 };
  const began = performance.now();
  const since = () => Math.round((performance.now() - began) / 100) / 10;
  const complain = (fatal, text) => (fatal ? state.fatal : state.errors).push(`${since()} s: ${text}`.slice(0, 160));
  let video, captured, end, choose;

  const open = async () => {
    video = document.createElement("video");
    video.muted = true;
    video.autoplay = true;
    document.body.replaceChildren(video);
    captured = () => NaN;
    [end, choose] = [() => {}, () => {}];
    const mine = video;
    const over = () => {
      if (mine !== video) return;
      state.reopened += 1;
      state.frames += video.getVideoPlaybackQuality().totalVideoFrames;
      const ended = end;
      video = document.createElement("video");
      setTimeout(() => Promise.resolve(ended()).catch(() => {}).then(open), AGAIN_MS);
    };
    video.requestVideoFrameCallback(() => (state.first ??= performance.now() - began));
    video.addEventListener("waiting", () => {
      if (state.first !== null) state.waiting ??= { at: performance.now(), time: mine.currentTime };
    });
    video.addEventListener("timeupdate", () => {
      if (!state.waiting || mine.currentTime === state.waiting.time) return;
      state.waits.push(performance.now() - state.waiting.at);
      state.waiting = null;
    });
    video.addEventListener("error", () => {
      complain(true, `video: ${mine.error.code} ${mine.error.message}`);
      over();
    });

    if (name.startsWith("hls")) {
      // Without a rate it stays as late as its last stall left it; so does Shaka without liveSync.
      const drm = licence ? { emeEnabled: true, drmSystems: { "org.w3.clearkey": { licenseUrl: licence } } } : {};
      const hls = new Hls({ lowLatencyMode: true, maxLiveSyncPlaybackRate: 1.1, ...drm });
      hls.on(Hls.Events.ERROR, (_, data) => {
        complain(data.fatal, `${data.type} ${data.details} ${data.error?.message ?? ""}`);
        if (data.fatal) over();
      });
      end = () => hls.destroy();
      choose = (highest) => (hls.nextLevel = highest ? hls.levels.length - 1 : 0);
      hls.loadSource(url);
      hls.attachMedia(video);
      captured = () => hls.playingDate?.getTime();
    } else if (name.startsWith("shaka")) {
      const player = new shaka.Player();
      const say = (error) => {
        complain(error.severity === 2, `${error.code} ${error.data}`);
        // Category 3: what it was given cannot be played. It asks again by itself for what it did not get.
        if (error.severity === 2 && error.category === 3) over();
      };
      player.addEventListener("error", (event) => say(event.detail));
      // Without this Shaka takes the end of the newest listed segment for the present, which is up to a segment ahead.
      player.configure("manifest.dash.autoCorrectDrift", false);
      if (licence) player.configure("drm.servers", { "org.w3.clearkey": licence });
      // Beyond the hold-back that the server asks for.
      player.configure("streaming.liveSync", { enabled: true, targetLatency: 0.1, targetLatencyTolerance: 0.1 });
      // Presentation time of DASH is Unix time here; Shaka's own date takes it for the time of the media.
      captured = () => (name === "shaka-dash" ? mine.currentTime * 1000 : player.getPlayheadTimeAsDate()?.getTime());
      end = () => player.destroy();
      choose = (highest) => {
        player.configure("abr.enabled", false);
        const tracks = player.getVariantTracks().sort((a, b) => a.bandwidth - b.bandwidth);
        player.selectVariantTrack(tracks.at(highest ? -1 : 0));
      };
      await player.attach(video);
      player.load(url).catch((error) => {
        say(error);
        over();
      });
    } else if (name === "dashjs") {
      const player = dashjs.MediaPlayer().create();
      player.on("error", ({ error }) => {
        // Without a manifest it asks for nothing any more.
        const gone = error?.code === dashjs.MediaPlayer.errors.DOWNLOAD_ERROR_ID_MANIFEST_CODE;
        complain(gone, `${error?.code} ${error?.message}`);
        if (gone) over();
      });
      end = () => player.destroy();
      player.initialize(video, url, true);
      if (licence) player.setProtectionData({ "org.w3.clearkey": { serverURL: licence } });
      captured = () => player.timeAsUTC() * 1000;
    } else {
      // Chromium tells no dates: its time begins with the first segment of the list it saw first.
      const list = await (await fetch(url.replace("index.m3u8", "v1/index.m3u8"))).text();
      const zero = Date.parse(list.match(/PROGRAM-DATE-TIME:(\S+)/)?.[1]);
      captured = () => zero + mine.currentTime * 1000;
      video.src = url;
    }
  };
  window.choose = (highest) => choose(highest);
  window.sample = () => {
    const waits = [...state.waits, ...(state.waiting ? [performance.now() - state.waiting.at] : [])];
    const behind = (Date.now() - captured()) / 1000;
    return {
      at: performance.now(), time: video.currentTime, frames: state.frames + video.getVideoPlaybackQuality().totalVideoFrames,
      behind: Number.isFinite(behind) && state.first !== null ? behind : null, rate: video.playbackRate,
      first: state.first, stalls: waits.filter((ms) => ms > 300).map(Math.round), errors: state.errors, fatal: state.fatal,
      reopened: state.reopened, height: video.videoHeight,
    };
  };
  await open();
};

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const round = (number, to = 100) => (Number.isFinite(number) ? Math.round(number * to) / to : null);

function report(samples) {
  const last = samples.at(-1);
  const before = samples.findLast((sample) => sample.at <= last.at - ALIVE_MS) ?? samples[0];
  const moved = last.time - before.time;
  const latencies = samples.map((sample) => sample.behind).filter((behind) => behind !== null).sort((a, b) => a - b);
  const heights = [];
  for (const [nth, { height, frames }] of samples.entries()) {
    if (heights.at(-1)?.[0] !== height) heights.push([height, 0]);
    heights.at(-1)[1] += nth ? frames - samples[nth - 1].frames : frames;
  }
  const at = (share) => round(latencies[Math.floor((latencies.length - 1) * share)]);
  return {
    alive: moved > ALIVE_MS / 2000 && last.frames > before.frames, reopened: last.reopened,
    first_frame_ms: round(last.first, 1), stalls: last.stalls,
    latency_s: { median: at(0.5), p95: at(0.95), last: round(last.behind) },
    moved_s: round(moved), shown: last.frames - before.frames, frames: last.frames, heights, rate: round(last.rate), fatal: last.fatal.slice(0, 12), errors: last.errors.slice(0, 12),
  };
}

const browser = await launch();
try {
  const pages = await Promise.all(names.map(async (name) => {
    const page = await browser.newPage({ viewport: { width: 320, height: 180 } });
    await page.goto(new URL("/health/live", url).href);
    const { source } = PLAYERS[name];
    if (source) await page.addScriptTag({ content: readFileSync(fileURLToPath(new URL(`../node_modules/${source}`, import.meta.url)), "utf8") });
    return page;
  }));
  // One after the other: what counts is how soon each gets its picture, not how fast five share two cores.
  for (const [nth, page] of pages.entries()) {
    await page.evaluate(play, { name: names[nth], licence: values.clearkey ? new URL(`${folder}/keys/licence.json`).href : null, url: `${folder}/${PLAYERS[names[nth]].path}${query ? `?${query}` : ""}` });
    await page.waitForFunction(() => window.sample().first !== null, null, { timeout: START_MS / names.length, polling: 100 }).catch(() => {});
  }
  console.log("playing");

  const samples = names.map(() => []);
  const begin = Date.now();
  const end = begin + seconds * 1000;
  let third = -1;
  for (let next = begin; next <= end; next += SAMPLE_MS) {
    await sleep(next - Date.now());
    const now = Math.floor((next - begin) * 3 / (seconds * 1000));
    if (values.switch && now < 3 && now !== third) {
      third = now;
      await Promise.all(pages.map((page) => page.evaluate((highest) => window.choose(highest), third === 1)));
    }
    await Promise.all(pages.map(async (page, nth) => samples[nth].push(await page.evaluate(() => window.sample()))));
  }
  console.log(JSON.stringify(Object.fromEntries(names.map((name, nth) => [name, report(samples[nth])]))));
} finally {
  await browser.close();
}
