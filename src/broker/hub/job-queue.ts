import { Deque } from "../../core/deque.js";

/** Runs jobs in order, so many at a time. A job settles whatever happens; it never rejects. */
export class JobQueue<T> {
  readonly #runningMax: number;
  readonly #run: (job: T) => Promise<void>;
  readonly #waiting = new Deque<T>();
  #running = 0;

  constructor(runningMax: number, run: (job: T) => Promise<void>) {
    this.#runningMax = runningMax;
    this.#run = run;
  }

  /** Jobs that have not begun. */
  get waiting(): number {
    return this.#waiting.length;
  }

  push(job: T): void {
    this.#waiting.push(job);
    this.#next();
  }

  #next(): void {
    while (this.#running < this.#runningMax) {
      const job = this.#waiting.shift();
      if (job === undefined) return;
      this.#running += 1;
      void this.#run(job).finally(() => {
        this.#running -= 1;
        this.#next();
      });
    }
  }
}
