/** One day's noon rates: how many US dollars one unit of a currency costs. A currency without a rate that day is missing. */
export interface RateDay {
  /** `2015-01-15`. */
  readonly date: string;
  readonly dollars: ReadonlyMap<string, number>;
}

// H.10 quotes these as dollars for one unit; every other one as units for one dollar.
const QUOTED_IN_DOLLARS: ReadonlySet<string> = new Set(["EUR", "GBP", "AUD", "NZD"]);

/**
 * Parses h10-rates.csv: a header `date,EUR,GBP,…`, then a line a day as H.10 publishes it, empty where there is no rate.
 * @throws Error naming the line that is not of this form.
 */
export function parseRates(text: string): RateDay[] {
  const [header, ...lines] = text.trimEnd().split("\n");
  const currencies = (header ?? "").split(",").slice(1);
  if (currencies.length === 0) throw new Error("rates: the header names no currency");
  return lines.map((line, index) => parseDay(line, currencies, index + 2));
}

function parseDay(line: string, currencies: readonly string[], lineNumber: number): RateDay {
  const [date = "", ...cells] = line.split(",");
  const dollars = new Map([["USD", 1]]);
  if (!/^\d{4}-\d\d-\d\d$/.test(date) || cells.length !== currencies.length) {
    throw new Error(`rates: line ${lineNumber} is not a date and ${currencies.length} rates`);
  }
  for (const [column, currency] of currencies.entries()) {
    const cell = cells[column] ?? "";
    if (cell === "") continue;
    const rate = Number(cell);
    if (!(rate > 0)) throw new Error(`rates: line ${lineNumber}: ${currency} is ${JSON.stringify(cell)}`);
    dollars.set(currency, QUOTED_IN_DOLLARS.has(currency) ? rate : 1 / rate);
  }
  return { date, dollars };
}
