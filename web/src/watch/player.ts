// Plays one live stream and never gives up: waits for the broadcaster, recovers, starts anew.
import type Hls from "hls.js";
import type { HeadStart } from "./headstart";
import type { Live } from "./live";
import { Meter } from "./meter";
import { probe } from "./probe";
import type { Phase, Stats } from "./stats";
import type { Stream } from "./stream";

/** What the page shows over the picture. */
export interface View {
  phase: Phase;
  /** The server's own words, when it has some. */
  detail: string;
  /** The browser wants a click before it plays. */
  needsGesture: boolean;
}

type HlsModule = typeof import("./hls");

const TICK_MS = 250;
const POLL_MS = 2000;
const BACKOFF_MS_MAX = 4000;
/** Playback that lasts this long clears the record of failures. */
const HEALTHY_MS = 10_000;
/** Further behind the wanted place than this, catching up by speed takes too long: jump. */
const JUMP_S = 3;
const JUMP_EVERY_MS = 5000;
/** A playlist that stands still for this long, together with the picture: the broadcaster's signal is gone. */
const QUIET_MS = 3000;
/** The playlist moves and the picture does not: seek, rebuild the decoder, open anew. */
const UNSTICK_MS = [3000, 6000, 10_000] as const;
/** No playlist at all for this long: hls.js has given up without a word. */
const SILENT_MS = 30_000;
/** After the end of the playlist, a picture that stands still for this long was the last one. */
const LAST_MS = 800;

export class Player {
  hls: Hls | null = null;
  view: View = { phase: "loading", detail: "", needsGesture: false };
  onView: (view: View) => void = () => {};

  private video: HTMLVideoElement | null = null;
  private meter: Meter | null = null;
  private native = false;
  private live: Live | null = null;
  /** By WebTransport, as long as that works. */
  private moq: boolean;
  /** Counts the openings; whatever was started for an older one is stale. */
  private epoch = 0;
  private opened = 0;
  private failures = 0;
  private openedAt = 0;
  private mediaErrorAt = -Infinity;
  private jumpedAt = -Infinity;
  private playlistAt = 0;
  private movedAt = 0;
  private unstuck = 0;
  private over = false;
  /** The viewer has paused: nothing but the viewer goes on. */
  private halted = false;

  constructor(
    private readonly stream: Stream,
    private readonly module: Promise<HlsModule>,
    private readonly head: HeadStart | null,
  ) {
    this.moq = stream.moq;
  }

  /** Starts playing in `video`; the returned function ends it. */
  attach(video: HTMLVideoElement): () => void {
    this.video = video;
    this.meter = new Meter(video, () => this.enter("playing"));
    const on = new AbortController();
    const { signal } = on;
    video.addEventListener("ended", () => this.over && this.enter("ended"), { signal });
    video.addEventListener("error", () => this.native && this.lost("The browser cannot go on playing."), { signal });
    video.addEventListener("play", () => this.toLive(JUMP_S), { signal });
    document.addEventListener("visibilitychange", () => !document.hidden && this.toLive(JUMP_S), { signal });
    const timer = setInterval(() => this.tick(), TICK_MS);
    void this.open();
    return () => {
      on.abort();
      clearInterval(timer);
      this.close();
    };
  }

  /** The viewer's play and pause. */
  toggle(): void {
    const { video } = this;
    if (!video) return;
    this.halted = !video.paused;
    video.autoplay = !this.halted;
    if (this.halted) video.pause();
    else void this.play();
  }

  /** Plays, unless the viewer has paused; tells the page when the browser wants a click first. */
  async play(): Promise<void> {
    if (this.halted) return;
    try {
      await this.video?.play();
      this.show({ needsGesture: false });
    } catch (error) {
      if (error instanceof DOMException && error.name === "NotAllowedError") this.show({ needsGesture: true });
    }
  }

  /** Jumps to the live place when the picture is more than `behind` seconds late. */
  toLive(behind = 0.5): void {
    const { hls, video } = this;
    const place = hls?.liveSyncPosition;
    if (!hls || !video || this.over || place == null || !hls.latestLevelDetails?.live) return;
    if (this.meter?.startMs == null || place - video.currentTime <= behind) return;
    this.jumpedAt = performance.now();
    video.currentTime = place;
  }

