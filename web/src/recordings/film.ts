// Plays a stretch of a stream with hls.js and knows the wall-clock time of the frame on screen.
import type Hls from "hls.js";

type HlsModule = typeof import("../watch/hls");
let module: Promise<HlsModule> | null = null;

/** Frames per second, while the stream does not tell. */
const FPS = 30;

export class Film {
  private hls: Hls | null = null;
  /** Media time of the frame on screen, where the browser tells it. */
  private shown: number | null = null;

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly onError: (text: string) => void,
  ) {}

  /** Opens a playlist; the returned function closes it. `at` is where to begin, Unix milliseconds. */
  open(url: string): () => void {
    let open = true;
    const { video } = this;
    const noteFrames = () => {
      if (!open || !("requestVideoFrameCallback" in video)) return;
      video.requestVideoFrameCallback((_, { mediaTime }) => {
        this.shown = mediaTime;
        noteFrames();
      });
    };
    noteFrames();
    module ??= import("../watch/hls");
    module.then(
      ({ Hls }) => {
        if (!open) return;
        if (!Hls.isSupported()) {
          video.src = url;
          return;
        }
        // The whole of it can be wound to, and the last frames of a list that goes on are not hurried after.
        const hls = new Hls({ enableWorker: false, lowLatencyMode: false, backBufferLength: 30, maxBufferLength: 30 });
        this.hls = hls;
        hls.on(Hls.Events.ERROR, (_, data) => {
          if (!data.fatal) return;
          if (data.type === Hls.ErrorTypes.MEDIA_ERROR) return hls.recoverMediaError();
          this.onError(data.response?.code === 404 ? "Nothing of this time is kept any more." : "The server did not give the picture.");
        });
        hls.loadSource(url);
        hls.attachMedia(video);
      },
      () => this.onError("A part of this page did not load."),
    );
    return () => {
      open = false;
      this.hls?.destroy();
      this.hls = null;
      video.removeAttribute("src");
    };
  }

  get fps(): number {
    return this.hls?.levels[Math.max(0, this.hls.loadLevel)]?.frameRate || FPS;
  }

  /** Unix milliseconds of the frame on screen. */
  get wallMs(): number | null {
    const { video, shown } = this;
    // While the picture stands, the frame's own time is exact; the clock of the element may be within it.
    const time = shown !== null && Math.abs(shown - video.currentTime) < 1 ? shown : video.currentTime;
    const fragments = this.hls?.latestLevelDetails?.fragments ?? this.hls?.levels[0]?.details?.fragments ?? [];
    const fragment = fragments.findLast((each) => each.start <= time + 0.001) ?? fragments[0];
    if (!fragment) {
      const start = (video as { getStartDate?: () => Date }).getStartDate?.().getTime() ?? NaN;
      return Number.isNaN(start) ? null : start + time * 1000;
    }
    return fragment.programDateTime === null ? null : fragment.programDateTime + (time - fragment.start) * 1000;
  }

  /** Steps by whole frames; lands in the middle of one, so that rounding never shows its neighbour. */
  step(frames: number): void {
    const { video, fps } = this;
    video.pause();
    const frame = Math.round((this.shown ?? video.currentTime) * fps - 0.25);
    video.currentTime = Math.max(0, (frame + frames + 0.5) / fps);
  }
}
