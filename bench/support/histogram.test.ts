import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Histogram } from "./histogram.js";

test("quantiles are within a tenth of a percent of the exact ones", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 2 ** 31 - 1 }), { minLength: 1, maxLength: 300 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (values, share) => {
        const histogram = new Histogram();
        for (const value of values) histogram.record(value);
        const sorted = values.toSorted((a, b) => a - b);
        const exact = sorted[Math.max(1, Math.ceil(share * sorted.length)) - 1] ?? Number.NaN;
        const found = histogram.quantile(share);
        assert.ok(found >= exact && found <= exact * 1.001, `${found} for ${exact}`);
      },
    ),
  );
});

test("the largest value is exact, and nothing is lost above the clamp or below zero", () => {
  const histogram = new Histogram();
  for (const value of [-5, 1.9, 123_457, 2 ** 40]) histogram.record(value);
  assert.equal(histogram.total, 4);
  assert.equal(histogram.max, 2 ** 31 - 1);
  assert.equal(histogram.quantile(0.25), 0);
  assert.equal(histogram.quantile(0.5), 1);
});

test("sent as JSON it says the same", () => {
  const histogram = new Histogram();
  for (let value = 0; value < 5_000; value++) histogram.record(value * 7);
  const copy = Histogram.from(JSON.parse(JSON.stringify(histogram)));
  assert.deepEqual(copy.toJSON(), histogram.toJSON());
  assert.equal(copy.total, 5_000);
  assert.equal(copy.quantile(0.99), histogram.quantile(0.99));
});

test("an empty histogram has no quantile", () => {
  const histogram = new Histogram();
  histogram.record(9);
  histogram.reset();
  assert.ok(Number.isNaN(histogram.quantile(0.5)));
  assert.equal(histogram.max, 0);
});

test("what several have recorded adds up to what one would have", () => {
  const [one, other, all] = [new Histogram(), new Histogram(), new Histogram()];
  for (let value = 1; value < 5_000; value += 7) {
    (value % 2 === 0 ? one : other).record(value, 3);
    all.record(value, 3);
  }
  one.add(other.toJSON());
  assert.deepEqual([one.total, one.max, one.toJSON()], [all.total, all.max, all.toJSON()]);
});
