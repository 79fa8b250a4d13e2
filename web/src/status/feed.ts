// Keeps the list of streams fresh: server-sent events, and polling while those do not come.
import { readList, type StreamList } from "../lib/api";

/** How the page gets its data now. */
export type Link = "connecting" | "live" | "polling" | "lost";

const EVENTS = "/api/streamcore/v1/streams/events";
const LIST = "/api/streamcore/v1/streams?limit=200";
const POLL_MS = 2000;
const POLL_TIMEOUT_MS = 5000;
/** Events come once a second; after this long without one the connection counts as broken. */
const QUIET_MS = 4000;
const RETRY_MS_MIN = 2000;
const RETRY_MS_MAX = 30_000;

/** Reports every list and every change of the link until the returned function is called. */
export function follow(onList: (list: StreamList) => void, onLink: (link: Link) => void): () => void {
  let source: EventSource | null = null;
  let quiet: ReturnType<typeof setTimeout> | undefined;
  let retry: ReturnType<typeof setTimeout> | undefined;
  let retryMs = RETRY_MS_MIN;
  let poll: ReturnType<typeof setTimeout> | undefined;
  let polling = false;
  let over = false;

  function connect() {
    source = new EventSource(EVENTS);
    source.addEventListener("streams", (event: MessageEvent<string>) => {
      try {
        onList(readList(JSON.parse(event.data)));
      } catch {
        return broken();
      }
      retryMs = RETRY_MS_MIN;
      stopPolling();
      onLink("live");
      watch();
    });
    source.addEventListener("error", broken);
    watch();
  }

  function watch() {
    clearTimeout(quiet);
    quiet = setTimeout(broken, QUIET_MS);
  }

  function broken() {
    clearTimeout(quiet);
    source?.close();
    source = null;
    clearTimeout(retry);
    retry = setTimeout(connect, retryMs);
    retryMs = Math.min(RETRY_MS_MAX, retryMs * 2);
    if (polling || over) return;
    polling = true;
    void ask();
  }

  async function ask() {
    try {
      const answer = await fetch(LIST, { cache: "no-store", signal: AbortSignal.timeout(POLL_TIMEOUT_MS) });
      if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
      const list = readList(await answer.json());
      if (!polling) return;
      onList(list);
      onLink("polling");
    } catch {
      if (polling) onLink("lost");
    }
    if (polling) poll = setTimeout(ask, POLL_MS);
  }

  function stopPolling() {
    polling = false;
    clearTimeout(poll);
  }

  connect();
  return () => {
    over = true;
    stopPolling();
    clearTimeout(quiet);
    clearTimeout(retry);
    source?.close();
  };
}
