// The part of the stand-in server (mock.mjs) that knows organisations: who is in them and who is invited, all in memory. It asks
// nobody for a right that the page does not show. For development only.
import { randomUUID } from "node:crypto";
import { Problem, invalid } from "./identity.mjs";

const BASE = "/api/user-auth/v1/orgs";
const ago = (s) => new Date(Date.now() - s * 1000).toISOString();

/** `people` tells who asks. */
export function orgs({ people, empty = false }) {
  const all = new Map();

  const add = (handle, name, members, invites = []) => {
    const org = { id: randomUUID(), handle, name: name || handle, created_at: ago(0), version: 1, members: new Map(members), invites: new Map(invites) };
    all.set(org.id, org);
    return org;
  };
  const [anna, ben, viewer] = ["anna", "ben", "viewer1"].map((handle) => people.called(handle)?.id);
  if (!empty && anna) {
    add("north-studio", "Studio North", [[anna, "owner"], [ben, "publisher"]], [[viewer, "publisher"]]);
    add("city-arena", "The arena of the city with all that belongs to it", [[ben, "owner"]], [[anna, "manager"]]);
  }

  const shown = (org, user) => {
    const { members, invites, ...told } = org;
    return { ...told, role: members.get(user?.id), owners: [...members.values()].filter((role) => role === "owner").length };
  };
  const page = (items) => ({ items, next_cursor: null });
  const person = (id, role) => {
    const { handle, name } = people.known(id);
    return { user_id: id, handle, name, role, disabled: false, since: ago(3600), invited_at: ago(3600) };
  };
  const isLast = (org, user) => org.members.get(user) === "owner" && [...org.members.values()].filter((role) => role === "owner").length === 1;
  const staysOwned = (org, user) => {
    if (isLast(org, user)) throw new Problem(409, "last-owner", "nobody would be left who may decide about it: make somebody else its owner first, or delete it");
  };

  /** By method and path, with who asks and the parts of the path that are ids. */
  const routes = {
    "GET ": ({ user }) => page([...all.values()].filter((org) => org.members.has(user.id)).map((org) => shown(org, user))),
    "POST ": ({ user, body }) => {
      if (!/^[a-z0-9][a-z0-9._-]{1,28}[a-z0-9]$/.test(body.handle)) throw invalid(["/handle", "has 3 to 30 characters of a-z 0-9 . _ - and begins and ends with a letter or digit"]);
      if ([...all.values()].some((org) => org.handle === body.handle)) throw new Problem(409, "taken", "an organisation has this handle, or one that looks like it: take another");
      return shown(add(body.handle, body.name, [[user.id, "owner"]]), user);
    },
    "DELETE /ID": ({ org }) => (all.delete(org.id), {}),
    "GET /ID/members": ({ org }) => page([...org.members].map(([id, role]) => person(id, role))),
    "PUT /ID/members/ID": ({ org, second, body }) => {
      if (body.role !== "owner") staysOwned(org, second);
      return org.members.set(second, body.role), {};
    },
    "DELETE /ID/members/ID": ({ org, second }) => (staysOwned(org, second), org.members.delete(second), {}),
    "GET /ID/invites": ({ org }) => page([...org.invites].map(([id, role]) => person(id, role))),
    "POST /ID/invites": ({ org, body }) => {
      const who = people.called(body.handle);
      if (!who) throw invalid(["/handle", "nobody is called that here"]);
      if (org.members.has(who.id)) throw new Problem(409, "member", "they are in it already: an owner gives them another role");
      org.invites.set(who.id, body.role);
      return person(who.id, body.role);
    },
    "DELETE /ID/invites/ID": ({ org, second }) => (org.invites.delete(second), {}),
    "GET /invites": ({ user }) => page([...all.values()].filter((org) => org.invites.has(user.id)).map((org) => ({ org_id: org.id, handle: org.handle, name: org.name, role: org.invites.get(user.id), invited_at: ago(600) }))),
    "POST /invites/ID/accept": ({ user, invitedTo }) => {
      invitedTo.members.set(user.id, invitedTo.invites.get(user.id));
      invitedTo.invites.delete(user.id);
      return shown(invitedTo, user);
    },
    "DELETE /invites/ID": ({ user, invitedTo }) => (invitedTo.invites.delete(user.id), {}),
  };

  return {
    takes: ({ pathname }) => pathname.startsWith(BASE),
    /** An organisation, for who is in it. */
    of: (id, user) => (all.get(id)?.members.has(user?.id) ? shown(all.get(id), user) : undefined),
    answer(method, { pathname }, body, who) {
      if (!who) throw new Problem(403, "forbidden", "an organisation has an owner: sign in as somebody who is a creator");
      const parts = pathname.slice(BASE.length).split("/").slice(1);
      const name = parts.map((part, n) => (n === 1 && parts[0] !== "invites" || part === "invites" || part === "accept" ? part : "ID"));
      const route = routes[`${method} ${name.map((part) => `/${part}`).join("")}`];
      if (!route) throw new Problem(404, "not-found", "nothing has this address");
      const org = all.get(parts[0]);
      const invitedTo = parts[0] === "invites" ? all.get(parts[1]) : undefined;
      if (parts[0] && parts[0] !== "invites" && !org?.members.has(who.user.id)) throw new Problem(404, "not-found", "there is no such organisation, or you are not in it");
      if (parts[1] && parts[0] === "invites" && !invitedTo?.invites.has(who.user.id)) throw new Problem(404, "not-found", "there is no such invitation, or it was taken back");
      return route({ org, invitedTo, second: parts[2], body, user: who.user });
    },
  };
}
