// The API of apps of others: what they ask for, what they were allowed, codes of televisions.
import { ask, type Page } from "../lib/ask";

const APPS = "/api/auth-service-v2/v1";
const PAGE = 50;

/** What an app asks of who is signed in. */
export interface Asked {
  app: string;
  /** Where they are sent back to. */
  host: string;
  wants: string[];
  /** It was allowed before: nobody need be asked. */
  allowed: boolean;
  sign_in_again: boolean;
  /** Nobody may be asked. */
  silent: boolean;
}

export interface App {
  id: string;
  name: string;
  may: string[];
  allowed_at: string;
}

export type Reason = "denied" | "signed_out" | "unasked";

const post = <T>(path: string, body: unknown) => ask<T>("POST", APPS + path, { body });

export const lookAt = (request: string) => post<Asked>("/requests/look", { request });
export const allow = (request: string) => post<{ location: string }>("/requests/allow", { request });
export const deny = (request: string, reason: Reason) => post<{ location: string }>("/requests/deny", { request, reason });

export const lookAtCode = (user_code: string) => post<{ app: string; wants: string[] }>("/devices/look", { user_code });
export const allowCode = (user_code: string) => post<object>("/devices/allow", { user_code });
export const denyCode = (user_code: string) => post<object>("/devices/deny", { user_code });

export const afterLeaving = (request: string) => post<{ location: string | null }>("/end_session/look", { request });

export const listApps = (cursor: string | null) => ask<Page<App>>("GET", `${APPS}/apps?limit=${PAGE}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
export const dropApp = (id: string) => ask<unknown>("DELETE", `${APPS}/apps/${encodeURIComponent(id)}`);

/** Whether an app wants to know without anybody being asked: what we have signed begins with a tag and a time. */
export const isSilent = (request: string) =>
  (new URLSearchParams(request.split(".").slice(2).join(".")).get("prompt") ?? "").split(" ").includes("none");
