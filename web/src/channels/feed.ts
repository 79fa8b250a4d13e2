// Keeps fresh how a channel stands.
import type { StreamItem } from "../lib/api";
import { told } from "../lib/problem";
import { readStanding, type Standing } from "./api";

const POLL_MS = 2000;
const POLL_TIMEOUT_MS = 8000;

/** Whether anything is sent, the slate too; the bitrate of what has paused is that of before. */
export const sends = (stream: StreamItem | null) => stream?.state === "live" || stream?.state === "slate";

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
