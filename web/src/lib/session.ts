// Who is signed in: finds it out once per page, keeps the access token in memory, and sends it with requests.
import { derived, writable } from "svelte/store";
import { refusal } from "./problem";

export type Role = "operator" | "creator" | "viewer";
export const ROLES: readonly Role[] = ["operator", "creator", "viewer"];

export interface User {
  id: string;
  handle: string;
  name: string;
  roles: Role[];
}

/** An answer that signs somebody in. The refresh token is in a cookie that scripts do not see. */
export interface SignedIn {
  access_token: string;
  expires_in_s: number;
  session_id: string;
  user: User;
}

export interface Session {
  /** The server has told its state. */
  known: boolean;
  /** It could not be asked. */
  away: boolean;
  /** False while there is no administrator: this machine may do everything without signing in. */
  signIn: boolean;
  signUp: "open" | "closed";
  /** The address of the pages where passkeys are possible; `http://localhost` is meant with any port. */
  passkeysAt: string;
  user: User | null;
  /** Somebody was signed in, and is no more. */
  ended: boolean;
}

const STATE = "/api/auth-service/v1/state";
const LOGOUT = "/api/auth-service/v1/logout";
const REFRESH = "/api/token-mgr/v1/tokens/refresh";
const JSON_HEADERS = { "Content-Type": "application/json" };
/** Renewed when no more than this is left of it. */
const SPARE_MS = 60_000;
/** Remembers that a cookie is worth trying, so that pages of nobody do not ask in vain. Holds an id, no secret. */
const HINT = "nexus-signed-in";
/** `gateway.token`, where a server has one and no administrator. */
const TOKEN = "nexus-token";

export const session = writable<Session>({ known: false, away: false, signIn: false, signUp: "closed", passkeysAt: "", user: null, ended: false });

/** Who is here may do everything: an operator, or this machine while there is no administrator. */
export const operates = derived(session, ({ user, known, signIn }) => (user ? user.roles.includes("operator") : known && !signIn));

let access: { token: string; untilMs: number } | null = null;
let started: Promise<void> | null = null;
let renewing: Promise<boolean> | null = null;

/** Asks the server how it stands, and whether the cookie signs somebody in; once, and again after a failure. */
export function start(): Promise<void> {
  return (started ??= begin());
}

async function begin(): Promise<void> {
  try {
    const [reply] = await Promise.all([fetch(STATE), localStorage.getItem(HINT) ? renew() : null]);
    if (!reply.ok) throw await refusal(reply);
    const state = (await reply.json()) as { sign_in?: unknown; sign_up?: unknown; passkeys_at?: unknown };
    const passkeysAt = typeof state.passkeys_at === "string" ? state.passkeys_at : "";
    session.update((now) => ({ ...now, known: true, away: false, signIn: state.sign_in === true, signUp: state.sign_up === "open" ? "open" : "closed", passkeysAt }));
  } catch {
    started = null;
    session.update((now) => ({ ...now, away: true }));
  }
}

/** Has the cookie give a new access token; one at a time, also among the tabs where the browser can. False: nobody is signed in. */
export function renew(): Promise<boolean> {
  const { locks } = navigator as { locks?: LockManager };
  renewing ??= (locks ? locks.request("nexus-session", exchange) : exchange()).finally(() => (renewing = null));
  return renewing;
}

async function exchange(): Promise<boolean> {
  const reply = await fetch(REFRESH, { method: "POST", headers: JSON_HEADERS, body: "{}" });
  if (reply.status === 401) {
    forget(true);
    return false;
  }
  if (!reply.ok) throw await refusal(reply);
  enter((await reply.json()) as SignedIn);
  return true;
}

/** Takes an answer that signs somebody in. */
export function enter(answer: SignedIn): void {
  access = { token: answer.access_token, untilMs: Date.now() + answer.expires_in_s * 1000 };
  localStorage.setItem(HINT, answer.user.id);
  session.update((now) => ({ ...now, signIn: now.signIn || answer.user.roles.includes("operator"), user: answer.user, ended: false }));
}

function forget(ended: boolean): void {
  access = null;
  localStorage.removeItem(HINT);
  session.update((now) => ({ ...now, user: null, ended: ended && (now.ended || now.user !== null) }));
}

/** Ends the session, here and at the server. */
export async function leave(): Promise<void> {
  const reply = await send(LOGOUT, { method: "POST", headers: JSON_HEADERS, body: "{}" });
  if (!reply.ok && reply.status !== 401) throw await refusal(reply);
  forget(false);
}

/** What the page shows of the one who is signed in has changed. */
export const rename = (name: string) => session.update((now) => ({ ...now, user: now.user && { ...now.user, name } }));

/** Keeps `gateway.token` for as long as the tab is open. */
export const setToken = (token: string) => sessionStorage.setItem(TOKEN, token);

/**
 * `fetch` with the bearer of who is signed in, or with `gateway.token`. A 401 is tried once more with a new token, unless
 * `again` is false: where a password goes with the request, a 401 is about the password.
 */
export async function send(path: string, init: RequestInit = {}, again = true): Promise<Response> {
  await start();
  if (access && access.untilMs - Date.now() <= SPARE_MS) await renew();
  const used = access?.token;
  const reply = await once(path, init);
  if (reply.status !== 401 || used === undefined || !again || !(await renew())) return reply;
  return once(path, init);
}

function once(path: string, init: RequestInit): Promise<Response> {
  const headers = new Headers(init.headers);
  const bearer = access?.token ?? sessionStorage.getItem(TOKEN);
  if (bearer) headers.set("Authorization", `Bearer ${bearer}`);
  return fetch(path, { ...init, headers });
}

/** Where one signs in and comes back from to here. */
export const signInUrl = () => `/account?next=${encodeURIComponent(location.pathname + location.search + location.hash)}`;

// Another tab has signed in or out: this one does the same.
addEventListener("storage", ({ key, newValue }) => {
  if (key !== HINT) return;
  if (newValue) renew().catch(() => undefined);
  else forget(true);
});
