/** Upper bounds of a histogram's buckets, in milliseconds; one more bucket has what is above the last. */
export const BUCKETS_MS: readonly number[] = Object.freeze([
  1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000,
]);

/** A histogram as it goes to other processes. */
export interface HistogramReport {
  /** How many fell into each bucket, by {@link BUCKETS_MS} and above; not cumulative. */
  readonly counts: readonly number[];
  readonly sumMs: number;
}

/** Durations by bucket. */
export class Histogram {
  readonly #counts = new Array<number>(BUCKETS_MS.length + 1).fill(0);
  #sumMs = 0;

  /** @param weight How many that took so long. */
  observe(ms: number, weight = 1): void {
    let bucket = 0;
    while (bucket < BUCKETS_MS.length && ms > (BUCKETS_MS[bucket] ?? 0)) bucket += 1;
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + weight;
    this.#sumMs += ms * weight;
  }

  report(): HistogramReport {
    return { counts: [...this.#counts], sumMs: this.#sumMs };
  }
}

/** Both together. */
export function addHistograms(a: HistogramReport, b: HistogramReport): HistogramReport {
  return { counts: a.counts.map((count, index) => count + (b.counts[index] ?? 0)), sumMs: a.sumMs + b.sumMs };
}

/** What came between an earlier report of the same histogram and this one; all of it where it began anew. */
export function histogramSince(now: HistogramReport, earlier: HistogramReport | undefined): HistogramReport {
  const counts = now.counts.map((count, index) => count - (earlier?.counts[index] ?? 0));
  if (counts.some((count) => count < 0)) return now;
  return { counts, sumMs: now.sumMs - (earlier?.sumMs ?? 0) };
}

/** The duration that this share (0 to 1) did not exceed, interpolated within its bucket; undefined where there is nothing. */
export function quantileMs({ counts }: HistogramReport, share: number): number | undefined {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return undefined;
  let before = 0;
  for (const [bucket, count] of counts.entries()) {
    if (before + count >= share * total && count > 0) {
      const lower = BUCKETS_MS[bucket - 1] ?? 0;
      const upper = BUCKETS_MS[bucket] ?? lower;
      return lower + ((upper - lower) * (share * total - before)) / count;
    }
    before += count;
  }
  return BUCKETS_MS.at(-1);
}
