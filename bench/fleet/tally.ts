import { Histogram, type HistogramData } from "../support/histogram.js";
import { busyClient } from "../support/validity.js";
import { LastDeliveries, type LastDelivery } from "./last-deliveries.js";

/** What a crowd counts. Every attempt to connect ends in exactly one of the first five after `attempts`. */
const COUNTS = [
  "attempts",
  "welcomes",
  /** Answered with another status than 101. */
  "refused",
  /** No TCP connection came about. */
  "connectFailed",
  /** Reset or closed between the TCP connection and the welcome. */
  "cutShort",
  /** Neither answered nor cut within the deadline, and given up. */
  "unanswered",
  /** Of the welcomes and refusals: those that came after the deadline. */
  "late",
  /** Of the refusals: those that did not say when to come back. */
  "withoutRetry",
  /** Connections that ended after their welcome without being asked to. */
  "lost",
  /** Connections cut by us. */
  "cut",
  /** Connections that were lost, cut or sent away and are live again. */
  "comebacks",
  /** Subscriptions that went on where they were, and those that were told that they could not. */
  "recovered",
  "unrecovered",
  "replayed",
  "goaways",
  "lagged",
  "resets",
  /** Deliveries, each the next of its room, to connections that were live since before the phase. */
  "steady",
  /** Deliveries to connections that came back in this phase. */
  "returning",
  "frames",
  "reads",
  "bytes",
  "pings",
  /** Holes, duplicates, disorder and answers that should not be. */
  "failures",
] as const;

export type CountName = (typeof COUNTS)[number];
export type Counts = Readonly<Record<CountName, number>>;

const HISTOGRAMS = [
  "steadyMicros",
  "returningMicros",
  "handshakeMicros",
  "comebackMicros",
  "delayMicros",
] as const;
type HistogramName = (typeof HISTOGRAMS)[number];

/** Reasons and failures told in words; more are only counted. */
const REASONS_MAX = 50;
const FAILURES_TOLD = 5;

export interface TallyData {
  readonly counts: Counts;
  readonly reasons: Readonly<Record<string, number>>;
  readonly failures: readonly string[];
  readonly histograms: Readonly<Record<HistogramName, HistogramData>>;
  /** See {@link Tally.lasts}. */
  readonly lasts: readonly LastDelivery[];
  /** See {@link Tally.busiest}. */
  readonly busiest: number;
}

/** What happened in a phase. */
export class Tally {
  readonly counts: Record<CountName, number> = zeros();
  /** How often what ended an attempt or a connection, in words. */
  readonly reasons = new Map<string, number>();
  readonly failures: string[] = [];
  /** From the time a message was due to its arrival. */
  readonly steadyMicros = new Histogram();
  readonly returningMicros = new Histogram();
  /** From the start of an attempt to its welcome. */
  readonly handshakeMicros = new Histogram();
  /** From the loss of a connection to its last room's `live`. */
  readonly comebackMicros = new Histogram();
  /** How much later than it was set for a timer of the clients' own came: their scheduling delay. */
  readonly delayMicros = new Histogram();
  /** When each broadcast came to the last of those that were live since before the phase. */
  readonly lasts = new LastDeliveries();
  /** Share of the time that the busiest client process was busy, or ready and kept from its core: 0 to 1. */
  busiest = 0;

  reason(what: string, times = 1): void {
    const known = this.reasons.get(what);
    if (known === undefined && this.reasons.size >= REASONS_MAX) return;
    this.reasons.set(what, (known ?? 0) + times);
  }

  fail(what: string): void {
    this.counts.failures += 1;
    if (this.failures.length < FAILURES_TOLD) this.failures.push(what);
  }

  reset(): void {
    Object.assign(this.counts, zeros());
    this.reasons.clear();
    this.failures.length = 0;
    for (const name of HISTOGRAMS) this[name].reset();
    this.lasts.reset();
    this.busiest = 0;
  }

  add(data: TallyData): void {
    for (const name of COUNTS) this.counts[name] += data.counts[name];
    for (const [what, times] of Object.entries(data.reasons)) this.reason(what, times);
    this.failures.push(...data.failures.slice(0, FAILURES_TOLD - this.failures.length));
    for (const name of HISTOGRAMS) this[name].add(data.histograms[name]);
    this.lasts.add(data.lasts);
    this.busiest = Math.max(this.busiest, data.busiest);
  }

  /** Plain data for another process. */
  toJSON(): TallyData {
    return {
      counts: { ...this.counts },
      reasons: Object.fromEntries(this.reasons),
      failures: [...this.failures],
      histograms: {
        steadyMicros: this.steadyMicros.toJSON(),
        returningMicros: this.returningMicros.toJSON(),
        handshakeMicros: this.handshakeMicros.toJSON(),
        comebackMicros: this.comebackMicros.toJSON(),
        delayMicros: this.delayMicros.toJSON(),
      },
      lasts: this.lasts.toJSON(),
      busiest: this.busiest,
    };
  }
}

export function zeros(): Record<CountName, number> {
  return Object.fromEntries(COUNTS.map((name) => [name, 0])) as Record<CountName, number>;
}

/** The sum of several processes' counts. */
export function sumCounts(all: readonly Counts[]): Counts {
  const sum = zeros();
  for (const counts of all) for (const name of COUNTS) sum[name] += counts[name];
  return sum;
}

/** A phase in which things were counted that should not have been. */
export function troubles({ counts, failures }: Tally): string[] {
  const told: string[] = [];
  if (counts.failures > 0) told.push(`${counts.failures} failures: ${failures.join("; ")}`);
  if (counts.unrecovered > 0) told.push(`${counts.unrecovered} subscriptions were not recovered`);
  if (counts.lagged > 0) told.push(`${counts.lagged} connections lagged`);
  if (counts.resets > 0) told.push(`${counts.resets} rooms were reset`);
  return told;
}

/** Where the clients could not keep up, so that times, and what is late, say nothing of the server. */
export function clientBound({ busiest }: Pick<Tally, "busiest">): string[] {
  return busyClient(busiest);
}
