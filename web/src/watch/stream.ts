// Which stream the page shows, and where else that stream can be played.

/** A stream, named by the address of the page. */
export interface Stream {
  app: string;
  name: string;
  /** `APP/STREAM`, as servers know it. */
  path: string;
  /** The page was asked for with `player=moq`: by WebTransport if that can be had, else as always. */
  moq: boolean;
  pass: Pass;
  /** Path of the multivariant playlist, behind the token: what it names beside itself is asked for with it too. */
  playlist: string;
  /** Path of a picture to show before the first of the player. */
  poster: string;
  /** Addresses for other players. */
  links: { hls: string; dash: string; ts: string; rtmp: string };
}

const TOKEN = /^[\w=-]+$/;

/** The playback token of the page, if it has one. Whoever has framed the page gives it another before that one runs out. */
export class Pass {
  constructor(private token: string | null) {}

  /** Takes what is a token, where there was one. */
  renew(token: unknown): void {
    if (this.token && typeof token === "string" && TOKEN.test(token)) this.token = token;
  }

  /** An address of this stream with the newest token. */
  on(url: string): string {
    return this.token ? url.replace(/\/token=[^/]*\//, `/token=${this.token}/`) : url;
  }

  /** What follows the address of a player that has no paths. */
  get query(): string {
    return this.token ? `?token=${this.token}` : "";
  }
}

/** Reads `/watch/APP/STREAM`, with `/token=TOKEN` in front or `?token=TOKEN` behind; null when the path names no stream. */
export function streamFromPath(path: string, search: string): Stream | null {
  const folded = /^\/token=([^/]*)(\/.*)$/.exec(path);
  const [, watch, app, ...rest] = (folded?.[2] ?? path).split("/");
  const name = rest.filter((part) => part !== "").join("/");
  if (watch !== "watch" || !app || !name) return null;
  const asked = new URLSearchParams(search);
  const given = folded?.[1] ?? asked.get("token") ?? "";
  const token = TOKEN.test(given) ? given : null;
  const pass = new Pass(token);
  const base = token ? `/token=${token}/${app}/${name}` : `/${app}/${name}`;
  const at = (path: string) => `${location.origin}${base}${path}`;
  return {
    app: readable(app),
    name: readable(name),
    path: readable(`${app}/${name}`),
    moq: asked.get("player") === "moq" && "WebTransport" in window,
    pass,
    playlist: `${base}/index.m3u8`,
    poster: `${base}/poster.jpg`,
    links: {
      hls: at("/index.m3u8"),
      dash: at("/manifest.mpd"),
      ts: at("/ts/index.m3u8"),
      rtmp: `rtmp://${location.hostname}/${app}/${name}${pass.query}`,
    },
  };
}

function readable(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
