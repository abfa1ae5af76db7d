import assert from "node:assert/strict";
import { test } from "node:test";
import { createMessage, type Message } from "../protocol/message.js";
import { parseRoom } from "../protocol/room-name.js";
import { ByteBudget } from "./byte-budget.js";
import { Ring } from "./ring.js";

const room = parseRoom("ring.test");

function message(offset: number, prev = offset - 1, time = offset): Message {
  return createMessage({ room, offset, prev, time, data: Uint8Array.of(1) });
}

function ringOf(budget: ByteBudget, count: number, floor = 0): Ring {
  const ring = new Ring(budget, 100, floor);
  for (let offset = floor + 1; offset <= floor + count; offset += 1) ring.append(message(offset));
  return ring;
}

const offsets = (ring: Ring): number[] =>
  Array.from({ length: ring.size }, (_, index) => ring.at(index)?.offset ?? -1);

test("covers every position from its floor on, and finds what follows it", () => {
  const ring = new Ring(new ByteBudget(1e6), 100, 10);
  for (const [offset, prev] of [
    [12, 10],
    [15, 12],
    [16, 15],
  ] as const) {
    ring.append(message(offset, prev));
  }
  assert.equal(ring.covers(9), false);
  assert.ok(ring.covers(10));
  assert.equal(ring.at(ring.indexAfter(10))?.offset, 12);
  assert.equal(ring.at(ring.indexAfter(12))?.offset, 15);
  assert.equal(ring.at(ring.indexAfter(13))?.offset, 15);
  assert.equal(ring.indexAfter(16), ring.size);
});

test("above its count the oldest goes, and its position is the new floor", () => {
  const ring = new Ring(new ByteBudget(1e6), 3, 0);
  let evicted = 0;
  for (let offset = 1; offset <= 5; offset += 1) evicted += ring.append(message(offset));
  assert.equal(evicted, 2);
  assert.deepEqual(offsets(ring), [3, 4, 5]);
  assert.equal(ring.covers(1), false);
  assert.ok(ring.covers(2));
});

test("above the budget the oldest of all rings goes", () => {
  const probe = new ByteBudget(1e9);
  ringOf(probe, 1);
  const budget = new ByteBudget(probe.used * 4);
  const quiet = ringOf(budget, 2);
  const busy = ringOf(budget, 3);
  assert.deepEqual(offsets(quiet), [2]);
  assert.equal(quiet.covers(0), false);
  assert.deepEqual(offsets(busy), [1, 2, 3]);
  busy.clear(3);
  assert.equal(budget.used, probe.used);
});

test("expired messages go, and a cleared ring covers only what comes after", () => {
  const budget = new ByteBudget(1e6);
  const ring = ringOf(budget, 100);
  assert.equal(ring.expire(61), 60);
  assert.deepEqual([ring.size, ring.covers(59), ring.covers(60)], [40, false, true]);
  ring.clear(200);
  assert.deepEqual([ring.size, budget.used, ring.covers(199), ring.covers(200)], [0, 0, false, true]);
});
