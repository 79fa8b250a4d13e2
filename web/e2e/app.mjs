// An app of others, as its makers would write it with openid-client, and somebody who uses it in a browser; prints one line
// of JSON with what came of it.
//
//   node e2e/app.mjs INVITE_LINK [--screenshots DIR] [--width 1280] [--dark]
//
// INVITE_LINK is what a server that has no administrator yet prints as "administrator". Registers two apps, has somebody sign
// up and allow one, and goes through every way to get tokens; lets it be told who signs out, for which the server must be
// allowed to post to this machine. Fails at the first step that does not come about.
import { mkdirSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createRemoteJWKSet, jwtVerify } from "jose";
import * as client from "openid-client";
import { launch } from "./browser.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { screenshots: { type: "string" }, width: { type: "string", default: "1280" }, dark: { type: "boolean", default: false } },
});
const [invite] = positionals;
if (!invite) {
  console.error("usage: node e2e/app.mjs INVITE_LINK [--screenshots DIR] [--width 1280] [--dark]");
  process.exit(2);
}

const gateway = new URL(invite).origin;
const issuer = new URL("/api/auth-service-v2/v1", gateway);
const DEVICE = "urn:ietf:params:oauth:grant-type:device_code";
const EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS = "urn:ietf:params:oauth:token-type:access_token";
const password = "correct horse battery";
const wide = [];
const errors = [];
let nth = 0;

function same(what, is, wanted) {
  if (JSON.stringify(is) !== JSON.stringify(wanted)) throw new Error(`${what}: ${JSON.stringify(is)} instead of ${JSON.stringify(wanted)}`);
}

async function refused(what, error, doing) {
  const said = await doing.then(() => "nothing was wrong", (e) => e.error ?? e.cause?.error ?? String(e));
  same(what, said, error);
}

/** Asks the API with an access token. */
async function ask(token, method, path, body) {
  const headers = { "Content-Type": "application/json", "Idempotency-Key": `app-${(nth += 1)}`, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  const reply = await fetch(new URL(path, gateway), { method, headers, ...(body ? { body: JSON.stringify(body) } : {}) });
  return { status: reply.status, body: await reply.json().catch(() => null) };
}

// The app: where people come back to, and where it is told who has signed out.
const came = [];
const told = [];
const app = createServer((request, response) => {
  if (request.method === "POST") {
    let text = "";
    request.on("data", (part) => (text += part));
    request.on("end", () => {
      told.push(new URLSearchParams(text).get("logout_token"));
      response.end();
    });
    return;
  }
  if (request.url.startsWith("/cb")) came.push(request.url);
  response.setHeader("Content-Type", "text/html");
  response.end(`<!doctype html><title>app</title><p>Back at the app: ${request.url.split("?")[0]}</p>`);
});
await new Promise((done) => app.listen(0, "127.0.0.1", done));
// A name that makes it another site than the server.
const home = `http://localhost:${app.address().port}`;
const until = async (what, look) => {
  for (let tries = 0; tries < 200; tries += 1) {
    const seen = await look();
    if (seen) return seen;
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error(`not seen: ${what}`);
};

const browser = await launch();
const context = await browser.newContext({ viewport: { width: Number(values.width), height: 900 }, colorScheme: values.dark ? "dark" : "light" });
const page = await context.newPage();
page.setDefaultTimeout(15_000);
page.on("pageerror", (error) => errors.push(String(error)));
page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
const shot = async (name) => {
  if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)) wide.push(name);
  if (!values.screenshots) return;
  mkdirSync(values.screenshots, { recursive: true });
  await page.screenshot({ path: join(values.screenshots, `app-${name}.png`), fullPage: true });
};
const press = (name) => page.getByRole("button", { name, exact: true }).click();
const fill = (label, text) => page.getByLabel(label, { exact: true }).fill(text);
const sees = (text) => page.getByText(text).first().waitFor();

