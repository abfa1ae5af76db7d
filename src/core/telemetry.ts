import type { Rate } from "../protocol/frames.js";
import type { Message } from "../protocol/message.js";
import { namespaceOf } from "../protocol/room-name.js";
import { Histogram, type HistogramReport } from "./histogram.js";
import { Sampler } from "./sampler.js";

/** Flushes measured a second. Each costs some 0.2 µs, so that a worker spends less than a thousandth of a core on it. */
const SAMPLES_PER_SECOND = 500;
/** Rooms of namespaces that have no settings of their own: what clients name must not make a label. */
const OTHER = "other";

type Histograms = Readonly<Record<string, HistogramReport>>;

/** What one process measured of its deliveries since its start. */
export interface TelemetryReport {
  /**
   * By namespace, or "other": from the time that a message carries to the turn that hands it to sockets, in the class
   * that gets every message, for as many as there were deliveries.
   */
  readonly latency: Histograms;
  /** By rate, the same in conflated classes: how old the latest of a key was when it was sent. */
  readonly staleness: Histograms;
  /** Live subscriptions now, by class. */
  readonly subscriptions: Readonly<Record<string, number>>;
  /** Of what was measured, messages from the future: the clock that stamps them is ahead of this machine's. */
  readonly early: number;
}

/**
 * How late deliveries are, and how many subscriptions each class has. Times compare the clock of the process that took
 * the message (its hub, which with NATS may be another machine's) with this one's, in whole milliseconds.
 */
export class Telemetry {
  /** Of the tick under way, since 1970 as messages have it. */
  nowMs = 0;
  readonly #sampler = new Sampler(SAMPLES_PER_SECOND);
  readonly #latency: ReadonlyMap<string, Histogram>;
  readonly #other = new Histogram();
  readonly #staleness = new Map<number, Histogram>();
  readonly #subscriptions = new Map<Rate, number>();
  #turn = 0;
  #early = 0;

  /** @param namespaces Those that are told apart. */
  constructor(namespaces: readonly string[] = []) {
    this.#latency = new Map(namespaces.map((namespace) => [namespace, new Histogram()]));
  }

  /** These are handed to so many sockets now. For every flush of a room, so nothing but a count in nearly all calls. */
  note(rate: Rate, messages: readonly Message[], sockets: number): void {
    const weight = this.#sampler.take();
    if (weight > 0) this.#measure(rate, messages, sockets * weight);
  }

  /** So many subscriptions became live in a class, or were. */
  count(rate: Rate, subscriptions: number): void {
    this.#subscriptions.set(rate, (this.#subscriptions.get(rate) ?? 0) + subscriptions);
  }

  /** About once a second. */
  sweep(): void {
    this.#sampler.sweep();
  }

  report(): TelemetryReport {
    const latency = [...this.#latency, [OTHER, this.#other] as const];
    const reports = (histograms: Iterable<readonly [string | number, Histogram]>): Histograms =>
      Object.fromEntries([...histograms].map(([label, histogram]) => [label, histogram.report()]));
    return {
      latency: reports(latency),
      staleness: reports(this.#staleness),
      subscriptions: Object.fromEntries(this.#subscriptions),
      early: this.#early,
    };
  }

  /** One message stands for all of the flush, another one each time: a backlog has many. */
  #measure(rate: Rate, messages: readonly Message[], weight: number): void {
    this.#turn += 1;
    const message = messages[this.#turn % messages.length];
    if (message === undefined) return;
    const ms = this.nowMs - message.time;
    if (ms < 0) this.#early += 1;
    this.#histogramOf(message, rate).observe(Math.max(0, ms), weight * messages.length);
  }

  #histogramOf({ room }: Message, rate: Rate): Histogram {
    if (rate === "all") return this.#latency.get(namespaceOf(room)) ?? this.#other;
    let found = this.#staleness.get(rate);
    if (found === undefined) {
      found = new Histogram();
      this.#staleness.set(rate, found);
    }
    return found;
  }
}
