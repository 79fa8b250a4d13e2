// Tokens that are bound to a key (DPoP), by openid-client, and what a page of another site may read; prints one line of JSON.
//
//   node e2e/bound.mjs INVITE_LINK
//
// INVITE_LINK is what a server that has no administrator yet prints as "administrator". Fails at the first step that does not
// come about.
import { createServer } from "node:http";
import * as client from "openid-client";
import { launch } from "./browser.mjs";

const [invite] = process.argv.slice(2);
if (!invite) {
  console.error("usage: node e2e/bound.mjs INVITE_LINK");
  process.exit(2);
}
const gateway = new URL(invite).origin;
const issuer = new URL("/api/auth-service-v2/v1", gateway);
const EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS = "urn:ietf:params:oauth:token-type:access_token";
const back = "https://app.example/cb";

function same(what, is, wanted) {
  if (JSON.stringify(is) !== JSON.stringify(wanted)) throw new Error(`${what}: ${JSON.stringify(is)} instead of ${JSON.stringify(wanted)}`);
}

async function refused(what, error, doing) {
  const said = await doing.then(() => "nothing was wrong", (e) => e.error ?? e.cause?.error ?? String(e));
  same(what, said, error);
}

let nth = 0;
async function ask(path, body, headers = {}) {
  const all = { "Content-Type": "application/json", "Idempotency-Key": `bound-${(nth += 1)}`, ...headers };
  const reply = await fetch(new URL(path, gateway), { method: body ? "POST" : "GET", headers: all, redirect: "manual", ...(body ? { body: JSON.stringify(body) } : {}) });
  return { status: reply.status, location: reply.headers.get("location"), body: await reply.json().catch(() => null) };
}

const signUp = async (handle, more) => (await ask("/api/auth-service/v1/signup", { handle, password: "correct horse battery", ...more })).body.access_token;
const root = await signUp("root", { invite: new URLSearchParams(new URL(invite).hash.slice(1)).get("invite") });
const ada = await signUp("ada");
const register = async (about) => {
  const { status, body } = await ask("/api/auth-service-v2/v1/clients", about, { Authorization: `Bearer ${root}` });
  same("registered", [status, body?.detail], [201, undefined]);
  return body;
};
const page = await register({ name: "Page", public: true, redirect_uris: [back], scopes: ["openid", "watch", "offline_access"],
  grants: ["authorization_code", "refresh_token"], dpop_bound_access_tokens: true });
const robot = await register({ name: "Robot", scopes: ["watch"], grants: ["client_credentials", EXCHANGE] });
const discover = (of, auth) => client.discovery(issuer, of.id, of.client_secret, auth, { execute: [client.allowInsecureRequests] });
const [config, machine] = [await discover(page, client.None()), await discover(robot)];
const [own, thief] = [client.getDPoPHandle(config, await client.randomDPoPKeyPair("ES256")), client.getDPoPHandle(config, await client.randomDPoPKeyPair("Ed25519"))];

/** The address that an app gets its code at, with what it must show for it; ada allows it by hand. */
async function code(pushed) {
  const verifier = client.randomPKCECodeVerifier();
  const wish = { redirect_uri: back, scope: "openid watch offline_access", state: "s", code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: "S256" };
  const url = pushed ? await client.buildAuthorizationUrlWithPAR(config, wish, { DPoP: own }) : client.buildAuthorizationUrl(config, wish);
  const asked = await fetch(url, { redirect: "manual" });
  const request = new URLSearchParams(asked.headers.get("location").split("#")[1]).get("authorize");
  const { body } = await ask("/api/auth-service-v2/v1/requests/allow", { request }, { Authorization: `Bearer ${ada}` });
  return [new URL(body.location), { pkceCodeVerifier: verifier, expectedState: "s", idTokenExpected: true }];
}

