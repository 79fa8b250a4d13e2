// The API of glitch: projects, issues, their events, monitors.

const BASE = "/api/glitch/v1";
const TOKEN = "nexus-token";

export type State = "unresolved" | "resolved" | "ignored";

export interface Project {
  id: number;
  name: string;
}

export interface Issue {
  id: string;
  project: number;
  title: string;
  culprit: string;
  kind: string;
  level: "fatal" | "error" | "warning" | "info" | "debug";
  state: State;
  resolved_in: string | null;
  regressed_at: string | null;
  first_seen: string;
  last_seen: string;
  first_release: string | null;
  last_release: string | null;
  events: number;
  version: number;
}

export interface Report {
  id: string;
  event_id: string;
  at: string;
  title: string;
  level: string;
  release: string | null;
  environment: string;
  /** As the SDK sent it, without its secrets: anything may be missing. */
  body: Record<string, unknown>;
}

export interface Hour {
  at: string;
  events: number;
}

export interface Monitor {
  slug: string;
  state: "ok" | "error" | "in_progress" | "missed" | "timeout";
  last_at: string | null;
  next_at: string | null;
}

interface Page<T> {
  items: T[];
  next_cursor: string | null;
}

export interface Wanted {
  project: string;
  state: State | "";
  words: string;
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

async function ask<T>(method: string, path: string, more: { body?: unknown; version?: number; signal?: AbortSignal } = {}): Promise<T> {
  const headers: Record<string, string> = {};
  const token = sessionStorage.getItem(TOKEN);
  if (token) headers["Authorization"] = `Bearer ${token}`;
  if (more.body !== undefined) headers["Content-Type"] = "application/json";
  if (more.version !== undefined) headers["If-Match"] = `"${more.version}"`;
  // `crypto.randomUUID` is kept from pages on plain-HTTP addresses.
  if (method === "POST") headers["Idempotency-Key"] = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16)).join("");
  const body = more.body === undefined ? null : JSON.stringify(more.body);
  const reply = await fetch(BASE + path, { method, headers, body, signal: more.signal ?? null });
  const json: unknown = await reply.json().catch(() => null);
  if (reply.ok) return json as T;
  const detail = (json as { detail?: unknown } | null)?.detail;
  throw new Refused(typeof detail === "string" && detail ? detail : `The server answered ${reply.status}.`, reply.status === 401);
}

export const listProjects = (signal: AbortSignal) => ask<Project[]>("GET", "/projects", { signal });

export function listIssues(wanted: Wanted, cursor: string | null, signal: AbortSignal) {
  const all = { project: wanted.project, state: wanted.state, query: wanted.words.trim(), cursor, limit: "50" };
  const set = Object.entries(all).filter((pair): pair is [string, string] => Boolean(pair[1]));
  return ask<Page<Issue>>("GET", `/issues?${new URLSearchParams(set)}`, { signal });
}

export const readEvents = (issue: string, cursor: string | null, signal: AbortSignal) =>
  ask<Page<Report>>("GET", `/issues/${issue}/events?limit=1${cursor ? `&cursor=${cursor}` : ""}`, { signal });
export const readHours = (issue: string, signal: AbortSignal) => ask<Hour[]>("GET", `/issues/${issue}/hours`, { signal });
export const setState = (issue: Issue, state: State) => ask<Issue>("PATCH", `/issues/${issue.id}`, { body: { state }, version: issue.version });
export const listMonitors = (project: string, signal: AbortSignal) => ask<Monitor[]>("GET", `/projects/${project}/monitors`, { signal });
export const addKey = (project: string) => ask<{ key: string }>("POST", `/projects/${project}/keys`, { body: {} });
