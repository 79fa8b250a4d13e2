// Watches a stream in a real browser and prints one line of JSON with what came of it.
//
//   node e2e/watch.mjs WATCH_URL [--seconds 8] [--screenshots DIR] [--width 1280] [--timeout 20]
//
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
  },
});
const [url] = positionals;
const numbers = { seconds: Number(values.seconds), width: Number(values.width), timeout: Number(values.timeout) };
if (!url || Object.values(numbers).some((number) => !(number > 0))) {
  console.error("usage: node e2e/watch.mjs WATCH_URL [--seconds 8] [--screenshots DIR] [--width 1280] [--timeout 20]");
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
  await Promise.all([sampling(), pictures()]);

  const protocols = await page.evaluate(() => [
    ...new Set(performance.getEntries().map((entry) => entry.nextHopProtocol).filter(Boolean)),
  ]);
  console.log(JSON.stringify({ protocols, first_picture_ms: shown === null ? null : Math.round(shown), samples, screenshots, ...noted }));
} finally {
  await browser.close();
}
