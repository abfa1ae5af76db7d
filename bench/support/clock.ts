/**
 * Microseconds of the host's monotonic clock, the same in every process of the host, so that one process may
 * subtract another's reading from its own. Resolution below 1 µs; exact as a float64 for centuries of uptime.
 */
export function hostMicros(): number {
  return originUs + performance.now() * 1_000;
}

/** From now on {@link hostMicros} is the clock of another host, which is ahead of ours by so much. */
export function followClock(offsetMicros: number): void {
  originUs = ORIGIN_US + offsetMicros;
}

/**
 * performance.now() is the same clock counted from the start of the process, and cheaper than hrtime.bigint().
 * The two are read one after the other, and the first calls take up to half a millisecond: the closest pair counts.
 */
function originMicros(): number {
  let closest = Number.NEGATIVE_INFINITY;
  for (let pair = 0; pair < 100; pair++) {
    const micros = Number(process.hrtime.bigint()) / 1_000;
    closest = Math.max(closest, micros - performance.now() * 1_000);
  }
  return closest;
}

const ORIGIN_US = originMicros();
let originUs = ORIGIN_US;

/** Resolves after this many milliseconds. */
export function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
