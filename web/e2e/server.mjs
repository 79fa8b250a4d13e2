// Uses the page of the server as an operator would, and prints one line of JSON with what came of it.
//
//   node e2e/server.mjs INVITE_LINK [--screenshots DIR] [--width 1280] [--dark]
//
// INVITE_LINK is what a server that has no administrator yet prints as "administrator"; it writes mail into its folder. Becomes
// the administrator, asks for a link by mail and follows it from the page, has a schedule run, fail, wait and go on, looks for
// settings, and goes through all pages by their navigation, by keyboard, in light and dark; then signs somebody up who is no
// operator and sees none of it. Fails at the first step that does not come about.
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
  console.error("usage: node e2e/server.mjs INVITE_LINK [--screenshots DIR] [--width 1280] [--dark]");
  process.exit(2);
}

const PASSWORD = "correct horse battery";
const at = (path) => new URL(path, invite).href;
const wide = [];
let nth = 0;
const browser = await launch();

async function person() {
  const context = await browser.newContext({ viewport: { width: Number(values.width), height: 900 }, colorScheme: values.dark ? "dark" : "light" });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const noted = audit(page, invite);
  const shot = async (name) => {
    if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)) wide.push(name);
    if (!values.screenshots) return;
    mkdirSync(values.screenshots, { recursive: true });
    await page.screenshot({ path: join(values.screenshots, `server-${String((nth += 1)).padStart(2, "0")}-${name}.png`), fullPage: true });
  };
  const press = (name, within = page) => within.getByRole("button", { name, exact: true }).click();
  const fill = (label, text, within = page) => within.getByLabel(label, { exact: true }).fill(text);
  const sees = (text, within = page, how = {}) => within.getByText(text, how).first().waitFor();
  const open = (path) => page.goto(at(path), { waitUntil: "domcontentloaded" });
  const links = () => page.getByRole("navigation", { name: "Pages" }).getByRole("link").allInnerTexts();
  return { page, noted, shot, press, fill, sees, open, links };
}

function same(what, is, wanted) {
  if (JSON.stringify(is) !== JSON.stringify(wanted)) throw new Error(`${what}: ${JSON.stringify(is)} instead of ${JSON.stringify(wanted)}`);
}

