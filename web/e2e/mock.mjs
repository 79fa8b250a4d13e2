// A stand-in for the server while there is none: serves web/dist, the JSON and events of the status
// page, accounts, organisations, channels and jobs in memory (identity.mjs, orgs.mjs, channels.mjs, jobs.mjs), empty lists of recordings and errors, and a real low-latency
// HLS stream (/live/cam1) that ffmpeg makes. For development only.
//
//   node e2e/mock.mjs [--port 8899] [--dist DIR] [--empty] [--still] [--fresh] [--sign-up]
//   --still makes no HLS stream; --fresh knows nobody; --sign-up lets everybody make an account. Otherwise sign in as
//   anna (an operator) or ben, with "correct horse battery"; /account#invite=welcome and /account#reset=forgotten work once.
//   Then open /watch/live/cam1, /, /recordings, /errors, /account, /people, /channels and /server; POST /mock/stop, /mock/end, /mock/freeze and /mock/start steer the stream.
import { spawn } from "node:child_process";
import { createReadStream, existsSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { channels } from "./channels.mjs";
import { identity } from "./identity.mjs";
import { jobs } from "./jobs.mjs";
import { orgs } from "./orgs.mjs";

const flag = { type: "boolean", default: false };
const { values: args } = parseArgs({
  options: { port: { type: "string", default: "8899" }, dist: { type: "string" }, empty: flag, still: flag, fresh: flag, "sign-up": flag },
});
const DIST = args.dist ? resolve(args.dist) : fileURLToPath(new URL("../dist", import.meta.url));
const PAGES = { "/": "status.html", "/recordings": "recordings.html", "/errors": "errors.html", "/account": "account.html", "/people": "people.html", "/channels": "channels.html", "/server": "server.html" };
const people = identity({ fresh: args.fresh, signUp: args["sign-up"] ? "open" : "closed" });
const groups = orgs({ people, empty: args.empty });
const shows = channels({ people, groups, streams: () => list(), origin: `http://127.0.0.1:${args.port}`, empty: args.empty });
const work = jobs({ empty: args.empty });
const CSP =
  "default-src 'self'; connect-src 'self'; media-src 'self' blob:; worker-src 'self' blob:; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'self'; base-uri 'none'";
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css" };
const SEGMENT_S = 2;
const SEGMENTS_MAX = 8;
const PART_S = 0.35;

/** One rendition: fragments of a fragmented MP4 become parts, parts of the same 2 s a segment. */
class Rendition {
  init = null;
  segments = [];
  ended = false;
  waiters = new Set();
  #rest = Buffer.alloc(0);
  #head = [];
  #moof = null;
  #scale = 1;

  constructor(sampleSeconds, epoch) {
    this.sampleSeconds = sampleSeconds;
    this.epoch = epoch;
  }

  push(chunk) {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    while (this.#rest.length >= 8) {
      const size = this.#rest.readUInt32BE(0);
      if (this.#rest.length < size) return;
      this.#box(this.#rest.toString("latin1", 4, 8), this.#rest.subarray(0, size));
      this.#rest = this.#rest.subarray(size);
    }
  }

  #box(type, data) {
    if (type === "ftyp" || type === "moov") {
      this.#head.push(data);
      if (type !== "moov") return;
      this.init = Buffer.concat(this.#head);
      const mdhd = data.indexOf("mdhd");
      this.#scale = data.readUInt32BE(mdhd + (data[mdhd + 4] === 1 ? 24 : 16));
    } else if (type === "moof") this.#moof = data;
    else if (type === "mdat" && this.#moof) this.#part(this.#moof, data);
  }

  #part(moof, mdat) {
    const tfdt = moof.indexOf("tfdt");
    const start = (moof[tfdt + 4] === 1 ? Number(moof.readBigUInt64BE(tfdt + 8)) : moof.readUInt32BE(tfdt + 8)) / this.#scale;
    const duration = moof.readUInt32BE(moof.indexOf("trun") + 8) * this.sampleSeconds;
    this.epoch.at ??= Date.now() - (start + duration) * 1000;
    const sn = Math.floor((start + 0.001) / SEGMENT_S);
    let segment = this.segments.at(-1);
    if (!segment || segment.sn !== sn) {
      if (segment) segment.done = true;
      segment = { sn, start, parts: [], done: false };
      this.segments.push(segment);
      if (this.segments.length > SEGMENTS_MAX) this.segments.shift();
    }
    segment.parts.push({ duration, data: Buffer.concat([moof, mdat]), independent: segment.parts.length === 0 || this.sampleSeconds < 0.03 });
    this.wake();
  }

  wake() {
    for (const waiter of this.waiters) waiter();
  }

  has(sn, part) {
    const last = this.segments.at(-1);
    if (!last) return false;
    return last.sn > sn || (last.sn === sn && (part === null ? last.done : last.parts.length > part));
  }

  async until(sn, part) {
    const limit = Date.now() + 5000;
    while (!this.has(sn, part) && !this.ended && Date.now() < limit) {
      await new Promise((done) => {
        const wake = () => (this.waiters.delete(wake), clearTimeout(timer), done());
        const timer = setTimeout(wake, limit - Date.now());
        this.waiters.add(wake);
      });
    }
  }

  playlist(name) {
    const lines = ["#EXTM3U", "#EXT-X-VERSION:9", `#EXT-X-TARGETDURATION:${SEGMENT_S}`,
      `#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=${(PART_S * 3).toFixed(3)}`, `#EXT-X-PART-INF:PART-TARGET=${PART_S}`,
      `#EXT-X-MEDIA-SEQUENCE:${this.segments[0]?.sn ?? 0}`, `#EXT-X-MAP:URI="${name}/init.mp4"`];
    this.segments.forEach((segment, index) => {
      lines.push(`#EXT-X-PROGRAM-DATE-TIME:${new Date(this.epoch.at + segment.start * 1000).toISOString()}`);
      if (index >= this.segments.length - 3) {
        segment.parts.forEach((part, at) =>
          lines.push(`#EXT-X-PART:DURATION=${part.duration.toFixed(5)},URI="${name}/${segment.sn}.${at}.m4s"${part.independent ? ",INDEPENDENT=YES" : ""}`));
      }
      if (segment.done || this.ended) {
        lines.push(`#EXTINF:${segment.parts.reduce((sum, part) => sum + part.duration, 0).toFixed(5)},`, `${name}/${segment.sn}.m4s`);
      }
    });
    if (this.ended) lines.push("#EXT-X-ENDLIST");
    return `${lines.join("\n")}\n`;
  }

  file(sn, part) {
    const segment = this.segments.find((item) => item.sn === sn);
    if (!segment) return null;
    return part === null ? Buffer.concat(segment.parts.map((item) => item.data)) : segment.parts[part]?.data ?? null;
  }
}

let stream = null;
function start() {
  stop();
  const epoch = { at: null };
  const renditions = { v: new Rendition(1 / 30, epoch), a: new Rendition(1024 / 48000, epoch) };
  const mp4 = ["-frag_duration", "330000", "-movflags", "empty_moov+default_base_moof+skip_trailer", "-f", "mp4", "-flush_packets", "1"];
  const child = spawn("ffmpeg", ["-v", "error", "-nostdin", "-re", "-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=30", "-re", "-f", "lavfi",
    "-i", "sine=frequency=330:sample_rate=48000", "-map", "0:v", "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency",
    "-profile:v", "high", "-pix_fmt", "yuv420p", "-g", "60", "-keyint_min", "60", "-sc_threshold", "0", "-b:v", "2500k", "-maxrate", "2500k", "-bufsize", "1000k",
    ...mp4, "pipe:3", "-map", "1:a", "-c:a", "aac", "-b:a", "128k", "-ac", "2", ...mp4, "pipe:4"],
    { stdio: ["ignore", "inherit", "inherit", "pipe", "pipe"] });
  child.on("exit", (code, signal) => signal === "SIGKILL" || console.log(`ffmpeg has ended: ${code ?? signal}`));
  const started = { renditions, child, frozen: false, at: Date.now() };
  child.stdio[3].on("data", (data) => started.frozen || renditions.v.push(data));
  child.stdio[4].on("data", (data) => started.frozen || renditions.a.push(data));
  stream = started;
}
function stop() {
  stream?.child.kill("SIGKILL");
  stream = null;
}
function end() {
  if (!stream) return;
  stream.child.kill("SIGKILL");
  for (const rendition of Object.values(stream.renditions)) {
    rendition.ended = true;
    rendition.wake();
  }
}

/**
 * The list as the gateway would serve it: a healthy stream, one on its backup, one over a lossy SRT
 * link with a ladder and two languages, one on its slate, one with troubles, one gone.
 */
function list() {
  const now = Date.now();
  const ago = (ms) => new Date(now - ms).toISOString();
  const wave = Math.round(3_000_000 + 350_000 * Math.sin(now / 4000) + 180_000 * Math.random());
  const input = (role, state, protocol, peer, client, more) =>
    ({ role, state, protocol, peer, client, connected_at: ago(3_721_000), admitted_by: "key", bytes: 1_402_000_000, ...more });
  const video = { name: "v1", kind: "video", codec: "avc1.64001f", width: 1280, height: 720, fps: 30, bitrate_bps: wave, key_interval_ms: 2000 };
  const audio = { name: "a1", kind: "audio", codec: "mp4a.40.2", sample_rate: 48000, channels: 2, bitrate_bps: 128000 };
  const server = {
    version: "0.1.0", uptime_ms: Math.round(process.uptime() * 1000) + 86_400_000,
    ingest: { rtmp: "rtmp://127.0.0.1:1935", rtmps: "rtmps://127.0.0.1:1936", srt: "srt://127.0.0.1:10080" },
    refusals: args.empty ? [] : [
      { at: ago(9000), peer: "127.0.0.1:50514", key: "live/cam1",
        reason: "live/cam1 is being published by somebody else; stop that one, use another name, or send it as ?input=backup" },
      { at: ago(42000), peer: "198.51.100.23:61204", key: "#!::r=live/arena,m=publish", reason: "wrong passphrase (10)" },
      { at: ago(95000), peer: "127.0.0.1:50102", key: "live/", reason: "the stream name is empty" },
    ],
  };
  if (args.empty) return { items: [], next_cursor: null, server };
  const watch = (key) => `http://127.0.0.1:${args.port}/watch/${key}`;
  const stream = (id, key, more) => ({
    id, key, state: "live", publisher: null, inputs: [], switches: 0, started_at: ago(3_721_000), uptime_ms: 3_721_000, tracks: [video, audio],
    bitrate_bps: wave + 128000, viewers: { hls: 3, rtmp: 1 }, edges: 2, qoe: { sessions: 3, starved: 1, buffer_ms: 2140 }, window_bytes: 5_242_880, repairs: { total: 0, kinds: [], recent: [] },
    discontinuities: 0, hints: [], watch_url: watch(key), ...more,
  });
  const link = (more) => ({ rtt_ms: 38.4, latency_ms: 400, packets: 1_204_113, lost: 25_410, retransmitted: 25_411, dropped: 0,
    buffered: 118, buffered_ms: 392, encryption: "AES-256", ...more });
  const transport = (more) => ({ lost_packets: 0, lost_units: 0, sync_losses: 0, left_out: [], ...more });
  return {
    items: [
      stream("0197-1", "live/cam1", {
        inputs: [input("primary", "on_air", "rtmp", "127.0.0.1:51234", "FMLE/3.0 (compatible; Lavf59.27.100)", { admitted_by: "open" })],
      }),
      stream("0197-2", "live/backup", {
        switches: 1, discontinuities: 1,
        inputs: [
          input("primary", "silent", "rtmps", "203.0.113.9:40022", "obs-studio/30.2", { bytes: 812_000_000 }),
          input("backup", "on_air", "srt", "198.51.100.7:9120", "libsrt 1.5.3", { admitted_by: "passphrase", link: link({ lost: 0 }), transport: transport() }),
          input("slate", "standby", "clip", "", "", { bytes: 0, admitted_by: "open" }),
        ],
        repairs: { total: 1, kinds: [{ kind: "gap", count: 1 }], recent: [{ at: ago(63000), text: "audio missing for 0.4 s, filled with silence" }] },
        sources: [{ id: "studio", url: "srt://studio.example:9000?streamid=***", protocol: "srt", input: "primary", state: "retrying", attempts: 7,
          retry_at: ago(-12_000), last_error: "no answer in time (16)" }],
      }),
      stream("0197-3", "live/arena", {
        bitrate_bps: 8_460_000, viewers: { hls: 1284, rtmp: 2 }, window_bytes: 35_242_880,
        inputs: [
          input("primary", "on_air", "srt", "[2001:db8:85a3::8a2e:370:7334]:51820", "libsrt 1.5.3", {
            link: link({ dropped: 2310 }),
            transport: transport({ lost_packets: 1422, lost_units: 96, sync_losses: 1,
              left_out: ["DVB subtitles (stream type 0x06, PID 260) is left out", "teletext (stream type 0x06, PID 261) is left out"] }),
          }),
          input("backup", "standby", "srt", "192.0.2.44:51821", "libsrt 1.4.4", { link: link({ dropped: 14, latency_ms: 120, encryption: "none" }), transport: transport() }),
        ],
        tracks: [
          { ...video, codec: "avc1.640028", width: 1920, height: 1080, fps: 50, bitrate_bps: 5_100_000 },
          { ...video, name: "v2", fps: 50, bitrate_bps: 2_400_000 },
          { ...video, name: "v3", width: 640, height: 360, fps: 25, bitrate_bps: 640_000 },
          { ...audio, language: "ger", codec: "ec-3", channels: 6, bitrate_bps: 192_000 },
          { ...audio, name: "a2", language: "fra" },
        ],
        targets: [
          { id: "videosite", url: "rtmps://a.rtmp.example/live2/***", protocol: "rtmps", state: "live", attempts: 1, bytes_sent: 2_310_000_000, frames_dropped: 41,
            last_error: "connection reset by peer" },
          { id: "partner", url: "srt://ingest.partner.example:9000?streamid=***", protocol: "srt", state: "retrying", attempts: 3, retry_at: ago(-8000),
            last_error: "no answer within 5 s", bytes_sent: 18_000_000, frames_dropped: 0 },
          { id: "network", url: "rtmp://live.network.example/app/***", protocol: "rtmp", state: "refused", attempts: 1, last_error: "NetStream.Publish.BadName: check the stream key" },
          { id: "archive", url: "srt://10.0.0.8:7000", protocol: "srt", state: "stopped", attempts: 0, bytes_sent: 0, frames_dropped: 0 },
        ],
        repairs: { total: 3, kinds: [{ kind: "jump", count: 1 }, { kind: "gap", count: 2 }],
          recent: [{ at: ago(5000), text: "video jumped +9800.000 s, re-stamped" }, { at: ago(25000), text: "audio missing for 0.4 s, filled with silence" }] },
        hints: ["Dolby Digital does not reach browsers without it and RTMP players that do not announce it; AAC reaches everybody"],
      }),
      stream("0197-4", "live/slate", {
        state: "slate", switches: 3, uptime_ms: 65_000, viewers: { hls: 12, rtmp: 0 },
        inputs: [input("slate", "on_air", "clip", "", "", { connected_at: ago(65_000), bytes: 20_400_000, admitted_by: "open" })],
        targets: [{ id: "videosite", url: "rtmps://a.rtmp.example/live2/***", protocol: "rtmps", state: "connecting", attempts: 1 }],
      }),
      stream("0197-5", "live/roof-camera-with-a-rather-long-name", {
        state: "reconnecting", uptime_ms: 0, bitrate_bps: 0, viewers: { hls: 128 },
        tracks: [{ ...video, codec: "hvc1.1.6.L120", width: 2160, height: 3840, fps: 59.94, key_interval_ms: 8300 }, audio],
        ladder: {
          state: "restarting", lag_ms: 0, crashes: 2, cpu: 0.8, damaged: 0, reason: "the worker died: signal: 9 (SIGKILL)",
          rungs: [{ name: "v2", state: "on", encoder: "libx264" }, { name: "v3", state: "shed", encoder: "libx264", reason: "the machine is too slow for it" }],
        },
        hints: ["key frames come every 8.3 s; set the encoder's key-frame interval to 2 s for quick starts"],
      }),
      { id: "0197-6", key: "stage/main", state: "ended", publisher: null, uptime_ms: null, tracks: [], viewers: null,
        targets: [{ id: "archive", url: "srt://10.0.0.8:7000", protocol: "srt", state: "waiting_for_stream" }] },
    ],
    next_cursor: null, server,
  };
}

const problem = (reply, detail, headers = {}, status = 404) =>
  send(reply, status, "application/problem+json", JSON.stringify({ type: "stream-not-found", title: "No such stream", status, detail }), headers);

function send(reply, status, type, body, headers = {}) {
  reply.writeHead(status, { "Content-Type": type, "Content-Security-Policy": CSP, ...headers });
  reply.end(body);
}

async function media(reply, url) {
  const name = url.pathname.slice("/live/cam1/".length);
  if (!stream) return problem(reply, "live/cam1 is known, and nobody publishes it now.", { "Retry-After": "2" });
  const { renditions } = stream;
  if (name === "index.m3u8") {
    if (!renditions.v.segments.length || !renditions.a.segments.length) return problem(reply, "live/cam1 is starting.", { "Retry-After": "1" });
    return send(reply, 200, "application/vnd.apple.mpegurl", `#EXTM3U
#EXT-X-VERSION:9
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="audio",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="2",URI="a.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=3100000,AVERAGE-BANDWIDTH=2700000,CODECS="avc1.64001f,mp4a.40.2",RESOLUTION=1280x720,FRAME-RATE=30.000,AUDIO="a"
v.m3u8
`);
  }
  const list = /^([va])\.m3u8$/.exec(name);
  if (list) {
    const rendition = renditions[list[1]];
    const [sn, part] = ["_HLS_msn", "_HLS_part"].map((key) => (url.searchParams.has(key) ? Number(url.searchParams.get(key)) : null));
    if (sn !== null) await rendition.until(sn, part);
    if (reply.destroyed) return undefined;
    return send(reply, 200, "application/vnd.apple.mpegurl", rendition.playlist(list[1]), { "Cache-Control": "no-cache" });
  }
  const file = /^([va])\/(?:init\.mp4|(\d+)(?:\.(\d+))?\.m4s)$/.exec(name);
  const data = file && (file[2] === undefined ? renditions[file[1]].init : renditions[file[1]].file(Number(file[2]), file[3] === undefined ? null : Number(file[3])));
  return data ? send(reply, 200, "video/mp4", data) : problem(reply, "No such part.");
}

const server = createServer((request, reply) => {
  const url = new URL(request.url ?? "/", "http://mock");
  const command = /^\/mock\/(start|stop|end|freeze)$/.exec(url.pathname);
  if (command && request.method === "POST") {
    ({ start, stop, end, freeze: () => stream && (stream.frozen = !stream.frozen) })[command[1]]();
    return send(reply, 204, "text/plain", "");
  }
  if (url.pathname === "/api/streamcore/v1/streams") return send(reply, 200, "application/json", JSON.stringify(list()));
  if (url.pathname === "/api/streamcore/v1/streams/events") {
    reply.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-cache" });
    const tell = () => reply.write(`event: streams\ndata: ${JSON.stringify(list())}\n\n`);
    tell();
    const timer = setInterval(tell, 1000);
    return request.on("close", () => clearInterval(timer));
  }
  if (shows.takes(url)) return void people.serve(request, url, reply, shows);
  if (groups.takes(url)) return void people.serve(request, url, reply, groups);
  if (work.takes(url)) return void people.serve(request, url, reply, work);
  if (people.takes(url)) return void people.serve(request, url, reply);
  if (/^\/api\/(streamcore|glitch)\//.test(url.pathname)) {
    const closed = url.pathname.startsWith("/api/glitch/") || request.method !== "GET";
    if (closed && people.locked(request)) return problem(reply, "sign in first", {}, 401);
    return send(reply, 200, "application/json", JSON.stringify(url.pathname.endsWith("/projects") ? [] : { items: [], next_cursor: null }));
  }
  if (url.pathname.startsWith("/live/cam1/")) return void media(reply, url);
  if (PAGES[url.pathname] || url.pathname.startsWith("/watch") || url.pathname.startsWith("/assets/")) {
    const path = PAGES[url.pathname] ?? (url.pathname.startsWith("/watch") ? "watch.html" : normalize(url.pathname));
    const file = join(DIST, path);
    if (file.startsWith(DIST) && existsSync(file)) {
      reply.writeHead(200, { "Content-Type": TYPES[extname(file)] ?? "application/octet-stream", "Content-Security-Policy": url.pathname === "/channels" ? `${CSP}; frame-src http: https:` : CSP });
      return createReadStream(file).pipe(reply);
    }
  }
  return problem(reply, `Nothing is known of ${url.pathname}.`);
});

if (!args.still) start();
server.listen(Number(args.port), "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => (stop(), process.exit(0)));
