// Uses the page of channels as a person would who publishes with ffmpeg, and prints one line of JSON with what came of it.
//
//   node e2e/console.mjs INVITE_LINK [--screenshots DIR] [--width 1280] [--dark]
//
// INVITE_LINK is what a server that has no administrator yet prints as "administrator". Accepts it at http://localhost, which
// is where browsers have passkeys without TLS; adds one and signs in with it, makes a channel for members, plans a broadcast,
// makes a stream key, publishes with what the page shows until the broadcast is on air, marks a moment and finds it in the
// playlist, sends on, watches, cuts, plays and deletes a clip, limits where it is watched from, deletes the key, publishes with another, sends everybody away, watches again, closes, ends the
// broadcast, and deletes the channel. Fails at the first step that does not come about.
import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { audit, launch } from "./browser.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { screenshots: { type: "string" }, width: { type: "string", default: "1280" }, dark: { type: "boolean", default: false } },
});
const [invite] = positionals;
if (!invite) {
  console.error("usage: node e2e/console.mjs INVITE_LINK [--screenshots DIR] [--width 1280] [--dark]");
  process.exit(2);
}

const PASSWORD = "correct horse battery";
const link = new URL(invite);
link.hostname = "localhost";
const LIMIT_MS = 20_000;
const suffix = Date.now().toString(36);
const [boss, handle] = [`boss-${suffix}`, `show-${suffix}`];
const wide = [];
const encoders = [];
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** Looks again and again until there is something to see; says how long that took. */
async function eventually(what, look) {
  const from = Date.now();
  for (;;) {
    const seen = await look();
    if (seen) return Date.now() - from;
    if (Date.now() - from > LIMIT_MS) throw new Error(`in ${LIMIT_MS} ms not seen: ${what}`);
    await sleep(100);
  }
}

/** Publishes a test picture until somebody ends that; `ended` is then the exit code. */
function publish(to) {
  const child = spawn("ffmpeg", ["-v", "error", "-nostdin", "-re", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=30", "-re", "-f", "lavfi", "-i",
    "sine=frequency=440:sample_rate=48000", "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", "30",
    "-c:a", "aac", "-f", "flv", to], { stdio: ["ignore", "ignore", "pipe"] });
  const encoder = { ended: null, said: "", stop: () => child.kill("SIGTERM") };
  child.stderr.on("data", (text) => (encoder.said += text));
  child.on("exit", (code, signal) => (encoder.ended = code ?? signal));
  encoders.push(encoder);
  return encoder;
}

const browser = await launch();
const context = await browser.newContext({ viewport: { width: Number(values.width), height: 900 }, colorScheme: values.dark ? "dark" : "light" });
const page = await context.newPage();
page.setDefaultTimeout(LIMIT_MS);
const noted = audit(page, link);
// A device with a lock that keeps passkeys, and has nobody to ask.
const device = await context.newCDPSession(page);
await device.send("WebAuthn.enable");
const options = { protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true };
const { authenticatorId } = await device.send("WebAuthn.addVirtualAuthenticator", { options });
const unlocked = (isUserVerified) => device.send("WebAuthn.setUserVerified", { authenticatorId, isUserVerified });
let nth = 0;
const shot = async (name) => {
  if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)) wide.push(name);
  if (!values.screenshots) return;
  mkdirSync(values.screenshots, { recursive: true });
  // A frame that is out of sight is not painted.
  for (const frame of await page.locator("iframe").all()) await frame.scrollIntoViewIfNeeded();
  await sleep(300);
  await page.screenshot({ path: join(values.screenshots, `console-${String((nth += 1)).padStart(2, "0")}-${name}.png`), fullPage: true });
};
const press = (name, within = page) => within.getByRole("button", { name, exact: true }).click();
const fill = (label, text, within = page) => within.getByLabel(label, { exact: true }).fill(text);
const sees = (text, within = page) => within.getByText(text).first().waitFor();
const part = (name) => page.getByRole("region", { name, exact: true });
const video = () => page.frameLocator("iframe").locator("video");
const time = () => video().evaluate((node) => (node.videoWidth > 0 ? node.currentTime : 0));
/** Seconds that the picture went on by in one of the clock. */
const pace = async () => {
  const from = await time();
  await sleep(1000);
  return (await time()) - from;
};
const playing = () => eventually("a picture that moves", async () => (await time()) > 0 && (await pace()) > 0.3);
const status = async (url) => (await fetch(url)).status;

