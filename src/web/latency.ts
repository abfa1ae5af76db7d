/**
 * Latencies of the last seconds in buckets of a tenth of a millisecond, growing by a tenth from 10 ms on. One histogram a
 * second: the oldest is dropped as a whole, so that a percentile costs the same however many messages came.
 */
export class LatencyWindow {
  readonly #seconds: Uint32Array[];
  readonly #bySecond: number[];

  constructor(seconds: number) {
    this.#seconds = Array.from({ length: seconds }, () => new Uint32Array(BUCKETS));
    this.#bySecond = Array.from({ length: seconds }, () => -1);
  }

  record(latencyMs: number, nowMs: number): void {
    const histogram = this.#histogramOf(nowMs);
    const bucket = bucketOf(latencyMs);
    histogram[bucket] = (histogram[bucket] ?? 0) + 1;
  }

  /** Percentiles (each of 0 to 1), undefined where no message came in the last seconds. */
  percentiles(shares: readonly number[], nowMs: number): (number | undefined)[] {
    const now = Math.floor(nowMs / 1_000);
    const recent = this.#seconds.filter((_, slot) => {
      const second = this.#bySecond[slot] ?? -1;
      return second >= 0 && now - second < this.#seconds.length;
    });
    const total = recent.reduce((sum, histogram) => sum + histogram.reduce((a, b) => a + b, 0), 0);
    return shares.map((share) => (total === 0 ? undefined : percentileOf(recent, Math.ceil(total * share))));
  }

  #histogramOf(nowMs: number): Uint32Array {
    const second = Math.floor(nowMs / 1_000);
    const slot = second % this.#seconds.length;
    const histogram = this.#seconds[slot] ?? new Uint32Array(BUCKETS);
    if (this.#bySecond[slot] !== second) {
      histogram.fill(0);
      this.#bySecond[slot] = second;
    }
    return histogram;
  }
}

const FINE_MS = 10;
const FINE_BUCKETS = 100;
const GROWTH = 1.1;
// 10 ms × 1.1^100 is more than two minutes.
const BUCKETS = FINE_BUCKETS + 101;

function bucketOf(latencyMs: number): number {
  if (!(latencyMs > 0)) return 0;
  if (latencyMs < FINE_MS) return Math.floor((latencyMs / FINE_MS) * FINE_BUCKETS);
  const coarse = Math.floor(Math.log(latencyMs / FINE_MS) / Math.log(GROWTH));
  return Math.min(BUCKETS - 1, FINE_BUCKETS + coarse);
}

/** A bucket's upper bound: never better than the truth. */
function upperBoundOf(bucket: number): number {
  if (bucket < FINE_BUCKETS) return ((bucket + 1) * FINE_MS) / FINE_BUCKETS;
  return FINE_MS * GROWTH ** (bucket - FINE_BUCKETS + 1);
}

function percentileOf(histograms: readonly Uint32Array[], rank: number): number {
  let seen = 0;
  for (let bucket = 0; bucket < BUCKETS; bucket += 1) {
    for (const histogram of histograms) seen += histogram[bucket] ?? 0;
    if (seen >= Math.max(1, rank)) return upperBoundOf(bucket);
  }
  return upperBoundOf(BUCKETS - 1);
}
