import assert from "node:assert/strict";
import { test } from "node:test";
import { Board } from "./board.js";
import type { Quote } from "./parse.js";

function quote(rate: number, previous: number, date: string): Quote {
  return { rate, previous, date };
}

function symbols(
  board: Board,
  filter: string,
  column: "symbol" | "rate" | "day" | "month",
  descending = false,
) {
  return board.select(filter, { column, descending }).map((row) => row.symbol);
}

const DAY_MS = 86_400_000;

function dateOf(day: number): string {
  return new Date(Date.UTC(2000, 0, 1) + day * DAY_MS).toISOString().slice(0, 10);
}

test("a row shows the newest rate, its change against the day before, and how it moved", () => {
  const board = new Board();
  board.apply("EURUSD", quote(1.01, 1, "2000-01-03"));
  const row = board.apply("EURUSD", quote(0.99, 1.1, "2000-01-04"));
  assert.equal(row?.rate, 0.99);
  assert.ok(Math.abs((row?.day ?? 0) - -0.1) < 1e-9);
  assert.equal(row?.move, -1);
  assert.equal(row?.base, "EUR");
  assert.equal(row?.quote, "USD");
  assert.equal(row?.updates, 2);
});

test("decimals are those of the finest rate so far, so that a column does not dance", () => {
  const board = new Board();
  assert.equal(board.apply("EURUSD", quote(1.2345, 1, "2000-01-03"))?.decimals, 4);
  assert.equal(board.apply("EURUSD", quote(1.2, 1, "2000-01-04"))?.decimals, 4);
  assert.equal(board.apply("USDKRW", quote(1_100, 1, "2000-01-04"))?.decimals, 2);
});

test("the month's change is against the rate of 30 days before, and unknown until the series reaches back", () => {
  const board = new Board();
  for (let day = 0; day <= 40; day += 1) board.apply("EURUSD", quote(100 + day, 100, dateOf(day)));
  const row = board.row("EURUSD");
  assert.ok(Math.abs((row?.month ?? 0) - (140 / 110 - 1)) < 1e-9);
  board.apply("USDJPY", quote(100, 100, dateOf(0)));
  assert.equal(board.row("USDJPY")?.month, undefined);
});

test("the past goes before what is known, never over it", () => {
  const board = new Board();
  board.apply("EURUSD", quote(1.5, 1.4, dateOf(40)));
  board.applyPast("EURUSD", quote(9, 9, dateOf(40)));
  for (let day = 39; day >= 0; day -= 1) board.applyPast("EURUSD", quote(1, 1, dateOf(day)));
  board.applyPast("GBPUSD", quote(1, 1, dateOf(0)));
  const row = board.row("EURUSD");
  assert.equal(row?.rate, 1.5);
  assert.equal(row?.series.length, 41);
  assert.ok(Math.abs((row?.month ?? 0) - 0.5) < 1e-9);
  assert.equal(board.row("GBPUSD"), undefined);
});

test("a feed that begins again from an earlier date begins a new series", () => {
  const board = new Board();
  for (let day = 100; day < 110; day += 1) board.apply("EURUSD", quote(2, 2, dateOf(day)));
  board.apply("EURUSD", quote(1, 1, dateOf(0)));
  assert.equal(board.row("EURUSD")?.series.length, 1);
});

test("what changed is told once", () => {
  const board = new Board();
  board.apply("EURUSD", quote(1, 1, "2000-01-03"));
  board.apply("EURUSD", quote(2, 1, "2000-01-04"));
  board.apply("USDJPY", quote(100, 100, "2000-01-04"));
  assert.deepEqual(
    board.takeDirty().map((row) => row.symbol),
    ["EURUSD", "USDJPY"],
  );
  assert.deepEqual(board.takeDirty(), []);
});

test("filter and order", () => {
  const board = new Board();
  board.apply("USDJPY", quote(100, 99, "2000-01-03"));
  board.apply("EURUSD", quote(1, 1.1, "2000-01-03"));
  board.apply("EURJPY", quote(110, 110, "2000-01-03"));
  assert.deepEqual(symbols(board, "", "symbol"), ["EURJPY", "EURUSD", "USDJPY"]);
  assert.deepEqual(symbols(board, "jpy", "rate", true), ["EURJPY", "USDJPY"]);
  assert.deepEqual(symbols(board, "eur/usd", "symbol"), ["EURUSD"]);
  assert.deepEqual(symbols(board, " usd  jpy ", "symbol"), ["USDJPY"]);
  assert.deepEqual(symbols(board, "", "day", true), ["USDJPY", "EURJPY", "EURUSD"]);
  assert.deepEqual(symbols(board, "xyz", "symbol"), []);
});

test("the number of rows is bounded", () => {
  const board = new Board();
  for (let n = 0; n < 2_000; n += 1) board.apply(`S${n}`, quote(1, 1, "2000-01-03"));
  assert.equal(board.size, 500);
  assert.equal(board.apply("NEWPAIR", quote(1, 1, "2000-01-03")), undefined);
});
