import { NONE } from "./format.js";

const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const minute = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });

/** `98,304`; a dash where it is not known. */
export function whole0(value: number | undefined): string {
  return value === undefined ? NONE : whole.format(value);
}

/** `98.3K`, for axes and narrow places. */
export function short(value: number): string {
  return compact.format(value);
}

/** `14:03:07` of milliseconds since 1970. */
export function clockOf(ms: number): string {
  return clock.format(ms);
}

export function minuteOf(ms: number): string {
  return minute.format(ms);
}

/** `4m12s`. */
export function duration(seconds: number | undefined): string {
  if (seconds === undefined) return NONE;
  if (seconds < 60) return `${Math.floor(seconds)}s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)}m${pad(seconds % 60)}s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)}h${pad((seconds % 3_600) / 60)}m`;
  return `${Math.floor(seconds / 86_400)}d${pad((seconds % 86_400) / 3_600)}h`;
}

function pad(value: number): string {
  return String(Math.floor(value)).padStart(2, "0");
}
