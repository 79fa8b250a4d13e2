// Keeps the list of streams fresh: server-sent events, and polling while those do not come.
import { readList, type StreamList } from "../lib/api";
import { send } from "../lib/session";

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
  let source: AbortController | null = null;
  let quiet: ReturnType<typeof setTimeout> | undefined;
  let retry: ReturnType<typeof setTimeout> | undefined;
  let retryMs = RETRY_MS_MIN;
  let poll: ReturnType<typeof setTimeout> | undefined;
  let polling = false;
  let over = false;

  function connect() {
    const mine = new AbortController();
    source = mine;
    read(mine).catch(() => undefined).finally(() => source === mine && broken());
    watch();
  }

  /** Not an `EventSource`, which bears nothing: operators see more than others. */
  async function read(mine: AbortController) {
    const answer = await send(EVENTS, { cache: "no-store", signal: mine.signal });
    const reader = answer.ok ? answer.body?.pipeThrough(new TextDecoderStream()).getReader() : null;
    let text = "";
    while (reader) {
      const { done, value } = await reader.read();
      if (done || source !== mine) return;
      const events = (text + value).split("\n\n");
      text = events.pop() ?? "";
      for (const event of events) take(event);
    }
  }

  function take(event: string) {
    const data = event.split("\n").find((line) => line.startsWith("data: "));
    if (data === undefined) return;
    onList(readList(JSON.parse(data.slice("data: ".length))));
    retryMs = RETRY_MS_MIN;
    stopPolling();
    onLink("live");
    watch();
  }

  function watch() {
    clearTimeout(quiet);
    quiet = setTimeout(broken, QUIET_MS);
  }

  function broken() {
    clearTimeout(quiet);
    source?.abort();
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
      const answer = await send(LIST, { cache: "no-store", signal: AbortSignal.timeout(POLL_TIMEOUT_MS) });
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
    const last = source;
    source = null;
    last?.abort();
  };
}
