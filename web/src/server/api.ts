// The API that operators have to look after the server: schedules, what failed for good, mail that lies here, settings.
import { ask, type Page } from "../lib/ask";
import { Refused } from "../lib/problem";

const SCHEDULES = "/api/scheduler/v1/schedules";
const MAILS = "/api/auth-service/v1/mails";
const PAGE = 50;
/** Runs of a schedule that are shown. */
const RUNS = 10;

/** What somebody wants done: a POST to a service at the times of a cron expression. */
export interface Wanted {
  cron: string;
  zone: string;
  service: string;
  path: string;
  body: unknown;
  missed: "run_once" | "skip";
  paused: boolean;
}

export interface Schedule extends Wanted {
  id: string;
  /** Null while paused, or when it never comes again. */
  next_at: string | null;
  version: number;
}

export interface Run {
  id: string;
  due_at: string;
  by_hand: boolean;
  state: "waiting" | "succeeded" | "failed" | "skipped";
  attempts: number;
  error: string | null;
  ended_at: string | null;
}

/** What a service has laid aside: a job, or an event that it heard. */
export interface Letter {
  /** Of all services: one event can lie at several. */
  id: string;
  service: string;
  what: "job" | "event";
  body: string;
  attempts: number;
  error: string | null;
}

export interface Listed {
  id: string;
  at: string;
  to: string;
  title: string;
}

export interface Setting {
  id: string;
  value: unknown;
  /** Null for a default. */
  place: string | null;
}

const after = (cursor: string | null) => `?limit=${PAGE}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`;
const wanted = ({ cron, zone, service, path, body, missed, paused }: Wanted): Wanted => ({ cron, zone, service, path, body, missed, paused });

export const listSchedules = (cursor: string | null) => ask<Page<Schedule>>("GET", SCHEDULES + after(cursor));
export const addSchedule = (of: Wanted) => ask<Schedule>("POST", SCHEDULES, { body: of, once: true });
export const setPaused = (of: Schedule, paused: boolean) => ask<Schedule>("PUT", `${SCHEDULES}/${of.id}`, { body: { ...wanted(of), paused }, version: of.version });
export const dropSchedule = (id: string) => ask<unknown>("DELETE", `${SCHEDULES}/${id}`);
export const listRuns = (id: string) => (cursor: string | null) => ask<Page<Run>>("GET", `${SCHEDULES}/${id}/runs?limit=${RUNS}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
export const runNow = (id: string) => ask<Run>("POST", `${SCHEDULES}/${id}/runs`, { body: {}, once: true });

/** The services that are built. */
export async function listServices(): Promise<string[]> {
  const { items } = await ask<Page<{ id: string; built?: boolean }>>("GET", "/api/");
  return items.filter(({ built }) => built).map(({ id }) => id);
}

/** What a service has laid aside; null where that is not known. Some lay nothing aside. */
async function lettersOf(service: string): Promise<Letter[] | null> {
  const path = `${service}/dead-letters`;
  try {
    const { items } = await ask<{ items: Omit<Letter, "service">[] }>("GET", `/api/${path}`);
    return items.map((letter) => ({ ...letter, service, id: `${path}/${letter.id}` }));
  } catch (error) {
    const status = error instanceof Refused ? error.status : 0;
    if (status === 401 || status === 403) throw error;
    return status === 404 || status === 501 ? [] : null;
  }
}

/** What services have laid aside. Of those that did not answer it is what was known `before`; `silent` names them. */
export async function listLetters(before: Letter[]): Promise<Page<Letter> & { silent: string[] }> {
  const heard = await Promise.all((await listServices()).map(async (service) => ({ service, letters: await lettersOf(service) })));
  const items = heard.flatMap(({ service, letters }) => letters ?? before.filter((letter) => letter.service === service));
  return { items, next_cursor: null, silent: heard.filter(({ letters }) => !letters).map(({ service }) => service) };
}
export const replay = ({ id }: Letter) => ask<unknown>("POST", `/api/${id}/replay`, { body: {}, once: true });

export const listMails = () => ask<{ by_server: boolean; items: Listed[] }>("GET", MAILS);
export const readMail = (id: string) => ask<Listed & { text: string }>("GET", `${MAILS}/${encodeURIComponent(id)}`);

export async function listSettings(): Promise<Page<Setting>> {
  const { items } = await ask<{ items: (Omit<Setting, "id"> & { key: string })[] }>("GET", "/api/backend-api/v1/settings");
  return { items: items.map(({ key, ...rest }) => ({ id: key, ...rest })), next_cursor: null };
}
