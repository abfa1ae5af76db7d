import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Deque } from "./deque.js";

test("a deque is an array that is pushed to and shifted from", (t) => {
  const seed = Number(process.env.FANWIRE_SEED ?? Date.now());
  t.diagnostic(`seed ${seed}`);
  // Runs of pushes and shifts, so that it grows, wraps around, shrinks and empties.
  const runs = fc.array(fc.integer({ min: -40, max: 40 }), { maxLength: 40 });
  const property = fc.property(runs, (runs) => {
    const deque = new Deque<number>();
    const model: number[] = [];
    let next = 0;
    for (const run of runs) {
      for (let index = 0; index < run; index += 1) {
        deque.push(next);
        model.push(next);
        next += 1;
      }
      for (let index = 0; index > run; index -= 1) assert.equal(deque.shift(), model.shift());
      assert.equal(deque.length, model.length);
      assert.deepEqual(
        model.map((_, index) => deque.at(index)),
        model,
      );
      assert.equal(deque.at(-1), undefined);
      assert.equal(deque.at(model.length), undefined);
    }
  });
  fc.assert(property, { seed, numRuns: 500 });
});
