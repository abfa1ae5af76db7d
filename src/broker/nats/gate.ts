import { Deque } from "../../core/deque.js";

/** Lets so many in at a time; the others wait in turn. */
export class Gate {
  readonly #waiting = new Deque<() => void>();
  #free: number;

  constructor(places: number) {
    this.#free = places;
  }

  /** Runs the work when it is its turn. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next();
    }
  }
}
