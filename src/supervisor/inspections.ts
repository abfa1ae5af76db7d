import type { RoomReport } from "../core/engine.js";

/** A worker whose loop is later than this is not waited for. */
const ANSWER_MS = 2_000;
const WAITING_MAX = 64;

interface Waiting {
  readonly resolve: (report: RoomReport | undefined) => void;
  readonly limit: NodeJS.Timeout;
}

/** Questions about rooms that one worker has still to answer. */
export class Inspections {
  readonly #waiting = new Map<number, Waiting>();
  #ids = 0;

  /** Resolves with the answer; undefined where none comes in time, or too many wait. */
  ask(send: (id: number) => void): Promise<RoomReport | undefined> {
    if (this.#waiting.size >= WAITING_MAX) return Promise.resolve(undefined);
    this.#ids += 1;
    const id = this.#ids;
    return new Promise((resolve) => {
      const limit = setTimeout(() => this.answered(id, undefined), ANSWER_MS);
      this.#waiting.set(id, { resolve, limit });
      send(id);
    });
  }

  answered(id: number, report: RoomReport | undefined): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    this.#waiting.delete(id);
    clearTimeout(waiting.limit);
    waiting.resolve(report);
  }
}
