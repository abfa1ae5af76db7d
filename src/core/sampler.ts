/** Steps that lie evenly whatever their number, so that no rhythm of what is sampled is met. */
const GOLDEN = 0.618_033_988_749_895;

/**
 * Picks about so many events a second out of any number: all where they are few. Each picked one stands for as many as
 * were left out before it, on average, so that sums over them are right.
 */
export class Sampler {
  readonly #perSecond: number;
  /** How many events one stands for. */
  #stride = 1;
  /** Events until the next is picked. */
  #left = 1;
  #picked = 0;
  #phase = 0;

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  /** For every event: how many this one stands for where it is picked, else 0. */
  take(): number {
    this.#left -= 1;
    return this.#left > 0 ? 0 : this.#pick();
  }

  /** About once a second. */
  sweep(): void {
    this.#stride = Math.max(1, Math.ceil((this.#picked * this.#stride) / this.#perSecond));
    this.#picked = 0;
    this.#left = Math.min(this.#left, this.#stride);
  }

  #pick(): number {
    const weight = this.#stride;
    this.#picked += 1;
    // A burst is not waited out.
    if (this.#picked >= 2 * this.#perSecond) {
      this.#stride *= 2;
      this.#picked = this.#perSecond;
    }
    this.#phase = (this.#phase + GOLDEN) % 1;
    this.#left = 1 + Math.floor(this.#phase * (2 * this.#stride - 1));
    return weight;
  }
}
