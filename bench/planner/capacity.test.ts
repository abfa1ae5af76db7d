import assert from "node:assert/strict";
import { test } from "node:test";
import { type CapacityWish, deliveriesPerSecond, scaled } from "./capacity.js";
import { planFor } from "./plan.js";
import { CALIBRATION, WISH } from "./plan.testkit.js";

const WORKER: CapacityWish = {
  connections: 1_000,
  ...{ roomsPerClient: 1, rooms: 1, rate: "all", updates: 0, batch: 10, bytes: 100 },
  ...{ utilization: 1, takenIn: 1, requests: 1 },
};
const within = (change: Partial<CapacityWish>, micros = 50_000): number =>
  deliveriesPerSecond({ ...WORKER, ...change }, CALIBRATION, micros);

test("more time and more of the core make more deliveries, more bytes fewer", () => {
  const usual = within({});
  assert.ok(usual > 100_000 && usual < 1e8, String(usual));
  assert.ok(within({}, 100_000) > usual);
  assert.ok(within({ utilization: 0.5 }) < usual);
  assert.ok(within({ bytes: 4_000 }) < usual);
});

test("where one flush takes longer than there is, nothing comes in time", () => {
  assert.equal(within({ connections: 20_000 }), 0);
  assert.ok(within({ connections: 20_000 }, 1_000_000) > 0);
  assert.equal(
    within({ connections: 1_000_000, utilization: 0.5 }, 1e9),
    0,
    "they cost more than that at rest",
  );
});

test("of a class what a window brings is written in one go", () => {
  const [slow, fast] = ([1, 30] as const).map((rate) => within({ rate, updates: 1_000, connections: 2_000 }));
  assert.ok((slow ?? 0) > 0 && (fast ?? 0) > 0);
  assert.equal(within({ rate: 30, updates: 1e6 }), 0, "taking in alone is too much");
});

test("higher prices need more boxes", () => {
  const boxes = [0.7, 1, 1.3].map((factor) => planFor(WISH, scaled(CALIBRATION, factor)).boxes);
  assert.deepEqual(
    [...boxes].sort((a, b) => a - b),
    boxes,
  );
  assert.ok((boxes[2] ?? 0) > (boxes[0] ?? 0));
});
