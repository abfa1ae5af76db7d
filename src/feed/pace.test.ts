import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { everyTick, Pace } from "./pace.js";

test("a regular clock takes the same number every tick", () => {
  const pace = new Pace(500, 1_000, 0);
  const taken = [20, 40, 60, 80, 100].map((nowMs) => pace.take(nowMs));
  assert.deepEqual(taken, [10, 10, 10, 10, 10]);
});

test("late and odd ticks never add up to drift", () => {
  fc.assert(
    fc.property(
      fc.double({ min: 0.1, max: 50_000, noNaN: true }),
      fc.array(fc.double({ min: 0.01, max: 300, noNaN: true }), { minLength: 1, maxLength: 200 }),
      (perSecond, steps) => {
        const pace = new Pace(perSecond, Number.POSITIVE_INFINITY, 0);
        let nowMs = 0;
        let taken = 0;
        for (const step of steps) {
          nowMs += step;
          taken += pace.take(nowMs);
        }
        const due = (nowMs * perSecond) / 1_000;
        assert.ok(Math.abs(taken - due) <= 1 + due * 1e-9, `${taken} taken, ${due} due`);
      },
    ),
  );
});

test("a stall is caught up with to the bound only, and what is skipped is counted", () => {
  const pace = new Pace(500, 100, 0);
  assert.equal(pace.take(10_000), 100);
  assert.equal(pace.skipped, 4_900);
  assert.equal(pace.take(10_020), 10);
});

test("a restart takes nothing of the pause", () => {
  const pace = new Pace(500, 100, 0);
  pace.take(20);
  pace.restart(60_000);
  assert.equal(pace.take(60_020), 10);
  assert.equal(pace.skipped, 0);
});

test("ticks come until the signal, and the wait for the next one ends with it", {
  timeout: 10_000,
}, async () => {
  const stop = new AbortController();
  let ticks = 0;
  await everyTick(5, stop.signal, () => {
    ticks += 1;
    if (ticks === 3) stop.abort();
  });
  assert.equal(ticks, 3);
  const later = new AbortController();
  const waiting = everyTick(3_600_000, later.signal, () => {});
  later.abort();
  await waiting;
});

test("a step that throws ends the ticking with its error", async () => {
  const failing = everyTick(1, new AbortController().signal, () => {
    throw new Error("broken step");
  });
  await assert.rejects(failing, /broken step/);
});
