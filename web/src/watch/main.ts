// Entry of the watch page: asks for the stream and for hls.js at once, then paints the page.
import { mount } from "svelte";
import "../lib/base.css";
import Watch from "./Watch.svelte";
import { HeadStart } from "./headstart";
import { Player } from "./player";
import { streamFromPath } from "./stream";

const stream = streamFromPath(location.pathname, location.search);
const player = stream ? new Player(stream, import("./hls"), stream.moq ? null : new HeadStart(stream.playlist)) : null;
if (stream) document.title = `${stream.name} · Nexus COS`;

// The page around this one has asked for another token in time.
window.addEventListener("message", ({ source, data }) => {
  if (source === window.parent && source !== window) stream?.pass.renew((data as { token?: unknown } | null)?.token);
});

const target = document.getElementById("app");
if (target) mount(Watch, { target, props: { stream, player } });

// For automated tests and for a curious look from the browser's console.
window.nexus = {
  get stats() {
    return player?.sample() ?? null;
  },
  get hls() {
    return player?.hls ?? null;
  },
};
