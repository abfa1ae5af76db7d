import { CodedError } from "../protocol/errors.js";
import type { Limits } from "./limits.js";

/** What a connection has used up of one allowance: a point in time in units of {@link allowanceClock}. 0: nothing yet. */
export type AllowanceMark = number;

export interface Allowance {
  /** What one of the thing costs. 0: it is not limited. */
  readonly unitsEach: number;
  /** So much may come at once. */
  readonly burstUnits: number;
  /** So much more is refused; what comes then is a flood. */
  readonly patienceUnits: number;
}

/** Both allowances of a connection. */
export interface Allowances {
  readonly requests: Allowance;
  readonly bytes: Allowance;
}

/** "over": refuse it. "flood": whoever sends has been told for long enough. */
export type AllowanceVerdict =
  | { readonly kind: "within" }
  | { readonly kind: "over"; readonly retryMs: number }
  | { readonly kind: "flood" };

/** So many seconds' worth may come at once: a watchlist after a reconnect, a paste. */
const BURST_SECONDS = 2;
/** So many more are refused before the connection is closed: refusing costs, too. */
const PATIENCE_SECONDS = 1;
/** Two of these and a wrap of {@link allowanceClock} must not meet. */
const BURST_UNITS_MAX = 2 ** 29;
/** Fine enough that a request of 100,000 a second still costs some. */
const UNITS_PER_MS = 256;

const WITHIN: AllowanceVerdict = Object.freeze({ kind: "within" });
const FLOOD: AllowanceVerdict = Object.freeze({ kind: "flood" });

/** Whoever is in as many rooms as allowed may subscribe to all of them twice over at once, and a few largest messages always fit. */
export function allowances(
  limits: Pick<
    Limits,
    "requestsPerSecond" | "receivedBytesPerSecond" | "roomsPerConnection" | "payloadBytes"
  >,
): Allowances {
  return {
    requests: allowanceOf(limits.requestsPerSecond, 2 * limits.roomsPerConnection),
    bytes: allowanceOf(limits.receivedBytesPerSecond, 4 * limits.payloadBytes, 2 * limits.payloadBytes),
  };
}

/**
 * The time as a small integer that wraps around every 4.6 hours, longer than a connection may be silent: two of these a connection
 * cost 16 bytes, where numbers with fractions would take 48.
 */
export function allowanceClock(nowMs: number): number {
  return (nowMs * UNITS_PER_MS) | 0 || 1;
}

/** Takes so many of an allowance. Returns the new mark; how it stands then says {@link allowanceVerdict}. */
export function spend(
  mark: AllowanceMark,
  count: number,
  { unitsEach, burstUnits, patienceUnits }: Allowance,
  clock: number,
): AllowanceMark {
  if (unitsEach === 0) return 0;
  const used = Math.min(usedAt(mark, clock) + Math.ceil(count * unitsEach), burstUnits + patienceUnits + 1);
  return (clock + used) | 0 || 1;
}

export function allowanceVerdict(
  mark: AllowanceMark,
  { burstUnits, patienceUnits }: Allowance,
  clock: number,
): AllowanceVerdict {
  const used = usedAt(mark, clock);
  if (used <= burstUnits) return WITHIN;
  if (used > burstUnits + patienceUnits) return FLOOD;
  return { kind: "over", retryMs: Math.ceil((used - burstUnits) / UNITS_PER_MS) };
}

function usedAt(mark: AllowanceMark, clock: number): number {
  return mark === 0 ? 0 : Math.max(0, (mark - clock) | 0);
}

/** So many a second, twice as many at once or `burstMin`, then half of that to be refused or `patienceMin`. 0: any number. */
export function allowanceOf(perSecond: number, burstMin = 1, patienceMin = 1): Allowance {
  if (perSecond === 0) return { unitsEach: 0, burstUnits: 0, patienceUnits: 0 };
  const unitsEach = (1_000 * UNITS_PER_MS) / perSecond;
  const burstUnits = Math.ceil(unitsEach * Math.max(BURST_SECONDS * perSecond, burstMin));
  const patienceUnits = Math.ceil(unitsEach * Math.max(PATIENCE_SECONDS * perSecond, patienceMin));
  return {
    unitsEach,
    burstUnits: Math.min(burstUnits, BURST_UNITS_MAX),
    patienceUnits: Math.min(patienceUnits, BURST_UNITS_MAX),
  };
}

/** What a connection that is over its rate is told. */
export function overRate(allowed: string, retryMs: number): CodedError {
  return new CodedError("rate_limited", `a connection may send ${allowed} a second`, retryMs);
}
