/** A currency pair: `rate` units of `quote` for one `base`. */
export interface Pair {
  /** For instance `EURUSD`. */
  readonly symbol: string;
  readonly base: string;
  readonly quote: string;
  /** Decimals that the pair is quoted with. */
  readonly decimals: number;
}

// The market's order of precedence: of two, the one that stands first is the base. Where there is no custom, the more
// valuable one stands first.
export const CURRENCIES: readonly string[] = [
  ...[
    "EUR",
    "GBP",
    "AUD",
    "NZD",
    "USD",
    "CAD",
    "CHF",
    "SGD",
    "BRL",
    "MYR",
    "CNY",
    "HKD",
    "DKK",
    "NOK",
    "SEK",
  ],
  ...["ZAR", "MXN", "TWD", "THB", "INR", "JPY", "LKR", "KRW"],
];
// The Federal Reserve publishes these with two decimals, all others with four. Crosses of two of them are near 1.
const TWO_DECIMALS: ReadonlySet<string> = new Set(["TWD", "THB", "INR", "JPY", "LKR", "KRW"]);

/** Every pair of the 23 currencies. */
export const PAIRS: readonly Pair[] = CURRENCIES.flatMap((base, index) =>
  CURRENCIES.slice(index + 1).map((quote) => pair(base, quote)),
);

function pair(base: string, quote: string): Pair {
  const decimals = TWO_DECIMALS.has(quote) && !TWO_DECIMALS.has(base) ? 2 : 4;
  return { symbol: base + quote, base, quote, decimals };
}
