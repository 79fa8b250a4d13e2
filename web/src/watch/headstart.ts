// Fetches what hls.js will ask for first while the browser is still busy parsing hls.js.

/** An answer as the loader needs it; times are those of `performance.now()`. */
export interface Early {
  body: string | ArrayBuffer;
  start: number;
  end: number;
}

/** A playlist that has waited longer tells too little of what is live now. */
const FRESH_MS = 1500;
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

  constructor(playlist: string) {
    // Whatever goes wrong here, the player asks again and finds out by itself.
    this.run(new URL(playlist, location.href)).catch(() => {});
  }

  /** Hands out an answer, once. A rejected promise means: ask the server. */
  take(url: string): Promise<Early> | undefined {
    const answer = this.answers.get(url);
    this.answers.delete(url);
    return answer && performance.now() - answer.at < FRESH_MS ? answer.early : undefined;
  }

  private async run(master: URL): Promise<void> {
    const text = await this.text(master);
    const variants = text.split(/^#EXT-X-STREAM-INF:.*$/m).slice(1);
    const variant = variants[0]?.trim().split("\n")[0]?.trim();
    // With several qualities it is for hls.js to choose.
    if (variants.length !== 1 || !variant) return;
    const audio = [...text.matchAll(/^#EXT-X-MEDIA:.*TYPE=AUDIO.*$/gm)].map(([line]) => attribute(line, "URI"));
    const first = this.media(new URL(variant, master), false);
    const second = audio.length === 1 && audio[0] ? this.media(new URL(audio[0], master), true) : null;
    await Promise.all([first, second]);
  }

  private async media(url: URL, everyPartStarts: boolean): Promise<void> {
    const text = await this.text(url);
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
    for (const uri of [header, ...parts.slice(from).map((part) => part.uri)]) this.get(new URL(uri, url), (answer) => answer.arrayBuffer());
  }

  private async text(url: URL): Promise<string> {
    return (await this.get(url, (answer) => answer.text())).body as string;
  }

  private get(url: URL, read: (answer: Response) => Promise<string | ArrayBuffer>): Promise<Early> {
    const start = performance.now();
    const early = fetch(url).then(async (answer) => {
      if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
      return { body: await read(answer), start, end: performance.now() };
    });
    early.catch(() => {});
    this.answers.set(url.href, { at: start, early });
    return early;
  }
}

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