  sample(): Stats {
    const { hls, video, meter } = this;
    const level = hls?.levels[Math.max(0, hls.loadLevel)];
    const quality = video?.getVideoPlaybackQuality?.();
    const date = this.pictureDate();
    return {
      phase: this.view.phase,
      player: hls ? "hls" : this.live ? "moq" : this.native ? "native" : null,
      current_time: video?.currentTime ?? 0,
      paused: video?.paused ?? true,
      muted: video?.muted ?? true,
      playback_rate: video?.playbackRate ?? 1,
      latency_s: date === null || this.over || meter?.startMs == null ? null : (Date.now() - date) / 1000,
      target_latency_s: hls?.targetLatency ?? null,
      buffer_s: video ? bufferAhead(video) : 0,
      bitrate_bps: meter?.bitrateBps ?? null,
      declared_bitrate_bps: level?.bitrate || null,
      width: video?.videoWidth ?? 0,
      height: video?.videoHeight ?? 0,
      fps: meter?.fps ?? null,
      declared_fps: level?.frameRate || null,
      codecs: level ? [level.videoCodec, level.audioCodec].filter(Boolean).join(", ") || null : (this.live?.codecs ?? null),
      stalls: meter?.stalls ?? 0,
      stall_s: meter?.stallS ?? 0,
      dropped_frames: quality?.droppedVideoFrames ?? 0,
      decoded_frames: quality?.totalVideoFrames ?? 0,
      first_picture_ms: meter?.firstPictureMs ?? null,
      start_ms: meter?.startMs ?? null,
      reopened: Math.max(0, this.opened - 1),
    };
  }

  private async open(): Promise<void> {
    const { video, meter } = this;
    if (!video || !meter) return;
    this.close();
    const epoch = this.epoch;
    this.opened += 1;
    this.over = false;
    this.unstuck = 0;
    this.openedAt = this.playlistAt = this.movedAt = performance.now();
    meter.opened();
    if (this.moq) return this.openMoq(video, epoch);
    let module: HlsModule;
    try {
      module = await this.module;
    } catch {
      // The script did not arrive; only a new page can ask for it again.
      setTimeout(() => location.reload(), POLL_MS * 2);
      return this.enter("reconnecting", "A part of this page did not load.");
    }
    if (epoch !== this.epoch) return;
    if (module.Hls.isSupported()) {
      this.openHls(module, video, epoch);
    } else if (video.canPlayType("application/vnd.apple.mpegurl") !== "") {
      this.openNative(video);
    } else {
      this.enter("unsupported");
    }
  }

  private openHls(module: HlsModule, video: HTMLVideoElement, epoch: number): void {
    const hls = module.createHls(this.stream.pass, this.head);
    const { Events } = module.Hls;
    this.hls = hls;
    const current = () => epoch === this.epoch;
    hls.on(Events.MANIFEST_PARSED, () => void this.play());
    hls.on(Events.LEVEL_LOADED, () => (this.playlistAt = performance.now()));
    hls.on(Events.LEVEL_UPDATED, (_, { details }) => {
      if (!current()) return;
      if (details.advanced) this.movedAt = performance.now();
      if (!details.live && !this.over) {
        this.over = true;
        void this.awaitLive(epoch, POLL_MS);
      }
    });
    hls.on(Events.FRAG_LOADED, (_, { frag, part }) => {
      if (frag.sn === "initSegment") return;
      this.meter?.arrived(frag.type, (part ?? frag).stats.loaded, (part ?? frag).duration);
    });
    hls.on(Events.INIT_PTS_FOUND, () => hurryAudio(hls));
    hls.on(Events.ERROR, (_, data) => current() && data.fatal && this.failed(data.type === module.Hls.ErrorTypes.MEDIA_ERROR));
    hls.loadSource(this.stream.playlist);
    hls.attachMedia(video);
  }

  /** Plays by Media over QUIC. Where that gives no picture, HLS does. */
  private async openMoq(video: HTMLVideoElement, epoch: number): Promise<void> {
    const current = () => epoch === this.epoch;
    try {
      const { Live } = await import("./live");
      if (!current()) return;
      this.live = new Live(video, this.stream, (kind, bytes, seconds) => {
        this.playlistAt = this.movedAt = performance.now();
        this.meter?.arrived(kind, bytes, seconds);
      });
      await this.live.run();
    } catch (error) {
      if (!current()) return;
      if (this.meter?.startMs != null) return this.lost("");
      console.info(`Media over QUIC cannot be had (${error}), HLS instead.`);
      this.moq = false;
      void this.open();
    }
  }

  private openNative(video: HTMLVideoElement): void {
    this.native = true;
    video.src = this.stream.pass.on(this.stream.playlist);
    void this.play();
  }

  /** hls.js cannot go on by itself. */
  private failed(inMedia: boolean): void {
    const now = performance.now();
    if (!inMedia || now - this.mediaErrorAt < HEALTHY_MS) return this.lost("");
    this.mediaErrorAt = now;
    this.hls?.recoverMediaError();
    void this.play();
  }

  /** Playback is over for now: ask the server how the stream is doing, and open it when it is live. */
  private lost(detail: string): void {
    const wasOver = this.over;
    this.close();
    this.meter?.opened();
    if (performance.now() - this.openedAt > HEALTHY_MS) this.failures = 0;
    const delay = this.failures === 0 ? 0 : Math.min(BACKOFF_MS_MAX, 250 * 2 ** this.failures);
    this.failures += 1;
    if (wasOver) this.enter("ended");
    else if (this.opened > 1 || this.view.phase !== "loading") this.enter("reconnecting", detail);
    void this.awaitLive(this.epoch, delay);
  }

