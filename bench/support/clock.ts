/**
 * Microseconds of the host's monotonic clock, the same in every process of the host, so that one process may
 * subtract another's reading from its own. Resolution below 1 µs; exact as a float64 for centuries of uptime.
 */
export function hostMicros(): number {
  return ORIGIN_US + performance.now() * 1_000;
}

// performance.now() is the same clock counted from the start of the process, and cheaper than hrtime.bigint().
const ORIGIN_US = Number(process.hrtime.bigint() / 1_000n) - performance.now() * 1_000;

/** Resolves after this many milliseconds. */
export function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
