import assert from "node:assert/strict";
import { test } from "node:test";
import { pairedRatio, summarize } from "./statistics.js";

test("median and spread do not move with one wild run", () => {
  const calm = summarize([10, 11, 12, 13, 14]);
  assert.deepEqual(calm, { median: 12, min: 10, max: 14, spread: 1 / 12, runs: 5 });
  const wild = summarize([14, 10, 11, 12, 1_300]);
  assert.equal(wild.median, 12);
  assert.ok(wild.spread < 0.15);
});

test("an even number of runs has its median between the middle two", () => {
  assert.equal(summarize([4, 1, 2, 3]).median, 2.5);
  assert.equal(summarize([7]).median, 7);
});

test("the ratio is taken within each pair, so that drift cancels", () => {
  const drift = [1, 2, 4, 8, 16];
  const ratio = pairedRatio(
    drift.map((value) => value * 1.1),
    drift,
  );
  assert.ok(Math.abs(ratio.median - 1.1) < 1e-9 && ratio.spread < 1e-9);
});

test("nothing to summarize and unequal pairs are errors", () => {
  assert.throws(() => summarize([]), RangeError);
  assert.throws(() => pairedRatio([1], []), RangeError);
});
