// Asks an API for JSON with the bearer of who is signed in; throws `Refused` when it says no.
import { refusal } from "./problem";
import { send } from "./session";

export interface Page<T> {
  items: T[];
  next_cursor: string | null;
}

export interface More {
  body?: unknown;
  /** Entity tag without quotes: what was read and is to be changed. */
  version?: string | number | undefined;
  /** It creates something, which it must not do twice. */
  once?: boolean;
  /** It carries a password: a 401 is about that one. */
  secret?: boolean;
  signal?: AbortSignal | undefined;
}

/** What was read, and what a change of it says that it has read. */
export interface Tagged<T> {
  value: T;
  version: string;
}

export async function ask<T>(method: string, path: string, more: More = {}): Promise<T> {
  return (await asked<T>(method, path, more)).value;
}

/** The same, with its version. */
export async function asked<T>(method: string, path: string, more: More = {}): Promise<Tagged<T>> {
  const headers: Record<string, string> = {};
  if (more.body !== undefined) headers["Content-Type"] = "application/json";
  if (more.version !== undefined) headers["If-Match"] = `"${more.version}"`;
  if (more.once) headers["Idempotency-Key"] = uuid();
  const body = more.body === undefined ? null : JSON.stringify(more.body);
  const reply = await send(path, { method, headers, body, signal: more.signal ?? null }, !more.secret);
  if (!reply.ok) throw await refusal(reply);
  const version = (reply.headers.get("ETag") ?? "").replaceAll('"', "");
  return { value: (await reply.json().catch(() => null)) as T, version };
}

/** `crypto.randomUUID` is kept from pages on plain-HTTP addresses. */
function uuid(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
