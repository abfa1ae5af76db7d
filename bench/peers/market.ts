import { payloadOf } from "./payload.js";

/** A market that every process of a bench knows alike, from its seed. */
export interface MarketPlan {
  readonly seed: number;
  readonly symbols: number;
  /** Of a client, evenly spread between these. */
  readonly watchMin: number;
  readonly watchMax: number;
}

/** More would not fit into a payload's number, see {@link updateNumber}. */
export const SYMBOLS_MAX = 9_999;
const UPDATES_MAX = 100_000;
/** Activity of the n-th busiest symbol is n to this power: the busiest hundredth makes some 30 % of all updates. */
const SKEW = -0.9;

/** Symbol and its update's number in one, for {@link payloadOf}. @throws RangeError for too many updates of one symbol. */
export function updateNumber(symbol: number, update: number): number {
  if (update >= UPDATES_MAX) throw new RangeError(`more than ${UPDATES_MAX} updates of a symbol`);
  return symbol * UPDATES_MAX + update;
}

export function symbolOf(number: number): number {
  return Math.floor(number / UPDATES_MAX);
}

/** A generator of shares, 0 to below 1: the same ones from the same seed (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The symbols that a client watches, each once. */
export function watchList({ seed, symbols, watchMin, watchMax }: MarketPlan, client: number): number[] {
  const random = randomOf(seed + 1 + client);
  const count = Math.min(symbols, watchMin + Math.floor(random() * (watchMax - watchMin + 1)));
  const chosen = new Set<number>();
  while (chosen.size < count) chosen.add(Math.floor(random() * symbols));
  return [...chosen];
}

export interface Update {
  readonly symbol: number;
  readonly payload: Buffer;
}

/** Makes the updates of a market: few symbols are busy, most are quiet. */
export class Market {
  readonly #random: () => number;
  /** Up to each symbol, the sum of the activity. */
  readonly #sums: Float64Array;
  /** Of each symbol. */
  readonly updates: Uint32Array;

  constructor({ seed, symbols }: MarketPlan) {
    this.#random = randomOf(seed);
    this.#sums = new Float64Array(symbols);
    this.updates = new Uint32Array(symbols);
    let sum = 0;
    for (let symbol = 0; symbol < symbols; symbol++) this.#sums[symbol] = sum += (symbol + 1) ** SKEW;
  }

  next(dueMicros: number, bytes: number): Update {
    const symbol = this.#pick();
    const update = (this.updates[symbol] ?? 0) + 1;
    this.updates[symbol] = update;
    return { symbol, payload: payloadOf(updateNumber(symbol, update), dueMicros, bytes) };
  }

  /** The first symbol whose sum is above a random share of all. */
  #pick(): number {
    const sums = this.#sums;
    const wanted = this.#random() * (sums.at(-1) ?? 0);
    let [low, high] = [0, sums.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((sums[middle] ?? 0) > wanted) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
