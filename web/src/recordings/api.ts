// The API of recordings and clips: /assets, /cuts, and /recordings for what is only kept for a while.

const BASE = "/api/streamcore/v1";
const PAGE = 50;
const TOKEN = "nexus-token";

export interface Asset {
  id: string;
  kind: "recording" | "clip";
  stream: string;
  title: string;
  start: string;
  end: string;
  created_at: string;
  keep_until: string | null;
  deleted_at: string | null;
  bytes: number;
  duration_ms: number;
  state: "waiting" | "ready" | "failed" | "deleted";
  hls_url: string;
  mp4_url: string;
}

/** A time that a stream was on and is kept of, whether it is an asset or not. */
export interface Stretch {
  stream: string;
  begins_at: string;
  ends_at: string | null;
  duration_ms: number;
  bytes: number;
  hls_url: string;
  mp4_url: string;
}

export interface Room {
  bytes: number;
  pinned_bytes: number;
  bytes_max: number;
  full: boolean;
  fault: "disk_full" | "read_only" | "away" | "failing" | null;
  trash_s: number;
}

interface Page<T> {
  items: T[];
  next_cursor: string | null;
}

export interface Wanted {
  words: string;
  /** The page's own times: local, without a zone. */
  from: string;
  to: string;
}

/** What the server said was wrong; `locked` when it wants the gateway's token. */
export class Refused extends Error {
  constructor(
    message: string,
    readonly locked: boolean,
  ) {
    super(message);
  }
}

export const setToken = (token: string) => sessionStorage.setItem(TOKEN, token);

async function ask(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<unknown> {
  const headers: Record<string, string> = {};
  const token = sessionStorage.getItem(TOKEN);
  if (token && method !== "GET") headers["Authorization"] = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (method === "POST") headers["Idempotency-Key"] = onceOf();
  const sent = body === undefined ? null : JSON.stringify(body);
  const reply = await fetch(BASE + path, { method, headers, body: sent, signal: signal ?? null });
  if (reply.status === 204) return null;
  const json: unknown = await reply.json().catch(() => null);
  if (reply.ok) return json;
  const detail = (json as { detail?: unknown } | null)?.detail;
  throw new Refused(typeof detail === "string" ? detail : `The server answered ${reply.status}.`, reply.status === 401);
}

/** `crypto.randomUUID` is kept from pages on plain-HTTP addresses. */
function onceOf(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function query(wanted: Wanted, more: Record<string, string | null>): string {
  const date = (local: string) => (local ? new Date(local).toISOString() : null);
  const all = { from: date(wanted.from), to: date(wanted.to), ...more };
  const set = Object.entries(all).filter((pair): pair is [string, string] => Boolean(pair[1]));
  return new URLSearchParams(set).toString();
}

function page<T>(json: unknown): Page<T> {
  const list = json as Partial<Page<T>> | null;
  if (!list || !Array.isArray(list.items)) throw new TypeError("not a list");
  return { items: list.items, next_cursor: list.next_cursor ?? null };
}

export async function listAssets(wanted: Wanted, deleted: boolean, cursor: string | null, signal: AbortSignal) {
  const asked = query(wanted, { q: wanted.words.trim(), deleted: deleted ? "true" : null, cursor, limit: String(PAGE) });
  const json = await ask("GET", `/assets?${asked}`, undefined, signal);
  return { ...page<Asset>(json), room: (json as { room?: Room }).room ?? null };
}

/** What is kept for a while; the server filters by time, the page by words. */
export async function listStretches(wanted: Wanted, cursor: string | null, signal: AbortSignal): Promise<Page<Stretch>> {
  const { items, next_cursor } = page<Stretch>(await ask("GET", `/recordings?${query(wanted, { cursor, limit: String(PAGE) })}`, undefined, signal));
  const words = wanted.words.trim().toLowerCase();
  return { items: items.filter((item) => item.stream.toLowerCase().includes(words)), next_cursor };
}

export const readAsset = (id: string, signal?: AbortSignal) => ask("GET", `/assets/${id}`, undefined, signal) as Promise<Asset>;
export const cut = (stream: string, from: number, to: number, title: string) =>
  ask("POST", "/cuts", { stream, from: from / 1000, to: to / 1000, ...(title ? { title } : {}) }) as Promise<Asset>;
export const rename = (id: string, title: string) => ask("PATCH", `/assets/${id}`, { title }) as Promise<Asset>;
export const remove = (id: string) => ask("DELETE", `/assets/${id}`);
export const restore = (id: string) => ask("POST", `/assets/${id}/restore`) as Promise<Asset>;
