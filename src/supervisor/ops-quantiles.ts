import { addHistograms, type HistogramReport, histogramSince, quantileMs } from "../core/histogram.js";

type Histograms = Readonly<Record<string, HistogramReport>>;

/** Quantiles of the last so many looks. */
const LOOKS = 5;

/** Quantiles of what was measured lately, of totals that only grow. */
export class Quantiles {
  /** Totals of the last looks, the oldest first. */
  readonly #totals: HistogramReport[] = [];

  /** Takes all labels together. Each undefined where nothing was measured lately. */
  next(histograms: Histograms, shares: readonly number[]): (number | undefined)[] {
    const total = sumOf(histograms);
    this.#totals.push(total);
    if (this.#totals.length > LOOKS + 1) this.#totals.shift();
    const recent = histogramSince(total, this.#totals[0]);
    // At the first look all of it would be recent.
    return shares.map((share) => (this.#totals.length === 1 ? undefined : quantileMs(recent, share)));
  }
}

function sumOf(histograms: Histograms): HistogramReport {
  const [first, ...others] = Object.values(histograms);
  return first === undefined ? { counts: [], sumMs: 0 } : others.reduce(addHistograms, first);
}
