// The API of accounts: signing in and up, one's own password, second step, sessions and API keys.
import { ask, type Page } from "../lib/ask";
import { refusal } from "../lib/problem";
import { send, type Role, type SignedIn } from "../lib/session";
import { makePasskey, showPasskey } from "./passkeys";

const AUTH = "/api/auth-service/v1";
const SESSIONS = "/api/session-mgr/v1/sessions";
const KEYS = "/api/token-mgr/v1/api-keys";
const USERS = "/api/user-auth/v1/users";
const PAGE = 50;

/** The second step that an account asks for. */
export interface Challenge {
  challenge: string;
  expires_at: string;
}

export interface Factors {
  totp: boolean;
  recovery_codes_left: number;
}

export interface Device {
  id: string;
  device: string;
  network: string;
  method: "password" | "totp" | "recovery" | "passkey" | "invite" | "app" | "mail";
  created_at: string;
  seen_at: string;
  expires_at: string;
  current: boolean;
}

export interface Passkey {
  id: string;
  name: string;
  created_at: string;
  used_at: string | null;
  synced: boolean;
}

export interface Key {
  id: string;
  name: string;
  roles: Role[];
  created_at: string;
  expires_at: string | null;
  used_at: string | null;
}

const post = <T>(path: string, body: unknown, more: { secret?: boolean; once?: boolean } = {}) => ask<T>("POST", path, { body, ...more });
/** What a person types to prove something goes with it: see `secret` of `ask`. */
const prove = <T>(path: string, body: unknown) => post<T>(AUTH + path, body, { secret: true });
const here = () => ({ device: deviceName(navigator.userAgent), cookie: true });
const after = (cursor: string | null) => `?limit=${PAGE}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`;

export const signUp = (of: { handle: string; password: string; name?: string; invite?: string }) => prove<SignedIn>("/signup", { ...of, ...here() });
export const signIn = (handle: string, password: string) => prove<SignedIn | { mfa: Challenge }>("/login", { handle, password, ...here() });
export const secondStep = (challenge: string, given: { code: string } | { recovery_code: string }) => prove<SignedIn>("/mfa", { challenge, ...given, ...here() });
export const resetPassword = (token: string, password: string) => prove<object>("/password/reset", { token, password });

export const askForLink = (mail: string, to: "enter" | "reset") => prove<object>(to === "reset" ? "/password/reset-request" : "/magic-links", { mail });
export const enterByMail = (token: string) => prove<SignedIn | { mfa: Challenge }>("/magic-links/enter", { token, ...here() });
export const confirmMail = (token: string) => prove<object>("/mail/confirm", { token });
export const readMail = () => ask<{ mail: string | null }>("GET", `${AUTH}/mail`);
export const addMail = (mail: string, password: string) => post<object>(`${AUTH}/mail`, { mail, password });
export const dropMail = (password: string) => ask<object>("DELETE", `${AUTH}/mail`, { body: { password } });

export const changePassword = (current: string, wanted: string) => post<object>(`${AUTH}/password`, { current, new: wanted });
export const readFactors = () => ask<Factors>("GET", `${AUTH}/factors`);
export const beginTotp = (password: string) => post<{ secret: string; uri: string }>(`${AUTH}/totp`, { password });
export const confirmTotp = (code: string) => post<{ recovery_codes: string[] }>(`${AUTH}/totp/confirm`, { code });
export const removeTotp = (password: string) => post<object>(`${AUTH}/totp/remove`, { password });
export const newCodes = (password: string) => post<{ recovery_codes: string[] }>(`${AUTH}/recovery-codes`, { password });

const PASSKEYS = `${AUTH}/webauthn/passkeys`;
export const listPasskeys = (cursor: string | null) => ask<Page<Passkey>>("GET", PASSKEYS + after(cursor));
export const dropPasskey = (id: string, password: string) => ask<unknown>("DELETE", `${PASSKEYS}/${id}`, { body: { password } });

/** A passkey of this device, or of one that the browser can ask. */
export async function addPasskey(name: string, password: string): Promise<Passkey> {
  const { options } = await post<{ options: PublicKeyCredentialCreationOptionsJSON }>(`${AUTH}/webauthn/register/begin`, { password });
  return post<Passkey>(`${AUTH}/webauthn/register/finish`, { name, credential: await makePasskey(options) });
}

export async function signInByPasskey(): Promise<SignedIn> {
  const { ceremony, options } = await prove<{ ceremony: string; options: PublicKeyCredentialRequestOptionsJSON }>("/webauthn/login/begin", {});
  return prove<SignedIn>("/webauthn/login/finish", { ceremony, credential: await showPasskey(options), ...here() });
}

export const listDevices = (cursor: string | null) => ask<Page<Device>>("GET", SESSIONS + after(cursor));
export const endDevice = (id: string) => ask<unknown>("DELETE", `${SESSIONS}/${id}`);

export const listKeys = (cursor: string | null) => ask<Page<Key>>("GET", KEYS + after(cursor));
export const addKey = (name: string, roles: Role[], lasts_s: number) =>
  post<Key & { key: string }>(KEYS, { name, roles, ...(lasts_s > 0 ? { lasts_s } : {}) }, { once: true });
export const dropKey = (id: string) => ask<unknown>("DELETE", `${KEYS}/${id}`);

/** Changes the name, if nobody has changed the account in between. */
export async function setName(id: string, name: string): Promise<void> {
  const reply = await send(`${USERS}/${id}`);
  if (!reply.ok) throw await refusal(reply);
  const { version } = (await reply.json()) as { version?: number };
  const tag = reply.headers.get("ETag")?.replace(/^(?:W\/)?"|"$/g, "");
  await ask<unknown>("PATCH", `${USERS}/${id}`, { body: { name }, version: tag ?? version });
}

const BROWSERS: [RegExp, string][] = [[/Edg\//, "Edge"], [/OPR\//, "Opera"], [/Firefox\//, "Firefox"], [/Chrome\//, "Chrome"], [/Safari\//, "Safari"]];
const SYSTEMS: [RegExp, string][] = [[/iPhone|iPad/, "iOS"], [/Android/, "Android"], [/Windows/, "Windows"], [/Mac OS X/, "macOS"], [/CrOS/, "ChromeOS"], [/Linux/, "Linux"]];

/** `Firefox on Linux`: what the list of sessions calls this one. */
function deviceName(agent: string): string {
  const of = (names: [RegExp, string][]) => names.find(([pattern]) => pattern.test(agent))?.[1];
  return [of(BROWSERS) ?? "Browser", of(SYSTEMS)].filter(Boolean).join(" on ");
}