/** The date ranges of a playlist's first rendition. */
async function dateRanges(hls) {
  const text = async (url) => (await fetch(url)).text();
  const rendition = (await text(hls)).split("\n").find((line) => line && !line.startsWith("#"));
  return (await text(new URL(rendition, hls))).split("\n").filter((line) => line.startsWith("#EXT-X-DATERANGE"));
}

/** Makes a stream key and gives what the page says ffmpeg is to publish to. */
async function makeKey(name) {
  await press("New stream key", part("Stream keys"));
  await fill("What it is for", name, part("Stream keys"));
  await press("Make the key", part("Stream keys"));
  const line = part("Stream keys").locator("code", { hasText: /^ffmpeg .* -f flv 'rtmp:/ });
  const [, to] = /'(rtmp:[^']+)'/.exec(await line.innerText());
  await part("Stream keys").getByRole("listitem").filter({ hasText: name }).waitFor();
  await part("Stream keys").getByText("gets ready").waitFor({ state: "detached" });
  return to;
}

async function deleteKey(name) {
  await press(`Delete: ${name}`, part("Stream keys"));
  await press("Delete", part("Stream keys"));
  await sees(`${name} is deleted`, part("Stream keys"));
}

/** Waits until the panel tells of the picture that is sent. */
const live = async () => {
  const from = Date.now();
  await sees("640 × 360", part("On air"));
  await part("On air").getByText("Nobody publishes now").waitFor({ state: "detached" });
  return Date.now() - from;
};

const openPicture = async () => {
  await press(`Watch ${handle}`);
  await playing();
  const hls = (await page.getByRole("group", { name: `Picture of ${handle}` }).locator("code", { hasText: "/index.m3u8" }).textContent()).trim();
  return { hls, edge: new URL(await page.locator("iframe").getAttribute("src")).origin };
};

