// The API of what there is of somebody: a copy of it, and the end of it.
import { ask, type Page } from "../lib/ask";

const USERS = "/api/user-auth/v1/users";

/** A copy of what there is. */
export interface Copy {
  id: string;
  asked_at: string;
  expires_at: string;
  state: "gathering" | "ready";
  services: { service: string; state: "owing" | "given" | "missing" }[];
}

export interface Erasure {
  state: "waiting" | "running" | "late" | "done";
  begins_at: string;
  /** What it is taken back with. */
  take_back?: string;
}

const copies = (user: string) => `${USERS}/${user}/exports`;
export const askForCopy = (user: string) => ask<Copy>("POST", copies(user), { once: true });
export const readCopy = (user: string, id: string) => ask<Copy>("GET", `${copies(user)}/${id}`);
export const readFile = (user: string, id: string) => ask<unknown>("GET", `${copies(user)}/${id}/file`);
export const listCopies = async (user: string) => (await ask<Page<Copy>>("GET", copies(user))).items;

export const erase = (password: string, at_once: boolean) => ask<Erasure>("POST", "/api/auth-service/v1/erasure", { body: { password, at_once } });
export const takeBack = (token: string) => ask<object>("POST", "/api/user-auth/v1/erasures/take-back", { body: { token }, secret: true });