await refused("no proof", "invalid_dpop_proof", client.authorizationCodeGrant(config, ...(await code(false))));
await refused("another key than was pushed", "invalid_dpop_proof", client.authorizationCodeGrant(config, ...(await code(true)), undefined, { DPoP: thief }));
const tokens = await client.authorizationCodeGrant(config, ...(await code(true)), undefined, { DPoP: own });
same("kind", tokens.token_type, "dpop");
const info = new URL("userinfo", `${issuer.href}/`);
const get = (token, DPoP) => client.fetchProtectedResource(config, token, info, "GET", undefined, undefined, { DPoP }).then((r) => r.status, (e) => e.status ?? e.cause?.status ?? String(e));
same("by its holder", [await get(tokens.access_token, own), await get(tokens.access_token, own)], [200, 200]);
// Whose proofs are good, for what is theirs.
const theirs = await client.authorizationCodeGrant(config, ...(await code(false)), undefined, { DPoP: thief });
same("by another holder", await get(theirs.access_token, thief), 200);
same("by who stole it", await get(tokens.access_token, thief), 401);
same("stolen, as Bearer", (await ask(info.href, null, { Authorization: `Bearer ${tokens.access_token}` })).status, 401);
await refused("renewed by who stole it", "invalid_grant", client.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP: thief }));
const next = await client.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP: own });
same("renewed", await get(next.access_token, own), 200);

// One proof, shown twice.
let proof;
const spied = await client.discovery(issuer, page.id, undefined, client.None(), { execute: [client.allowInsecureRequests] });
spied[client.customFetch] = (url, options) => {
  proof = new Headers(options.headers).get("dpop") ?? proof;
  return fetch(url, options);
};
const pair = await client.randomDPoPKeyPair("Ed25519");
const spy = client.getDPoPHandle(spied, pair);
const second = await client.authorizationCodeGrant(spied, ...(await code(false)), undefined, { DPoP: spy });
await client.fetchProtectedResource(spied, second.access_token, info, "GET", undefined, undefined, { DPoP: spy });
const replayed = await ask(info.href, null, { Authorization: `DPoP ${second.access_token}`, DPoP: proof });
same("a proof again", [replayed.status, replayed.body.detail], [401, "the proof came before: each request needs one of its own"]);

// Programs.
const key = client.getDPoPHandle(machine, await client.randomDPoPKeyPair("ES256"));
const mine = await client.clientCredentialsGrant(machine, { scope: "watch" }, { DPoP: key });
const known = await client.tokenIntrospection(machine, mine.access_token);
same("known", [known.token_type, typeof known.cnf.jkt], ["DPoP", "string"]);
const handed = await client.genericGrantRequest(machine, EXCHANGE, { subject_token: ada, subject_token_type: ACCESS, scope: "watch" }, { DPoP: key });
same("handed on", handed.token_type, "dpop");

// A page of another site reads how apps get tokens, and nothing else.
const site = createServer((_, reply) => reply.setHeader("content-type", "text/html").end("<!doctype html><title>elsewhere</title>"));
await new Promise((done) => site.listen(0, "127.0.0.1", done));
const browser = await launch();
try {
  const tab = await browser.newPage();
  await tab.goto(`http://localhost:${site.address().port}/`);
  const reads = await tab.evaluate(async ([issuer, gateway, token]) => {
    const read = (url, options) => fetch(url, options).then((r) => r.status, () => "nothing");
    const form = new URLSearchParams({ grant_type: "authorization_code", client_id: "app_none" });
    const bearer = { Authorization: `Bearer ${token}` };
    return {
      discovery: await read(`${issuer}/.well-known/openid-configuration`),
      keys: await read(`${gateway}/api/token-mgr/v1/.well-known/jwks.json`),
      token: await read(`${issuer}/token`, { method: "POST", body: form, headers: { DPoP: "x" } }),
      userinfo: await read(`${issuer}/userinfo`, { headers: bearer }),
      introspect: await read(`${issuer}/introspect`, { method: "POST", body: form, headers: bearer }),
      sessions: await read(`${gateway}/api/session-mgr/v1/sessions`, { headers: bearer }),
      apps: await read(`${issuer}/clients`, { headers: bearer }),
    };
  }, [issuer.href, gateway, ada]);
  same("a page of another site", reads, { discovery: 200, keys: 200, token: 401, userinfo: 200, introspect: "nothing", sessions: "nothing", apps: "nothing" });
  console.log(JSON.stringify(reads));
} finally {
  await browser.close();
  site.close();
}
