// What a row of the status page shows of a stream, with everything that may be missing taken care of.
import type { StreamItem } from "../lib/api";
import { codec, count } from "../lib/format";

/** The video and the audio track, the first of each. */
export function tracksOf(item: StreamItem) {
  const tracks = Array.isArray(item.tracks) ? item.tracks : [];
  return { video: tracks.find((track) => track.kind === "video"), audio: tracks.find((track) => track.kind === "audio") };
}

/** `H.264 + AAC`. */
export function codecsOf(item: StreamItem): string {
  const { video, audio } = tracksOf(item);
  return [video, audio].flatMap((track) => (track?.codec ? [codec(track.codec)] : [])).join(" + ");
}

/** All viewers, and how they split up by protocol: `3 HLS, 1 RTMP`. */
export function viewersOf(item: StreamItem): { total: number | null; split: string } {
  const entries = Object.entries(item.viewers ?? {}).filter(([, n]) => typeof n === "number");
  if (entries.length === 0) return { total: null, split: "" };
  return {
    total: entries.reduce((sum, [, n]) => sum + n, 0),
    split: entries.filter(([, n]) => n > 0).map(([protocol, n]) => `${n} ${protocol.toUpperCase()}`).join(", "),
  };
}

/** `RTMP from 127.0.0.1:51234, FMLE/3.0 (compatible; …)`. */
export function publisherOf(item: StreamItem): string {
  const { protocol, peer, client } = item.publisher ?? {};
  const from = [protocol?.toUpperCase(), peer && `from ${peer}`].filter(Boolean).join(" ");
  return [from, client].filter(Boolean).join(" · ");
}

const STATES: Record<string, { tone: "good" | "warn" | "idle"; text: string }> = {
  live: { tone: "good", text: "Live" },
  reconnecting: { tone: "warn", text: "Reconnecting" },
  ended: { tone: "idle", text: "Ended" },
};

/** The badge of a state; a state this page does not know is shown as it is. */
export function stateOf(item: StreamItem) {
  return STATES[item.state ?? ""] ?? { tone: "idle" as const, text: item.state || "Unknown" };
}

const KINDS: Record<string, [string, string]> = {
  jump: ["clock jump", "clock jumps"],
  gap: ["gap", "gaps"],
};

/** `1 clock jump, 2 gaps`. */
export function repairsOf(item: StreamItem): string {
  return (item.repairs?.kinds ?? [])
    .map(({ kind, count: n }) => {
      const plain = kind.replaceAll("_", " ");
      const [one, many] = KINDS[kind] ?? [plain, plain];
      return count(n, one, many);
    })
    .join(", ");
}

/**
 * The watch page of a stream. A server that names itself by a loopback address means this machine:
 * for a viewer elsewhere that is the host the status page came from.
 */
export function watchUrl(item: StreamItem, here: Location): string | null {
  const loopback = (host: string) => host === "localhost" || host === "[::1]" || host.startsWith("127.");
  try {
    const url = new URL(item.watch_url ?? "");
    if (url.protocol !== "http:" && url.protocol !== "https:") return null;
    if (loopback(url.hostname) && !loopback(here.hostname)) url.hostname = here.hostname;
    return url.href;
  } catch {
    return null;
  }
}

/** The repairs that the server still knows in words, newest first. */
export function recentRepairs(item: StreamItem) {
  return [...(item.repairs?.recent ?? [])].sort((a, b) => (b.at ?? "").localeCompare(a.at ?? ""));
}
