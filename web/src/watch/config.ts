// Settings of hls.js for a live picture close to the edge.
import type { HlsConfig } from "hls.js";

/**
 * Neither `liveSyncDuration` nor `liveSyncDurationCount` is set, so that the server's PART-HOLD-BACK
 * rules the latency. Retries are short and few: when they are used up, the player asks the server
 * how the stream is doing and opens it anew.
 */
export const hlsConfig: Partial<HlsConfig> = {
  lowLatencyMode: true,
  // Gentle: speech keeps its pitch, and 1 s is caught up within 10 s.
  maxLiveSyncPlaybackRate: 1.1,
  liveSyncOnStallIncrease: 0.3,
  // fMP4 needs no remuxing, so a worker saves nothing and costs its start before the first picture.
  enableWorker: false,
  startFragPrefetch: true,
  testBandwidth: false,
  abrEwmaDefaultEstimate: 5_000_000,
  backBufferLength: 10,
  maxBufferLength: 10,
  useMediaCapabilities: false,
  enableInterstitialPlayback: false,
  enableDateRangeMetadataCues: false,
  enableEmsgMetadataCues: false,
  enableID3MetadataCues: false,
  manifestLoadPolicy: {
    default: {
      maxTimeToFirstByteMs: 8000,
      maxLoadTimeMs: 10_000,
      timeoutRetry: null,
      errorRetry: null,
    },
  },
  playlistLoadPolicy: {
    default: {
      // A blocking reload is held back by the server until the next part is there, and hls.js gives it
      // 1.6 s. While a broadcaster's signal pauses, that is no reason to start over.
      maxTimeToFirstByteMs: 8000,
      maxLoadTimeMs: 10_000,
      timeoutRetry: { maxNumRetry: 20, retryDelayMs: 0, maxRetryDelayMs: 0 },
      errorRetry: { maxNumRetry: 6, retryDelayMs: 250, maxRetryDelayMs: 1000 },
    },
  },
  fragLoadPolicy: {
    default: {
      maxTimeToFirstByteMs: 8000,
      maxLoadTimeMs: 20_000,
      timeoutRetry: { maxNumRetry: 1, retryDelayMs: 0, maxRetryDelayMs: 0 },
      errorRetry: { maxNumRetry: 4, retryDelayMs: 200, maxRetryDelayMs: 1600 },
    },
  },
};
