// The JSON of the stream list, as the gateway serves it. Anything may be missing: a page must not
// break because a server is older or newer than it.

/** `null` and absent mean the same: not known. */
type Maybe<T> = T | null | undefined;

export interface Track {
  kind: string;
  /** As in URLs: `v1`, `a2`. */
  name?: Maybe<string>;
  /** ISO 639-2. */
  language?: Maybe<string>;
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

/** Figures of an SRT link. */
export interface SrtLink {
  rtt_ms?: Maybe<number>;
  latency_ms?: Maybe<number>;
  packets?: Maybe<number>;
  /** Seen missing at first; most of them come after all. */
  lost?: Maybe<number>;
  /** Came too late or never. */
  dropped?: Maybe<number>;
  /** `none`, or such as `AES-256`. */
  encryption?: Maybe<string>;
}

/** What a transport stream lost on its way, and what of it is not carried. */
export interface Transport {
  lost_packets?: Maybe<number>;
  lost_units?: Maybe<number>;
  sync_losses?: Maybe<number>;
  left_out?: Maybe<string[]>;
}

export interface Input extends Publisher {
  /** `primary`, `backup` or `slate`. */
  role?: Maybe<string>;
  /** `on_air`, `standby` or `silent`. */
  state?: Maybe<string>;
  /** `open`, `key`, `token`, `hook`, `passphrase` or `pull`. */
  admitted_by?: Maybe<string>;
  bytes?: Maybe<number>;
  link?: Maybe<SrtLink>;
  transport?: Maybe<Transport>;
}

/** A server that a stream is sent on to, or one that it is fetched from. */
export interface Relay {
  id?: Maybe<string>;
  /** With its secrets masked. */
  url?: Maybe<string>;
  protocol?: Maybe<string>;
  /** Of a source: the input that it feeds. */
  input?: Maybe<string>;
  /** `waiting_for_stream`, `connecting`, `live`, `retrying`, `stopped` or `refused`. */
  state?: Maybe<string>;
  attempts?: Maybe<number>;
  retry_at?: Maybe<string>;
  last_error?: Maybe<string>;
  bytes_sent?: Maybe<number>;
  frames_dropped?: Maybe<number>;
}

/** Renditions that the server makes, and the worker that makes them. */
export interface Ladder {
  /** `none`, `refused`, `starting`, `running`, `restarting` or `dropped`. */
  state?: Maybe<string>;
  lag_ms?: Maybe<number>;
  crashes?: Maybe<number>;
  /** Cores. */
  cpu?: Maybe<number>;
  /** Times that pictures were left out, for it was late. */
  skips?: Maybe<number>;
  damaged?: Maybe<number>;
  reason?: Maybe<string>;
  /** `hidden` or `announced`, where it is to be hidden. */
  source?: Maybe<string>;
  rungs?: Maybe<Rung[]>;
}

export interface Rung {
  /** Its track. */
  name?: Maybe<string>;
  /** `on`, `idle`, `shed` or `refused`. */
  state?: Maybe<string>;
  encoder?: Maybe<string>;
  /** `software`, `nvenc`, `qsv` or `auto`: what was wanted. */
  device?: Maybe<string>;
  reason?: Maybe<string>;
}

export interface Repairs {
  total?: Maybe<number>;
  kinds?: Maybe<{ kind: string; count: number }[]>;
  recent?: Maybe<{ at?: Maybe<string>; text: string }[]>;
}

/** How it looks at the players' end, as far as they tell (CMCD). */
export interface Experience {
  /** Viewers that tell. */
  sessions?: Maybe<number>;
  /** Reports of a buffer that ran dry. */
  starved?: Maybe<number>;
  /** Media in their buffers, mean of late. */
  buffer_ms?: Maybe<number>;
}

export interface StreamItem {
  id?: Maybe<string>;
  key: string;
  /** `live`, `slate`, `reconnecting` or `ended`. */
  state?: Maybe<string>;
  publisher?: Maybe<Publisher>;
  inputs?: Maybe<Input[]>;
  switches?: Maybe<number>;
  targets?: Maybe<Relay[]>;
  sources?: Maybe<Relay[]>;
  started_at?: Maybe<string>;
  uptime_ms?: Maybe<number>;
  tracks?: Maybe<Track[]>;
  bitrate_bps?: Maybe<number>;
  viewers?: Maybe<Record<string, number>>;
  /** Edges that fetch it. */
  edges?: Maybe<number>;
  qoe?: Maybe<Experience>;
  window_bytes?: Maybe<number>;
  repairs?: Maybe<Repairs>;
  discontinuities?: Maybe<number>;
  hints?: Maybe<string[]>;
  ladder?: Maybe<Ladder>;
  watch_url?: Maybe<string>;
}

export interface Refusal {
  at?: Maybe<string>;
  peer?: Maybe<string>;
  key?: Maybe<string>;
  reason?: Maybe<string>;
}

/** Where to publish; empty where there is no listener. */
export interface Ingest {
  rtmp?: Maybe<string>;
  rtmps?: Maybe<string>;
  srt?: Maybe<string>;
}

export interface StreamList {
  items: StreamItem[];
  next_cursor?: Maybe<string>;
  server?: Maybe<{
    version?: Maybe<string>;
    uptime_ms?: Maybe<number>;
    ingest?: Maybe<Ingest>;
    refusals?: Maybe<Refusal[]>;
  }>;
}

/** Checks the outermost shape; throws when it is not a list of streams. */
export function readList(json: unknown): StreamList {
  const list = json as Partial<StreamList> | null;
  if (!list || !Array.isArray(list.items)) throw new TypeError("not a list of streams");
  return { ...list, items: list.items.filter((item) => typeof item?.key === "string") };
}
