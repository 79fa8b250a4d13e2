// Fetches what hls.js will ask for first while the browser is still busy parsing hls.js.

/** An answer as the loader needs it; times are those of `performance.now()`. */
export interface Early {
  body: string | ArrayBuffer;
  start: number;
  end: number;
}

/** A playlist that has waited longer tells too little of what is live now. */
const FRESH_MS = 1500;
/** Media that take longer than this are not waited for. */
const SETTLE_MS = 500;
/** More parts than this to the newest key frame: leave the choice to hls.js. */
const PARTS_MAX = 10;

interface Part {
  uri: string;
  seconds: number;
  independent: boolean;
}

/** The first answers of one stream: playlists, headers, and the parts from the first picture on. */
export class HeadStart {
  private readonly answers = new Map<string, { at: number; early: Promise<Early> }>();
  private media: Promise<Early>[] = [];

  constructor(playlist: string) {
    const master = new URL(playlist, location.href);
    this.get(master, readText, (text) => this.followMaster(text, master));
  }

  /** Hands out an answer, once. A rejected promise means: ask the server. */
  take(url: string): Promise<Early> | undefined {
    const { href } = new URL(url, location.href);
    const answer = this.answers.get(href);
    this.answers.delete(href);
    return answer && performance.now() - answer.at < FRESH_MS ? answer.early : undefined;
  }

  /** Waits for the media under way, for a moment: what is held by the server would take connections from them. */
  async settled(): Promise<void> {
    await Promise.race([Promise.allSettled(this.media), new Promise((done) => setTimeout(done, SETTLE_MS))]);
    this.media = [];
  }

  private followMaster(text: string, master: URL): void {
    const variants = text.split(/^#EXT-X-STREAM-INF:.*$/m).slice(1);
    const variant = variants[0]?.trim().split("\n")[0]?.trim();
    // With several qualities it is for hls.js to choose.
    if (variants.length !== 1 || !variant) return;
    const audio = [...text.matchAll(/^#EXT-X-MEDIA:.*TYPE=AUDIO.*$/gm)].map(([line]) => attribute(line, "URI"));
    this.playlist(new URL(variant, master), false);
    if (audio.length === 1 && audio[0]) this.playlist(new URL(audio[0], master), true);
  }

  private playlist(url: URL, everyPartStarts: boolean): void {
    this.get(url, readText, (text) => this.followPlaylist(text, url, everyPartStarts));
  }

  private followPlaylist(text: string, url: URL, everyPartStarts: boolean): void {
    if (text.includes("BYTERANGE") || text.includes("#EXT-X-ENDLIST")) return;
    const holdBack = Number(/PART-HOLD-BACK=([\d.]+)/.exec(text)?.[1]);
    const map = [...text.matchAll(/^#EXT-X-MAP:.*$/gm)].at(-1)?.[0];
    const header = map && attribute(map, "URI");
    const parts = [...text.matchAll(/^#EXT-X-PART:.*$/gm)].map(([line]): Part => ({
      uri: attribute(line, "URI") ?? "",
      seconds: Number(/DURATION=([\d.]+)/.exec(line)?.[1]),
      independent: line.includes("INDEPENDENT=YES"),
    }));
    const from = firstPart(parts, holdBack, everyPartStarts);
    if (!header || from === null) return;
    const wanted = [header, ...parts.slice(from).map((part) => part.uri)];
    this.media.push(...wanted.map((uri) => this.get(new URL(uri, url), (answer) => answer.arrayBuffer())));
  }

  /** Asks for it; what its answer leads to is asked for before the answer is handed out. */
  private get<Body extends string | ArrayBuffer>(url: URL, read: (answer: Response) => Promise<Body>, follow?: (body: Body) => void): Promise<Early> {
    const start = performance.now();
    const early = fetch(url).then(async (answer) => {
      if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
      const body = await read(answer);
      const end = performance.now();
      follow?.(body);
      return { body, start, end };
    });
    // Whatever goes wrong, the player asks again and finds out by itself.
    early.catch(() => {});
    this.answers.set(url.href, { at: start, early });
    return early;
  }
}

const readText = (answer: Response): Promise<string> => answer.text();

/** The part that playback starts from: where the hold-back ends, or the key frame before that. */
function firstPart(parts: Part[], holdBack: number, everyPartStarts: boolean): number | null {
  if (!(holdBack > 0)) return null;
  let behind = 0;
  let index = parts.length;
  while (index > 0 && behind < holdBack) behind += parts[(index -= 1)]?.seconds ?? 0;
  if (everyPartStarts) index = Math.max(0, index - 1);
  else while (index > 0 && !parts[index]?.independent) index -= 1;
  const usable = everyPartStarts || parts[index]?.independent;
  return usable && parts.length - index <= PARTS_MAX ? index : null;
}

function attribute(line: string, name: string): string | undefined {
  return new RegExp(`[:,]${name}="([^"]*)"`).exec(line)?.[1];
}
