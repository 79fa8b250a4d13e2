// Plays a DASH manifest in a real browser with Shaka and dash.js and prints one line of JSON with what came of it.
//
//   node e2e/dash.mjs MANIFEST_URL [--seconds 12] [--players shaka,dashjs] [--plain]
//
// --plain leaves Shaka as it comes.
// Presentation time is Unix time (availabilityStartTime is 1970), so latency behind the first frame's arrival at
// the server is the clock less currentTime. Exits 0 when it ran, whether or not the picture came.
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { fileURLToPath } from "node:url";
import { launch } from "./browser.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seconds: { type: "string", default: "12" }, players: { type: "string", default: "shaka,dashjs" }, plain: { type: "boolean", default: false } },
});
const [url] = positionals;
if (!url || !(Number(values.seconds) > 0)) {
  console.error("usage: node e2e/dash.mjs MANIFEST_URL [--seconds 12] [--players shaka,dashjs] [--plain]");
  process.exit(2);
}
const source = (path) => readFileSync(fileURLToPath(new URL(`../node_modules/${path}`, import.meta.url)), "utf8");
const sources = { shaka: "shaka-player/dist/shaka-player.compiled.js", dashjs: "dashjs/dist/modern/umd/dash.all.min.js" };

/** Runs in the page. */
const start = async ({ name, url, plain }) => {
  const video = document.createElement("video");
  video.muted = true;
  document.body.append(video);
  const state = (window.state = { video, errors: [], stalls: 0, first: null, began: performance.now() });
  video.addEventListener("playing", () => (state.first ??= performance.now() - state.began));
  video.addEventListener("waiting", () => state.first !== null && (state.stalls += 1));
  if (name === "shaka") {
    const player = new shaka.Player();
    player.addEventListener("error", (event) => state.errors.push(`${event.detail.code} ${event.detail.data}`.slice(0, 300)));
    // Without this Shaka takes the end of the newest listed segment for the present, which is up to a segment ahead.
    player.configure("manifest.dash.autoCorrectDrift", plain);
    await player.attach(video);
    await player.load(url).catch((error) => state.errors.push(`load ${error.code} ${error.data}`));
    video.play();
  } else {
    const player = dashjs.MediaPlayer().create();
    player.on("error", (event) => state.errors.push(JSON.stringify(event.error ?? event).slice(0, 300)));
    player.initialize(video, url, true);
  }
};
const read = () => {
  const { video, errors, stalls, first } = window.state;
  const end = video.buffered.length ? video.buffered.end(video.buffered.length - 1) : null;
  const round = (number) => number === null ? null : Math.round(number * 1000) / 1000;
  return {
    latency_s: round(Date.now() / 1000 - video.currentTime), buffer_s: end && round(end - video.currentTime),
    rate: video.playbackRate, frames: video.getVideoPlaybackQuality().totalVideoFrames, stalls, errors,
    first_picture_ms: first && Math.round(first), ended: video.ended,
  };
};

const browser = await launch();
const result = {};
try {
  for (const name of values.players.split(",")) {
    const page = await browser.newPage();
    const seen = [];
    page.on("response", (response) => response.status() >= 400 && seen.push(`${response.status()} ${response.url()}`));
    await page.goto(new URL("/health/live", url).href);
    await page.addScriptTag({ content: source(sources[name]) });
    await page.evaluate(start, { name, url, plain: values.plain });
    const samples = [];
    for (let second = 0; second < Number(values.seconds); second += 1) {
      await new Promise((done) => setTimeout(done, 1000));
      samples.push(await page.evaluate(read));
    }
    const sorted = samples.slice(-Math.ceil(samples.length / 2)).map((sample) => sample.latency_s).sort((a, b) => a - b);
    const { errors, stalls, frames, first_picture_ms } = samples.at(-1);
    result[name] = {
      latency_s: sorted[Math.floor(sorted.length / 2)], first_picture_ms, stalls, frames, errors, refused: seen.slice(0, 20),
      latencies: samples.map((s) => s.latency_s), buffers: samples.map((s) => s.buffer_s), rates: samples.map((s) => s.rate),
    };
    await page.close();
  }
} finally {
  await browser.close();
}
console.log(JSON.stringify(result));
