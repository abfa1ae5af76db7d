/**
 * How many items are due by an absolute schedule: item n is due at start + n / rate, so that late timers and slow
 * steps never add up to drift. Time comes in as an argument, in milliseconds of a clock that only goes forward.
 */
export class Pace {
  readonly #perMs: number;
  readonly #burstMax: number;
  #startMs: number;
  #taken = 0;
  #skipped = 0;

  /** `burstMax`: more than this many are never due at once; what is missed beyond it is skipped, not caught up with. */
  constructor(perSecond: number, burstMax: number, nowMs: number) {
    this.#perMs = perSecond / 1_000;
    this.#burstMax = burstMax;
    this.#startMs = nowMs;
  }

  /** Items that the schedule has skipped because the caller came too late. */
  get skipped(): number {
    return this.#skipped;
  }

  /** Takes what is due now. */
  take(nowMs: number): number {
    // The tiny addend: 20 ms at 500 a second must be 10 items, not 9.999….
    const due = Math.floor((nowMs - this.#startMs) * this.#perMs + 1e-6) - this.#taken;
    if (due > this.#burstMax) {
      this.#skipped += due - this.#burstMax;
      this.restart(nowMs);
      return this.#burstMax;
    }
    this.#taken += due;
    return due;
  }

  /** Begins a new schedule now, as after a pause: what was due in between is neither taken nor counted. */
  restart(nowMs: number): void {
    this.#startMs = nowMs;
    this.#taken = 0;
  }
}

/** Runs `step` every `intervalMs` by an absolute schedule until the signal ends it; ticks that are missed are left out. */
export async function everyTick(
  intervalMs: number,
  signal: AbortSignal,
  step: (nowMs: number) => void,
): Promise<void> {
  const startMs = performance.now();
  for (let tick = 0; !signal.aborted; ) {
    const nowMs = performance.now();
    step(nowMs);
    tick = Math.max(tick, Math.floor((performance.now() - startMs) / intervalMs)) + 1;
    await pause(startMs + tick * intervalMs - performance.now(), signal);
  }
}

/** Waits, or less long when the signal comes. Never rejects. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, Math.max(0, ms));
    signal.addEventListener("abort", done);
  });
}
