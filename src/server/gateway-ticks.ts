import { performance } from "node:perf_hooks";
import { FlushPace } from "../core/flush-pace.js";
import type { GatewayCounters } from "./gateway-limits.js";

/** Less than a timer can keep: not worth waiting. */
const WAIT_MS_MIN = 0.25;

export interface TicksOptions {
  /** One `Engine.tick`; must not throw. */
  readonly tick: (nowMs: number, takeIn: boolean) => void;
  /** See {@link FlushPace}. */
  readonly flushMsMax: number;
  readonly counters: Pick<GatewayCounters, "flushWaits">;
  /** How long the loop has worked so far, in milliseconds. Default: as Node measures it. */
  readonly busyMs?: () => number;
}

/** When the engine ticks: always from `setImmediate`, outside of any socket handler, for whatever it was asked for. */
export class Ticks {
  readonly #tick: TicksOptions["tick"];
  readonly #counters: TicksOptions["counters"];
  readonly #pace: FlushPace;
  readonly #busyMs: () => number;
  #tickAsked = false;
  /** A flush is wanted, and may have to wait. */
  #flushAsked = false;
  /** It belongs into the next tick. */
  #flushDue = false;
  #flusher: NodeJS.Timeout | undefined;
  /** The earliest time for which a tick was asked. */
  #wakeMs = Number.POSITIVE_INFINITY;
  #waker: NodeJS.Timeout | undefined;

  constructor({ tick, flushMsMax, counters, busyMs }: TicksOptions) {
    this.#busyMs = busyMs ?? (() => performance.eventLoopUtilization().active);
    this.#tick = tick;
    this.#counters = counters;
    this.#pace = new FlushPace(flushMsMax);
  }

  /** See {@link FlushPace.isBusy}. */
  get isBusy(): boolean {
    return this.#pace.isBusy;
  }

  /** A tick soon, without a flush where none is due. */
  request(): void {
    if (this.#tickAsked) return;
    this.#tickAsked = true;
    setImmediate(() => this.#run());
  }

  /** A tick with a flush: in this turn of the loop while that is idle, some time later under load. */
  requestFlush(): void {
    if (this.#flushAsked) return;
    this.#flushAsked = true;
    const waitMs = this.#pace.waitMs(performance.now());
    if (waitMs < WAIT_MS_MIN) this.#flush();
    else {
      this.#counters.flushWaits += 1;
      this.#flusher = setTimeout(() => this.#flush(), waitMs);
    }
  }

  /** A tick at this time, by `performance.now()` as all times here. One timer, for the earliest: that tick asks for the next. */
  wakeAt(atMs: number): void {
    if (atMs >= this.#wakeMs) return;
    clearTimeout(this.#waker);
    this.#wakeMs = atMs;
    this.#waker = setTimeout(
      () => {
        this.#wakeMs = Number.POSITIVE_INFINITY;
        this.request();
      },
      Math.max(0, atMs - performance.now()),
    );
  }

  stop(): void {
    clearTimeout(this.#flusher);
    clearTimeout(this.#waker);
  }

  #flush(): void {
    this.#flushDue = true;
    this.request();
  }

  #run(): void {
    const takeIn = this.#flushDue;
    const nowMs = performance.now();
    this.#tickAsked = false;
    if (takeIn) {
      this.#flushDue = false;
      this.#flushAsked = false;
      // What uWebSockets.js writes comes after the tick, so the work of a flush is all that is done until the next.
      this.#pace.begin(nowMs, this.#busyMs());
    }
    this.#tick(nowMs, takeIn);
  }
}
