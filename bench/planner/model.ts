/**
 * What a worker's work costs, as a sum of six kinds of things that happen, each at a price of its own:
 *
 *   CPU = write · writes + message · messages delivered + byte · bytes delivered + publish · messages taken in
 *         + batch · requests that brought them + second · seconds that a connection is held
 *
 * A write is a system call that brings one socket whatever it has waiting; nine tenths of it are the kernel's. Prices are
 * fitted on the machine at hand (see fit.ts); all are in microseconds of one core.
 */
export const PRICES = ["write", "message", "byte", "publish", "batch", "second"] as const;
export type PriceName = (typeof PRICES)[number];
export type Prices = Readonly<Record<PriceName, number>>;

/** How often each thing happened. */
export type Work = Readonly<Record<PriceName, number>>;

export function cpuOf(prices: Prices, work: Work): number {
  return PRICES.reduce((sum, name) => sum + prices[name] * work[name], 0);
}

/** One measured run. */
export interface Sample {
  readonly name: string;
  readonly work: Work;
  readonly cpuMicros: number;
}

/** How far a prediction is from what was measured, as a share of that. */
export function relativeError(prices: Prices, { work, cpuMicros }: Sample): number {
  return Math.abs(cpuOf(prices, work) - cpuMicros) / cpuMicros;
}

const ROUNDS_MAX = 20_000;
const STEP_MIN = 1e-9;

/**
 * Non-negative least squares of the *relative* error, so that a small run counts as a big one does. By coordinate descent:
 * each price in turn is set to what is best for it, and never below 0. @throws RangeError with fewer samples than prices.
 */
export function fitPrices(samples: readonly Sample[]): Prices {
  if (samples.length < PRICES.length)
    throw new RangeError(`${samples.length} runs cannot tell ${PRICES.length} prices`);
  // Every row is divided by its measured CPU: the wish is that each predicts 1.
  const rows = samples.map(({ work, cpuMicros }) => PRICES.map((name) => work[name] / cpuMicros));
  const prices = PRICES.map(() => 0);
  const rest = rows.map(() => 1);
  for (let round = 0; round < ROUNDS_MAX; round++) {
    let moved = 0;
    for (let column = 0; column < prices.length; column++) {
      let [along, square] = [0, 0];
      for (const [index, row] of rows.entries()) {
        const value = row[column] ?? 0;
        along += value * (rest[index] ?? 0);
        square += value * value;
      }
      if (square === 0) continue;
      const before = prices[column] ?? 0;
      const after = Math.max(0, before + along / square);
      const step = after - before;
      prices[column] = after;
      moved = Math.max(moved, (Math.abs(step) * Math.sqrt(square)) / Math.sqrt(rows.length));
      for (const [index, row] of rows.entries()) rest[index] = (rest[index] ?? 0) - step * (row[column] ?? 0);
    }
    if (moved < STEP_MIN) break;
  }
  return Object.fromEntries(PRICES.map((name, column) => [name, prices[column] ?? 0])) as Prices;
}
