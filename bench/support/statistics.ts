/** What is said of repeated measurements: the middle one, and how far the others lie. */
export interface Summary {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  /** Half the distance of the quartiles as a share of the median: half of all runs lie this near. */
  readonly spread: number;
  readonly runs: number;
}

/** @throws RangeError without values: a median of nothing is a bug of the caller. */
export function summarize(values: readonly number[]): Summary {
  if (values.length === 0) throw new RangeError("no values to summarize");
  const sorted = [...values].sort((a, b) => a - b);
  const median = quantile(sorted, 0.5);
  const spread = median === 0 ? 0 : (quantile(sorted, 0.75) - quantile(sorted, 0.25)) / 2 / Math.abs(median);
  return { median, min: quantile(sorted, 0), max: quantile(sorted, 1), spread, runs: values.length };
}

/** Each value of `a` over the value of `b` measured beside it: drift of the machine cancels within a pair. */
export function pairedRatio(a: readonly number[], b: readonly number[]): Summary {
  if (a.length !== b.length) throw new RangeError("pairs need as many values on both sides");
  return summarize(a.map((value, index) => value / (b[index] ?? Number.NaN)));
}

/** Linear between the neighbours; `sorted` ascending and not empty. */
function quantile(sorted: readonly number[], share: number): number {
  const place = share * (sorted.length - 1);
  const below = Math.floor(place);
  const low = sorted[below] ?? Number.NaN;
  const high = sorted[below + 1] ?? low;
  return low + (high - low) * (place - below);
}
