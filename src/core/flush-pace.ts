/** Over about so long the load is averaged: some flushes of a busy process, short of what a person notices. */
const LOAD_MS = 100;
/** Of its time; below, a process is idle and no message waits. */
const IDLE_SHARE = 0.25;
/** From here on messages wait as long as the policy allows. */
const BUSY_SHARE = 0.75;
/** Then a flush may take this part of the time between two. */
const FLUSHES_BETWEEN = 4;
/** Of a new flush in the average cost of one. */
const WEIGHT = 0.25;

/**
 * How long after the begin of a flush the next one begins, at the least. While the loop is mostly idle: at once. The
 * busier it is, the longer, in terms of what a flush costs: the same messages then go out in fewer writes. With flushes
 * that alone would fill the loop this settles at somewhat less than half of its time.
 * @param share Of its time that the loop has worked lately, 0 to 1.
 * @param flushMs Work from the begin of one flush to that of the next.
 */
export function flushIntervalMs(share: number, flushMs: number, maxMs: number): number {
  const strain = Math.min(1, Math.max(0, (share - IDLE_SHARE) / (BUSY_SHARE - IDLE_SHARE)));
  return Math.min(maxMs, FLUSHES_BETWEEN * strain * flushMs);
}

/** When the next flush may begin, from how busy the loop has been. Times in milliseconds, with fractions, on any clock. */
export class FlushPace {
  readonly #maxMs: number;
  #beganMs = Number.NEGATIVE_INFINITY;
  #busyMs = 0;
  #share = 0;
  #flushMs = 0;
  #intervalMs = 0;

  /** `maxMs`: no message waits longer for others. 0: none ever does. */
  constructor(maxMs: number) {
    this.#maxMs = maxMs;
  }

  get intervalMs(): number {
    return this.#intervalMs;
  }

  /** Whether the loop works for more than a quarter of its time. */
  get isBusy(): boolean {
    return this.#share > IDLE_SHARE;
  }

  /** How long a flush that is wanted now has to wait; 0 or less: not at all. */
  waitMs(nowMs: number): number {
    return this.#beganMs + this.#intervalMs - nowMs;
  }

  /** A flush begins. `busyMs`: how long the loop has worked since its start. */
  begin(nowMs: number, busyMs: number): void {
    const passedMs = nowMs - this.#beganMs;
    const workedMs = Math.max(0, busyMs - this.#busyMs);
    this.#beganMs = nowMs;
    this.#busyMs = busyMs;
    if (passedMs <= 0 || passedMs === Number.POSITIVE_INFINITY) return;
    const weight = 1 - Math.exp(-passedMs / LOAD_MS);
    this.#share += weight * (Math.min(1, workedMs / passedMs) - this.#share);
    this.#flushMs += WEIGHT * (workedMs - this.#flushMs);
    this.#intervalMs = flushIntervalMs(this.#share, this.#flushMs, this.#maxMs);
  }
}
