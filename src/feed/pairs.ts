/** A currency pair: `rate` units of `quote` for one `base`. */
export interface Pair {
  /** For instance `EURUSD`. */
  readonly symbol: string;
  readonly base: string;
  readonly quote: string;
  /** Decimals that the pair is quoted with. */
  readonly decimals: number;
}

// The market's order of precedence: the currency that stands first is the base.
const MAJORS = ["EUR", "GBP", "AUD", "NZD", "USD", "CAD", "CHF", "NOK", "SEK", "DKK", "JPY"] as const;
const OTHERS = ["BRL", "CNY", "HKD", "INR", "KRW", "LKR", "MXN", "MYR", "SGD", "THB", "TWD", "ZAR"] as const;
// The Federal Reserve publishes these with two decimals, all others with four.
const TWO_DECIMALS: ReadonlySet<string> = new Set(["JPY", "INR", "KRW", "LKR", "THB", "TWD"]);

/** Every pair of the feed: all crosses of the eleven majors, and each other currency against the dollar and the euro. */
export const PAIRS: readonly Pair[] = [
  ...MAJORS.flatMap((base, index) => MAJORS.slice(index + 1).map((quote) => pair(base, quote))),
  ...OTHERS.flatMap((quote) => [pair("USD", quote), pair("EUR", quote)]),
];

function pair(base: string, quote: string): Pair {
  return { symbol: base + quote, base, quote, decimals: TWO_DECIMALS.has(quote) ? 2 : 4 };
}
