import assert from "node:assert/strict";
import { test } from "node:test";
import { planRead, type StreamShape } from "./read-cost.js";

const SHAPE: StreamShape = { last: 10_000, density: 1, share: 0.5, manyFilters: false };

function asked(rooms: number, after: number): { readonly name: string; readonly after: number }[] {
  return Array.from({ length: rooms }, (_, index) => ({ name: `r${index}`, after: after + index }));
}

test("one room, or three, are read alone", () => {
  for (const rooms of [1, 3]) assert.deepEqual(planRead(asked(rooms, 9_990), SHAPE), { kind: "alone" });
});

test("many rooms that lack little are read in one pass", () => {
  const rooms = asked(30, 8_000);
  const plan = planRead(rooms, SHAPE);
  assert.ok(plan.kind === "pass");
  assert.equal(plan.rooms.length, 30);
  assert.equal(plan.filtered, false);
});

test("a few rooms far back in a stream of many others are not worth a pass", () => {
  assert.deepEqual(planRead(asked(10, 0), { ...SHAPE, last: 1_000_000, share: 0.001 }), { kind: "alone" });
});

test("where a consumer can have many filters, others' messages need not be sent", () => {
  const plan = planRead(asked(10, 0), { ...SHAPE, share: 0.01, manyFilters: true });
  assert.ok(plan.kind === "pass" && plan.filtered);
  assert.equal(plan.rooms.length, 10);
  // Where the rooms asked for are all there are, a filter only costs.
  const all = planRead(asked(100, 9_000), { ...SHAPE, share: 1, manyFilters: true });
  assert.ok(all.kind === "pass" && !all.filtered);
});

test("a room that lies far behind the others does not make their pass long", () => {
  const far = { name: "far", after: 1 };
  const plan = planRead([far, ...asked(30, 999_000)], { ...SHAPE, last: 1_000_000 });
  assert.ok(plan.kind === "pass");
  assert.deepEqual(new Set(plan.rooms.map(({ after }) => after >= 999_000)), new Set([true]));
  assert.equal(plan.rooms.length, 30);
});
