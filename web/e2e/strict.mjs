// Reads HLS playlists with hls-parser in strict mode, and says what it cannot accept.
//
//   node e2e/strict.mjs PLAYLIST...        addresses (http:, https:, data:) or files; "-" is standard input
//
// A multivariant playlist is followed into its media playlists, I-frame playlists among them. Prints a line for each
// that is right. Fails with the message, the line from which on it is given, and the playlist.
import { readFileSync } from "node:fs";
import HLS from "hls-parser";

/** Seconds from the end of the first listed part to the end of the playlist, in target durations. */
const reach = (text) => {
  const number = (line, pattern) => Number(line.match(pattern)?.[1] ?? 0);
  const [, ...listed] = text.split("#EXT-X-PART:");
  const seconds = listed.map((rest) => number(rest, /^DURATION=([\d.]+)/)).slice(1);
  return seconds.reduce((sum, part) => sum + part, 0) / number(text, /#EXT-X-TARGETDURATION:(\d+)/);
};

/** Where hls-parser is wrong against RFC 8216bis: its message, and the playlists for which it is. */
const EXCUSED = [
  {
    // §6.2.2 counts three target durations from the end of the playlist; hls-parser counts three segments, of which
    // the one that is open (or only hinted at) is one, however short they are.
    message: "greater than three target durations from the end of the Playlist",
    holds: (text) => reach(text) <= 3,
  },
];

/** What it says of a text in strict mode; null when nothing. */
const complaint = (text) => {
  HLS.setOptions({ strictMode: true });
  try {
    HLS.parse(text);
    return null;
  } catch (error) {
    return error.message;
  }
};

/** Everything it says of a text, for strict mode ends at the first. */
const complaints = (text) => {
  const all = [];
  const { error } = console;
  console.error = (message) => all.push(message);
  HLS.setOptions({ strictMode: false });
  try {
    HLS.parse(text);
  } catch (thrown) {
    all.push(thrown.message);
  } finally {
    console.error = error;
  }
  return all;
};

/** The line from which on it says so. */
const line = (text, message) => {
  const lines = text.trimEnd().split("\n");
  let first = lines.length;
  while (first > 1 && complaints(lines.slice(0, first - 1).join("\n")).includes(message)) first -= 1;
  return `${first}: ${lines[first - 1]}`;
};

const read = async (name) => {
  if (!/^(https?|data):/.test(name)) return readFileSync(name === "-" ? 0 : name, "utf8");
  const answer = await fetch(name);
  if (!answer.ok) throw new Error(`${name}: ${answer.status}`);
  return answer.text();
};

const names = process.argv.slice(2);
if (names.length === 0) {
  console.error("usage: node e2e/strict.mjs PLAYLIST...");
  process.exit(2);
}
for (const name of names) {
  const text = await read(name);
  const stands = (message) => !EXCUSED.some((excuse) => message.includes(excuse.message) && excuse.holds(text));
  const message = complaint(text);
  const wrong = message === null ? [] : [message, ...complaints(text)].filter(stands);
  if (wrong.length > 0) {
    console.error(`${name}\n${wrong[0]}\nline ${line(text, wrong[0])}\n\n${text}`);
    process.exit(1);
  }
  console.log(`right: ${name}`);
  if (!/^https?:/.test(name)) continue;
  const { isMasterPlaylist } = HLS.parse(text);
  const uris = isMasterPlaylist ? text.matchAll(/^#EXT-X-(?:MEDIA|I-FRAME-STREAM-INF):.*URI="([^"]+)"|^([^#\n]+)$/gm) : [];
  names.push(...Array.from(uris, (found) => new URL(found[1] ?? found[2], name).href));
}