try {
  // The first administrator.
  await page.goto(link.href, { waitUntil: "domcontentloaded" });
  await fill("Name to sign in with", boss);
  await fill("Password", PASSWORD);
  await press("Create the account");
  await sees("Signed in as");

  // A passkey, and in again with it alone.
  await press("New passkey", part("Passkeys"));
  await fill("Where it is kept", "Laptop", part("Passkeys"));
  await fill("Your password", "not the password", part("Passkeys"));
  await press("Make the passkey", part("Passkeys"));
  await part("Passkeys").locator("[name='password'][aria-invalid='true']").waitFor();
  await shot("passkey-new");
  await fill("Your password", PASSWORD, part("Passkeys"));
  await press("Make the passkey", part("Passkeys"));
  await sees("Laptop signs you in from now on", part("Passkeys"));
  await shot("passkey");
  await press("Sign out", page.locator(".me"));
  await unlocked(false);
  await press("Sign in with a passkey");
  await sees("It was cancelled");
  await shot("passkey-cancelled");
  await unlocked(true);
  const from = Date.now();
  await press("Sign in with a passkey");
  await sees("Signed in as");
  const passkey_ms = Date.now() - from;
  await sees("by passkey", part("Sessions"));
  await part("Passkeys").getByText(/^used /).waitFor();
  await page.getByRole("link", { name: "Channels", exact: true }).click();
  await sees("No channel yet");
  await shot("none");

  // A channel.
  await press("Make the first");
  await fill("Name", "no such name");
  await press("Make the channel");
  await page.locator("[name='handle'][aria-invalid='true']").waitFor();
  await shot("wrong");
  await fill("Name", handle);
  await fill("Title (may stay empty)", "The evening show");
  await press("Make the channel");
  await sees("Nobody publishes now", part("On air"));
  await shot("made");
  await fill("Name of a new member", "nobody-of-this-name");
  await press("Let them in");
  await part("Members").locator("[aria-invalid='true']").waitFor();

  // A broadcast is planned, and a server that gets it too; its secret is not shown again.
  await sees("Nothing is planned", part("Broadcasts"));
  await press("Plan a broadcast", part("Broadcasts"));
  await fill("What is on", "Opening night", part("Broadcasts"));
  await press("Plan it", part("Broadcasts"));
  await sees("begins when the channel is published next", part("Broadcasts"));
  await press("New target", part("Send on to others"));
  await fill("What it is called", "Elsewhere", part("Send on to others"));
  await fill("Address with its key", "rtmp://127.0.0.1:9/app/s3cret-key", part("Send on to others"));
  await press("Send on to it", part("Send on to others"));
  await sees("rtmp://127.0.0.1:9/app/***", part("Send on to others"));
  await shot("planned");

  // Published by a key, on air by itself, and watched.
  const first = publish(await makeKey("Encoder one"));
  await shot("key");
  const live_ms = await live();
  await press("I have kept it");
  const begun = Date.now();
  await page.getByRole("group", { name: "On air: Opening night", exact: true }).getByText("On air", { exact: true }).waitFor();
  const on_air_ms = Date.now() - begun;
  await part("Send on to others").getByText("Retrying").waitFor();
  await page.reload({ waitUntil: "domcontentloaded" });
  await live();
  const { edge, hls } = await openPicture();
  const pace_s = await pace();
  await shot("watching");
  await fill("What happens now", "Kick-off", part("Broadcasts"));
  await press("Mark this moment", part("Broadcasts"));
  const marked_ms = await eventually("the marker in the playlist", async () => (await dateRanges(hls)).find((line) => line.includes('X-LABEL="Kick-off"')));
  const [marker] = await dateRanges(hls);
  await sees("“Kick-off” is marked", part("Broadcasts"));
  await part("Broadcasts").getByText("on its way").waitFor({ state: "detached" });
  await shot("marked");

  // A clip of it: cut, played, had as a file, and deleted.
  const clips = part("Broadcasts").locator("details", { hasText: "Clips of Opening night" });
  await clips.locator("summary").click();
  await press("Clip", clips);
  await fill("What it is called", "The goal", clips);
  await press("Cut it", clips);
  await sees("“The goal” is cut", clips);
  await press("Play: The goal", clips);
  const clip = page.frameLocator(`iframe[title="Clip The goal"]`).locator("video");
  const clip_ms = await eventually("a clip that plays", async () => (await clip.evaluate((node) => node.videoWidth && node.currentTime, undefined, { timeout: 500 }).catch(() => 0)) > 0);
  const file = await fetch(await clips.getByRole("link", { name: "Download The goal" }).getAttribute("href"));
  const clip_bytes = (await file.arrayBuffer()).byteLength;
  if (!file.ok || !file.headers.get("content-disposition").startsWith("attachment;")) throw new Error(`no file: ${file.status}`);
  await shot("clip");
  await press("Close: The goal", clips);
  await press("Delete: The goal", clips);
  await press("Delete", clips);
  await sees("“The goal” is deleted", clips);
  await sees("None yet", clips);

  // The key is deleted: who publishes by it goes.
  const before = first.ended;
  await deleteKey("Encoder one");
  const publisher_ended_ms = await eventually("the end of ffmpeg", () => first.ended !== null);
  const publisher_code = first.ended;
  await sees("Nobody publishes now", part("On air"));
  const left = Date.now();
  await part("Broadcasts").getByText("Encoder away").waitFor();
  const away_ms = Date.now() - left;
  await shot("key-deleted");
  await press(`Close the picture of ${handle}`);

  // By another, and everybody is sent away who watches.
  const second = publish(await makeKey("Encoder two"));
  await live();
  await part("Broadcasts").getByText("Encoder away").waitFor({ state: "detached" });
  await page.getByRole("group", { name: "On air: Opening night", exact: true }).waitFor();
  const watched = await openPicture();
  const opened = await status(watched.hls);
  await press(`Send everybody away: who watches ${handle}`);
  await shot("sending-away");
  await press("Send everybody away", part("Members"));
  await sees("is sent away", part("Members"));
  const shut_ms = await eventually("403", async () => (await status(watched.hls)) === 403);
  const stopped_ms = await eventually("a picture that stands", async () => (await pace()) === 0);
  await sees("This stream is not open to everybody", page.frameLocator("iframe"));
  await shot("sent-away");

  // Where members watch from is said as the core reads it, or refused.
  const policy = async (networks) => {
    await fill("From where members watch", networks, part("Playback policy"));
    await press("Save", part("Playback policy"));
  };
  await policy("192.0.2.0/024");
  await sees("Is an address or a network", part("Playback policy"));
  await policy("::ffff:192.0.2.0/120");
  await sees("write it as IPv4", part("Playback policy"));
  // The title is another version of the channel: what is being written of the policy stays, and is saved all the same.
  const renamed = page.getByRole("form", { name: /^Title of / });
  await fill("Title", "The late show", renamed);
  await renamed.getByRole("button").click();
  await sees("The title is saved", renamed);
  await policy("127.0.0.0/8\n::1");
  await sees("It is saved", part("Playback policy"));
  await shot("policy");

  // Whoever may watch comes back. A token that is nearly over is followed by another, and the picture goes on with that.
  await press(`Close the picture of ${handle}`);
  const soon = async (route) => {
    const reply = await route.fetch();
    const given = await reply.json();
    given.token.lasts_s = 0;
    await route.fulfill({ response: reply, json: given });
  };
  await page.route("**/playback", soon);
  const again = await openPicture();
  await page.unroute("**/playback", soon);
  const reopened = await status(again.hls);
  const asked = [];
  page.on("request", (request) => asked.push(request.url()));
  await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  const tokenOf = (url) => /token=([^/]*)/.exec(url)?.[1];
  const address = page.getByRole("group", { name: `Picture of ${handle}` }).locator("code", { hasText: "/index.m3u8" });
  const renewed_ms = await eventually("another token", async () => tokenOf(await address.textContent()) !== tokenOf(again.hls));
  const newest = tokenOf(await address.textContent());
  await eventually("media asked for with it", async () => asked.some((url) => tokenOf(url) === newest && /\.m4s|\.mp4/.test(url)));
  const watching = page.frames().find((frame) => frame !== page.mainFrame());
  const reopenings = await watching.evaluate(() => window.nexus.stats.reopened);
  if (reopenings !== 0) throw new Error(`the picture was opened anew ${reopenings} times for another token`);
  // What is closed is given back.
  await press(`Close the picture of ${handle}`);
  const given_back_ms = await eventually("403 after closing", async () => (await status(again.hls)) === 403);

  // The broadcast is over while its encoder goes on.
  await press("End: Opening night", part("Broadcasts"));
  await press("End", part("Broadcasts"));
  await sees("“Opening night” is over", part("Broadcasts"));
  await part("Broadcasts").getByText("1 broadcast over").click();
  await shot("over");
  await press("Delete: Elsewhere", part("Send on to others"));
  await press("Delete", part("Send on to others"));
  await sees("Nothing is sent on to Elsewhere", part("Send on to others"));

  // The end of it.
  const published = second.ended === null;
  await press("Delete the channel");
  await fill(`Type ${handle} to delete it`, handle);
  await shot("deleting");
  await press("Delete for good");
  await sees("The late show is deleted");
  await eventually("the end of ffmpeg with its channel", () => second.ended !== null);
  await shot("deleted");

  if (before !== null || !published) throw new Error(`ffmpeg ended before its time: ${first.said} ${second.said}`);
  // Requests that are refused are part of it; nothing else may be on the console.
  const errors = noted.console_errors.filter((text) => !text.startsWith("Failed to load resource"));
  const external = noted.external_requests.filter((url) => new URL(url).origin !== edge);
  console.log(JSON.stringify({
    boss, handle, passkey_ms, live_ms, on_air_ms, marked_ms, marker, clip_ms, clip_bytes, away_ms, pace_s, publisher_ended_ms, publisher_code, opened, shut_ms, stopped_ms, reopened, given_back_ms, renewed_ms,
    sideways_scroll: wide, console_errors: errors, external_requests: external,
  }));
} catch (error) {
  console.error(page.url(), await page.innerText("body").catch(() => "no page"), encoders.map(({ ended, said }) => ({ ended, said })));
  await shot("failed").catch(() => {});
  throw error;
} finally {
  for (const encoder of encoders) encoder.stop();
  await browser.close();
}
