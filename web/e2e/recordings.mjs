// Uses the page of recordings as a person would, and prints one line of JSON with what came of it.
//
//   node e2e/recordings.mjs GATEWAY_URL STREAM [--screenshots DIR] [--width 1280] [--dark]
//
// Winds back a stream that is on, marks in and out frame by frame, makes a clip, plays and saves it, deletes it, takes the
// deletion back, deletes it again and restores it from the trash. Fails at the first step that does not come about.
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { audit, launch } from "./browser.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    screenshots: { type: "string" },
    width: { type: "string", default: "1280" },
    dark: { type: "boolean", default: false },
  },
});
const [gateway, stream] = positionals;
if (!gateway || !stream) {
  console.error("usage: node e2e/recordings.mjs GATEWAY_URL STREAM [--screenshots DIR] [--width 1280] [--dark]");
  process.exit(2);
}

const title = `Made by test ${Date.now().toString(36)}`;
const browser = await launch();
try {
  const page = await browser.newPage({
    viewport: { width: Number(values.width), height: 900 },
    colorScheme: values.dark ? "dark" : "light",
  });
  page.setDefaultTimeout(30_000);
  const noted = audit(page, gateway);
  const shot = async (name) => {
    if (!values.screenshots) return;
    mkdirSync(values.screenshots, { recursive: true });
    await page.screenshot({ path: join(values.screenshots, `${name}.png`), fullPage: true });
  };
  const row = (name) => page.getByRole("article", { name, exact: true }).first();
  const press = (within, name) => within.getByRole("button", { name }).click();
  const playing = (within, from_s = 0) =>
    within.locator("video").evaluate(
      (video, from_s) =>
        new Promise((done) => {
          const look = () => (video.currentTime > from_s && video.videoWidth > 0 && !video.seeking && video.readyState > 2 ? done(video.currentTime) : setTimeout(look, 50));
          look();
        }),
      from_s,
    );
  const frame = (within) =>
    within.locator("video").evaluate((video) => new Promise((done) => {
      const settle = () => (video.seeking ? setTimeout(settle, 20) : setTimeout(() => done(video.currentTime), 200));
      settle();
    }));

  await page.goto(new URL("/recordings#stretches", gateway).href, { waitUntil: "domcontentloaded" });
  await press(row(stream), "Play");
  // There must be a whole frame to go back to.
  await playing(row(stream), 0.5);
  await press(row(stream), "One frame back");
  const at = await frame(row(stream));
  await press(row(stream), "One frame on");
  const frame_s = (await frame(row(stream))) - at;
  await press(row(stream), "In");
  for (let nth = 0; nth < 9; nth += 1) {
    await press(row(stream), "One frame on");
    await frame(row(stream));
  }
  await press(row(stream), "Out");
  await row(stream).getByLabel("Title of the clip").fill(title);
  await shot("cutting");
  await press(row(stream), "Make clip");

  const clip = row(title);
  await clip.getByText("Clip", { exact: true }).waitFor();
  await shot("made");
  await press(clip, "Play");
  await playing(clip);
  const began = await clip.locator("video").evaluate((video) => video.currentTime);
  await shot("playing");
  const [download] = await Promise.all([page.waitForEvent("download"), press(clip, "Download")]);
  const bytes = readFileSync(await download.path()).length;
  const file = download.suggestedFilename();
  await press(clip, "Close");
  await press(clip, "Rename");
  await clip.getByLabel("Title").fill(`${title}, again`);
  await press(clip, "Save");
  const named = row(`${title}, again`);
  await named.waitFor();

  await press(named, "Delete");
  await press(page, "Undo");
  await named.waitFor();
  await press(named, "Delete");
  await named.waitFor({ state: "detached" });
  await page.getByRole("tab", { name: "Trash" }).click();
  await shot("trash");
  await press(named, "Restore");
  await named.waitFor({ state: "detached" });
  await page.getByRole("tab", { name: "Recordings and clips" }).click();
  await named.waitFor();
  await page.getByLabel("Title or stream").fill("no such words");
  await page.getByText("Nothing fits").waitFor();
  await page.getByLabel("Title or stream").fill(`${title}, AGAIN`.toUpperCase());
  await named.waitFor();
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
  console.log(JSON.stringify({ frame_s, began, bytes, file, sideways_scroll: overflow, ...noted }));
} catch (error) {
  const pages = browser.contexts().flatMap((context) => context.pages());
  for (const page of pages) console.error(await page.innerText("body").catch(() => "no page"));
  throw error;
} finally {
  await browser.close();
}