try {
  // An operator registers what asks.
  const invited = new URLSearchParams(new URL(invite).hash.slice(1)).get("invite");
  const root = (await ask(null, "POST", "/api/auth-service/v1/signup", { handle: "root", password, invite: invited })).body.access_token;
  const register = async (about) => {
    const { status, body } = await ask(root, "POST", "/api/auth-service-v2/v1/clients", about);
    same("registered", [status, body?.detail], [201, undefined]);
    return body;
  };
  const club = await register({
    name: "Club TV", redirect_uris: [`${home}/cb`], post_logout_redirect_uris: [`${home}/bye`], backchannel_logout_uri: `${home}/told`,
    scopes: ["openid", "profile", "offline_access", "watch"], grants: ["authorization_code", "refresh_token", DEVICE],
  });
  const robot = await register({ name: "Robot", scopes: ["watch", "publish"], grants: ["client_credentials", EXCHANGE], id_token_alg: "EdDSA" });
  const discover = (of) => client.discovery(issuer, of.id, of.client_secret, undefined, { execute: [client.allowInsecureRequests] });
  const [config, machine] = [await discover(club), await discover(robot)];
  same("PKCE", config.serverMetadata().supportsPKCE(), true);

  /** Sends the browser to be asked, and waits until it is back; `between` is what somebody does there. */
  async function authorize(more, between, pushed = false) {
    const verifier = client.randomPKCECodeVerifier();
    const [state, nonce] = [client.randomState(), client.randomNonce()];
    const wish = { redirect_uri: `${home}/cb`, scope: "openid profile watch offline_access", state, nonce,
      code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: "S256", ...more };
    const url = pushed ? await client.buildAuthorizationUrlWithPAR(config, wish) : client.buildAuthorizationUrl(config, wish);
    const before = came.length;
    // The page may send the browser on before it is whole.
    await page.goto(url.href, { waitUntil: "commit" });
    await between?.();
    const back = await until("back at the app", () => came[before]);
    // The app has it before the browser is there: sent on meanwhile, that would go nowhere.
    await page.waitForURL((at) => at.searchParams.get("state") === state && at.origin === home);
    const checks = { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true, ...(more.max_age ? { maxAge: more.max_age } : {}) };
    return () => client.authorizationCodeGrant(config, new URL(back, home), checks);
  }

  // Somebody who has no account yet is asked, and says no, then yes.
  const no = await authorize({}, async () => {
    await sees("Sign in first");
    await shot("sign-in");
    await press("Create an account");
    await fill("Name to sign in with", "ada");
    await fill("Password", password);
    await press("Create the account");
    await sees("Club TV asks you");
    await shot("asks");
    await press("Do not allow");
  });
  await refused("said no", "access_denied", no());
  const yes = await authorize({}, async () => {
    await sees("Club TV asks you");
    await press("Allow");
  });
  const tokens = await yes();
  const ada = tokens.claims();
  same("claims", [ada.preferred_username, ada.name, ada.iss, ada.aud], ["ada", "ada", issuer.href, club.id]);
  await refused("a code again", "invalid_grant", yes());
  await refused("and what it gave", "invalid_grant", client.refreshTokenGrant(config, tokens.refresh_token));

  // Known, it is not asked again; pushed; asked once more; never where nobody may be asked.
  const again = await (await authorize({}))();
  const pushed = await (await authorize({ scope: "openid" }, undefined, true))();
  same("pushed", pushed.scope, "openid");
  const asked = await authorize({ prompt: "consent" }, async () => {
    await sees("Club TV asks you");
    await press("Allow");
  });
  await asked();
  const silent = await (await authorize({ prompt: "none" }))();
  same("silent", silent.claims().sub, ada.sub);
  const anew = await authorize({ prompt: "login", max_age: 300 }, async () => {
    await sees("wants to be sure that it is you");
    await shot("sign-in-again");
    await fill("Name", "ada");
    await fill("Password", password);
    await press("Sign in");
  });
  await anew();
  const stranger = await browser.newContext();
  const other = await stranger.newPage();
  const before = came.length;
  await other.goto(client.buildAuthorizationUrl(config, { redirect_uri: `${home}/cb`, scope: "openid", prompt: "none", state: "s",
    code_challenge: await client.calculatePKCECodeChallenge("x".repeat(43)), code_challenge_method: "S256" }).href);
  await until("the stranger is back", () => came[before]);
  same("nobody is signed in", new URL(came[before], home).searchParams.get("error"), "login_required");
  await stranger.close();

  // What the tokens are good for.
  const info = await client.fetchUserInfo(config, again.access_token, ada.sub);
  same("userinfo", info.name, "ada");
  same("watches", (await ask(again.access_token, "GET", "/api/streaming-service-v2/v1/channels")).status, 200);
  same("publishes not", (await ask(again.access_token, "POST", "/api/streaming-service-v2/v1/channels", { handle: "club" })).status, 403);
  for (const [method, path] of [["GET", "/api/session-mgr/v1/sessions"], ["POST", "/api/token-mgr/v1/api-keys"], ["DELETE", `/api/user-auth/v1/users/${ada.sub}`],
    ["POST", "/api/auth-service/v1/password"], ["GET", "/api/auth-service-v2/v1/apps"], ["POST", "/api/auth-service-v2/v1/requests/allow"]]) {
    same(`${method} ${path}`, (await ask(again.access_token, method, path, method === "POST" ? {} : undefined)).status, 403);
  }
  const renewed = await client.refreshTokenGrant(config, again.refresh_token);
  same("same person", renewed.claims().sub, ada.sub);
  same("active", (await client.tokenIntrospection(config, renewed.access_token)).username, "ada");
  await client.tokenRevocation(config, renewed.refresh_token);
  same("revoked", (await client.tokenIntrospection(config, renewed.access_token)).active, false);
  await refused("over", "invalid_grant", client.refreshTokenGrant(config, renewed.refresh_token));

  // A television.
  const tv = await client.initiateDeviceAuthorization(config, { scope: "openid watch" });
  await page.goto(tv.verification_uri, { waitUntil: "domcontentloaded" });
  await fill("Code", "BBBB BBBB");
  await press("Go on");
  await sees("no app waits with this code");
  await shot("device");
  await fill("Code", tv.user_code.toLowerCase());
  await press("Go on");
  await sees("Club TV asks you");
  await shot("device-asks");
  await press("Allow");
  await sees("Look at the other screen");
  const shown = await client.pollDeviceAuthorizationGrant(config, { ...tv, interval: 1 });
  same("television", shown.scope, "openid watch");

  // Programs.
  const own = await client.clientCredentialsGrant(machine, { scope: "watch" });
  same("own", (await client.tokenIntrospection(machine, own.access_token)).sub, robot.id);
  await refused("too much", "invalid_scope", client.clientCredentialsGrant(machine, { scope: "operate" }));
  const exchange = (token, scope) => client.genericGrantRequest(machine, EXCHANGE, { subject_token: token, subject_token_type: ACCESS, scope });
  const handed = await exchange(silent.access_token, "watch");
  same("handed on", (await client.tokenIntrospection(machine, handed.access_token)).sub, ada.sub);
  await refused("handed on too much", "invalid_scope", exchange(silent.access_token, "publish"));

  // Among one's things: the app, and its sessions.
  await page.goto(new URL("/account", gateway).href, { waitUntil: "domcontentloaded" });
  await sees("It may know who you are here");
  await shot("account");

  // Out: the browser is asked and comes back, and the app is told.
  const bye = client.buildEndSessionUrl(config, { id_token_hint: silent.id_token, post_logout_redirect_uri: `${home}/bye`, state: "z" });
  await page.goto(bye.href, { waitUntil: "domcontentloaded" });
  await sees("Sign out?");
  await shot("sign-out");
  await press("Sign out");
  await page.waitForURL(`${home}/bye?state=z`);
  const keys = createRemoteJWKSet(new URL(config.serverMetadata().jwks_uri));
  // Everything that ada had signed in to after she had last signed in: the session of the television, and the last of the browser.
  const word = await until("told who is gone", () => told.at(-1));
  const { payload, protectedHeader } = await jwtVerify(word, keys, { issuer: issuer.href, audience: club.id, typ: "logout+jwt" });
  same("who is gone", [payload.sub, typeof payload.sid, protectedHeader.alg], [ada.sub, "string", "RS256"]);
  await until("the session of the television is over", async () => !(await client.tokenIntrospection(config, shown.access_token)).active);

  console.log(JSON.stringify({ sideways_scroll: wide, page_errors: errors.filter((e) => !/\b(401|403|404)\b/.test(e)), told: told.length, came: came.length }));
} finally {
  await browser.close();
  app.close();
}
