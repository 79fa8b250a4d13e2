// Uses the account page and the page of people as persons would, and prints one line of JSON with what came of it.
//
//   node e2e/account.mjs GATEWAY_URL [--mail DIR] [--screenshots DIR] [--width 1280] [--dark]
//
// With the folder that the server puts mail into, an address of mail is confirmed and signed in with too.
// For a server that has no administrator yet, asked from its own machine. Invites the first operator and accepts that,
// changes name and password, turns two-step verification on, makes and deletes an API key, signs out and in again with a
// recovery code, invites a viewer, changes their roles, resets and disables them; they make an organisation, which is joined, given a
// channel, handed over and ended; at last they are deleted. Fails at the first step that
// does not come about.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { audit, launch } from "./browser.mjs";
import { totp } from "./identity.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { mail: { type: "string" }, screenshots: { type: "string" }, width: { type: "string", default: "1280" }, dark: { type: "boolean", default: false } },
});
const [gateway] = positionals;
if (!gateway) {
  console.error("usage: node e2e/account.mjs GATEWAY_URL [--mail DIR] [--screenshots DIR] [--width 1280] [--dark]");
  process.exit(2);
}

const suffix = Date.now().toString(36);
const [boss, guest] = [`boss-${suffix}`, `guest-${suffix}`];
const [first, second, third] = ["correct horse battery", "another horse battery", "a third horse battery"];
const at = (path) => new URL(path, gateway).href;
const wide = [];
const browser = await launch();

async function person() {
  const context = await browser.newContext({ viewport: { width: Number(values.width), height: 900 }, colorScheme: values.dark ? "dark" : "light" });
  const page = await context.newPage();
  page.setDefaultTimeout(10_000);
  const noted = audit(page, gateway);
  const shot = async (name) => {
    if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)) wide.push(name);
    if (!values.screenshots) return;
    mkdirSync(values.screenshots, { recursive: true });
    await page.screenshot({ path: join(values.screenshots, `${name}.png`), fullPage: true });
  };
  const press = (name, within = page) => within.getByRole("button", { name, exact: true }).click();
  const fill = (label, text, within = page) => within.getByLabel(label, { exact: true }).fill(text);
  const sees = (text, within = page) => within.getByText(text).first().waitFor();
  const part = (name) => page.getByRole("region", { name, exact: true });
  const focused = () => page.evaluate(() => document.activeElement?.getAttribute("name") ?? document.activeElement?.getAttribute("role") ?? document.activeElement?.tagName);
  const open = (path) => page.goto(at(path), { waitUntil: "domcontentloaded" });
  return { page, noted, shot, press, fill, sees, part, focused, open };
}

function same(what, is, wanted) {
  if (is !== wanted) throw new Error(`${what}: ${is} instead of ${wanted}`);
}

/** The link in the mail that comes. */
async function mailed(kind) {
  for (let tries = 0; tries < 100; tries += 1) {
    const [name] = existsSync(values.mail) ? readdirSync(values.mail) : [];
    if (name) {
      const file = join(values.mail, name);
      // Long lines go on behind an equals sign (RFC 2045 §6.7).
      const text = readFileSync(file, "utf8").replace(/=\r?\n/g, "").replace(/=3D/g, "=");
      const [link] = text.match(new RegExp(`http\\S+#${kind}=\\S+`)) ?? [];
      if (link) {
        rmSync(file);
        return link;
      }
    }
    await new Promise((done) => setTimeout(done, 100));
  }
  throw new Error(`no mail to ${kind}`);
}

