// Inputs, tracks and relays in words, with everything that may be missing taken care of.
import type { Input, Ladder, Relay, Rung, SrtLink, Track, Transport } from "../lib/api";
import { bytes, clock, codec, count, fps } from "../lib/format";
import type { Tone } from "./rows";

/** Parts that are there, with dots between. */
export const dotted = (...parts: (string | number | false | null | undefined)[]): string => parts.filter(Boolean).join(" · ");

/** `Waiting for stream`: a word of the API as people write it. */
export function plain(word: string | null | undefined): string {
  const text = (word ?? "").replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

const INPUT_TONES: Record<string, Tone> = { on_air: "good", silent: "warn" };

/** The badge of an input. */
export function inputState({ state }: Input): { tone: Tone; text: string } {
  return { tone: INPUT_TONES[state ?? ""] ?? "idle", text: plain(state) || "Unknown" };
}

const PROTOCOLS: Record<string, string> = { pull: "Pulled", clip: "Clip from this server" };

/** `SRT from 192.0.2.7:5000 · libsrt 1.5.3`. */
export function senderOf({ protocol, peer, client }: Input): string {
  const name = PROTOCOLS[protocol ?? ""] ?? protocol?.toUpperCase() ?? "";
  return dotted([name, peer && `from ${peer}`].filter(Boolean).join(" "), client);
}

const ADMITTED: Record<string, string> = { open: "no key asked", pull: "", slate: "" };

/** `since 12:00:41 · 1.2 GB · admitted by key`. */
export function stayOf(input: Input): string {
  const by = input.admitted_by;
  return dotted(
    input.connected_at && `since ${clock(input.connected_at)}`,
    input.bytes ? bytes(input.bytes) : "",
    by && (ADMITTED[by] ?? `admitted by ${by}`),
  );
}

const percent = (share: number): string => (share < 0.001 ? "< 0.1 %" : `${(share * 100).toFixed(1)} %`);

/** From this share of packets that never came, viewers see it. */
const BAD_SHARE = 0.001;
/** A packet that is lost needs about this many round trips to come again. */
const ROUND_TRIPS = 4;

/** How good an SRT link is, the figures that say so, and what would help. */
export function linkOf(link: SrtLink): { tone: Tone; verdict: string; figures: string; advice: string } {
  const { rtt_ms, latency_ms, encryption } = link;
  const [lost, dropped] = [link.lost ?? 0, link.dropped ?? 0];
  const all = Math.max(1, (link.packets ?? 0) + dropped);
  const figures = dotted(
    rtt_ms != null && `RTT ${Math.round(rtt_ms)} ms`,
    latency_ms != null && `latency ${latency_ms} ms`,
    lost + dropped > 0 ? `${percent(Math.min(1, lost / all))} lost, ${dropped} unrecovered` : "nothing lost",
    encryption === "none" ? "not encrypted" : encryption,
  );
  if (dropped === 0) return { tone: "good", verdict: lost > 0 ? "Losses repaired" : "Clean link", figures, advice: "" };
  const enough = Math.ceil((ROUND_TRIPS * (rtt_ms ?? 0)) / 10) * 10;
  return {
    tone: dropped / all < BAD_SHARE ? "warn" : "bad",
    verdict: dropped / all < BAD_SHARE ? "Minor losses" : "Lossy link",
    figures,
    advice:
      enough > (latency_ms ?? 0)
        ? `Raise the encoder's latency to ${enough} ms or more, so that lost packets have time to come again.`
        : "Lower the encoder's bitrate, or use a better connection.",
  };
}

/** `12 packets missing · 3 frames given up`; empty when all came. */
export function lossesOf(transport: Transport): string {
  const part = (n: number | null | undefined, one: string, many?: string) => !!n && count(n, one, many);
  return dotted(
    part(transport.lost_packets, "packet missing", "packets missing"),
    part(transport.lost_units, "frame given up", "frames given up"),
    part(transport.sync_losses, "loss of sync", "losses of sync"),
  );
}

/** `DVB subtitles (stream type 0x06, PID 260)`: what an input has and viewers do not get. */
export function leftOutOf(transport: Transport): string {
  return (transport.left_out ?? []).map((text) => text.replace(/ is left out$/, "")).join("; ");
}

/** `1080p`, by the shorter side. */
export function sizeOf({ width, height }: Track): string {
  return width && height ? `${Math.min(width, height)}p` : "Video";
}

/** `H.264 · 59.94 fps`, with the pixels where the shape is not the usual one. */
export function pictureOf({ codec: id, fps: rate, width, height }: Track): string {
  const usual = !width || !height || Math.abs(width * 9 - height * 16) < 32;
  return dotted(id && codec(id), rate ? `${fps(rate)} fps` : "", !usual && `${width} × ${height}`);
}

const names = new Intl.DisplayNames(["en"], { type: "language", fallback: "none" });

/** `German`; nothing for a language that is not told. */
export function languageOf({ language }: Track): string {
  if (!language || language === "und") return "";
  try {
    return names.of(language) ?? language;
  } catch {
    return language;
  }
}

const LAYOUTS: Record<number, string> = { 1: "mono", 2: "stereo", 6: "5.1", 8: "7.1" };

/** `AAC · stereo · 48 kHz`. */
export function soundOf({ codec: id, channels, sample_rate: rate }: Track): string {
  return dotted(id && codec(id), channels && (LAYOUTS[channels] ?? `${channels} channels`), rate && `${rate / 1000} kHz`);
}

const RELAYS: Record<string, Tone> = { live: "good", connecting: "warn", retrying: "warn", refused: "bad" };

/** The badge of a target or source. */
export function relayState({ state }: Relay): { tone: Tone; text: string } {
  return { tone: RELAYS[state ?? ""] ?? "idle", text: plain(state) || "Unknown" };
}

/** `attempt 3 · next try 12:01:30`, or `1.2 GB sent · 4 frames dropped`. */
/** Where a relay goes to or comes from: `SRT, studio.example.com:9000`. */
export function relayHost({ url }: Relay): string {
  const [, scheme, host] = /^([a-z]+):\/\/([^/?]+)/.exec(url ?? "") ?? [];
  return scheme && host ? `${scheme.toUpperCase()}, ${host}` : (url ?? "");
}

export function relayFacts({ state, attempts, retry_at, bytes_sent, frames_dropped, input }: Relay): string {
  const trying = state === "connecting" || state === "retrying";
  return dotted(
    input && `as ${input}`,
    bytes_sent ? `${bytes(bytes_sent)} sent` : "",
    !!frames_dropped && `${count(frames_dropped, "frame")} dropped`,
    trying && !!attempts && `attempt ${attempts}`,
    state === "retrying" && retry_at && `next try ${clock(retry_at)}`,
  );
}

const LADDER_TONES: Record<string, Tone> = { running: "good", starting: "idle", restarting: "warn", dropped: "bad", refused: "bad" };

/** How it stands with the renditions that are made here, and the figures that say so. */
export function ladderOf(ladder: Ladder): { tone: Tone; verdict: string; figures: string } {
  const { state, lag_ms, cpu, crashes, skips, damaged, source } = ladder;
  const figures = dotted(
    state === "running" && `${lag_ms ?? 0} ms behind`,
    cpu ? `${cpu.toFixed(1)} cores` : "",
    crashes ? count(crashes, "crash", "crashes") : "",
    skips ? `left out pictures ${count(skips, "time")}` : "",
    damaged ? `${count(damaged, "frame")} not decoded` : "",
    source === "hidden" && "source hidden",
  );
  return { tone: LADDER_TONES[state ?? ""] ?? "idle", verdict: plain(state) || "Unknown", figures };
}

const RUNG_STATES: Record<string, string> = { on: "", idle: "nobody watches it", shed: "given up", refused: "not made" };

/** `libx264`, and what was wanted in its place and is not there. */
function coderOf({ encoder, device }: Rung): string {
  const missed = encoder?.startsWith("lib") && device && device !== "software";
  return missed ? `${encoder}, as there is no ${device === "auto" ? "hardware encoder" : device}` : (encoder ?? "");
}

/** `v2 · libx264`, or why it is not made. */
export const rungOf = (rung: Rung): string =>
  dotted(rung.name, coderOf(rung), RUNG_STATES[rung.state ?? ""] ?? rung.state, rung.reason);
