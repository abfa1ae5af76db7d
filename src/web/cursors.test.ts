import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { Cursors, GONE_MS, Throttle } from "./cursors.js";
import type { Pointer } from "./parse.js";

const pointer = (x: number, at = "chart"): Pointer => ({ name: "Quiet Heron", at, x, y: 0.5 });

test("a visitor's newest place counts, and a goodbye or silence takes it away", () => {
  const cursors = new Cursors();
  cursors.apply("a", pointer(0.1), 0);
  cursors.apply("a", pointer(0.2), 10);
  cursors.apply("b", pointer(0.3), 10);
  assert.deepEqual(
    [...cursors.all()].map((cursor) => cursor.pointer.x),
    [0.2, 0.3],
  );
  cursors.apply("b", pointer(0, ""), 20);
  assert.equal(cursors.size, 1);
  cursors.expire(10 + GONE_MS);
  assert.equal(cursors.size, 1);
  cursors.expire(11 + GONE_MS);
  assert.equal(cursors.size, 0);
});

test("their number is bounded, and the one heard of longest ago makes room", () => {
  const cursors = new Cursors();
  for (let n = 0; n < 100; n += 1) cursors.apply(`v${n}`, pointer(0.5), n);
  assert.equal(cursors.size, 64);
  assert.equal([...cursors.all()][0]?.id, "v36");
});

test("the throttle lets the first through at once, then the newest of each interval, and the last always", () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  try {
    const sent: number[] = [];
    const throttle = new Throttle<number>(50, (value) => sent.push(value));
    for (let n = 0; n < 10; n += 1) throttle.push(n, n);
    assert.deepEqual(sent, [0]);
    mock.timers.tick(50);
    assert.deepEqual(sent, [0, 9]);
    throttle.push(10, performance.now());
    throttle.clear();
    mock.timers.tick(1_000);
    assert.deepEqual(sent, [0, 9]);
  } finally {
    mock.timers.reset();
  }
});
