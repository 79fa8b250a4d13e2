// A client of WebSockets. `talk URL TOKEN` says what was answered, `hold URL TOKEN` says `open`, waits and says how it ended.
const { randomBytes } = require("node:crypto");
const { once } = require("node:events");
const WebSocket = require("ws");

const [what, url, token] = process.argv.slice(2);
const headers = {
  authorization: `Bearer ${token}`, "x-user": "mallory", "x-nexus-client": "203.0.113.7", "x-nexus-caller": "forged",
};

// The status of a refusal, or 101.
const status = (options) => new Promise((resolve) => {
  const socket = new WebSocket(url, options);
  socket.on("unexpected-response", (_, response) => resolve(response.statusCode));
  socket.on("open", () => (socket.close(), resolve(101)));
  socket.on("error", () => {});
});

async function talk() {
  const seen = { nobody: await status({}), elsewhere: await status({ headers, origin: "http://evil.example" }) };
  const socket = new WebSocket(url, { headers });
  seen.asked = JSON.parse((await once(socket, "message"))[0]);
  for (const length of [0, 1, 125, 126, 65535, 65536, 8 << 20]) {
    const sent = randomBytes(length);
    socket.send(sent);
    const [got] = await once(socket, "message");
    if (!sent.equals(got)) throw new Error(`${length} bytes came back as ${got.length} others`);
  }
  // Many at once, back in order.
  const back = [];
  const all = new Promise((resolve) => socket.on("message", (m) => back.push(String(m)) === 2000 && resolve()));
  for (let n = 0; n < 2000; n++) socket.send(`message ${n}`);
  await all;
  seen.in_order = back.every((m, n) => m === `message ${n}`);
  const took = [];
  for (let n = 0; n < 200; n++) {
    const at = performance.now();
    socket.send("tick");
    await once(socket, "message");
    took.push(performance.now() - at);
  }
  took.sort((a, b) => a - b);
  seen.round_trip_ms = { median: took[100], p99: took[198] };
  socket.ping("are you there");
  seen.pong = String((await once(socket, "pong"))[0]);
  socket.send("close");
  const [code, reason] = await once(socket, "close");
  seen.closed = [code, String(reason)];
  console.log(JSON.stringify(seen));
}

async function hold() {
  const socket = new WebSocket(url, { headers });
  await once(socket, "message");
  console.log("open");
  const [code] = await once(socket, "close");
  console.log(code);
}

(what === "hold" ? hold() : talk()).catch((error) => {
  console.error(error);
  process.exit(1);
});
