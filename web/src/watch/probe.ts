// Asks the edge how a stream is doing, without playing it.

/**
 * How a stream is doing. `missing`: no such broadcast now; `denied`: this page may not watch it; `failed`: the edge gave no
 * usable answer.
 */
export type Probe =
  | { kind: "live" }
  | { kind: "ended" }
  | { kind: "missing"; detail: string }
  | { kind: "denied"; detail: string }
  | { kind: "failed"; detail: string };

const TIMEOUT_MS = 5000;

/** Reads the multivariant playlist and the first playlist it lists. */
export async function probe(playlist: string): Promise<Probe> {
  try {
    const first = await get(new URL(playlist, location.href));
    if ("kind" in first) return first;
    const child = first.text.includes("#EXT-X-STREAM-INF") ? first.text.split("\n").find((line) => /^[^#\s]/.test(line)) : null;
    const media = child ? await get(new URL(child.trim(), first.url)) : first;
    if ("kind" in media) return media;
    return { kind: media.text.includes("#EXT-X-ENDLIST") ? "ended" : "live" };
  } catch {
    return { kind: "failed", detail: "The server does not answer." };
  }
}

async function get(url: URL): Promise<{ text: string; url: URL } | Probe> {
  const answer = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (answer.ok) return { text: await answer.text(), url: new URL(answer.url) };
  const detail = await problem(answer);
  if (answer.status === 404) return { kind: "missing", detail };
  // What is said to who has no token is for those who build pages.
  if (answer.status === 401) return { kind: "denied", detail: "" };
  if (answer.status === 403) return { kind: "denied", detail };
  return { kind: "failed", detail: detail || `The server answers ${answer.status}.` };
}

/** The human part of a problem document (RFC 9457). */
async function problem(answer: Response): Promise<string> {
  try {
    const { title, detail } = (await answer.json()) as { title?: unknown; detail?: unknown };
    return [detail, title].find((text): text is string => typeof text === "string" && text !== "") ?? "";
  } catch {
    return "";
  }
}
