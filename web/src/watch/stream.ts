// Which stream the page shows, and where else that stream can be played.

/** A stream, named by the address of the page. */
export interface Stream {
  app: string;
  name: string;
  /** `APP/STREAM`, as servers know it. */
  path: string;
  /** The page was asked for with `player=moq`: by WebTransport if that can be had, else as always. */
  moq: boolean;
  /** Path of the multivariant playlist, with the playback token of the page, if it has one. */
  playlist: string;
  /** Path of a picture to show before the first of the player. */
  poster: string;
  /** Addresses for other players. */
  links: { hls: string; dash: string; ts: string; rtmp: string };
}

/** Reads `/watch/APP/STREAM`; null when the path names no stream. */
export function streamFromPath(path: string, search: string): Stream | null {
  const [, watch, app, ...rest] = path.split("/");
  const name = rest.filter((part) => part !== "").join("/");
  if (watch !== "watch" || !app || !name) return null;
  const asked = new URLSearchParams(search);
  const token = asked.get("token");
  const query = token === null ? "" : `?${new URLSearchParams({ token })}`;
  const base = `/${app}/${name}`;
  const at = (path: string) => `${location.origin}${base}${path}${query}`;
  return {
    app: readable(app),
    name: readable(name),
    path: readable(`${app}/${name}`),
    moq: asked.get("player") === "moq" && "WebTransport" in window,
    playlist: `${base}/index.m3u8${query}`,
    poster: `${base}/poster.jpg${query}`,
    links: {
      hls: at("/index.m3u8"),
      dash: at("/manifest.mpd"),
      ts: at("/ts/index.m3u8"),
      rtmp: `rtmp://${location.hostname}${base}${query}`,
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
