// Watches a stream in a real browser and prints one line of JSON with what came of it.
//
//   node e2e/watch.mjs WATCH_URL [--seconds 8] [--screenshots DIR] [--width 1280] [--timeout 20] [--clock]
//
// With --clock the picture has the time of its capture in it (CLOCK in tests/system/encoder.rs), and clock_ms says how
// much later each picture was shown: median, p95, and of how many.
// Exits 0 when it ran, whether or not the picture came: first_picture_ms is null when it did not.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { audit, launch } from "./browser.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: "string", default: "8" },
    screenshots: { type: "string" },
    width: { type: "string", default: "1280" },
    timeout: { type: "string", default: "20" },
    clock: { type: "boolean", default: false },
  },
});
const [url] = positionals;
const numbers = { seconds: Number(values.seconds), width: Number(values.width), timeout: Number(values.timeout) };
if (!url || Object.values(numbers).some((number) => !(number > 0))) {
  console.error("usage: node e2e/watch.mjs WATCH_URL [--seconds 8] [--screenshots DIR] [--width 1280] [--timeout 20] [--clock]");
  process.exit(2);
}

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** Runs in the page. */
const readSample = () => {
  const stats = window.nexus?.stats;
  return stats && {
    t: Math.round(performance.now()) / 1000,
    currentTime: stats.current_time,
    latency_s: stats.latency_s,
    stalls: stats.stalls,
    width: stats.width,
    height: stats.height,
    buffer_s: stats.buffer_s,
    stats,
  };
};

/** Runs in the page: reads the clock in each picture, 16 squares of 20 pixels, the lowest bit first, in units of 4 ms. */
const readClock = () => {
  const video = document.querySelector("video");
  const context = new OffscreenCanvas(320, 20).getContext("2d", { willReadFrequently: true });
  window.clock = [];
  const look = () => {
    const now = Date.now() / 4;
    context.drawImage(video, 0, 0, 320, 20, 0, 0, 320, 20);
    const { data } = context.getImageData(0, 10, 320, 1);
    let shown = 0;
    for (let bit = 0; bit < 16; bit += 1) if (data[4 * (20 * bit + 10)] > 127) shown += 2 ** bit;
    window.clock.push(((Math.floor(now) - shown + 65536) % 65536) * 4);
    video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);
};

const browser = await launch();
try {
  const page = await browser.newPage({ viewport: { width: numbers.width, height: 900 }, ignoreHTTPSErrors: true });
  const noted = audit(page, url);
  const screenshots = [];
  const samples = [];

  await page.goto(url, { waitUntil: "commit" });
  const shown = await page
    .waitForFunction(() => window.nexus?.stats?.first_picture_ms ?? null, null, { timeout: numbers.timeout * 1000, polling: 100 })
    .then((handle) => handle.jsonValue())
    .catch(() => null);

  // Samples keep to the second; the screenshots are taken meanwhile, 1 s apart.
  const pictures = async () => {
    if (!values.screenshots) return;
    mkdirSync(values.screenshots, { recursive: true });
    for (const name of ["picture-1.png", "picture-2.png"]) {
      const file = join(values.screenshots, name);
      await Promise.all([page.locator("video").screenshot({ path: file }), sleep(1000)]);
      screenshots.push(file);
    }
  };
  const sampling = async () => {
    const start = Date.now();
    for (let second = 0; second <= numbers.seconds; second += 1) {
      await sleep(start + second * 1000 - Date.now());
      const sample = await page.evaluate(readSample);
      if (sample) samples.push(sample);
    }
  };
  if (values.clock) await page.evaluate(readClock);
  await Promise.all([sampling(), pictures()]);
  const clock = values.clock ? (await page.evaluate(() => window.clock)).sort((a, b) => a - b) : [];
  const clock_ms = { median: clock[clock.length >> 1] ?? null, p95: clock[Math.floor(clock.length * 0.95)] ?? null, pictures: clock.length };

  const protocols = await page.evaluate(() => [
    ...new Set(performance.getEntries().map((entry) => entry.nextHopProtocol).filter(Boolean)),
  ]);
  console.log(JSON.stringify({ protocols, first_picture_ms: shown === null ? null : Math.round(shown), clock_ms, samples, screenshots, ...noted }));
} finally {
  await browser.close();
}
