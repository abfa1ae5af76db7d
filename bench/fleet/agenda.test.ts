import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Agenda } from "./agenda.js";

test("everything comes out once, in order of time, and not before it is due", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 50 })),
      fc.integer({ min: 0, max: 50 }),
      (times, nowMs) => {
        const agenda = new Agenda<number>();
        for (const dueMs of times) agenda.add(dueMs, dueMs);
        const drain = (untilMs: number): number[] => {
          const out: number[] = [];
          for (let item = agenda.take(untilMs); item !== undefined; item = agenda.take(untilMs))
            out.push(item);
          return out;
        };
        const sorted = [...times].sort((a, b) => a - b);
        assert.deepEqual(
          drain(nowMs),
          sorted.filter((dueMs) => dueMs <= nowMs),
        );
        // More may be added between: the heap is whole after every step.
        agenda.add(nowMs, nowMs);
        assert.deepEqual(drain(Number.POSITIVE_INFINITY), [
          nowMs,
          ...sorted.filter((dueMs) => dueMs > nowMs),
        ]);
        assert.equal(agenda.size, 0);
      },
    ),
  );
});
