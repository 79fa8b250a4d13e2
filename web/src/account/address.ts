// What the address of the account page asks for: an invitation, a new password, where to go afterwards.

export interface Asked {
  invite: string;
  reset: string;
}

/** Reads the fragment and takes it out of the address bar and the history, for it opens doors. */
export function takeFragment(): Asked {
  const given = new URLSearchParams(location.hash.slice(1));
  const asked = { invite: given.get("invite") ?? "", reset: given.get("reset") ?? "" };
  if (asked.invite || asked.reset) history.replaceState(null, "", location.pathname + location.search);
  return asked;
}

/** The page of this origin that was asked for before signing in; null when there is none, or it is elsewhere. */
export function nextPage(): string | null {
  const next = new URLSearchParams(location.search).get("next") ?? "";
  if (!/^\/(?![/\\])/.test(next)) return null;
  // Browsers leave out some characters: what they make of it must be of this origin too.
  const url = URL.canParse(next, location.origin) ? new URL(next, location.origin) : null;
  return url?.origin === location.origin ? url.pathname + url.search + url.hash : null;
}
