// Measures a playback: first picture, frame rate, stalls, bit rate.

/** Media time over which the bit rate is averaged. */
const BITRATE_SPAN_S = 6;
/** Wall time over which the frame rate is averaged. */
const FPS_SPAN_MS = 3000;
/** A picture that stands still for longer is a stall, whether or not the browser says so. */
const STILL_MS = 400;
/** A stall that comes back sooner is the same stall. */
const SAME_STALL_MS = 500;

interface Loaded {
  bytes: number;
  seconds: number;
}

/** Watches one video element for as long as the page lives. */
export class Meter {
  firstPictureMs: number | null = null;
  startMs: number | null = null;
  stalls = 0;

  private openedAt = 0;
  private stalledMs = 0;
  private stallSince: number | null = null;
  private stallEndedAt = -Infinity;
  private counts = true;
  private lastTime = -1;
  private movedAt = 0;
  private frames: { at: number; presented: number }[] = [];
  private loaded = new Map<string, Loaded[]>();

  constructor(private readonly video: HTMLVideoElement, private readonly onFirstFrame: () => void) {
    video.addEventListener("waiting", () => this.beginStall());
    video.addEventListener("playing", () => this.firstFrameWithoutCallback());
    this.nextFrame();
  }

  /** The stream is being opened: the next frame is its first. */
  opened(): void {
    this.endStall();
    this.openedAt = performance.now();
    this.startMs = null;
    this.frames = [];
    this.loaded.clear();
    this.lastTime = -1;
    this.movedAt = this.openedAt;
  }

  /** A part or a segment has arrived. */
  arrived(kind: string, bytes: number, seconds: number): void {
    if (!(bytes > 0) || !(seconds > 0)) return;
    const list = this.loaded.get(kind) ?? [];
    list.push({ bytes, seconds });
    let total = list.reduce((sum, item) => sum + item.seconds, 0);
    while (list.length > 1 && total - (list[0]?.seconds ?? 0) >= BITRATE_SPAN_S) total -= list.shift()?.seconds ?? 0;
    this.loaded.set(kind, list);
  }

  /**
   * Looks at the picture; call several times a second. True while it stands still though it should
   * move, which is a stall if that `counts`.
   */
  tick(shouldMove: boolean, counts: boolean): boolean {
    this.counts = counts;
    const now = performance.now();
    const time = this.video.currentTime;
    if (time !== this.lastTime || !shouldMove || this.video.paused) {
      this.lastTime = time;
      this.movedAt = now;
      this.endStall();
      return false;
    }
    if (now - this.movedAt > STILL_MS) this.beginStall(this.movedAt);
    return true;
  }

  /** How long the picture has been standing still. */
  get stillMs(): number {
    return performance.now() - this.movedAt;
  }

  get stallS(): number {
    const open = this.stallSince === null ? 0 : performance.now() - this.stallSince;
    return (this.stalledMs + open) / 1000;
  }

  get fps(): number | null {
    const [first, last] = [this.frames[0], this.frames.at(-1)];
    if (!first || !last || last.at - first.at < 500 || performance.now() - last.at > 1000) return null;
    return ((last.presented - first.presented) * 1000) / (last.at - first.at);
  }

  get bitrateBps(): number | null {
    let sum = 0;
    for (const list of this.loaded.values()) {
      const bytes = list.reduce((total, item) => total + item.bytes, 0);
      const seconds = list.reduce((total, item) => total + item.seconds, 0);
      sum += (bytes * 8) / seconds;
    }
    return sum > 0 ? Math.round(sum) : null;
  }

  private nextFrame(): void {
    if (!("requestVideoFrameCallback" in this.video)) return;
    this.video.requestVideoFrameCallback((now, frame) => {
      if (this.startMs === null) this.firstFrame(frame.presentationTime);
      this.frames.push({ at: now, presented: frame.presentedFrames });
      while (this.frames.length > 2 && now - (this.frames[0]?.at ?? now) > FPS_SPAN_MS) this.frames.shift();
      this.nextFrame();
    });
  }

  private firstFrameWithoutCallback(): void {
    if (this.startMs === null && !("requestVideoFrameCallback" in this.video)) this.firstFrame(performance.now());
  }

  private firstFrame(at: number): void {
    this.startMs = Math.max(0, at - this.openedAt);
    this.firstPictureMs ??= at;
    this.onFirstFrame();
  }

  private beginStall(since = performance.now()): void {
    const { paused, seeking, ended } = this.video;
    if (!this.counts || this.startMs === null || this.stallSince !== null || paused || seeking || ended) return;
    if (since - this.stallEndedAt > SAME_STALL_MS) this.stalls += 1;
    this.stallSince = since;
  }

  private endStall(): void {
    if (this.stallSince === null) return;
    this.stallEndedAt = performance.now();
    this.stalledMs += this.stallEndedAt - this.stallSince;
    this.stallSince = null;
  }
}
