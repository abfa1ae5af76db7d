/** How fast new connections may begin. */
export interface PaceLimits {
  /** New connections a second. */
  readonly perSecond: number;
  /** Handshakes under way at once. */
  readonly inFlight: number;
}

/** Unused time is kept for this long, so that timers may be late. */
const BURST_MS = 50;

/** A token bucket with a bound on what is under way. Time comes in as an argument. */
export class Pace {
  #limits: PaceLimits;
  #tokens = 0;
  #filledMs: number;
  #underWay = 0;

  constructor(limits: PaceLimits, nowMs: number) {
    this.#limits = limits;
    this.#filledMs = nowMs;
  }

  get underWay(): number {
    return this.#underWay;
  }

  set(limits: PaceLimits): void {
    this.#limits = limits;
  }

  /** Whether one may begin now; then it is under way until {@link ended}. */
  begin(nowMs: number): boolean {
    const { perSecond, inFlight } = this.#limits;
    const most = Math.max(1, (perSecond * BURST_MS) / 1_000);
    this.#tokens = Math.min(most, this.#tokens + ((nowMs - this.#filledMs) * perSecond) / 1_000);
    this.#filledMs = nowMs;
    if (this.#tokens < 1 || this.#underWay >= inFlight) return false;
    this.#tokens -= 1;
    this.#underWay += 1;
    return true;
  }

  ended(): void {
    this.#underWay -= 1;
  }
}
