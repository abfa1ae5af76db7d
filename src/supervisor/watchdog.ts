/**
 * Says who stands still. A process that sends no beat within the limit is stalled, unless it was this process
 * that did not run (a laptop that slept, a supervisor that was stopped): then everybody gets the full limit anew.
 */
export class Watchdog {
  readonly #limitMs: number;
  #checkedMs: number;
  #pardonedMs = Number.NEGATIVE_INFINITY;

  constructor(limitMs: number, nowMs: number) {
    this.#limitMs = limitMs;
    this.#checkedMs = nowMs;
  }

  /** Call it at least twice within the limit. */
  tick(nowMs: number): void {
    if (nowMs - this.#checkedMs > this.#limitMs / 2) this.#pardonedMs = nowMs;
    this.#checkedMs = nowMs;
  }

  /** Since when the process with this last beat has stood still; undefined where it has not. */
  stalledMs(lastBeatMs: number, nowMs: number): number | undefined {
    const silentMs = nowMs - Math.max(lastBeatMs, this.#pardonedMs);
    return silentMs > this.#limitMs ? silentMs : undefined;
  }
}
