const WAITING_MAX = 64;

interface Waiting<T> {
  readonly resolve: (answer: T | undefined) => void;
  readonly limit: NodeJS.Timeout;
}

/** Questions that another process has still to answer. */
export class Questions<T> {
  readonly #answerMs: number;
  readonly #waiting = new Map<number, Waiting<T>>();
  #ids = 0;

  /** @param answerMs whoever takes longer is not waited for */
  constructor(answerMs: number) {
    this.#answerMs = answerMs;
  }

  /** Resolves with the answer; undefined where none comes in time, or too many wait. */
  ask(send: (id: number) => void): Promise<T | undefined> {
    if (this.#waiting.size >= WAITING_MAX) return Promise.resolve(undefined);
    this.#ids += 1;
    const id = this.#ids;
    return new Promise((resolve) => {
      const limit = setTimeout(() => this.answered(id, undefined), this.#answerMs);
      this.#waiting.set(id, { resolve, limit });
      send(id);
    });
  }

  answered(id: number, answer: T | undefined): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    this.#waiting.delete(id);
    clearTimeout(waiting.limit);
    waiting.resolve(answer);
  }
}
