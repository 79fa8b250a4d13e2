// The JSON of the stream list, as the gateway serves it. Anything may be missing: a page must not
// break because a server is older or newer than it.

/** `null` and absent mean the same: not known. */
type Maybe<T> = T | null | undefined;

export interface Track {
  kind: string;
  codec?: Maybe<string>;
  width?: Maybe<number>;
  height?: Maybe<number>;
  fps?: Maybe<number>;
  bitrate_bps?: Maybe<number>;
  key_interval_ms?: Maybe<number>;
  sample_rate?: Maybe<number>;
  channels?: Maybe<number>;
}

export interface Publisher {
  protocol?: Maybe<string>;
  peer?: Maybe<string>;
  client?: Maybe<string>;
  connected_at?: Maybe<string>;
}

export interface Repairs {
  total?: Maybe<number>;
  kinds?: Maybe<{ kind: string; count: number }[]>;
  recent?: Maybe<{ at?: Maybe<string>; text: string }[]>;
}

export interface StreamItem {
  id?: Maybe<string>;
  key: string;
  /** `live`, `reconnecting` or `ended`. */
  state?: Maybe<string>;
  publisher?: Maybe<Publisher>;
  started_at?: Maybe<string>;
  uptime_ms?: Maybe<number>;
  tracks?: Maybe<Track[]>;
  bitrate_bps?: Maybe<number>;
  viewers?: Maybe<Record<string, number>>;
  window_bytes?: Maybe<number>;
  repairs?: Maybe<Repairs>;
  discontinuities?: Maybe<number>;
  hints?: Maybe<string[]>;
  watch_url?: Maybe<string>;
}

export interface Refusal {
  at?: Maybe<string>;
  peer?: Maybe<string>;
  key?: Maybe<string>;
  reason?: Maybe<string>;
}

export interface StreamList {
  items: StreamItem[];
  next_cursor?: Maybe<string>;
  server?: Maybe<{
    version?: Maybe<string>;
    uptime_ms?: Maybe<number>;
    ingest?: Maybe<{ rtmp?: Maybe<string> }>;
    refusals?: Maybe<Refusal[]>;
  }>;
}

/** Checks the outermost shape; throws when it is not a list of streams. */
export function readList(json: unknown): StreamList {
  const list = json as Partial<StreamList> | null;
  if (!list || !Array.isArray(list.items)) throw new TypeError("not a list of streams");
  return { ...list, items: list.items.filter((item) => typeof item?.key === "string") };
}
