// The numbers of a playback, as shown on the page and as read by tests at `window.nexus.stats`.

/** What the player is doing. `holding`: the playlist stands still, the newest picture stays on screen. */
export type Phase = "loading" | "playing" | "holding" | "waiting" | "reconnecting" | "ended" | "denied" | "unsupported";

/** One sample of every number; null where it is not known (yet). */
export interface Stats {
  phase: Phase;
  /** What fetches the stream: hls.js, this page by Media over QUIC, or the browser itself. */
  player: "hls" | "moq" | "native" | null;
  current_time: number;
  paused: boolean;
  muted: boolean;
  playback_rate: number;
  /** Wall clock now minus the EXT-X-PROGRAM-DATE-TIME of the picture on screen. */
  latency_s: number | null;
  /** The latency that the player steers for: PART-HOLD-BACK, more after stalls. */
  target_latency_s: number | null;
  buffer_s: number;
  /** Measured over the newest parts of every rendition. */
  bitrate_bps: number | null;
  declared_bitrate_bps: number | null;
  width: number;
  height: number;
  fps: number | null;
  declared_fps: number | null;
  codecs: string | null;
  stalls: number;
  stall_s: number;
  dropped_frames: number;
  decoded_frames: number;
  /** From the start of the navigation to the first presented frame. */
  first_picture_ms: number | null;
  /** From the newest opening of the stream to its first presented frame. */
  start_ms: number | null;
  /** Times the stream was opened anew, after a failure or a restart of the broadcast. */
  reopened: number;
}