  /** Polls until the stream is live, and opens it. */
  private async awaitLive(epoch: number, delay: number): Promise<void> {
    await sleep(delay);
    // A broadcast that has ended before this page saw any of it is still worth opening, once.
    let endedIsNew = !this.over && this.view.phase !== "ended" && this.failures < 2;
    for (;;) {
      if (epoch !== this.epoch) return;
      const answer = await probe(this.stream.pass.on(this.stream.playlist));
      if (epoch !== this.epoch) return;
      if (answer.kind === "live" || (answer.kind === "ended" && endedIsNew)) return this.open();
      endedIsNew = false;
      // Whatever it could not be had by before, it begins anew.
      if (answer.kind === "missing") this.moq = this.stream.moq;
      // No answer of the same address will be another.
      if (answer.kind === "denied") return this.enter("denied", answer.detail);
      this.tell(answer);
      await sleep(POLL_MS);
    }
  }

  private tell(answer: Exclude<Awaited<ReturnType<typeof probe>>, { kind: "live" | "denied" }>): void {
    if (this.over && this.view.phase !== "ended") return; // The rest of the buffer is still playing.
    if (answer.kind === "ended" || (answer.kind === "missing" && this.view.phase === "ended")) this.enter("ended");
    else if (answer.kind === "missing") this.enter("waiting", answer.detail);
    else if (this.view.phase !== "ended") this.enter("reconnecting", answer.detail);
  }

  private tick(): void {
    const { video, meter } = this;
    if (!video || !meter) return;
    const now = performance.now();
    const { phase } = this.view;
    const expected = phase === "playing" || phase === "holding";
    const still = meter.tick(expected, !this.over);
    // The renditions rarely end on the same frame, and then the browser never says "ended".
    if (this.over && still && meter.stillMs > LAST_MS) return this.enter("ended");
    if (!(this.hls || this.live) || this.over || document.hidden || video.paused) return;
    if (now - this.playlistAt > SILENT_MS) return this.lost("");
    if (!still) {
      this.unstuck = 0;
      if (phase === "holding") this.enter("playing");
      if (now - this.jumpedAt > JUMP_EVERY_MS && expected) this.toLive(JUMP_S);
      if (phase === "loading" && now - this.openedAt > UNSTICK_MS[2] && now - this.movedAt < QUIET_MS) this.lost("");
      return;
    }
    if (now - this.movedAt > QUIET_MS) return this.enter("holding");
    this.unstick(Math.min(meter.stillMs, now - this.openedAt));
  }

  private unstick(stillMs: number): void {
    const step = UNSTICK_MS.filter((limit) => stillMs > limit).length;
    if (step <= this.unstuck) return;
    this.unstuck = step;
    if (step === 1) this.toLive(0);
    else if (step === 2) this.hls?.recoverMediaError();
    else this.lost("");
    void this.play();
  }

  private close(): void {
    this.epoch += 1;
    this.hls?.destroy();
    this.hls = null;
    this.live?.close();
    this.live = null;
    if (this.native) this.video?.removeAttribute("src");
    this.native = false;
  }

  private pictureDate(): number | null {
    const { hls, video } = this;
    if (!video) return null;
    if (this.live) return this.live.pictureDate;
    if (!hls) {
      const start = (video as { getStartDate?: () => Date }).getStartDate?.().getTime() ?? NaN;
      return Number.isNaN(start) ? null : start + video.currentTime * 1000;
    }
    return hls.playingDate?.getTime() ?? null;
  }

  private enter(phase: Phase, detail = ""): void {
    this.show({ phase, detail });
  }

  private show(change: Partial<View>): void {
    const view = { ...this.view, ...change };
    const same = view.phase === this.view.phase && view.detail === this.view.detail && view.needsGesture === this.view.needsGesture;
    this.view = view;
    if (!same) this.onView(view);
  }
}

function bufferAhead({ buffered, currentTime }: HTMLVideoElement): number {
  for (let index = 0; index < buffered.length; index += 1) {
    if (buffered.start(index) <= currentTime + 0.1 && buffered.end(index) > currentTime) return buffered.end(index) - currentTime;
  }
  return 0;
}

/**
 * The separate audio rendition waits for the clock of the video, and notices by polling, 100 ms at a
 * time, that it is there. Both renditions must be buffered before the first picture, so that wait
 * would be seen. hls.js keeps the controller private; without it only the hurry is lost.
 */
function hurryAudio(hls: Hls): void {
  const { audioStreamController } = hls as unknown as { audioStreamController?: { tick?: () => void } };
  audioStreamController?.tick?.(); // waiting -> idle
  audioStreamController?.tick?.(); // idle -> loading
}

const sleep = (ms: number) => new Promise<void>((done) => setTimeout(done, ms));
