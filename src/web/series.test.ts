import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Series } from "./series.js";

test("a series keeps its newest points in time order, whichever end it grows at", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 20 }),
      fc.array(fc.boolean(), { maxLength: 100 }),
      (capacity, atNewEnd) => {
        const series = new Series(capacity);
        let model: number[] = [];
        let newest = 1_000;
        let oldest = 1_000;
        for (const forward of atNewEnd) {
          if (forward) {
            newest += 1;
            series.push(newest, newest * 2);
            model.push(newest);
            model = model.slice(-capacity);
          } else {
            oldest -= 1;
            const room = model.length < capacity;
            // What has been pushed out may leave a place at the old end only while there is room.
            assert.equal(series.unshift(oldest, oldest * 2), room);
            if (room) model.unshift(oldest);
          }
        }
        assert.deepEqual(series.slice(0), [model, model.map((time) => time * 2)]);
        assert.equal(series.length, model.length);
        for (const [index, time] of model.entries()) assert.equal(series.indexOf(time), index);
      },
    ),
  );
});

test("indexOf is the first point at or after the time", () => {
  const series = new Series(10);
  for (const time of [10, 20, 30]) series.push(time, time);
  assert.deepEqual(
    [5, 10, 11, 30, 31].map((time) => series.indexOf(time)),
    [0, 0, 1, 2, 3],
  );
  assert.equal(new Series(3).indexOf(1), 0);
});

test("a time that does not go forward begins anew; one that is not older is no past", () => {
  const series = new Series(10);
  series.push(10, 1);
  series.push(20, 2);
  assert.equal(series.unshift(10, 9), false);
  assert.equal(series.unshift(15, 9), false);
  series.push(20, 3);
  assert.deepEqual(series.slice(0), [[20], [3]]);
});
