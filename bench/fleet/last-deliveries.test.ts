import assert from "node:assert/strict";
import { test } from "node:test";
import { LastDeliveries } from "./last-deliveries.js";

test("the last delivery of each broadcast counts, whoever got it and in whatever order they came", () => {
  const [one, other] = [new LastDeliveries(), new LastDeliveries()];
  for (const [due, now] of [
    [1_000, 1_500],
    [2_000, 2_100],
    [1_000, 1_900],
    [2_000, 2_050],
  ] as const)
    one.record(due, now);
  other.record(1_000, 1_200);
  other.record(2_000, 5_000);
  one.add(other.toJSON());
  assert.deepEqual(one.toJSON(), [
    [1_000, 1_900],
    [2_000, 5_000],
  ]);
  const histogram = one.histogram();
  assert.deepEqual([histogram.total, histogram.quantile(0.5), histogram.max], [2, 900, 3_000]);
  one.reset();
  assert.equal(one.histogram().total, 0);
  one.record(1_000, 1_100);
  assert.deepEqual(one.toJSON(), [[1_000, 1_100]], "nothing is left of the phase before");
});

test("what is kept is bounded", () => {
  const lasts = new LastDeliveries();
  for (let due = 0; due < 20_000; due++) lasts.record(due, due + 7);
  assert.equal(lasts.toJSON().length, 10_000);
  lasts.record(3, 100);
  assert.deepEqual(lasts.toJSON()[3], [3, 100], "those that it has go on");
});
