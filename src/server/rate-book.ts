import {
  type Allowance,
  type AllowanceMark,
  allowanceClock,
  allowanceOf,
  allowanceVerdict,
  spend,
} from "../core/allowance.js";

/** As many are told apart; some 30 bytes each. */
const ENTRIES_MAX = 65_536;
/** How long to wait for who asks for far too much at once. */
const FLOOD_MS = 1_000;
/** Looked at in one sweep, so that it does not hold up the loop. */
const SWEPT_MAX = 8_192;

/**
 * How often each of many callers did something, against one rate a caller. Whoever has used up nothing is forgotten. Where
 * more callers than can be kept come at once, those who came first are forgotten: each may begin anew, and what all
 * together may do is limited elsewhere.
 */
export class RateBook<K> {
  readonly #allowance: Allowance;
  readonly #marks = new Map<K, AllowanceMark>();

  /** @param perSecond 0: any number */
  constructor(perSecond: number) {
    this.#allowance = allowanceOf(perSecond);
  }

  get size(): number {
    return this.#marks.size;
  }

  /** Counts one or more; 0 where they are within the rate, else how long to wait. What is refused is not counted. */
  take(key: K, nowMs: number, count = 1): number {
    if (this.#allowance.unitsEach === 0) return 0;
    const clock = allowanceClock(nowMs);
    const mark = spend(this.#marks.get(key) ?? 0, count, this.#allowance, clock);
    const verdict = allowanceVerdict(mark, this.#allowance, clock);
    if (verdict.kind === "flood") return FLOOD_MS;
    if (verdict.kind === "over") return Math.max(1, verdict.retryMs);
    this.#marks.delete(key);
    if (this.#marks.size >= ENTRIES_MAX) {
      const [first] = this.#marks.keys();
      if (first !== undefined) this.#marks.delete(first);
    }
    this.#marks.set(key, mark);
    return 0;
  }

  /** About once a second. */
  sweep(nowMs: number): void {
    const clock = allowanceClock(nowMs);
    let looked = 0;
    for (const [key, mark] of this.#marks) {
      looked += 1;
      if (looked > SWEPT_MAX) return;
      // Behind the clock, by its wraps: all of the allowance is there again.
      if (((mark - clock) | 0) <= 0) this.#marks.delete(key);
    }
  }
}
