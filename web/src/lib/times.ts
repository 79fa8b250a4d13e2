// Days and times of RFC 3339 stamps, in the viewer's zone and language.
import { count, NONE } from "./format";

/** `21 Nov 2026, 14:03`. */
export function when(stamp: string | null | undefined): string {
  const date = stamp ? new Date(stamp) : null;
  return date && !Number.isNaN(date.getTime()) ? date.toLocaleString([], { dateStyle: "medium", timeStyle: "short", hour12: false }) : NONE;
}

/** `for 7 days`, `for 2 hours`: how long something holds from now on. */
export function holds(stamp: string): string {
  const minutes = Math.round((Date.parse(stamp) - Date.now()) / 60_000);
  if (minutes <= 0) return "no more";
  if (minutes < 120) return `for ${count(minutes, "minute")}`;
  return minutes < 2880 ? `for ${count(Math.round(minutes / 60), "hour")}` : `for ${count(Math.round(minutes / 1440), "day")}`;
}

const HOUR_S = 3600;
const DAY_S = 24 * HOUR_S;

/** Choices of how long an invitation holds. */
export const INVITE_LASTS = [
  { seconds: DAY_S, text: "1 day" },
  { seconds: 7 * DAY_S, text: "7 days" },
  { seconds: 30 * DAY_S, text: "30 days" },
];
/** Choices of how long an API key holds. */
export const KEY_LASTS = [
  { seconds: 30 * DAY_S, text: "30 days" },
  { seconds: 90 * DAY_S, text: "90 days" },
  { seconds: 365 * DAY_S, text: "1 year" },
  { seconds: 0, text: "until it is deleted" },
];
