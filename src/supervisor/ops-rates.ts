import type { ProcessStatus } from "./status.js";

/** What of a process is counted, and how much of it a second. */
export interface ProcessRates {
  /** Percent of a core. */
  readonly cpu: number;
  readonly received: number;
  readonly writes: number;
  /** Live messages handed to sockets. */
  readonly deliveries: number;
  readonly sentBytes: number;
  /** Readers that lost their flow. */
  readonly lagged: number;
  readonly published: number;
}

type Totals = { readonly [Name in keyof ProcessRates]: number };

interface Mark {
  /** When the process said so. */
  readonly atMs: number;
  readonly totals: Totals;
  readonly rates: ProcessRates | undefined;
}

/** A process whose last word is older does nothing, as far as anybody knows. */
export const STALE_MS = 3_000;

/** Rates of processes, from the totals of two of their beats: between beats the last ones hold. */
export class Rates {
  #marks = new Map<number, Mark>();
  #next = new Map<number, Mark>();

  /** Undefined where they are not known: it has just started, stands still, or there is no process. */
  of(status: ProcessStatus<unknown>, totals: Totals | undefined, nowMs: number): ProcessRates | undefined {
    const { pid, reportAgeMs } = status;
    if (pid === undefined || totals === undefined || reportAgeMs === undefined) return undefined;
    const mark = next(this.#marks.get(pid), nowMs - reportAgeMs, totals);
    this.#next.set(pid, mark);
    return reportAgeMs > STALE_MS ? undefined : mark.rates;
  }

  /** After all processes were asked for: forgets those that are gone. */
  turn(): void {
    this.#marks = this.#next;
    this.#next = new Map();
  }
}

/** Ages are whole milliseconds: a beat that was seen before may seem to be a little apart from itself. */
const SAME_MS = 20;

function next(before: Mark | undefined, atMs: number, totals: Totals): Mark {
  if (before === undefined) return { atMs, totals, rates: undefined };
  const elapsedMs = atMs - before.atMs;
  if (elapsedMs < SAME_MS) return before;
  const perSecond = (name: keyof Totals): number =>
    Math.max(0, ((totals[name] - before.totals[name]) * 1_000) / elapsedMs);
  const rates = {
    // Milliseconds of CPU in a second.
    cpu: perSecond("cpu") / 10,
    received: perSecond("received"),
    writes: perSecond("writes"),
    deliveries: perSecond("deliveries"),
    sentBytes: perSecond("sentBytes"),
    lagged: perSecond("lagged"),
    published: perSecond("published"),
  };
  return { atMs, totals, rates };
}
