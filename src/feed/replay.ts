import type { Pair } from "./pairs.js";
import type { RateDay } from "./rates.js";

/** One pair's published rate of one day. */
export interface Quote {
  readonly symbol: string;
  readonly rate: number;
  /** The rate before this one; the same rate where there is none. */
  readonly previous: number;
  readonly date: string;
}

/**
 * An endless walk over the days, one quote a pair and day, and from the first day again after the last. Nothing is
 * made up: a dollar pair is the published rate, a cross the quotient of two, rounded as the market quotes it. Within
 * a day the pairs come in an order shuffled by the day's number, the same in every run.
 */
export class Replay {
  readonly #days: readonly RateDay[];
  readonly #pairs: readonly Pair[];
  readonly #previous = new Map<string, number>();
  #day = 0;
  #order: readonly Pair[];
  #position = 0;

  /** @throws Error where no day has a rate of any of the pairs. */
  constructor(days: readonly RateDay[], pairs: readonly Pair[]) {
    if (!days.some((day) => pairs.some((pair) => rateOf(day, pair) !== undefined))) {
      throw new Error("replay: there is no rate of any of these pairs");
    }
    this.#days = days;
    this.#pairs = pairs;
    this.#order = shuffled(pairs, 0);
  }

  next(): Quote {
    for (;;) {
      const pair = this.#order[this.#position];
      const day = this.#days[this.#day];
      if (pair === undefined || day === undefined) {
        this.#turnPage();
        continue;
      }
      this.#position += 1;
      const rate = rateOf(day, pair);
      if (rate === undefined) continue;
      const previous = this.#previous.get(pair.symbol) ?? rate;
      this.#previous.set(pair.symbol, rate);
      return { symbol: pair.symbol, rate, previous, date: day.date };
    }
  }

  #turnPage(): void {
    this.#day = (this.#day + 1) % this.#days.length;
    // The last day's rate is no neighbour of the first day's: a change between them would be false.
    if (this.#day === 0) this.#previous.clear();
    this.#order = shuffled(this.#pairs, this.#day);
    this.#position = 0;
  }
}

function rateOf(day: RateDay, pair: Pair): number | undefined {
  const base = day.dollars.get(pair.base);
  const quote = day.dollars.get(pair.quote);
  return base === undefined || quote === undefined
    ? undefined
    : Number((base / quote).toFixed(pair.decimals));
}

/** Fisher and Yates with a linear congruential generator (constants of Numerical Recipes). */
function shuffled(pairs: readonly Pair[], seed: number): readonly Pair[] {
  const order = [...pairs];
  let state = (seed + 1) >>> 0;
  for (let last = order.length - 1; last > 0; last -= 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const chosen = Math.floor((state / 2 ** 32) * (last + 1));
    const [a, b] = [order[last], order[chosen]];
    if (a === undefined || b === undefined) break;
    order[last] = b;
    order[chosen] = a;
  }
  return order;
}
