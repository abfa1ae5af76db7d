import assert from "node:assert/strict";
import { test } from "node:test";
import { Pace } from "./pace.js";

/** How many begin when asked every 10 ms over a time. */
function begun(pace: Pace, fromMs: number, toMs: number): number {
  let count = 0;
  for (let nowMs = fromMs; nowMs <= toMs; nowMs += 10) while (pace.begin(nowMs)) count += 1;
  return count;
}

test("connections begin at the rate, not faster after a pause than a burst", () => {
  const pace = new Pace({ perSecond: 200, inFlight: 10_000 }, 0);
  assert.equal(begun(pace, 0, 1_000), 200);
  // Asked again after ten seconds: 50 ms of the pause count.
  assert.equal(begun(pace, 11_000, 11_000), 10);
});

test("what is under way is bounded, and makes room when it ends", () => {
  const pace = new Pace({ perSecond: 1_000, inFlight: 3 }, 0);
  assert.equal(begun(pace, 0, 1_000), 3);
  pace.ended();
  assert.equal(begun(pace, 1_000, 1_100), 1);
  assert.equal(pace.underWay, 3);
  pace.set({ perSecond: 1_000, inFlight: 5 });
  assert.equal(begun(pace, 1_200, 1_300), 2);
});

test("a rate below one a burst still lets one begin in its time", () => {
  const pace = new Pace({ perSecond: 2, inFlight: 10 }, 0);
  assert.equal(begun(pace, 0, 400), 0);
  assert.equal(begun(pace, 410, 3_000), 6);
});
