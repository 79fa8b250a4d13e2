// Assets and stretches as the page lists them: one shape for both.
import type { Asset, Stretch } from "./api";

export type Tone = "good" | "warn" | "bad" | "idle";

export interface Item {
  key: string;
  title: string;
  stream: string;
  startMs: number;
  /** None while it goes on. */
  endMs: number | null;
  durationMs: number;
  bytes: number;
  hlsUrl: string;
  mp4Url: string;
  badge: { tone: Tone; text: string };
  /** What of it is an asset. */
  asset: Asset | null;
}

const KINDS = { recording: "Recording", clip: "Clip" } as const;

export function ofAsset(asset: Asset): Item {
  const badge = {
    waiting: { tone: "warn", text: "Waiting" },
    ready: { tone: "good", text: KINDS[asset.kind] },
    failed: { tone: "bad", text: "Nothing kept" },
    deleted: { tone: "idle", text: "Deleted" },
  } as const;
  return {
    key: asset.id,
    title: asset.title,
    stream: asset.stream,
    startMs: Date.parse(asset.start),
    endMs: Date.parse(asset.end),
    durationMs: asset.duration_ms,
    bytes: asset.bytes,
    hlsUrl: asset.hls_url,
    mp4Url: asset.mp4_url,
    badge: badge[asset.state] ?? { tone: "idle", text: asset.state },
    asset,
  };
}

export function ofStretch(stretch: Stretch): Item {
  return {
    key: `${stretch.stream} ${stretch.begins_at}`,
    title: stretch.stream,
    stream: stretch.stream,
    startMs: Date.parse(stretch.begins_at),
    endMs: stretch.ends_at ? Date.parse(stretch.ends_at) : null,
    durationMs: stretch.duration_ms,
    bytes: stretch.bytes,
    hlsUrl: stretch.hls_url,
    mp4Url: stretch.mp4_url,
    badge: stretch.ends_at ? { tone: "idle", text: "Kept for now" } : { tone: "good", text: "On air" },
    asset: null,
  };
}

/** `21 Nov 2026, 14:03:20`, in the viewer's zone and language. */
export function when(ms: number): string {
  return new Date(ms).toLocaleString([], { dateStyle: "medium", timeStyle: "medium", hour12: false });
}

/** Time of day to the millisecond. */
export function instant(ms: number): string {
  const date = new Date(ms);
  const clock = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
  return `${clock}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

/** A name for a file: what every system takes. */
export function fileName(title: string, startMs: number): string {
  const plain = title.replace(/[^\p{L}\p{N}._ -]+/gu, "-").trim() || "clip";
  return `${plain} ${new Date(startMs).toISOString().slice(0, 19).replace(/:/g, "")}.mp4`;
}
