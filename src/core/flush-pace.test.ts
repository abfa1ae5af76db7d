import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { FlushPace, flushIntervalMs } from "./flush-pace.js";

/** A loop on which messages come at even times and a flush costs so much whatever it carries; as long as it runs. */
function run(pace: FlushPace, everyMs: number, flushMs: number, forMs: number) {
  let nowMs = 0;
  let busyMs = 0;
  let flushes = 0;
  let longestMs = 0;
  for (let dueMs = 0; dueMs < forMs; ) {
    // The first that waits comes, and then the flush.
    nowMs = Math.max(nowMs, dueMs);
    nowMs += Math.max(0, pace.waitMs(nowMs));
    longestMs = Math.max(longestMs, nowMs - dueMs);
    pace.begin(nowMs, busyMs);
    flushes += 1;
    dueMs += everyMs * Math.max(1, Math.ceil((nowMs - dueMs) / everyMs));
    nowMs += flushMs;
    busyMs += flushMs;
  }
  return { share: busyMs / nowMs, flushes, longestMs };
}

test("an idle loop lets nothing wait", () => {
  for (const [everyMs, flushMs] of [
    [1_000, 10],
    [10, 0.5],
    [50, 12],
    [0.1, 0.02],
  ] as const) {
    const pace = new FlushPace(10);
    const { longestMs } = run(pace, everyMs, flushMs, 5_000);
    assert.ok(longestMs <= flushMs, `${everyMs} ${flushMs}: ${longestMs}`);
  }
});

test("flushes that would fill the loop are fewer, and then take about half of it", () => {
  const plain = run(new FlushPace(0), 1, 0.8, 5_000);
  const paced = run(new FlushPace(10), 1, 0.8, 5_000);
  assert.ok(plain.share > 0.79 && plain.flushes >= 5_000);
  assert.ok(paced.share > 0.3 && paced.share < 0.55, `${paced.share}`);
  assert.ok(paced.flushes < 0.7 * plain.flushes);
  assert.ok(paced.longestMs < 5, `${paced.longestMs}`);
});

test("no message waits longer than allowed, however much there is to do", () => {
  for (const maxMs of [0, 1, 10]) {
    const pace = new FlushPace(maxMs);
    run(pace, 0.01, 30, 20_000);
    assert.ok(pace.intervalMs <= maxMs);
  }
});

test("when the load has gone, so has the wait", () => {
  const pace = new FlushPace(10);
  run(pace, 1, 0.9, 2_000);
  assert.ok(pace.intervalMs > 0);
  let nowMs = 10_000;
  for (let count = 0; count < 50; count += 1) {
    assert.ok(pace.waitMs(nowMs) <= 0);
    pace.begin(nowMs, 2_000 + count * 0.1);
    nowMs += 100;
  }
  assert.equal(pace.intervalMs, 0);
});

test("the interval grows with load and cost, and has its bounds", () => {
  const share = fc.double({ min: 0, max: 1, noNaN: true });
  const ms = fc.double({ min: 0, max: 1_000, noNaN: true });
  fc.assert(
    fc.property(share, share, ms, ms, ms, (one, other, cost, more, max) => {
      const interval = flushIntervalMs(Math.min(one, other), cost, max);
      assert.ok(interval >= 0 && interval <= max);
      assert.ok(flushIntervalMs(Math.max(one, other), cost + more, max) >= interval);
    }),
  );
  assert.equal(flushIntervalMs(0.25, 5, 10), 0);
  assert.equal(flushIntervalMs(0.75, 1, 10), 4);
});
