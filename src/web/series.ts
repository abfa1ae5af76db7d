/** The newest `capacity` points of one pair in time order. It grows at its new end, and at its old end while there is room. */
export class Series {
  readonly #times: Float64Array;
  readonly #values: Float64Array;
  #first = 0;
  #length = 0;

  constructor(capacity: number) {
    this.#times = new Float64Array(capacity);
    this.#values = new Float64Array(capacity);
  }

  get length(): number {
    return this.#length;
  }

  /**
   * Adds the newest point; the oldest goes where there is no room. A time that is not after the last one means that the
   * source began again: what was there before is dropped.
   */
  push(time: number, value: number): void {
    if (this.#length > 0 && time <= this.timeAt(this.#length - 1)) this.#length = 0;
    if (this.#length === this.#times.length) {
      this.#first = this.#slot(1);
      this.#length -= 1;
    }
    this.#write(this.#slot(this.#length), time, value);
    this.#length += 1;
  }

  /** Adds a point before the oldest. False, and not added, where it is not older or there is no room. */
  unshift(time: number, value: number): boolean {
    if (this.#length === this.#times.length) return false;
    if (this.#length > 0 && time >= this.timeAt(0)) return false;
    this.#first = (this.#first + this.#times.length - 1) % this.#times.length;
    this.#write(this.#first, time, value);
    this.#length += 1;
    return true;
  }

  timeAt(index: number): number {
    return this.#times[this.#slot(index)] ?? Number.NaN;
  }

  valueAt(index: number): number {
    return this.#values[this.#slot(index)] ?? Number.NaN;
  }

  /** Index of the first point at or after the time; `length` where there is none. */
  indexOf(time: number): number {
    let low = 0;
    let high = this.#length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.timeAt(middle) < time) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Times and values from an index on, copied. */
  slice(from: number): [number[], number[]] {
    const times: number[] = [];
    const values: number[] = [];
    for (let index = Math.max(0, from); index < this.#length; index += 1) {
      times.push(this.timeAt(index));
      values.push(this.valueAt(index));
    }
    return [times, values];
  }

  #slot(index: number): number {
    return (this.#first + index) % this.#times.length;
  }

  #write(slot: number, time: number, value: number): void {
    this.#times[slot] = time;
    this.#values[slot] = value;
  }
}
