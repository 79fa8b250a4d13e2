// Keeps fresh how a channel stands.
import type { StreamItem } from "../lib/api";
import { viewersOf } from "../status/rows";
import { told } from "../lib/problem";
import { readStanding, type Standing } from "./api";

const POLL_MS = 2000;
const POLL_TIMEOUT_MS = 8000;

/** Whether anything is sent, the slate too; the bitrate of what has paused is that of before. */
export const sends = (stream: StreamItem | null) => stream?.state === "live" || stream?.state === "slate";

/** What is drawn over time; null is not known, or not there. */
export interface Figures {
  bitrate: number;
  fps: number | null;
  viewers: number | null;
}

/** How many are drawn: two minutes. */
export const SLOTS = 60;
export const NO_FIGURES: readonly Figures[] = [];

export function figures(stream: StreamItem | null): Figures {
  if (!stream || !sends(stream)) return { bitrate: 0, fps: null, viewers: null };
  const video = stream.tracks?.find((track) => track.kind === "video");
  return { bitrate: stream.bitrate_bps ?? 0, fps: video?.fps ?? null, viewers: viewersOf(stream).total };
}

/** Reports how it stands every 2 s, and what is wrong when it cannot be told, until the returned function is called. */
export function follow(id: string, onStanding: (standing: Standing) => void, onFault: (text: string) => void): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const over = new AbortController();

  async function look() {
    try {
      const standing = await readStanding(id, AbortSignal.any([over.signal, AbortSignal.timeout(POLL_TIMEOUT_MS)]));
      if (!over.signal.aborted) onStanding(standing);
    } catch (error) {
      if (!over.signal.aborted) onFault(error instanceof DOMException ? "The server does not answer." : told(error));
    }
    if (!over.signal.aborted) timer = setTimeout(look, POLL_MS);
  }

  void look();
  return () => {
    over.abort();
    clearTimeout(timer);
  };
}
