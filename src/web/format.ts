const integer = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const dayMonthYear = new Intl.DateTimeFormat("en-GB", {
  day: "numeric",
  month: "short",
  year: "numeric",
  timeZone: "UTC",
});
const dayMonth = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
const monthYear = new Intl.DateTimeFormat("en-GB", { month: "short", year: "numeric", timeZone: "UTC" });
const year = new Intl.DateTimeFormat("en-GB", { year: "numeric", timeZone: "UTC" });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const currencies = new Intl.DisplayNames("en", { type: "currency" });

/** What stands where there is no value yet. */
export const NONE = "–";
// A true minus is as wide as the plus, so that columns do not dance.
const MINUS = "\u2212";

export function formatCount(value: number): string {
  return integer.format(value);
}

/** A share with its sign: `+0.35 %`. */
export function formatChange(share: number | undefined): string {
  if (share === undefined) return NONE;
  const percent = Math.abs(share * 100).toFixed(2);
  if (percent === "0.00") return "0.00\u2009%";
  return `${share < 0 ? MINUS : "+"}${percent}\u2009%`;
}

/** A share of 1 without sign: `35 %`. */
export function formatShare(share: number): string {
  const percent = share * 100;
  return `${percent.toFixed(percent < 10 ? 1 : 0)}\u2009%`;
}

const BYTE_UNITS = ["B", "kB", "MB", "GB", "TB"];

/** Three digits and a unit, by powers of 1000. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < BYTE_UNITS.length - 1) {
    value /= 1_000;
    unit += 1;
  }
  return `${value.toFixed(unit === 0 || value >= 100 ? 0 : 1)}\u2009${BYTE_UNITS[unit]}`;
}

export function formatMs(ms: number | undefined): string {
  if (ms === undefined) return NONE;
  if (ms >= 10_000) return `${(ms / 1_000).toFixed(0)}\u2009s`;
  return `${ms.toFixed(ms < 10 ? 1 : 0)}\u2009ms`;
}

/** `15 Jan 2015` of seconds since 1970. */
export function formatDate(seconds: number): string {
  return dayMonthYear.format(seconds * 1_000);
}

const MONTH_SECONDS = 28 * 86_400;
const YEAR_SECONDS = 360 * 86_400;

/** A date on an axis, as short as the step between two of them allows. */
export function formatTick(seconds: number, stepSeconds: number): string {
  const format = stepSeconds >= YEAR_SECONDS ? year : stepSeconds >= MONTH_SECONDS ? monthYear : dayMonth;
  return format.format(seconds * 1_000);
}

export function formatClock(date: Date): string {
  return clock.format(date);
}

/** `Euro` of `EUR`; the code itself where it is none. */
export function currencyName(code: string): string {
  try {
    return currencies.of(code) ?? code;
  } catch {
    // RangeError: not three letters, so no currency's code.
    return code;
  }
}
