// Plays what comes by Media over QUIC: parts go into a media source as they come, and playback keeps close behind them.
import { Session } from "./moq";
import type { Stream } from "./stream";

/** What there is of a stream, as the server tells it: see `live-plane/src/watch.rs`. */
interface Catalog {
  tracks: Listed[];
  part_ms: number;
}

interface Listed {
  name: string;
  type: string;
  /** Unix time of its presentation time 0. */
  zero_ms: number;
}

/** What shall be left to play when a part comes, at first and at most; each stall adds a step. Seconds. */
const SPARE_S = 0.06;
const SPARE_STEP_S = 0.04;
const SPARE_S_MAX = 0.5;
/** Parts that tell how late parts come. */
const KNOWN_PARTS = 8;
/** Further from the wanted place than this, playback jumps there. */
const JUMP_S = 0.5;
/** Speeds that nobody hears. */
const SLOWEST = 0.95;
const FASTEST = 1.1;
/** What a stream has sent at once, before it goes on as it is made, comes without such a pause. */
const PAUSE_MS = 40;
/** What was played is kept for so long. */
const PAST_S = 10;
const CONNECT_MS = 3000;

/** One playback. */
export class Live {
  /** Unix time of `currentTime` 0. */
  private zeroMs: number | null = null;
  private session: Session | null = null;
  private tracks = new Map<string, Track>();
  private partS = 0;
  private spareS = SPARE_S;
  private begun = false;
  private pause: ReturnType<typeof setTimeout> | undefined;
  private readonly on = new AbortController();

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly stream: Stream,
    private readonly onPart: (kind: string, bytes: number, seconds: number) => void,
  ) {}

  /** Plays until the stream ends or is lost, which is an error. */
  async run(): Promise<void> {
    const { signal } = this.on;
    const answer = await fetch("/moq.json", { cache: "no-store", signal });
    const told = answer.ok ? ((await answer.json()) as { port: number; sha256: string } | null) : null;
    if (!told) throw new Error("the server gives no streams by WebTransport");
    const { path, pass } = this.stream;
    const session = Session.connect(`https://${location.hostname}:${told.port}/${path}${pass.query}`, told.sha256);
    // What connects too late is of no use.
    session.then((late) => signal.aborted && late.close()).catch(() => {});
    this.session = await Promise.race([session, late(CONNECT_MS)]);
    const source = await this.source();
    this.video.addEventListener("waiting", () => this.stalled(), { signal });
    await Promise.race([this.follow(source), aborted(signal)]);
    throw new Error("the stream is over");
  }

  close(): void {
    this.on.abort();
    clearTimeout(this.pause);
    this.session?.close();
    this.video.playbackRate = 1;
    this.video.removeAttribute("src");
    this.video.load();
  }

  /** When what is shown was captured, Unix milliseconds. */
  get pictureDate(): number | null {
    return this.zeroMs === null ? null : this.zeroMs + this.video.currentTime * 1000;
  }

  get codecs(): string | null {
    return [...this.tracks.values()].map((track) => track.codec).join(", ") || null;
  }

  private async source(): Promise<MediaSource> {
    const source = new MediaSource();
    const open = new Promise((done) => source.addEventListener("sourceopen", done, { once: true }));
    this.video.src = URL.createObjectURL(source);
    await open;
    URL.revokeObjectURL(this.video.src);
    return source;
  }

  private async follow(source: MediaSource): Promise<void> {
    const { session } = this;
    if (!session) return;
    // A track that breaks ends the playback.
    let fail: (error: unknown) => void = () => {};
    const broken = new Promise<never>((_, reject) => (fail = reject));
    const catalogs = async () => {
      for await (const text of session.subscribe(this.stream.path, "catalog")) {
        const { tracks, part_ms } = JSON.parse(new TextDecoder().decode(text)) as Catalog;
        const kinds = tracks.map(({ type }) => kindOf(type));
        if (this.zeroMs !== null && kinds.join() !== [...this.tracks.keys()].join()) throw new Error("the stream has other tracks now");
        this.zeroMs ??= tracks[0]?.zero_ms ?? 0;
        this.partS = part_ms / 1000;
        // Both before the first part: no more can be added then.
        for (const { type } of tracks) if (!this.tracks.has(kindOf(type))) this.tracks.set(kindOf(type), new Track(source.addSourceBuffer(type), type));
        for (const listed of tracks) {
          const track = this.tracks.get(kindOf(listed.type));
          // The parts of one run after those of the one before.
          if (track) track.done = track.done.then(() => this.feed(session, track, listed));
          track?.done.catch(fail);
        }
      }
    };
    await Promise.race([catalogs(), broken]);
  }

  private async feed(session: Session, track: Track, listed: Listed): Promise<void> {
    const offset = (listed.zero_ms - (this.zeroMs ?? 0)) / 1000;
    for await (const frame of session.subscribe(this.stream.path, listed.name)) {
      if (isHeader(frame)) {
        await track.header(frame, listed.type, offset);
        continue;
      }
      const before = track.end;
      this.arrives(track);
      await track.append(frame, this.video.currentTime - PAST_S);
      if (before !== null && track.end !== null) this.onPart(kindOf(listed.type), frame.length, track.end - before);
      if (this.begun) continue;
      clearTimeout(this.pause);
      this.pause = setTimeout(() => this.begin(), PAUSE_MS);
    }
  }

  /** Everything that was there is in the buffer: play, so far behind its end that the next part comes in time. */
  private begin(): void {
    const { video } = this;
    const end = newest(video);
    if (end === null) return;
    this.begun = true;
    video.currentTime = Math.max(video.buffered.start(video.buffered.length - 1), end - this.partS - this.spareS);
    void video.play().catch(() => {});
  }

  /** A part has come: how late that was says where to be. */
  private arrives(track: Track): void {
    const now = performance.now() / 1000;
    if (!this.begun || track.end === null) return;
    track.early = [...track.early.slice(1 - KNOWN_PARTS), track.end - now];
    const { video } = this;
    const wanted = now + Math.min(...[...this.tracks.values()].flatMap(({ early }) => early)) - this.spareS;
    const error = wanted - video.currentTime;
    const gap = nextAfter(video);
    if (gap !== null) video.currentTime = gap;
    else if (error > JUMP_S) video.currentTime = wanted;
    video.playbackRate = Math.abs(error) < 0.02 ? 1 : Math.min(FASTEST, Math.max(SLOWEST, 1 + error / 2));
  }

  private stalled(): void {
    if (this.begun && !this.video.seeking) this.spareS = Math.min(SPARE_S_MAX, this.spareS + SPARE_STEP_S);
  }
}

