import type { Lanes } from "./lanes.js";
import type { Fanout } from "./ports.js";

/** A conflated class of a room, as its schedule sees it. */
export interface Paced {
  /** When it is to be flushed; another time than it was scheduled for where that is void. */
  readonly dueMs: number;
  flush(lanes: Lanes, nowMs: number): void;
}

/** When the conflated classes of all rooms are to be flushed, and the bound on what waits in them together. */
export class Paces {
  readonly #lanes: Lanes;
  readonly #bytesMax: number;
  readonly #fanout: Pick<Fanout, "isBusy" | "wakeAt">;
  /** By whole milliseconds, rounded up: many rooms meet at the same. */
  readonly #due = new Map<number, Paced[]>();
  /** The same times, the latest first. None is further away than the longest window. */
  readonly #times: number[] = [];
  /** What waits in all classes; each class keeps its own part up to date. */
  waitingBytes = 0;

  constructor(lanes: Lanes, bytesMax: number, fanout: Pick<Fanout, "isBusy" | "wakeAt">) {
    this.#lanes = lanes;
    this.#bytesMax = bytesMax;
    this.#fanout = fanout;
  }

  /** Under load what might go at once waits for its window's end as well, where the flushes of all rooms meet. */
  get isBusy(): boolean {
    return this.#fanout.isBusy;
  }

  /** Classes flush before their time rather than keep more than this process allows. */
  get isFull(): boolean {
    return this.waitingBytes > this.#bytesMax;
  }

  /** Asks for a flush at the class's time. */
  schedule(paced: Paced): void {
    const atMs = Math.ceil(paced.dueMs);
    const others = this.#due.get(atMs);
    if (others !== undefined) {
      others.push(paced);
      return;
    }
    this.#due.set(atMs, [paced]);
    let index = this.#times.length;
    while (index > 0 && (this.#times[index - 1] ?? 0) < atMs) index -= 1;
    this.#times.splice(index, 0, atMs);
    if (index === this.#times.length - 1) this.#fanout.wakeAt(atMs);
  }

  /** Flushes the classes whose time has come, into the lanes' queues. */
  flushDue(nowMs: number): void {
    for (let next = this.#times.at(-1); next !== undefined; next = this.#times.at(-1)) {
      if (next > nowMs) {
        this.#fanout.wakeAt(next);
        return;
      }
      this.#times.pop();
      const paced = this.#due.get(next) ?? [];
      this.#due.delete(next);
      for (const one of paced) if (Math.ceil(one.dueMs) === next) one.flush(this.#lanes, nowMs);
    }
  }
}
