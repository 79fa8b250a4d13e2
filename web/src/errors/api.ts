// The API of glitch: projects, issues, their events, monitors.
import { ask as bear, type More, type Page } from "../lib/ask";

const BASE = "/api/glitch/v1";

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

export interface Wanted {
  project: string;
  state: State | "";
  words: string;
}

const ask = <T>(method: string, path: string, more: More = {}) => bear<T>(method, BASE + path, { once: method === "POST", ...more });

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
