/** Lateness up to this is a timer's own. */
const TIMER_SLACK_MS = 15;

/**
 * How much of the time a process could not run although a timer was due, seen by that timer: its core was taken, it was
 * stopped, or it was busy with something else. Time comes in as an argument.
 */
export class Lateness {
  readonly #periodMs: number;
  #sinceMs: number;
  #lastMs: number;
  #lateMs = 0;

  constructor(periodMs: number, nowMs: number) {
    this.#periodMs = periodMs;
    this.#sinceMs = this.#lastMs = nowMs;
  }

  /** The timer fires; how much later than it was set for, in ms. */
  tick(nowMs: number): number {
    this.#lateMs += this.#late(nowMs);
    const lateMs = Math.max(0, nowMs - this.#lastMs - this.#periodMs);
    this.#lastMs = nowMs;
    return lateMs;
  }

  /** Share of the time since the last call, 0 to 1. */
  share(nowMs: number): number {
    const elapsedMs = nowMs - this.#sinceMs;
    const lateMs = this.#lateMs + this.#late(nowMs);
    this.#sinceMs = this.#lastMs = nowMs;
    this.#lateMs = 0;
    return elapsedMs <= 0 ? 0 : Math.min(1, lateMs / elapsedMs);
  }

  #late(nowMs: number): number {
    const ms = nowMs - this.#lastMs - this.#periodMs;
    return ms > TIMER_SLACK_MS ? ms : 0;
  }
}
