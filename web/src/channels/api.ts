// The API of channels: what they are called, what they are published with, what is on, where it is sent on to, and who watches.
import type { Ingest, Relay, StreamItem } from "../lib/api";
import { ask, asked, type Page, type Tagged } from "../lib/ask";
import { send } from "../lib/session";

const CHANNELS = "/api/streaming-service-v2/v1/channels";
const LEASES = "/api/session-mgr/v1/playback-leases";
const PAGE = 50;

export interface Channel {
  id: string;
  handle: string;
  title: string;
  members_only: boolean;
  /** `APP/STREAM`. */
  stream: string;
  version: number;
  /** Who asks may do something with it: what that is, `right` tells. */
  mine: boolean;
  right: "watch" | "publish" | "manage" | "own";
  /** Whose it is, for who is in the organisation. */
  org?: { id: string; handle: string; name: string };
  /** Somebody publishes it; absent while that is not known. */
  live?: boolean;
}

/** Whether who asks may delete what is of a channel, and change what it is: publishers of an organisation do not. */
export const manages = (channel: Channel) => channel.right === "manage" || channel.right === "own";

/** Where a channel is published, and how that goes: null while nobody does. */
export interface Standing {
  ingest: Ingest;
  stream: StreamItem | null;
}

export interface Key {
  id: string;
  name: string;
  backup: boolean;
  created_at: string;
  /** It opens the channel; before that it is on its way. */
  ready: boolean;
}

export interface Member {
  id: string;
  user_id: string;
  handle: string;
  name: string;
  since: string;
}

export interface Broadcast {
  id: string;
  title: string;
  description: string;
  state: "scheduled" | "live" | "away" | "ended";
  /** Without a time it begins when the channel is published next. */
  planned_at: string | null;
  started_at: string | null;
  ended_at: string | null;
  viewers_peak: number;
}

export interface Marker {
  id: string;
  kind: "chapter" | "ad" | "note";
  label: string;
  at: string;
  /** Whether it stands in the playlist. */
  announced: "waiting" | "yes" | "no";
}

/** A stretch of a broadcast that is kept; its address is a path where the channel is watched. */
export interface Clip {
  id: string;
  title: string;
  from: string;
  to: string;
  mp4_path: string;
}

/** From where members watch, and how long a token of theirs holds. */
export interface Policy {
  access: "public" | "members";
  networks: string[];
  token_s: number;
}

/** Where a channel is sent on to; the state is that of a relay, or `waiting` for the core to hear of it. */
export interface Target extends Relay {
  id: string;
  name: string;
  url: string;
}

export interface Playback {
  urls: { hls: string; dash: string; watch: string };
  /** Of a channel for members: it holds while its lease is put again. */
  token?: { token: string; id: string; lasts_s: number; lease_id: string };
}

const after = (cursor: string | null) => `?limit=${PAGE}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`;
const post = <T>(path: string, body: unknown) => ask<T>("POST", CHANNELS + path, { body, once: true });

export const listChannels = (cursor: string | null) => ask<Page<Channel>>("GET", CHANNELS + after(cursor));
export const addChannel = (of: { handle: string; title: string; members_only: boolean; org_id?: string }) => post<Channel>("", of);
export const rename = ({ id, version }: Channel, title: string) => ask<Channel>("PATCH", `${CHANNELS}/${id}`, { body: { title }, version });
export const erase = (id: string) => ask<unknown>("DELETE", `${CHANNELS}/${id}`);
export const readStanding = (id: string, signal: AbortSignal) => ask<Standing>("GET", `${CHANNELS}/${id}/live`, { signal });

export const listKeys = (id: string) => (cursor: string | null) => ask<Page<Key>>("GET", `${CHANNELS}/${id}/stream-keys${after(cursor)}`);
export const addKey = (id: string, name: string, backup: boolean) => post<Key & { key: string }>(`/${id}/stream-keys`, { name, backup });
export const dropKey = (id: string, key: string) => ask<unknown>("DELETE", `${CHANNELS}/${id}/stream-keys/${key}`);

