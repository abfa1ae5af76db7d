const SLICE_MS = 100;

/** How much came a second, over the last seconds. */
export class Rate {
  readonly #slices: Float64Array;
  #slice = 0;
  #startMs: number;

  constructor(windowMs: number, nowMs: number) {
    this.#slices = new Float64Array(Math.ceil(windowMs / SLICE_MS));
    this.#slice = Math.floor(nowMs / SLICE_MS);
    this.#startMs = nowMs;
  }

  add(amount: number, nowMs: number): void {
    this.#advance(nowMs);
    const index = this.#slice % this.#slices.length;
    this.#slices[index] = (this.#slices[index] ?? 0) + amount;
  }

  perSecond(nowMs: number): number {
    this.#advance(nowMs);
    const windowMs = Math.min(this.#slices.length * SLICE_MS, nowMs - this.#startMs);
    return (this.#slices.reduce((sum, slice) => sum + slice, 0) / Math.max(SLICE_MS, windowMs)) * 1_000;
  }

  #advance(nowMs: number): void {
    const slice = Math.floor(nowMs / SLICE_MS);
    const steps = Math.min(slice - this.#slice, this.#slices.length);
    for (let step = 1; step <= steps; step += 1) this.#slices[(this.#slice + step) % this.#slices.length] = 0;
    if (steps > 0) this.#slice = slice;
  }
}
