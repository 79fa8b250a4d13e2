// The API that operators have: people, their roles, invitations, links to a new password.
import { ask, type Page } from "../lib/ask";
import type { Role, User } from "../lib/session";

const USERS = "/api/user-auth/v1/users";
const AUTH = "/api/auth-service/v1";
const PAGE = 50;

export interface Person extends User {
  disabled: boolean;
  created_at: string;
  version: number;
}

export interface Invite {
  id: string;
  roles: Role[];
  expires_at: string;
}

/** What a link is made of; the token is told once. */
export interface Handed {
  token: string;
  expires_at: string;
}

const after = (cursor: string | null) => `?limit=${PAGE}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`;

export const listPeople = (cursor: string | null) => ask<Page<Person>>("GET", USERS + after(cursor));
export const readPerson = (id: string) => ask<Person>("GET", `${USERS}/${id}`);
export const setRoles = (person: Person, roles: Role[]) => ask<unknown>("PUT", `${USERS}/${person.id}/roles`, { body: { roles }, version: person.version });
export const setDisabled = (id: string, disabled: boolean) => ask<unknown>("POST", `${USERS}/${id}/${disabled ? "disable" : "enable"}`, { body: {}, once: true });
export const erase = (id: string) => ask<unknown>("DELETE", `${USERS}/${id}`);

export const listInvites = (cursor: string | null) => ask<Page<Invite>>("GET", `${AUTH}/invites${after(cursor)}`);
export const invite = (roles: Role[], lasts_s: number) => ask<Handed>("POST", `${AUTH}/invites`, { body: { roles, lasts_s }, once: true });
export const takeBack = (id: string) => ask<unknown>("DELETE", `${AUTH}/invites/${id}`);
export const makeReset = (user_id: string) => ask<Handed>("POST", `${AUTH}/resets`, { body: { user_id }, once: true });