const boss = await person();
const guest = await person();
try {
  const { page, press, fill, sees, shot } = boss;
  await page.goto(invite, { waitUntil: "domcontentloaded" });
  await fill("Name to sign in with", "boss");
  await fill("Password", PASSWORD);
  await press("Create the account");
  await page.getByRole("link", { name: "boss" }).waitFor();

  // Every page says where one is and leads to the others, by keyboard too.
  const all = ["Streams", "Channels", "Recordings", "People", "Errors", "Server"];
  for (const name of all) {
    await page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name, exact: true }).press("Enter");
    await page.locator(`nav a[aria-current="page"]`, { hasText: name }).waitFor();
    await page.getByRole("link", { name: "boss", exact: true }).waitFor();
    same(`the links of ${name}`, await boss.links(), [...all, "boss"]);
    await shot(`page-${name.toLowerCase()}`);
  }

  // Jobs: none, one that is done again and again, one that fails.
  await sees("Nothing is scheduled");
  await sees("Nothing: whatever services had to do is done");
  const schedule = async (service, path) => {
    await fill("When", "0 0 1 1 *");
    await fill("Time zone", "UTC");
    await page.getByLabel("Service", { exact: true }).selectOption(service);
    await fill("Path", path);
    await press("Make the schedule");
  };
  await press("Make the first");
  await schedule("token-mgr", "/v1/keys/rotate");
  const good = page.getByRole("article", { name: "token-mgr/v1/keys/rotate" });
  await good.waitFor();
  await good.getByText("Runs", { exact: true }).click();
  await sees("It has not run yet", good);
  await press("Run now: token-mgr/v1/keys/rotate");
  await sees("Done", good);
  await sees("1 run", good);
  await press("Pause: token-mgr/v1/keys/rotate");
  await sees("Paused", good, { exact: true });
  await press("Run now: token-mgr/v1/keys/rotate");
  await sees("2 runs", good);
  await press("Go on: token-mgr/v1/keys/rotate");
  await good.getByText("Paused", { exact: true }).waitFor({ state: "detached" });
  await press("New schedule");
  await fill("When", "every day");
  await fill("Path", "/v1/no/such/thing");
  await page.getByLabel("Service", { exact: true }).selectOption("user-auth");
  await press("Make the schedule");
  await page.locator(`[name="cron"][aria-invalid="true"]`).waitFor();
  await shot("refused");
  await schedule("user-auth", "/v1/no/such/thing");
  const bad = page.getByRole("article", { name: "user-auth/v1/no/such/thing" });
  await press("Run now: user-auth/v1/no/such/thing");
  await bad.getByText("404").first().waitFor();
  await shot("jobs");
  await press("Delete: user-auth/v1/no/such/thing");
  await press("Delete", bad);
  await bad.waitFor({ state: "detached" });

  // Mail: a link that is followed from here.
  await page.getByRole("link", { name: "Mail", exact: true }).click();
  await sees("No mail yet");
  await boss.open("/account");
  const mail = page.getByRole("form", { name: "Address of mail" });
  await fill("Your address", "boss@example.org", mail);
  await fill("Your password", PASSWORD, mail);
  await press("Send the link", mail);
  await sees("A link was sent to boss@example.org");
  await boss.open("/server#mail");
  await page.getByRole("button", { name: /Confirm your address/ }).click();
  const link = page.getByRole("link", { name: /\/account#confirm=/ });
  await link.waitFor();
  await shot("mail");
  await link.click();
  await press("Confirm it");
  await sees("The address is confirmed");

  // Settings.
  await boss.open("/server#settings");
  const rows = page.locator("dl > div");
  await rows.first().waitFor();
  const settings = await rows.count();
  await page.getByRole("searchbox").fill("gateway.listen");
  await sees("NEXUS__GATEWAY__LISTEN");
  same("what fits", await rows.count(), 1);
  await page.getByRole("searchbox").fill("gateway.token");
  await sees('"***"');
  await shot("settings-found");
  await page.getByRole("searchbox").fill("");
  await page.getByLabel("only what is set").check();
  const set = await rows.count();
  await shot("settings");
  await page.getByRole("searchbox").fill("no such thing");
  await sees("Nothing fits");

  // Nobody in particular, and who is no operator.
  const kept = ["/api/scheduler/v1/schedules", "/api/auth-service/v1/mails", "/api/backend-api/v1/settings"];
  const answer = async (path, token) => {
    const reply = await fetch(at(path), { headers: token ? { Authorization: `Bearer ${token}` } : {} });
    return [reply.status, reply.headers.get("Cache-Control")];
  };
  const token = async (handle) => {
    const asked = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ handle, password: PASSWORD }) };
    return (await (await fetch(at("/api/auth-service/v1/login"), asked)).json()).access_token;
  };
  for (const path of kept) same(path, (await answer(path))[0], 401);
  await boss.open("/people");
  await press("Invite somebody");
  await press("Make the link");
  const handed = await page.locator("code", { hasText: "#invite=" }).innerText();
  await guest.page.goto(handed, { waitUntil: "domcontentloaded" });
  await guest.fill("Name to sign in with", "guest");
  await guest.fill("Password", PASSWORD);
  await guest.press("Create the account");
  await guest.page.getByRole("link", { name: "guest" }).waitFor();
  const [whole, part] = [await token("boss"), await token("guest")];
  for (const path of kept) {
    same(`${path} of an operator`, await answer(path, whole), [200, "no-store"]);
    same(`${path} of a viewer`, await answer(path, part), [403, "no-store"]);
  }
  same("links of a viewer", await guest.links(), ["Streams", "Channels", "Recordings", "guest"]);
  await guest.open("/server#mail");
  await guest.sees("Only operators can see the server");
  await guest.sees("signed in as guest");
  same("links of a viewer who is where they may not be", await guest.links(), ["Streams", "Channels", "Recordings", "Server", "guest"]);
  await guest.shot("not-for-all");

  const errors = [boss, guest].flatMap(({ noted }) => noted.console_errors).filter((text) => !text.startsWith("Failed to load resource"));
  const external = [boss, guest].flatMap(({ noted }) => noted.external_requests);
  console.log(JSON.stringify({ settings, set, sideways_scroll: wide, console_errors: errors, external_requests: external }));
} catch (error) {
  console.error(boss.page.url(), await boss.page.innerText("body").catch(() => "no page"));
  await boss.shot("failed").catch(() => {});
  throw error;
} finally {
  await browser.close();
}