/** A track of the media source. */
class Track {
  /** Whoever feeds it has finished. */
  done: Promise<void> = Promise.resolve();
  /** How far what was there reached beyond the clock when the newest parts came, seconds; both begin anywhere. */
  early: number[] = [];
  private last: Uint8Array | null = null;

  constructor(
    private readonly buffer: SourceBuffer,
    private type: string,
  ) {}

  get codec(): string {
    return /codecs="(.*)"/.exec(this.type)?.[1] ?? "";
  }

  /** Up to where there is something, seconds. */
  get end(): number | null {
    const { buffered } = this.buffer;
    return buffered.length > 0 ? buffered.end(buffered.length - 1) : null;
  }

  /** A header comes with each segment; it is news when a run begins. */
  async header(bytes: Uint8Array<ArrayBuffer>, type: string, offset: number): Promise<void> {
    if (type === this.type && offset === this.buffer.timestampOffset && this.last && sameBytes(this.last, bytes)) return;
    if (type !== this.type) this.buffer.changeType(type);
    this.buffer.timestampOffset = offset;
    [this.type, this.last] = [type, bytes];
    await this.append(bytes, 0);
  }

  /** Adds a part, and forgets what was before a time. */
  async append(bytes: Uint8Array<ArrayBuffer>, before: number): Promise<void> {
    const { buffer } = this;
    await this.change(() => buffer.appendBuffer(bytes));
    // Some at a time: each removal makes the browser wait.
    if (buffer.buffered.length > 0 && before - buffer.buffered.start(0) > PAST_S) await this.change(() => buffer.remove(0, before));
  }

  private change(begin: () => void): Promise<void> {
    return new Promise((done, fail) => {
      const over = new AbortController();
      const { signal } = over;
      const settle = (how: () => void) => () => {
        over.abort();
        how();
      };
      this.buffer.addEventListener("updateend", settle(done), { signal });
      this.buffer.addEventListener("error", settle(() => fail(new Error("the browser cannot decode the stream"))), { signal });
      begin();
    });
  }
}

const kindOf = (type: string): string => type.split("/")[0] ?? "";

/** Up to where every track has something. */
function newest({ buffered }: HTMLVideoElement): number | null {
  return buffered.length > 0 ? buffered.end(buffered.length - 1) : null;
}

/** Where there is something again, when there is nothing here. */
function nextAfter({ buffered, currentTime }: HTMLVideoElement): number | null {
  for (let index = 0; index < buffered.length; index += 1) {
    if (buffered.end(index) > currentTime + 0.05) return buffered.start(index) > currentTime + 0.05 ? buffered.start(index) : null;
  }
  return null;
}

/** A CMAF header begins with `ftyp`, a part does not. */
function isHeader(bytes: Uint8Array): boolean {
  return String.fromCharCode(...bytes.subarray(4, 8)) === "ftyp";
}

function sameBytes(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, index) => byte === other[index]);
}

function late(ms: number): Promise<never> {
  return new Promise((_, reject) => setTimeout(() => reject(new Error("the server does not answer")), ms));
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((done) => signal.addEventListener("abort", () => done(), { once: true }));
}
