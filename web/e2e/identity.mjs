// The part of the stand-in server (mock.mjs) that knows accounts: people, sessions, second steps, keys and invitations,
// all in memory. Nothing here is secret, and passwords are kept as they are. For development only.
import { createHmac, randomBytes, randomUUID } from "node:crypto";

const REFRESH_COOKIE = "nexus_refresh";
const ACCESS_S = 300;
const DAY_S = 86_400;
const PAGE_MAX = 4;
const TRIES_MAX = 5;
const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

const ago = (s) => new Date(Date.now() - s * 1000).toISOString();
const later = (s) => ago(-s);
const secret = () => randomBytes(24).toString("base64url");

/** An answer that is not a success. */
export class Problem extends Error {
  constructor(status, slug, detail, more = {}) {
    super(detail);
    Object.assign(this, { status, slug, more });
  }
}
export const invalid = (...errors) => new Problem(422, "invalid", "the body has fields that cannot be taken", { errors: errors.map(([pointer, detail]) => ({ pointer, detail })) });
const unauthorized = (detail) => new Problem(401, "unauthorized", detail);

/** Six digits of RFC 6238, of 30 s steps by SHA-1. */
export function totp(base32, atMs = Date.now()) {
  let bits = "";
  for (const letter of base32.replace(/\s/g, "")) bits += BASE32.indexOf(letter).toString(2).padStart(5, "0");
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(atMs / 30_000)));
  const mac = createHmac("sha1", key).update(step).digest();
  return String((mac.readUInt32BE(mac[19] & 15) & 0x7fffffff) % 1e6).padStart(6, "0");
}

