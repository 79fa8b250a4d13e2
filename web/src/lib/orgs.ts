// The API of organisations: people who have channels in common.
import { ask, type Page } from "./ask";

const ORGS = "/api/user-auth/v1/orgs";
const PAGE = 50;

/** Each may what those before it may. */
export const ORG_ROLES = ["publisher", "manager", "owner"] as const;
export type OrgRole = (typeof ORG_ROLES)[number];

export interface Org {
  id: string;
  handle: string;
  name: string;
  /** What one is there; absent for operators who are not in it. */
  role?: OrgRole;
  owners: number;
}

export interface OrgMember {
  id: string;
  user_id: string;
  handle: string;
  name: string;
  role: OrgRole;
}

/** What one is invited to. */
export interface Invitation {
  id: string;
  org_id: string;
  handle: string;
  name: string;
  role: OrgRole;
}

const after = (cursor: string | null) => `?limit=${PAGE}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`;

/** A page of what has its id in another field. */
async function listed<T>(path: string, cursor: string | null, id: (item: T) => string): Promise<Page<T & { id: string }>> {
  const { items, next_cursor } = await ask<Page<T>>("GET", ORGS + path + after(cursor));
  return { items: items.map((item) => ({ ...item, id: id(item) })), next_cursor };
}

export const listOrgs = (cursor: string | null) => ask<Page<Org>>("GET", ORGS + after(cursor));
export const addOrg = (handle: string, name: string) => ask<Org>("POST", ORGS, { body: { handle, name }, once: true });
export const dropOrg = (id: string) => ask<unknown>("DELETE", `${ORGS}/${id}`);

export const listOrgMembers = (id: string) => (cursor: string | null) => listed<OrgMember>(`/${id}/members`, cursor, (member) => member.user_id);
export const setOrgRole = (id: string, user: string, role: OrgRole) => ask<unknown>("PUT", `${ORGS}/${id}/members/${user}`, { body: { role } });
export const dropOrgMember = (id: string, user: string) => ask<unknown>("DELETE", `${ORGS}/${id}/members/${user}`);

export const listOrgInvites = (id: string) => (cursor: string | null) => listed<OrgMember>(`/${id}/invites`, cursor, (invite) => invite.user_id);
export const inviteToOrg = (id: string, handle: string, role: OrgRole) => ask<OrgMember>("POST", `${ORGS}/${id}/invites`, { body: { handle, role } });
export const withdraw = (id: string, user: string) => ask<unknown>("DELETE", `${ORGS}/${id}/invites/${user}`);

export const listInvitations = (cursor: string | null) => listed<Invitation>("/invites", cursor, (invitation) => invitation.org_id);
export const accept = (id: string) => ask<Org>("POST", `${ORGS}/invites/${id}/accept`);
export const decline = (id: string) => ask<unknown>("DELETE", `${ORGS}/invites/${id}`);
