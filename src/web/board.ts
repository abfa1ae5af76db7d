import type { Quote } from "./parse.js";
import { Series } from "./series.js";

const DAY_SECONDS = 86_400;
/** Ten years of working days a pair. */
const POINTS_MAX = 2_600;
/** What one page shows; a feed with more pairs is cut off, not let grow without end. */
const ROWS_MAX = 500;
const DECIMALS_MAX = 6;
const MONTH_DAYS = 30;

/** One pair, as the board shows it. */
export interface Row {
  readonly symbol: string;
  readonly base: string;
  readonly quote: string;
  readonly series: Series;
  rate: number;
  /** Newest date, in seconds since 1970. */
  time: number;
  /** Share of the rate before: 0.01 is one percent up. */
  day: number;
  /** Against the rate of 30 days before; undefined while that is not known. */
  month: number | undefined;
  decimals: number;
  /** How the last update moved it. */
  move: -1 | 0 | 1;
  updates: number;
}

export type SortColumn = "symbol" | "rate" | "day" | "month";

export interface Sort {
  readonly column: SortColumn;
  readonly descending: boolean;
}

/** All pairs and what of them has changed since it was last drawn. */
export class Board {
  readonly #rows = new Map<string, Row>();
  readonly #dirty = new Set<Row>();

  get size(): number {
    return this.#rows.size;
  }

  row(symbol: string): Row | undefined {
    return this.#rows.get(symbol);
  }

  /** A new rate. Undefined where the board has no room for another pair. */
  apply(symbol: string, quote: Quote): Row | undefined {
    const row = this.#rows.get(symbol) ?? this.#add(symbol, quote);
    if (row === undefined) return undefined;
    row.rate = quote.rate;
    row.time = Date.parse(quote.date) / 1_000;
    row.day = quote.rate / quote.previous - 1;
    row.move = quote.rate > quote.previous ? 1 : quote.rate < quote.previous ? -1 : 0;
    row.decimals = Math.max(row.decimals, decimalsOf(quote.rate));
    row.series.push(row.time, quote.rate);
    row.month = monthOf(row);
    row.updates += 1;
    this.#dirty.add(row);
    return row;
  }

  /** A rate from the past, older than all that is known of the pair; others are left out. */
  applyPast(symbol: string, quote: Quote): void {
    const row = this.#rows.get(symbol);
    if (row?.series.unshift(Date.parse(quote.date) / 1_000, quote.rate) !== true) return;
    row.month = monthOf(row);
    this.#dirty.add(row);
  }

  /** What changed since the last call. */
  takeDirty(): Row[] {
    const rows = [...this.#dirty];
    this.#dirty.clear();
    return rows;
  }

  /** Rows whose symbol contains every word of the filter, in order; ties by symbol. */
  select(filter: string, sort: Sort): Row[] {
    const words = filter.toUpperCase().replaceAll("/", "").split(/\s+/).filter(Boolean);
    const rows = [...this.#rows.values()].filter((row) => words.every((word) => row.symbol.includes(word)));
    const sign = sort.descending ? -1 : 1;
    return rows.sort((a, b) => sign * compare(a, b, sort.column) || compare(a, b, "symbol"));
  }

  #add(symbol: string, quote: Quote): Row | undefined {
    if (this.#rows.size >= ROWS_MAX) return undefined;
    const row: Row = {
      symbol,
      base: symbol.slice(0, 3),
      quote: symbol.slice(3),
      series: new Series(POINTS_MAX),
      rate: quote.rate,
      time: 0,
      day: 0,
      month: undefined,
      decimals: 2,
      move: 0,
      updates: 0,
    };
    this.#rows.set(symbol, row);
    return row;
  }
}

function compare(a: Row, b: Row, column: SortColumn): number {
  if (column === "symbol") return a.symbol < b.symbol ? -1 : a.symbol > b.symbol ? 1 : 0;
  return (a[column] ?? 0) - (b[column] ?? 0);
}

function monthOf({ series, rate, time }: Row): number | undefined {
  const index = series.indexOf(time - MONTH_DAYS * DAY_SECONDS);
  // Only where the series reaches back that far.
  return index === 0 || index >= series.length ? undefined : rate / series.valueAt(index) - 1;
}

function decimalsOf(value: number): number {
  const text = String(value);
  const point = text.indexOf(".");
  return point < 0 ? 0 : Math.min(DECIMALS_MAX, text.length - point - 1);
}