export const listMembers = (id: string) => async (cursor: string | null) => {
  const { items, next_cursor } = await ask<Page<Member>>("GET", `${CHANNELS}/${id}/members${after(cursor)}`);
  return { items: items.map((member) => ({ ...member, id: member.user_id })), next_cursor };
};
export const addMember = (id: string, handle: string) => ask<Member>("POST", `${CHANNELS}/${id}/members`, { body: { handle } });
export const dropMember = (id: string, user: string) => ask<unknown>("DELETE", `${CHANNELS}/${id}/members/${user}`);

export const listBroadcasts = (id: string) => (cursor: string | null) => ask<Page<Broadcast>>("GET", `${CHANNELS}/${id}/broadcasts${after(cursor)}`);
export const plan = (id: string, of: { title: string; planned_at: string | null }) => post<Broadcast>(`/${id}/broadcasts`, of);
export const start = (id: string, broadcast: string) => post<Broadcast>(`/${id}/broadcasts/${broadcast}/start`, {});
export const end = (id: string, broadcast: string) => post<Broadcast>(`/${id}/broadcasts/${broadcast}/end`, {});
export const unplan = (id: string, broadcast: string) => ask<unknown>("DELETE", `${CHANNELS}/${id}/broadcasts/${broadcast}`);

const markers = (id: string, broadcast: string) => `/${id}/broadcasts/${broadcast}/markers`;
export const listMarkers = (id: string, broadcast: string) => (cursor: string | null) => ask<Page<Marker>>("GET", CHANNELS + markers(id, broadcast) + after(cursor));
export const addMarker = (id: string, broadcast: string, label: string) => post<Marker>(markers(id, broadcast), { label });
export const dropMarker = (id: string, broadcast: string, marker: string) => ask<unknown>("DELETE", `${CHANNELS}${markers(id, broadcast)}/${marker}`);

const clips = (id: string, broadcast: string) => `/${id}/broadcasts/${broadcast}/clips`;
export const listClips = (id: string, broadcast: string) => (cursor: string | null) => ask<Page<Clip>>("GET", CHANNELS + clips(id, broadcast) + after(cursor));
export const addClip = (id: string, broadcast: string, of: { title: string } & ({ last_s: number } | { from: string; to: string })) => post<Clip>(clips(id, broadcast), of);
export const dropClip = (id: string, broadcast: string, clip: string) => ask<unknown>("DELETE", `${CHANNELS}${clips(id, broadcast)}/${clip}`);

export const readPolicy = (id: string) => asked<Policy>("GET", `${CHANNELS}/${id}/playback-policy`);
export const setPolicy = (id: string, { value, version }: Tagged<Policy>) => asked<Policy>("PUT", `${CHANNELS}/${id}/playback-policy`, { body: value, version });

export const listTargets = (id: string) => (cursor: string | null) => ask<Page<Target>>("GET", `${CHANNELS}/${id}/simulcast-targets${after(cursor)}`);
export const addTarget = (id: string, name: string, url: string) => post<Target>(`/${id}/simulcast-targets`, { name, url });
export const dropTarget = (id: string, target: string) => ask<unknown>("DELETE", `${CHANNELS}/${id}/simulcast-targets/${target}`);

export const watch = (id: string) => post<Playback>(`/${id}/playback`, {});
/** Another token on the same lease. */
export const rewatch = (id: string, token: string) => post<Playback>(`/${id}/playback/${token}`, {});
export const sendAway = (id: string) => ask<unknown>("DELETE", `${CHANNELS}/${id}/playback`);
export const stillWatched = (lease: string) => ask<unknown>("PUT", `${LEASES}/${lease}`);
/** Said also while the page goes away; unsaid, a lease runs out by itself. */
export const watchedNoMore = (lease: string) => void send(`${LEASES}/${lease}`, { method: "DELETE", keepalive: true }).catch(() => undefined);
