import assert from "node:assert/strict";
import { test } from "node:test";
import { createMessage, type Message } from "../protocol/message.js";
import { parseRoom } from "../protocol/room-name.js";
import { HistoryBudget } from "./history-budget.js";
import { Ring } from "./ring.js";

const room = parseRoom("ring.test");

function message(offset: number, prev = offset - 1, time = offset): Message {
  return createMessage({ room, offset, prev, time, data: Uint8Array.of(1) });
}

function ringOf(budget: HistoryBudget, count: number, floor = 0): Ring {
  const ring = new Ring(room, budget, 100, floor);
  for (let offset = floor + 1; offset <= floor + count; offset += 1) ring.append(message(offset));
  return ring;
}

const offsets = (ring: Ring): number[] =>
  Array.from({ length: ring.size }, (_, index) => ring.at(index)?.offset ?? -1);

test("covers every position from its floor on, and finds what follows it", () => {
  const ring = new Ring(room, new HistoryBudget(1e6), 100, 10);
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
  const ring = new Ring(room, new HistoryBudget(1e6), 3, 0);
  let evicted = 0;
  for (let offset = 1; offset <= 5; offset += 1) evicted += ring.append(message(offset));
  assert.equal(evicted, 2);
  assert.deepEqual(offsets(ring), [3, 4, 5]);
  assert.equal(ring.covers(1), false);
  assert.ok(ring.covers(2));
});

test("above the budget the oldest of all rings goes", () => {
  const [probe, busyProbe] = [new HistoryBudget(1e9), new HistoryBudget(1e9)];
  ringOf(probe, 1);
  ringOf(busyProbe, 3);
  const budget = new HistoryBudget(probe.used + busyProbe.used);
  const quiet = ringOf(budget, 2);
  const busy = ringOf(budget, 3);
  assert.deepEqual(offsets(quiet), [2]);
  assert.equal(quiet.covers(0), false);
  assert.deepEqual(offsets(busy), [1, 2, 3]);
  busy.clear(3);
  assert.equal(budget.used, probe.used);
  quiet.clear(2);
  assert.equal(budget.used, 0);
});

test("what is read is what was appended, and stays so after it has gone", () => {
  const budget = new HistoryBudget(1e6);
  const ring = new Ring(room, budget, 50, 0);
  const appended: Message[] = [];
  const read: (Message | undefined)[] = [];
  let offset = 0;
  for (let count = 0; count < 400; count += 1) {
    const prev = offset;
    // Over every width that a number has in a frame, and frames that need a chunk of their own.
    offset += 1 + (count % 7 === 0 ? 10 ** (count % 11) : 0);
    const data = new Uint8Array(count % 13 === 0 ? 12_000 : count % 90).fill(0xc0);
    const fields = { room, offset, prev, time: 1_700_000_000_000 + count, data };
    const key = count % 3 === 0 ? undefined : `k\u00e9${count % 5}`;
    const message = createMessage({ ...fields, key, origin: count % 4 === 0 ? `s${count}` : undefined });
    appended.push(message);
    ring.append(message);
    const index = ring.size - 1 - (count % Math.min(ring.size, 5));
    assert.deepEqual(ring.at(index), appended[count - (ring.size - 1 - index)]);
    assert.equal(ring.keyAt(index), ring.at(index)?.key);
    assert.equal(ring.offsetAt(index), ring.at(index)?.offset);
    read.push(ring.at(ring.size - 1));
  }
  assert.equal(ring.size, 50);
  assert.deepEqual(read, appended);
  assert.deepEqual([ring.at(-1), ring.keyAt(-1), ring.offsetAt(-1), ring.at(50)], Array(4).fill(undefined));
});

test("expired messages go, and a cleared ring covers only what comes after", () => {
  const budget = new HistoryBudget(1e6);
  const ring = ringOf(budget, 100);
  assert.equal(ring.expire(61), 60);
  assert.deepEqual([ring.size, ring.covers(59), ring.covers(60)], [40, false, true]);
  ring.clear(200);
  assert.deepEqual([ring.size, budget.used, ring.covers(199), ring.covers(200)], [0, 0, false, true]);
});
