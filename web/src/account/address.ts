// What the address of the account page asks for: an invitation, a new password, what an app wants, where to go afterwards.

export interface Asked {
  invite: string;
  reset: string;
  /** A link by mail that signs in, or that confirms an address. */
  enter: string;
  confirm: string;
  /** What an app asks for, signed by the server. */
  authorize: string;
  /** Why an app could not even ask: `app`, `address` or `request`. */
  refused: string;
  /** An app wants somebody to be signed out, and where they go then. */
  leave: string;
  /** What takes back that the account is erased. */
  keep: string;
}

export const nothing: Readonly<Asked> = { invite: "", reset: "", enter: "", confirm: "", authorize: "", refused: "", leave: "", keep: "" };

/** Reads the fragment and takes it out of the address bar and the history, for it opens doors. */
export function takeFragment(): Asked {
  const given = new URLSearchParams(location.hash.slice(1));
  const asked = { ...nothing };
  for (const name of Object.keys(nothing) as (keyof Asked)[]) asked[name] = given.get(name) ?? "";
  if (Object.values(asked).some(Boolean)) history.replaceState(null, "", location.pathname + location.search);
  return asked;
}

/** The code of a television that waits, where the page was opened for one; null where it was not. */
export const deviceCode = () => (location.pathname === "/device" ? (new URLSearchParams(location.search).get("code") ?? "") : null);

/** The page of this origin that was asked for before signing in; null when there is none, or it is elsewhere. */
export function nextPage(): string | null {
  const next = new URLSearchParams(location.search).get("next") ?? "";
  if (!/^\/(?![/\\])/.test(next)) return null;
  // Browsers leave out some characters: what they make of it must be of this origin too.
  const url = URL.canParse(next, location.origin) ? new URL(next, location.origin) : null;
  return url?.origin === location.origin ? url.pathname + url.search + url.hash : null;
}
