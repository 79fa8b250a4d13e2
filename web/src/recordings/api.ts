// The API of recordings and clips: /assets, /cuts, and /recordings for what is only kept for a while.
import { ask as bear, type Page } from "../lib/ask";
import { refusal } from "../lib/problem";

const BASE = "/api/streamcore/v1";
const PAGE = 50;

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

export interface Wanted {
  words: string;
  /** The page's own times: local, without a zone. */
  from: string;
  to: string;
}

/** What is only read needs no bearer, and so does not wait for it. */
async function read(path: string, signal?: AbortSignal): Promise<unknown> {
  const reply = await fetch(BASE + path, { signal: signal ?? null });
  if (!reply.ok) throw await refusal(reply);
  return reply.json();
}

const ask = <T>(method: string, path: string, body?: unknown) => bear<T>(method, BASE + path, { body, once: method === "POST" });

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
  const json = await read(`/assets?${asked}`, signal);
  return { ...page<Asset>(json), room: (json as { room?: Room }).room ?? null };
}

/** What is kept for a while; the server filters by time, the page by words. */
export async function listStretches(wanted: Wanted, cursor: string | null, signal: AbortSignal): Promise<Page<Stretch>> {
  const { items, next_cursor } = page<Stretch>(await read(`/recordings?${query(wanted, { cursor, limit: String(PAGE) })}`, signal));
  const words = wanted.words.trim().toLowerCase();
  return { items: items.filter((item) => item.stream.toLowerCase().includes(words)), next_cursor };
}

export const readAsset = (id: string, signal?: AbortSignal) => read(`/assets/${id}`, signal) as Promise<Asset>;
export const cut = (stream: string, from: number, to: number, title: string) =>
  ask<Asset>("POST", "/cuts", { stream, from: from / 1000, to: to / 1000, ...(title ? { title } : {}) });
export const rename = (id: string, title: string) => ask<Asset>("PATCH", `/assets/${id}`, { title });
export const remove = (id: string) => ask<unknown>("DELETE", `/assets/${id}`);
export const restore = (id: string) => ask<Asset>("POST", `/assets/${id}/restore`);
