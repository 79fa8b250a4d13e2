// What a row of the status page shows of a stream, with everything that may be missing taken care of.
import type { StreamItem } from "../lib/api";
import { count } from "../lib/format";

/** All viewers, and how they split up by protocol: `3 HLS, 1 RTMP`. */
export function viewersOf(item: StreamItem): { total: number | null; split: string } {
  const entries = Object.entries(item.viewers ?? {}).filter(([, n]) => typeof n === "number");
  if (entries.length === 0) return { total: null, split: "" };
  return {
    total: entries.reduce((sum, [, n]) => sum + n, 0),
    split: entries.filter(([, n]) => n > 0).map(([protocol, n]) => `${n} ${protocol.toUpperCase()}`).join(", "),
  };
}

/** The colour of a word. */
export type Tone = "good" | "warn" | "bad" | "idle";

const STATES: Record<string, { tone: Tone; text: string }> = {
  live: { tone: "good", text: "Live" },
  slate: { tone: "warn", text: "Slate" },
  reconnecting: { tone: "warn", text: "Reconnecting" },
  ended: { tone: "idle", text: "Ended" },
};

/** The badge of a state; a state this page does not know is shown as it is. */
export function stateOf(item: StreamItem) {
  return STATES[item.state ?? ""] ?? { tone: "idle" as Tone, text: item.state || "Unknown" };
}

/** What is to say where nobody is on air. */
export const QUIET: Record<string, string> = {
  slate: "Nobody sends; viewers see the slate.",
  reconnecting: "The publisher is gone; viewers wait for its return.",
  ended: "The stream is over.",
};

const KINDS: Record<string, string> = {
  wrap: "clock wrap-around",
  jump: "clock jump",
  backward: "backward time stamp",
  drift: "clock drift",
  dropped: "unusable frame",
  composition: "impossible picture time",
  still: "standing picture",
};

/** `1 clock jump, 2 gaps`. */
export function repairsOf(item: StreamItem): string {
  return (item.repairs?.kinds ?? [])
    .filter(({ count: n }) => n > 0)
    .map(({ kind, count: n }) => count(n, KINDS[kind] ?? kind.replaceAll("_", " ")))
    .join(", ");
}

const isLoopback = (host: string) => /^(localhost|127\.[\d.]+|\[::1\])$/.test(host);

/**
 * The watch page of a stream. A server that names itself by a loopback address means this machine:
 * for a viewer elsewhere that is the host the status page came from.
 */
export function watchUrl(item: StreamItem, here: Location): string | null {
  try {
    const url = new URL(item.watch_url ?? "");
    if (url.protocol !== "http:" && url.protocol !== "https:") return null;
    if (isLoopback(url.hostname) && !isLoopback(here.hostname)) url.hostname = here.hostname;
    return url.href;
  } catch {
    return null;
  }
}

/** The repairs that the server still knows in words, newest first. */
export function recentRepairs(item: StreamItem) {
  return [...(item.repairs?.recent ?? [])].sort((a, b) => (b.at ?? "").localeCompare(a.at ?? ""));
}

const REMEDIES: [RegExp, string][] = [
  [/wrong passphrase/, "Set the stream's passphrase in the encoder."],
  [/one side is encrypted/, "Set the stream's passphrase in the encoder, or remove it there if the stream has none."],
  [/version too old/, "Update the encoder: SRT 1.3 or newer is needed."],
  [/congestion control/, "Set transtype=live in the encoder."],
  [/packet filters/, "Remove packetfilter from the encoder's SRT settings."],
  [/bonding/, "Send over one link."],
  [/name (is empty|begins)/, "Publish to APP/STREAM, such as live/cam1."],
  [/said nothing useful/, "Check that the encoder speaks the protocol of this port."],
];

/** What to do about a refusal whose reason does not say it; empty when the reason does. */
export function remedyOf(reason: string): string {
  return REMEDIES.find(([pattern]) => pattern.test(reason))?.[1] ?? "";
}

/** An address for publishers as this browser's machine reaches it; a loopback address is treated as in `watchUrl`. */
export function ingestUrl(address: string, here: Location): string {
  const [, scheme, host = "", port] = /^(\w+:\/\/)(\[.*\]|[^:/]*)(:\d+)?/.exec(address) ?? [];
  if (!scheme) return address;
  const elsewhere = host === "0.0.0.0" || host === "[::]" || (isLoopback(host) && !isLoopback(here.hostname));
  return `${scheme}${elsewhere && here.hostname ? here.hostname : host}${port ?? ""}`;
}
