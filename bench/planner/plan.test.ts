import assert from "node:assert/strict";
import { test } from "node:test";
import { parseCalibration } from "./calibration.js";
import { type Plan, planFor, type Wish } from "./plan.js";
import { CALIBRATION, WISH } from "./plan.testkit.js";
import { planText } from "./plan-text.js";

function plan(change: Partial<Wish> = {}): Plan {
  return planFor({ ...WISH, ...change }, CALIBRATION);
}

test("a plan keeps to what may be used, with all boxes and with one lost", () => {
  const { boxes, perBox, perBoxWhenLost, backSeconds } = plan();
  assert.ok(boxes > 1);
  for (const share of [perBox.cores, perBox.memory, perBox.network]) assert.ok(share <= 0.6);
  for (const share of [perBoxWhenLost.cores, perBoxWhenLost.memory]) assert.ok(share <= 0.9);
  assert.ok(backSeconds <= 60);
  const fewer = planFor({ ...WISH, lost: 0 }, CALIBRATION);
  assert.ok(fewer.boxes <= boxes);
});

test("one box less than it says would be too few", () => {
  const { boxes } = plan({ lost: 0 });
  const tighter = plan({ lost: 0, connections: (WISH.connections * boxes) / (boxes - 1) });
  assert.ok(tighter.boxes > boxes);
});

test("a rate bounds what a client gets: of many updates of a room the latest so often a second", () => {
  const { perClient } = plan({ rate: 1, updates: 50_000, rooms: 50 });
  assert.ok(perClient.deliveriesPerSecond <= 40 && perClient.deliveriesPerSecond > 39.9);
  assert.ok(perClient.writesPerSecond <= 1);
  const all = plan({ rate: "all" }).perClient;
  assert.equal(all.deliveriesPerSecond, 120);
  assert.ok(plan({ rate: "all", batch: 150 }).perClient.writesPerSecond < all.writesPerSecond);
});

test("what binds is told: cores, memory, bandwidth, or the way back", () => {
  assert.equal(plan().limit, "cores");
  assert.equal(plan({ memoryGiB: 2, updates: 10 }).limit, "memory");
  assert.equal(plan({ nicGbit: 0.2 }).limit, "network");
  const back = plan({ updates: 10, connections: 100_000, backSeconds: 1 });
  assert.equal(back.limit, "reconnects");
  assert.ok(back.backSeconds <= 1);
});

test("what the return of a lost box's clients asks for is its own number, not that of what binds", () => {
  const { boxes, boxesBy, limit } = plan();
  assert.equal(limit, "cores");
  assert.ok(boxesBy.reconnects > 1 && boxesBy.reconnects < boxes, `${boxesBy.reconnects} of ${boxes}`);
  assert.ok(plan({ lost: 0 }).stormSeconds > 0);
  const less = plan({ backSeconds: 1, updates: 10, connections: 100_000 });
  assert.equal(less.boxesBy.reconnects, less.boxes);
});

test("a socket that has much waiting is written to in pieces", () => {
  const { perClient } = plan({ rate: "all", updates: 100, rooms: 40, bytes: 60_000 });
  const small = plan({ rate: "all", updates: 100, rooms: 40, bytes: 100 }).perClient;
  const bytes = CALIBRATION.prices.byte * 100 * 59_900;
  const more = perClient.cpuMicrosPerSecond - small.cpuMicrosPerSecond - bytes;
  assert.ok(more > 2 * 63 * CALIBRATION.prices.write, `${more} µs for more writes`);
});

test("more messages than a worker takes in cannot be planned, and it says why", () => {
  assert.throws(() => plan({ updates: 2_000_000 }), /more than a worker takes in/);
  assert.throws(() => plan({ memoryGiB: 0.5, updates: 10 }), /the workers alone take more memory/);
});

test("the text has the answer, what binds and the uncertainty", () => {
  const text = planText(WISH, plan(), CALIBRATION);
  assert.match(text, /^\d+ boxes of 8 cores, 16 GiB and 10 Gbit\/s, 8 workers each\n/);
  assert.match(text, /Bound by the cores/);
  assert.match(text, /\n\d+ to \d+: CPU may be off by 20 %/);
  assert.match(text, /With 1 lost:\n.*its clients are back after (less than 1 s|[\d.]+ s)/);
  assert.match(text, /Were everybody cut at once:\n {2}all are back after [\d.]+ s/);
  assert.match(text, /NATS, which several boxes need:\n {2}15,000 messages\/s in, .* MB\/s to disk/);
});

test("a file that is no calibration is refused with what is wrong", () => {
  assert.throws(() => parseCalibration("{"), /no JSON/);
  assert.throws(() => parseCalibration('{"format":"other"}'), /no calibration of this version/);
  assert.throws(() => parseCalibration("null"), /no calibration of this version/);
  assert.throws(() => parseCalibration('{"format":"fanwire-calibration/1"}'), /another version.*anew/);
  assert.deepEqual(parseCalibration(JSON.stringify(CALIBRATION)), CALIBRATION);
});
