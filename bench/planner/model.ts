/**
 * What a worker's work costs, as a sum of seven kinds of things that happen, each at a price of its own:
 *
 *   CPU = write · writes + cold · c · writes after a rest + message · messages delivered + byte · bytes delivered
 *         + publish · messages taken in + batch · requests that brought them + second · seconds that a connection is held
 *
 * A write is a system call that brings one socket whatever it has waiting; nine tenths of it are the kernel's. It costs two to
 * three times as much where the socket rested since the one before: what belongs to it has left the caches, and the client's
 * acknowledgement came by a timer of its own. How much of that a rest of t brings is c = 1 − e^(−t/T); T is fitted, too, as
 * caches differ. Prices are fitted on the machine at hand; all are in microseconds of one core.
 */
export const PRICES = ["write", "cold", "message", "byte", "publish", "batch", "second"] as const;
export type PriceName = (typeof PRICES)[number];
export type Prices = Readonly<Record<PriceName, number>>;

/** How often each thing happened. */
export type Work = Readonly<Record<PriceName, number>>;

export function cpuOf(prices: Prices, work: Work): number {
  return PRICES.reduce((sum, name) => sum + prices[name] * work[name], 0);
}

/** The engine cuts what a socket has waiting into pieces of that size, each a write. */
const CHUNK_BYTES = 16_000;

/** Writes that bring so many bytes, where a socket has something waiting so many times. */
export function writesFor(turns: number, bytes: number): number {
  return turns === 0 ? 0 : turns * Math.max(1, bytes / turns / CHUNK_BYTES);
}

/** How much of a write's price for rest is paid by sockets that rest so often a second: 0 to 1. */
export function coldShare(restsPerSecond: number, restMs: number): number {
  return 1 - Math.exp(-1_000 / restMs / restsPerSecond);
}

/** One measured run, of which everything is known but how long a rest has to be to count. */
export interface Run {
  readonly name: string;
  readonly work: Omit<Work, "cold">;
  /** Writes to sockets that had nothing to write before them, and how many of them one socket had a second. */
  readonly rested: { readonly writes: number; readonly perSecond: number };
  readonly cpuMicros: number;
}

/** The same with what rested. */
export interface Sample {
  readonly name: string;
  readonly work: Work;
  readonly cpuMicros: number;
}

export function sampleOf({ name, work, rested, cpuMicros }: Run, restMs: number): Sample {
  const cold = rested.writes === 0 ? 0 : rested.writes * coldShare(rested.perSecond, restMs);
  return { name, work: { ...work, cold }, cpuMicros };
}

export interface Model {
  readonly prices: Prices;
  /** T above: after which about two thirds of what a rest costs have come about. */
  readonly restMs: number;
}

export function predict({ prices, restMs }: Model, run: Run): number {
  return cpuOf(prices, sampleOf(run, restMs).work);
}

/** How far a prediction is from what was measured, as a share of that. */
export function relativeError(prices: Prices, { work, cpuMicros }: Sample): number {
  return Math.abs(cpuOf(prices, work) - cpuMicros) / cpuMicros;
}

/**
 * No price is below these: a system call that sends, a pass over a message's header and over its bytes take at least that, and a
 * fit on a machine with other work would now and then have them for nothing.
 */
const FLOORS: Prices = { write: 1, cold: 0, message: 0.01, byte: 0.000_05, publish: 0, batch: 0, second: 0 };
/** Rests that are tried, ms: caches are left within some of them, and what an acknowledgement waits for is 40. */
const RESTS = [12, 18, 25, 35, 50, 70, 100, 140, 200] as const;
const ROUNDS_MAX = 20_000;
const STEP_MIN = 1e-9;
/** A run that is off by more than this counts the less the further it is off. */
const OFF_MAX = 0.1;
const REWEIGHTS = 12;

/**
 * Least squares, within what prices can be, of the *relative* error, so that a small run counts as a big one does, and with Huber's weights,
 * so that a run during which something else went on does not set prices. @throws RangeError with fewer samples than prices.
 */
export function fitPrices(samples: readonly Sample[]): Prices {
  if (samples.length < PRICES.length)
    throw new RangeError(`${samples.length} runs cannot tell ${PRICES.length} prices`);
  let weights = samples.map(() => 1);
  let prices = fitWeighted(samples, weights);
  for (let turn = 0; turn < REWEIGHTS; turn++) {
    weights = samples.map((sample) => Math.min(1, OFF_MAX / Math.max(1e-9, relativeError(prices, sample))));
    prices = fitWeighted(samples, weights);
  }
  return prices;
}

/** Prices for each of the rests that may be, and of them what fits best. @throws RangeError, see {@link fitPrices}. */
export function fitModel(runs: readonly Run[]): Model {
  const fits = RESTS.map((restMs) => {
    const samples = runs.map((run) => sampleOf(run, restMs));
    const prices = fitPrices(samples);
    const loss = samples.reduce((sum, sample) => sum + huber(relativeError(prices, sample)), 0);
    return { prices, restMs, loss };
  });
  const [first, ...others] = fits;
  if (first === undefined) throw new RangeError("no rest to try");
  const { prices, restMs } = others.reduce((best, one) => (one.loss < best.loss ? one : best), first);
  return { prices, restMs };
}

/** Square near nothing, straight from {@link OFF_MAX} on: what {@link fitPrices} makes as small as may be. */
function huber(error: number): number {
  return error <= OFF_MAX ? error * error : OFF_MAX * (2 * error - OFF_MAX);
}

/** By coordinate descent: each price in turn is set to what is best for it, and never below its floor. */
function fitWeighted(samples: readonly Sample[], weights: readonly number[]): Prices {
  // Every row is divided by its measured CPU: the wish is that each predicts 1.
  const roots = weights.map(Math.sqrt);
  const rows = samples.map(({ work, cpuMicros }, index) =>
    PRICES.map((name) => (work[name] / cpuMicros) * (roots[index] ?? 1)),
  );
  const floors = PRICES.map((name) => FLOORS[name]);
  const prices = [...floors];
  const rest = rows.map((row, index) =>
    row.reduce((left, value, column) => left - value * (floors[column] ?? 0), roots[index] ?? 1),
  );
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
      const after = Math.max(floors[column] ?? 0, before + along / square);
      const step = after - before;
      prices[column] = after;
      moved = Math.max(moved, (Math.abs(step) * Math.sqrt(square)) / Math.sqrt(rows.length));
      for (const [index, row] of rows.entries()) rest[index] = (rest[index] ?? 0) - step * (row[column] ?? 0);
    }
    if (moved < STEP_MIN) break;
  }
  return Object.fromEntries(PRICES.map((name, column) => [name, prices[column] ?? 0])) as Prices;
}
