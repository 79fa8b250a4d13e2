// Numbers and times in words. Every function takes missing values and answers with a dash.

/** Shown where a value is not known. */
export const NONE = "–";

type Maybe = number | null | undefined;

const known = (value: Maybe): value is number => typeof value === "number" && Number.isFinite(value);

/** `3.14 Mb/s`, `128 kb/s`. */
export function bitrate(bps: Maybe): string {
  if (!known(bps)) return NONE;
  if (bps >= 999_500) return `${(bps / 1e6).toFixed(bps >= 99_500_000 ? 0 : 2)} Mb/s`;
  return `${Math.round(bps / 1000)} kb/s`;
}

/** `1.24 s`. */
export function seconds(value: Maybe, digits = 2): string {
  return known(value) ? `${value.toFixed(digits)} s` : NONE;
}

/** `245 ms`, or seconds from 10 s on. */
export function millis(value: Maybe): string {
  if (!known(value)) return NONE;
  return value < 10_000 ? `${Math.round(value)} ms` : seconds(value / 1000, 1);
}

/** `5.2 MB`. */
export function bytes(value: Maybe): string {
  if (!known(value)) return NONE;
  if (value >= 1e9) return `${(value / 1e9).toFixed(1)} GB`;
  if (value >= 1e6) return `${(value / 1e6).toFixed(1)} MB`;
  return `${Math.round(value / 1e3)} kB`;
}

/** `0:42`, `12:05`, `3:07:09`, `2 d 03:07`: how long something has been going on. */
export function span(ms: Maybe): string {
  if (!known(ms) || ms < 0) return NONE;
  const total = Math.floor(ms / 1000);
  const [d, h, m, s] = [Math.floor(total / 86400), Math.floor(total / 3600) % 24, Math.floor(total / 60) % 60, total % 60];
  const two = (n: number) => String(n).padStart(2, "0");
  if (d > 0) return `${d} d ${two(h)}:${two(m)}`;
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** A frame rate without needless digits: `30`, `29.97`. */
export function fps(value: Maybe): string {
  return known(value) ? String(Number(value.toFixed(2))) : NONE;
}

/** `1280 × 720`. */
export function resolution(width: Maybe, height: Maybe): string {
  return known(width) && known(height) && width > 0 ? `${width} × ${height}` : NONE;
}

/** Time of day of an RFC 3339 stamp, in the viewer's zone. */
export function clock(stamp: string | null | undefined): string {
  const date = stamp ? new Date(stamp) : null;
  return date && !Number.isNaN(date.getTime())
    ? date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false })
    : NONE;
}

/** `1 repair`, `3 repairs`. */
export function count(n: number, one: string, many = `${one}s`): string {
  return `${n} ${n === 1 ? one : many}`;
}

const CODECS: Record<string, string> = {
  avc1: "H.264", avc3: "H.264", hvc1: "HEVC", hev1: "HEVC", av01: "AV1", vp09: "VP9", mp4a: "AAC",
  opus: "Opus", "ac-3": "AC-3", "ec-3": "E-AC-3", flac: "FLAC",
};

/** The everyday name of a codec string: `avc1.64001f` is `H.264`. */
export function codec(id: string | null | undefined): string {
  if (!id) return NONE;
  return CODECS[id.trim().split(".")[0]?.toLowerCase() ?? ""] ?? id;
}
