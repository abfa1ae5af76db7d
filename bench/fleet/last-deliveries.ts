import { Histogram } from "../support/histogram.js";

/** Of a phase; of what comes after so many broadcasts nothing is kept. */
const BROADCASTS_MAX = 10_000;

/** A broadcast's due time and when its last delivery so far came, both by the host's clock in µs. */
export type LastDelivery = readonly [dueMicros: number, lastMicros: number];

/**
 * When each broadcast came to the last of its clients. What is due at one time is one broadcast: a message, or a burst of
 * them. A client process records every delivery, mostly of the same broadcast one after the other, so that one is at hand.
 */
export class LastDeliveries {
  readonly #lasts = new Map<number, number>();
  #due = Number.NaN;
  #last = 0;

  record(dueMicros: number, nowMicros: number): void {
    if (dueMicros !== this.#due) this.#turnTo(dueMicros);
    if (nowMicros > this.#last) this.#last = nowMicros;
  }

  reset(): void {
    this.#lasts.clear();
    this.#due = Number.NaN;
  }

  /** Takes in what another process has recorded of the same broadcasts. */
  add(data: readonly LastDelivery[]): void {
    for (const [due, last] of data) this.record(due, last);
  }

  toJSON(): LastDelivery[] {
    this.#put();
    return [...this.#lasts];
  }

  /** From the due time to the last delivery, of each broadcast, µs. */
  histogram(): Histogram {
    const histogram = new Histogram();
    for (const [due, last] of this.toJSON()) histogram.record(last - due);
    return histogram;
  }

  #turnTo(due: number): void {
    this.#put();
    this.#due = due;
    this.#last = this.#lasts.get(due) ?? 0;
  }

  #put(): void {
    if (Number.isNaN(this.#due)) return;
    if (this.#lasts.has(this.#due) || this.#lasts.size < BROADCASTS_MAX)
      this.#lasts.set(this.#due, this.#last);
  }
}
