import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { LatencyWindow } from "./latency.js";

test("percentiles are the true ones, never better and at most a tenth worse", () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0.001, max: 60_000, noNaN: true }), { minLength: 1, maxLength: 300 }),
      fc.double({ min: 0.01, max: 1, noNaN: true }),
      (latencies, share) => {
        const window = new LatencyWindow(5);
        for (const latency of latencies) window.record(latency, 1_000);
        const sorted = [...latencies].sort((a, b) => a - b);
        const truth = sorted[Math.max(1, Math.ceil(sorted.length * share)) - 1] ?? 0;
        const [shown] = window.percentiles([share], 1_000);
        assert.ok(shown !== undefined && shown >= truth * 0.999_999 && shown <= truth * 1.11 + 0.11);
      },
    ),
  );
});

test("only the last seconds count", () => {
  const window = new LatencyWindow(5);
  window.record(500, 0);
  window.record(1, 4_000);
  assert.ok((window.percentiles([1], 4_999)[0] ?? 0) > 400);
  assert.ok((window.percentiles([1], 5_000)[0] ?? 999) < 2);
  assert.deepEqual(window.percentiles([0.5, 0.99], 60_000), [undefined, undefined]);
});

test("a message from a clock that is ahead counts as the fastest", () => {
  const window = new LatencyWindow(5);
  window.record(-40, 0);
  window.record(Number.NaN, 0);
  assert.deepEqual(window.percentiles([1], 0), [0.1]);
});
