import { Deque } from "../../../core/deque.js";
import type { FlowLimits } from "./flow-limits.js";

/** Where a target's read stands. Each target has one at the most. */
export class Errand {
  state: "none" | "waiting" | "out" | "paused" = "none";
  /** Of the last time that it was sent out. */
  id = 0;
  /** Failures in a row. */
  failures = 0;
  resumeAtMs = 0;
}

export interface Errands {
  readonly errand: Errand;
}

interface Out<T> {
  readonly target: T;
  readonly deadlineMs: number;
}

/** Reads of one kind: so many at once, the rest in their turn; each with a deadline; failed ones again after a pause. */
export class AskDesk<T extends Errands> {
  readonly #outMax: number;
  readonly #limits: FlowLimits;
  readonly #nextId: () => number;
  readonly #send: (id: number, target: T, nowMs: number) => boolean;
  readonly #waiting = new Deque<T>();
  readonly #out = new Map<number, Out<T>>();
  #paused: T[] = [];
  /** Nothing is sent out while this is set. */
  held = false;
  /** Reads that failed or were given up. */
  failures = 0;

  /** @param send Asks; false where there is nothing to ask any more. */
  constructor(
    outMax: number,
    limits: FlowLimits,
    nextId: () => number,
    send: (id: number, target: T, nowMs: number) => boolean,
  ) {
    this.#outMax = outMax;
    this.#limits = limits;
    this.#nextId = nextId;
    this.#send = send;
  }

  /** Puts a target in the queue, unless it is there, out or paused. */
  want(target: T): void {
    if (target.errand.state !== "none") return;
    target.errand.state = "waiting";
    this.#waiting.push(target);
  }

  /** As {@link AskDesk.want}, but not after a failure's pause. */
  wantNow(target: T): void {
    if (target.errand.state === "paused") target.errand.state = "none";
    this.want(target);
  }

  /** Asks again after a pause that grows with every failure. */
  retry(target: T, nowMs: number): void {
    const { errand } = target;
    const { retryMs, retryMsMax } = this.#limits;
    if (errand.state !== "none") return;
    errand.resumeAtMs = nowMs + Math.min(retryMsMax, retryMs * 2 ** Math.min(errand.failures, 16));
    errand.failures += 1;
    errand.state = "paused";
    this.#paused.push(target);
  }

  /** Whose answer this is; undefined where it is late. */
  take(id: number): T | undefined {
    const out = this.#out.get(id);
    if (out === undefined) return undefined;
    this.#out.delete(id);
    out.target.errand.state = "none";
    return out.target;
  }

  /** The target wants nothing any more; an answer under way is ignored. */
  cancel(target: T): void {
    const { errand } = target;
    if (errand.state === "out") this.#out.delete(errand.id);
    errand.state = "none";
    errand.failures = 0;
  }

  /** True where the id was one of this desk's. */
  failed(id: number, nowMs: number): boolean {
    const target = this.take(id);
    if (target === undefined) return false;
    this.failures += 1;
    this.retry(target, nowMs);
    return true;
  }

  tick(nowMs: number): void {
    for (const [id, { deadlineMs }] of this.#out) if (nowMs >= deadlineMs) this.failed(id, nowMs);
    if (this.#paused.length === 0) return;
    const paused = this.#paused;
    this.#paused = [];
    for (const target of paused) {
      // One that was cancelled, or wanted at once, may stand here still, or twice.
      if (target.errand.state !== "paused") continue;
      if (nowMs < target.errand.resumeAtMs) this.#paused.push(target);
      else {
        target.errand.state = "none";
        this.want(target);
      }
    }
  }

  /** Sends out as many as may be. */
  pump(nowMs: number): void {
    while (!this.held && this.#out.size < this.#outMax) {
      const target = this.#waiting.shift();
      if (target === undefined) return;
      const { errand } = target;
      // One that was cancelled may stand here still, or twice.
      if (errand.state !== "waiting") continue;
      errand.id = this.#nextId();
      errand.state = "out";
      this.#out.set(errand.id, { target, deadlineMs: nowMs + this.#limits.askMs });
      if (!this.#send(errand.id, target, nowMs)) this.cancel(target);
    }
  }
}