const one = await person();
const two = await person();
try {
  // The first administrator.
  await one.open("/account");
  await one.sees("Nobody needs to sign in yet");
  await one.shot("account-nobody");
  await one.open("/people");
  await one.sees("Nobody has an account yet");
  await one.shot("people-nobody");
  await one.press("Invite somebody");
  await one.shot("people-inviting");
  await one.press("Make the link");
  const invited = async () => (await one.page.locator("code", { hasText: "#invite=" }).innerText()).trim();
  const link = await invited();
  await one.shot("people-invited");
  await one.page.goto(link, { waitUntil: "domcontentloaded" });
  await one.sees("this invitation makes you one");
  same("address", one.page.url(), at("/account"));
  await one.shot("account-first");
  await one.fill("Name to sign in with", "No Such Name");
  await one.fill("Password", "short");
  await one.press("Create the account");
  await one.page.locator("[aria-invalid='true']").first().waitFor();
  await one.shot("account-first-wrong");
  same("focus", await one.focused(), "handle");
  await one.fill("Name to sign in with", boss);
  await one.fill("Password", first);
  await one.press("Create the account");
  await one.sees("Signed in as");
  await one.shot("account-mine");

  // Their own things.
  await one.fill("Your name", "The Boss", one.part("Name"));
  await one.press("Save");
  await one.sees("The name is saved");
  await one.fill("Current password", "not the password");
  await one.fill("New password", second);
  await one.press("Change the password");
  await one.page.locator("[name='current'][aria-invalid='true']").waitFor();
  same("focus", await one.focused(), "current");
  await one.shot("account-password-wrong");
  await one.fill("Current password", first);
  await one.press("Change the password");
  await one.sees("The password is changed");

  const step = one.part("Two-step verification");
  await one.press("Set up", step);
  await one.fill("Your password", second, step);
  await one.press("Set up", step);
  await step.getByRole("img").waitFor();
  await one.shot("account-setup");
  const secret = (await step.locator("code").innerText()).trim();
  await one.fill("Code that the app shows", "000000", step);
  await one.press("Turn on", step);
  await step.locator("[aria-invalid='true']").waitFor();
  await one.fill("Code that the app shows", totp(secret), step);
  await one.press("Turn on", step);
  await one.sees("Recovery codes", step);
  const codes = await step.locator("li").allInnerTexts();
  await one.shot("account-codes");
  await one.press("I have kept them", step);
  await one.sees(`${codes.length} recovery codes left`, step);

  if (values.mail) {
    const mail = one.part("Mail");
    await one.fill("Your address", "boss@example.org", mail);
    await one.fill("Your password", second, mail);
    await one.press("Send the link", mail);
    await one.sees("A link was sent to boss@example.org", mail);
    await one.page.goto(await mailed("confirm"), { waitUntil: "domcontentloaded" });
    await one.press("Confirm it");
    await one.sees("The address is confirmed");
    await one.shot("account-mail-confirmed");
    await one.press("Go to the account page");
    await one.sees("boss@example.org", one.part("Mail"));
  }

  const keys = one.part("API keys");
  await one.press("New key", keys);
  await one.fill("What it is for", "Studio", keys);
  await one.shot("account-key-new");
  await one.press("Make the key", keys);
  await one.sees("shown only now", keys);
  await one.shot("account-key-made");
  await one.press("Done", keys);
  await one.press("Delete: Studio", keys);
  await one.press("Delete", keys);
  await one.sees("Studio is deleted", keys);

  // Out and in again.
  await one.press("Sign out", one.page.locator(".me"));
  await one.sees("An operator makes invitations");
  await one.press("Sign in with a passkey");
  await one.sees("Passkeys need a name: open http://localhost");
  await one.shot("account-signed-out");
  if (values.mail) {
    await one.press("Send me a link by mail");
    await one.fill("Address of your account", "boss@example.org");
    await one.press("Link to sign in");
    await one.sees("a link is on its way");
    await one.shot("account-mail-sent");
    await one.page.goto(await mailed("enter"), { waitUntil: "domcontentloaded" });
    await one.press("Sign in");
    await one.sees("Code of your authenticator app");
    await one.shot("account-mail-code");
  }
  await one.open("/people");
  await one.sees("Only operators can see people");
  await one.shot("people-signed-out");
  await one.open("/errors");
  await one.sees("This server wants you to sign in");
  await one.shot("errors-signed-out");
  await one.page.getByRole("alert").getByRole("link", { name: "Sign in" }).click();
  await one.sees("Then you go on to");
  await one.fill("Name", boss);
  await one.fill("Password", first);
  await one.press("Sign in");
  await one.page.getByRole("alert").waitFor();
  await one.shot("account-wrong");
  same("focus", await one.focused(), "alert");
  await one.fill("Password", second);
  await one.press("Sign in");
  await one.fill("Code of your authenticator app", "000000");
  await one.press("Go on");
  await one.page.locator("[name='code'][aria-invalid='true']").waitFor();
  await one.shot("account-code-wrong");
  await one.press("Use a recovery code");
  await one.fill("Recovery code", codes[0]);
  await one.press("Go on");
  await one.page.waitForURL(at("/errors"));
  await one.page.getByRole("link", { name: boss }).waitFor();
  await one.shot("errors-signed-in");

  // Others.
  await one.open("/people");
  await one.press("Invite somebody");
  await one.press("Make the link");
  const other = await invited();
  await one.press("Done");
  await two.page.goto(other, { waitUntil: "domcontentloaded" });
  await two.fill("Name to sign in with", guest);
  await two.fill("Your name (may stay empty)", "A Guest");
  await two.fill("Password", first);
  await two.shot("account-invited");
  await two.press("Create the account");
  await two.sees("Signed in as");
  await two.open("/people");
  await two.sees(`You are signed in as ${guest}`);
  await two.shot("people-viewer");

  await one.open("/people");
  const row = (handle) => one.page.getByRole("article", { name: handle, exact: true });
  const change = (handle) => row(handle).locator("[aria-expanded]").click();
  await row(guest).waitFor();
  await one.shot("people");
  await change(boss);
  await row(boss).getByRole("checkbox", { name: "operator" }).uncheck();
  await row(boss).getByRole("checkbox", { name: "viewer" }).check();
  await one.press("Save the roles", row(boss));
  await row(boss).getByRole("alert").waitFor();
  await one.shot("people-last-operator");
  await change(guest);
  await row(guest).getByRole("checkbox", { name: "creator" }).check();
  await one.press("Save the roles", row(guest));
  await one.sees("The roles are saved", row(guest));
  await one.press("Link to a new password", row(guest));
  const reset = (await one.page.locator("code", { hasText: "#reset=" }).innerText()).trim();
  await one.shot("people-reset");
  await one.press("Done", row(guest));
  await two.page.goto(reset, { waitUntil: "domcontentloaded" });
  await two.fill("New password", third);
  await two.shot("account-reset");
  await two.press("Use this password");
  await two.sees("The password is changed");
  await two.press("Sign in");
  await two.fill("Name", guest);
  await two.fill("Password", third);
  await two.press("Sign in");
  await two.sees("Signed in as");

  // An organisation: made, joined, given a channel, handed over, left and ended.
  const crew = `crew-${suffix}`;
  const [hers, theirs] = [two.part("Organisations"), one.part("Organisations")];
  await two.press("New organisation", hers);
  await two.fill("Short name", "c", hers);
  await two.press("Make the organisation", hers);
  await hers.locator("[name='handle'][aria-invalid='true']").waitFor();
  await two.fill("Short name", crew, hers);
  await two.fill("Name of the organisation (may stay empty)", "The Crew", hers);
  await two.shot("account-org-new");
  await two.press("Make the organisation", hers);
  await two.sees("The Crew is made", hers);
  await two.fill("Name of who is invited", "nobody-here", hers);
  await two.press("Invite", hers);
  await hers.locator("[name='handle'][aria-invalid='true']").waitFor();
  await two.fill("Name of who is invited", boss, hers);
  await hers.getByRole("radio", { name: /^manager/ }).check();
  await two.press("Invite", hers);
  await two.sees(`${boss} is invited, and finds that`, hers);
  await two.press(`Leave: ${crew}`, hers);
  await two.press("Leave", hers);
  await two.sees("nobody would be left who may decide about it", hers);
  await two.shot("account-org-owner");
  await one.open("/account");
  await one.sees("You are invited to", theirs);
  await one.shot("account-org-invited");
  await one.press(`Accept: ${crew}`, theirs);
  await one.sees("You are in The Crew", theirs);
  await two.open("/channels");
  await two.press("Make the first");
  await two.fill("Name", `show-${suffix}`);
  await two.page.getByRole("radio", { name: /^The Crew/ }).check();
  await two.shot("channels-org-new");
  await two.press("Make the channel");
  await two.sees("of The Crew");
  await two.shot("channels-org");
  await two.open("/account");
  await two.press(`Open: ${crew}`, hers);
  await hers.getByLabel(`Role of ${boss}`).selectOption("owner");
  await two.sees(`${boss} is owner`, hers);
  await two.shot("account-org-members");
  await two.press(`Leave: ${crew}`, hers);
  await two.press("Leave", hers);
  await two.sees("You have left The Crew", hers);
  await one.press(`Open: ${crew}`, theirs);
  await one.press("Delete the organisation", theirs);
  await one.fill(`Type ${crew} to delete it`, crew, theirs);
  await one.shot("account-org-deleting");
  await one.press("Delete for good", theirs);
  await one.sees("The Crew is deleted", theirs);
  await one.open("/channels");
  await one.sees("No channel yet");
  await one.open("/people");
  await row(guest).waitFor();
  await change(guest);

  // What there is of them: a copy, and the end, which is taken back.
  const data = two.part("Your data");
  await two.press("Ask for a copy", data);
  const [file] = await Promise.all([two.page.waitForEvent("download"), two.press("Download it", data)]);
  const whole = JSON.parse(readFileSync(await file.path(), "utf8"));
  same("handle in the copy", whole.services["auth-service"].handle, guest);
  await two.shot("account-copy");
  await two.press("Erase the account", data);
  await two.fill("Your password", first, data);
  await two.press("Erase it all", data);
  await data.locator("[name='password'][aria-invalid='true']").waitFor();
  await two.shot("account-erasing");
  await two.fill("Your password", third, data);
  await two.press("Erase it all", data);
  await two.sees("Your account is to be erased");
  await two.shot("account-erased");
  const keep = (await two.page.locator("code", { hasText: "#keep=" }).innerText()).trim();
  await two.page.goto(keep, { waitUntil: "domcontentloaded" });
  await two.page.reload({ waitUntil: "domcontentloaded" });
  await two.fill("Name", guest);
  await two.fill("Password", third);
  await two.press("Sign in");
  await two.sees("this account is shut out");
  await two.page.goto(keep, { waitUntil: "domcontentloaded" });
  await two.press("Take it back");
  await two.sees("The account stays");
  await two.shot("account-kept");
  await two.press("Go to the account page");
  await two.fill("Name", guest);
  await two.fill("Password", third);
  await two.press("Sign in");
  await two.sees("Signed in as");
  await one.press("Disable", row(guest));
  await one.sees("is disabled", row(guest));
  await two.page.reload({ waitUntil: "domcontentloaded" });
  await two.page.getByRole("button", { name: "Sign in", exact: true }).waitFor();
  await one.press("Delete", row(guest));
  await one.shot("people-deleting");
  await one.fill(`Type ${guest} to delete it`, guest);
  await one.press("Delete for good", row(guest));
  await one.sees(`${guest} is deleted`);
  await one.shot("people-deleted");

  // Requests that are refused are part of it; nothing else may be on the consoles.
  const errors = [one, two].flatMap(({ noted }) => noted.console_errors).filter((text) => !text.startsWith("Failed to load resource"));
  const external = [one, two].flatMap(({ noted }) => noted.external_requests);
  console.log(JSON.stringify({ boss, codes: codes.length, sideways_scroll: wide, console_errors: errors, external_requests: external }));
} catch (error) {
  for (const { page } of [one, two]) console.error(page.url(), await page.innerText("body").catch(() => "no page"));
  throw error;
} finally {
  await browser.close();
}
