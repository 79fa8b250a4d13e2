// What the watch page puts on `window`.
import type Hls from "hls.js";
import type { Stats } from "./stats";

declare global {
  interface Window {
    nexus: { readonly stats: Stats | null; readonly hls: Hls | null };
  }
}
