import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { PAIRS } from "./pairs.js";
import { parseRates } from "./rates.js";
import { type Quote, Replay } from "./replay.js";

const FILE = new URL("../../src/feed/h10-rates.csv", import.meta.url);
const DAYS = parseRates(readFileSync(FILE, "utf8"));

function take(replay: Replay, count: number): Quote[] {
  return Array.from({ length: count }, () => replay.next());
}

test("the rates are the published ones of days that everybody remembers", () => {
  const dollars = (date: string, currency: string): number => {
    const value = DAYS.find((day) => day.date === date)?.dollars.get(currency);
    assert.ok(value !== undefined, `no ${currency} on ${date}`);
    return value;
  };
  assert.equal(dollars("1999-01-04", "EUR"), 1.1812);
  // The Swiss franc is let go, and Britain votes to leave.
  assert.equal(1 / dollars("2015-01-14", "CHF"), 1.0172);
  assert.equal(1 / dollars("2015-01-15", "CHF"), 0.893);
  assert.equal(dollars("2016-06-23", "GBP"), 1.48);
  assert.equal(dollars("2016-06-24", "GBP"), 1.3639);
});

test("days are in order, none twice, and each has rates", () => {
  for (const [index, day] of DAYS.entries()) {
    assert.ok(day.dollars.size > 1, `${day.date} is empty`);
    assert.ok(index === 0 || day.date > (DAYS[index - 1]?.date ?? ""), `${day.date} is out of order`);
  }
});

test("a file of another form is refused by line", () => {
  assert.throws(() => parseRates("date\n"), /no currency/);
  assert.throws(() => parseRates("date,EUR\n1999-01-04\n"), /line 2/);
  assert.throws(() => parseRates("date,EUR\n1999-01-04,1.1\n1999-01-05,-3\n"), /line 3: EUR is "-3"/);
});

test("every pair has a symbol of its own and appears in the replay", () => {
  const symbols = new Set(PAIRS.map((pair) => pair.symbol));
  assert.equal(symbols.size, PAIRS.length);
  const seen = new Set(take(new Replay(DAYS, PAIRS), PAIRS.length * 3).map((quote) => quote.symbol));
  assert.deepEqual([...seen].sort(), [...symbols].sort());
});

test("two runs are the same", () => {
  assert.deepEqual(take(new Replay(DAYS, PAIRS), 5_000), take(new Replay(DAYS, PAIRS), 5_000));
});

test("a dollar pair is the published rate, a cross the quotient of two", () => {
  const first = new Map(take(new Replay(DAYS, PAIRS), PAIRS.length).map((quote) => [quote.symbol, quote]));
  assert.equal(first.get("EURUSD")?.rate, 1.1812);
  assert.equal(first.get("USDJPY")?.rate, 112.15);
  assert.equal(first.get("EURJPY")?.rate, 132.47);
  assert.equal(first.get("EURGBP")?.rate, 0.7124);
});

test("each quote chains to the one before it of its pair, and dates never go back", () => {
  const last = new Map<string, Quote>();
  for (const quote of take(new Replay(DAYS, PAIRS), 50_000)) {
    const before = last.get(quote.symbol);
    assert.equal(quote.previous, before?.rate ?? quote.rate);
    assert.ok(before === undefined || quote.date > before.date);
    last.set(quote.symbol, quote);
  }
});

test("after the last day it begins again, without a change across the years", () => {
  const pair = PAIRS.filter(({ symbol }) => symbol === "EURUSD");
  const replay = new Replay(DAYS, pair);
  const days = DAYS.filter((day) => day.dollars.has("EUR")).length;
  const [first] = take(replay, days);
  const again = replay.next();
  assert.deepEqual(again, first);
});

test("pairs without any rate are refused instead of walked for ever", () => {
  assert.throws(() => new Replay(DAYS, []), /no rate/);
  assert.throws(() => new Replay([], PAIRS), /no rate/);
});