/** `fresh`: nobody has an account. `signUp`: "open" or "closed". */
export function identity({ fresh = false, signUp = "closed" } = {}) {
  const users = new Map();
  const sessions = new Map();
  const keys = new Map();
  const invites = new Map();
  const resets = new Map();
  const challenges = new Map();
  const tries = new Map();

  const addUser = (handle, name, roles, more = {}) => {
    const user = { id: randomUUID(), handle, name, roles, disabled: false, created_at: ago(40 * DAY_S), version: 1, password: "correct horse battery", secret: null, pending: null, codes: [], ...more };
    users.set(user.id, user);
    return user;
  };
  const addSession = (user, device, method, more = {}) => {
    const session = { id: randomUUID(), user: user.id, device, network: "203.0.113.0/24", method, created_at: ago(0), seen_at: ago(0), expires_at: later(30 * DAY_S), refresh: secret(), access: new Map(), ...more };
    sessions.set(session.id, session);
    return session;
  };
  if (!fresh) {
    const anna = addUser("anna", "Anna Lindqvist", ["operator"]);
    addUser("ben", "Ben Okafor", ["creator", "viewer"]);
    addUser("a-rather-long-handle.of_someone", "Somebody with a name that is as long as names get", ["creator"]);
    addUser("dan", "", ["viewer"], { disabled: true });
    for (const n of [1, 2, 3]) addUser(`viewer${n}`, `Viewer ${n}`, ["viewer"]);
    addSession(anna, "Safari on iOS", "totp", { created_at: ago(9 * DAY_S), seen_at: ago(7200), network: "2001:db8:85a3::/48" });
    addSession(anna, "Firefox on Linux", "recovery", { created_at: ago(3 * DAY_S), seen_at: ago(DAY_S) });
    keys.set("k1", { id: "k1", user: anna.id, name: "Scheduler of the studio", roles: ["creator"], created_at: ago(20 * DAY_S), expires_at: later(70 * DAY_S), used_at: ago(600) });
    keys.set("k2", { id: "k2", user: anna.id, name: "Backup", roles: ["operator"], created_at: ago(200 * DAY_S), expires_at: null, used_at: null });
    invites.set("i1", { id: "i1", token: "welcome", roles: ["viewer"], expires_at: later(6.4 * DAY_S) });
    resets.set("forgotten", { user: [...users.values()][1].id });
  }

  const operators = () => [...users.values()].filter((user) => user.roles.includes("operator") && !user.disabled);
  const shown = ({ id, handle, name, roles }) => ({ id, handle, name, roles });
  const row = (user) => ({ ...shown(user), disabled: user.disabled, created_at: user.created_at, version: user.version });
  const page = (items, query) => {
    const [from, limit] = [Number(query.get("cursor") ?? 0), Math.min(PAGE_MAX, Number(query.get("limit") ?? PAGE_MAX))];
    return { items: items.slice(from, from + limit), next_cursor: from + limit < items.length ? String(from + limit) : null };
  };
  const codesOf = (user) => ({ recovery_codes: (user.codes = Array.from({ length: 10 }, () => `${secret().slice(0, 4)}-${secret().slice(0, 4)}`.toLowerCase())) });
  const goodPassword = (password, pointer) => {
    if (typeof password !== "string" || password.length < 10) throw invalid([pointer, "has at least 10 characters"]);
  };
  const theirs = (user, password, pointer = "/password") => {
    if (user.password !== password) throw invalid([pointer, "is not your password"]);
  };

  function signIn(user, device, method) {
    if (user.disabled) throw unauthorized("the name or the password is wrong");
    return renewed(addSession(user, device ?? "", method));
  }
  function renewed(session) {
    const token = secret();
    session.refresh = secret();
    session.access.set(token, Date.now() + ACCESS_S * 1000);
    session.seen_at = ago(0);
    const cookie = `${REFRESH_COOKIE}=${session.refresh}; Path=/api/token-mgr/v1/tokens; HttpOnly; SameSite=Strict; Max-Age=${30 * DAY_S}`;
    return { headers: { "Set-Cookie": cookie }, body: { access_token: token, expires_in_s: ACCESS_S, session_id: session.id, user: shown(users.get(session.user)) } };
  }
  function endAll(user, but = null) {
    for (const [id, session] of sessions) if (session.user === user.id && id !== but) sessions.delete(id);
  }

  function login({ handle, password, device }) {
    const tried = tries.get(handle) ?? { n: 0, untilMs: 0 };
    const left = Math.ceil((tried.untilMs - Date.now()) / 1000);
    if (left > 0) throw new Problem(429, "too-many", "too many tries", { retry: left });
    const user = [...users.values()].find((each) => each.handle === handle);
    if (!user || user.password !== password) {
      const n = tried.n + 1;
      tries.set(handle, { n, untilMs: n >= TRIES_MAX ? Date.now() + 30_000 : 0 });
      throw unauthorized("the name or the password is wrong");
    }
    tries.delete(handle);
    if (!user.secret) return signIn(user, device, "password");
    const challenge = secret();
    challenges.set(challenge, user);
    return { body: { mfa: { challenge, expires_at: later(300) } } };
  }

  function signup({ handle, password, name, invite, device }) {
    const given = [...invites.values()].find((each) => each.token === invite);
    if (invite && !given) throw new Problem(410, "gone", "this invitation was used, or its time is over: ask for another");
    if (!given && signUp !== "open") throw new Problem(403, "forbidden", "accounts are made by invitation here: ask an operator for one");
    if (!/^[a-z0-9._-]{3,30}$/.test(handle ?? "")) throw invalid(["/handle", "has 3 to 30 of a-z, 0-9, dot, underscore and hyphen"]);
    goodPassword(password, "/password");
    if ([...users.values()].some((user) => user.handle === handle)) throw new Problem(409, "taken", "this name is taken");
    if (given) invites.delete(given.id);
    return { status: 201, ...signIn(addUser(handle, name ?? "", given?.roles ?? ["viewer"], { password, created_at: ago(0) }), device, "invite") };
  }

  function mfa({ challenge, code, recovery_code, device }) {
    const user = challenges.get(challenge);
    if (!user) throw new Problem(410, "gone", "begin again");
    const used = user.codes.indexOf(recovery_code);
    if (recovery_code ? used < 0 : code !== totp(user.secret)) throw unauthorized(recovery_code ? "this is none of your recovery codes" : "the code is wrong");
    if (recovery_code) user.codes.splice(used, 1);
    challenges.delete(challenge);
    return signIn(user, device, recovery_code ? "recovery" : "totp");
  }

  /** Addresses that ask for nobody. */
  const open = {
    "GET auth-service/v1/state": () => ({ body: { sign_in: operators().length > 0, sign_up: signUp } }),
    "POST auth-service/v1/login": ({ body }) => login(body),
    "POST auth-service/v1/signup": ({ body }) => signup(body),
    "POST auth-service/v1/mfa": ({ body }) => mfa(body),
    "POST auth-service/v1/password/reset": ({ body }) => {
      const reset = resets.get(body.token);
      if (!reset) throw new Problem(410, "gone", "this link was used, or its time is over: ask for another");
      goodPassword(body.password, "/password");
      resets.delete(body.token);
      const user = users.get(reset.user);
      user.password = body.password;
      endAll(user);
      return { body: {} };
    },
    "POST token-mgr/v1/tokens/refresh": ({ cookie }) => {
      const session = [...sessions.values()].find((each) => each.refresh === cookie);
      if (!session || users.get(session.user)?.disabled) throw unauthorized("nobody is signed in");
      return renewed(session);
    },
  };

  /** Addresses for who is signed in. */
  const own = {
    "POST auth-service/v1/logout": ({ session }) => (sessions.delete(session.id), { body: {} }),
    "POST auth-service/v1/password": ({ user, session, body }) => {
      theirs(user, body.current, "/current");
      goodPassword(body.new, "/new");
      user.password = body.new;
      endAll(user, session.id);
      return { body: {} };
    },
    "GET auth-service/v1/factors": ({ user }) => ({ body: { totp: user.secret !== null, recovery_codes_left: user.codes.length } }),
    "POST auth-service/v1/totp": ({ user, body }) => {
      theirs(user, body.password);
      user.pending = Array.from(randomBytes(32), (byte) => BASE32[byte & 31]).join("");
      return { body: { secret: user.pending, uri: `otpauth://totp/Nexus%20COS:${user.handle}?secret=${user.pending}&issuer=Nexus%20COS` } };
    },
    "POST auth-service/v1/totp/confirm": ({ user, body }) => {
      if (!user.pending || body.code !== totp(user.pending)) throw invalid(["/code", "is not the one that the app shows now"]);
      [user.secret, user.pending] = [user.pending, null];
      return { body: codesOf(user) };
    },
    "POST auth-service/v1/totp/remove": ({ user, body }) => {
      theirs(user, body.password);
      [user.secret, user.codes] = [null, []];
      return { body: {} };
    },
    "POST auth-service/v1/recovery-codes": ({ user, body }) => (theirs(user, body.password), { body: codesOf(user) }),
    "GET session-mgr/v1/sessions": ({ user, session, query }) => {
      const mine = [...sessions.values()].filter((each) => each.user === user.id).reverse();
      return { body: page(mine.map(({ user: _, refresh, access, ...each }) => ({ ...each, current: each.id === session.id })), query) };
    },
    "DELETE session-mgr/v1/sessions/ID": ({ id }) => (sessions.delete(id), { body: {} }),
    "GET token-mgr/v1/api-keys": ({ user, query }) => ({ body: page([...keys.values()].filter((each) => each.user === user.id).map(({ user: _, ...key }) => key).reverse(), query) }),
    "POST token-mgr/v1/api-keys": ({ user, body }) => {
      if (!body.name) throw invalid(["/name", "must not be empty"]);
      if (body.roles?.length === 0) throw invalid(["/roles", "name at least one"]);
      const key = { id: randomUUID(), user: user.id, name: body.name, roles: body.roles ?? user.roles, created_at: ago(0), expires_at: body.lasts_s ? later(body.lasts_s) : null, used_at: null };
      keys.set(key.id, key);
      const { user: _, created_at, used_at, ...told } = key;
      return { status: 201, body: { ...told, key: `nxk_${secret()}` } };
    },
    "DELETE token-mgr/v1/api-keys/ID": ({ id }) => (keys.delete(id), { body: {} }),
    "GET user-auth/v1/users/ID": ({ id }) => {
      const user = known(id);
      return { headers: { ETag: `"${user.version}"` }, body: row(user) };
    },
    "PATCH user-auth/v1/users/ID": ({ id, body, match }) => {
      const user = unchanged(id, match);
      if (body.name.length > 60) throw invalid(["/name", "has at most 60 characters"]);
      [user.name, user.version] = [body.name, user.version + 1];
      return { body: row(user) };
    },
  };

  const known = (id) => {
    const user = users.get(id);
    if (!user) throw new Problem(404, "not-found", "nobody has this id");
    return user;
  };
  const unchanged = (id, match) => {
    const user = known(id);
    if (match !== `"${user.version}"`) throw new Problem(412, "stale", "it has changed since you read it: read it again");
    return user;
  };
  const stays = (user) => {
    if (operators().length === 1 && operators()[0] === user) throw new Problem(409, "last-operator", "nobody would be left who may do everything: make somebody else an operator first");
  };
  const able = (id, disabled) => {
    const user = known(id);
    if (disabled) stays(user);
    [user.disabled, user.version] = [disabled, user.version + 1];
    if (disabled) endAll(user);
    return { body: row(user) };
  };

  /** Addresses for operators. */
  const theirsToo = {
    "GET user-auth/v1/users": ({ query }) => ({ body: page([...users.values()].map(row), query) }),
    "PUT user-auth/v1/users/ID/roles": ({ id, body, match }) => {
      const user = unchanged(id, match);
      if (!body.roles.includes("operator")) stays(user);
      [user.roles, user.version] = [body.roles, user.version + 1];
      return { body: row(user) };
    },
    "POST user-auth/v1/users/ID/disable": ({ id }) => able(id, true),
    "POST user-auth/v1/users/ID/enable": ({ id }) => able(id, false),
    "DELETE user-auth/v1/users/ID": ({ id }) => {
      const user = known(id);
      stays(user);
      endAll(user);
      users.delete(id);
      return { body: {} };
    },
    "GET auth-service/v1/invites": ({ query }) => ({ body: page([...invites.values()].map(({ token, ...each }) => each).reverse(), query) }),
    "POST auth-service/v1/invites": ({ body }) => {
      if (!body.roles?.length) throw invalid(["/roles", "name at least one"]);
      const invite = { id: randomUUID(), token: secret(), roles: body.roles, expires_at: later(body.lasts_s ?? 7 * DAY_S) };
      invites.set(invite.id, invite);
      return { status: 201, body: { id: invite.id, token: invite.token, expires_at: invite.expires_at } };
    },
    "DELETE auth-service/v1/invites/ID": ({ id }) => (invites.delete(id), { body: {} }),
    "POST auth-service/v1/resets": ({ body }) => {
      const token = secret();
      resets.set(token, { user: known(body.user_id).id });
      return { status: 201, body: { token, expires_at: later(DAY_S) } };
    },
  };

  /** Session and user of a request; none for who is not signed in. */
  function bearer(request) {
    const token = request.headers.authorization?.replace(/^Bearer /i, "");
    const session = [...sessions.values()].find((each) => (each.access.get(token) ?? 0) > Date.now());
    return session ? { session, user: users.get(session.user) } : null;
  }

  /** The body of a request, and who asks by it; nobody in particular while there is no administrator. */
  async function read(request) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = chunks.length > 0 ? JSON.parse(Buffer.concat(chunks).toString()) : {};
    const who = bearer(request);
    return { body, who, refused: !who && operators().length > 0 };
  }

  async function answer(request, url) {
    const parts = url.pathname.slice("/api/".length).split("/");
    const id = ["users", "sessions", "api-keys", "invites"].includes(parts[2]) ? parts[3] : undefined;
    const name = `${request.method} ${parts.map((part, n) => (n === 3 && id ? "ID" : part)).join("/")}`;
    const { body, who, refused } = await read(request);
    const cookie = new RegExp(`${REFRESH_COOKIE}=([^;]+)`).exec(request.headers.cookie ?? "")?.[1];
    const asked = { id, body, cookie, query: url.searchParams, match: request.headers["if-match"] };
    if (open[name]) return open[name](asked);
    const handler = own[name] ?? theirsToo[name];
    if (!handler) throw new Problem(404, "not-found", "nothing has this address");
    if (refused) throw unauthorized("sign in first");
    if (theirsToo[name] && operators().length > 0 && !who.user.roles.includes("operator")) throw new Problem(403, "forbidden", "only operators may");
    return handler({ ...asked, ...who });
  }

  async function elsewhere(request, url, other) {
    const { body, who, refused } = await read(request);
    if (refused) throw unauthorized("sign in first");
    return { body: other.answer(request.method, url, body, who) };
  }

  return {
    /** Whether requests that change something are refused, as a server with an administrator does without a bearer. */
    locked: (request) => operators().length > 0 && !bearer(request),
    takes: (url) => /^\/api\/(auth-service|token-mgr|session-mgr|user-auth)\//.test(url.pathname),
    known,
    called: (handle) => [...users.values()].find((user) => user.handle === handle),
    /** With `other`, another part of the server answers, to who is signed in. */
    async serve(request, url, reply, other) {
      try {
        const { status = 200, headers = {}, body } = await (other ? elsewhere(request, url, other) : answer(request, url));
        reply.writeHead(status, { "Content-Type": "application/json", ...headers });
        reply.end(JSON.stringify(body));
      } catch (error) {
        const { status = 500, slug = "internal", more = {} } = error;
        if (status === 500) console.error(error);
        const document = { type: `urn:nexus:problem:${slug}`, title: "Problem", status, detail: error.message, ...(more.errors ? { errors: more.errors } : {}) };
        reply.writeHead(status, { "Content-Type": "application/problem+json", ...(more.retry ? { "Retry-After": String(more.retry) } : {}) });
        reply.end(JSON.stringify(document));
      }
    },
  };
}
