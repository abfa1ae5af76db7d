import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { parseRoom } from "../protocol/room-name.js";
import { Availability } from "./availability.js";

const [A, B] = [parseRoom("a.a"), parseRoom("b.b")];

/** Two parts, and a clock that only the test moves. */
function rigOf(t: TestContext) {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const availability = new Availability((room) => (room === A ? 0 : 1));
  let told = 0;
  availability.onOutage(() => {
    told += 1;
  });
  const pass = (ms: number): void => {
    // A timer that is set amid a tick counts from its end.
    for (let passed = 0; passed < ms; passed += 100) t.mock.timers.tick(100);
  };
  return { availability, pass, told: () => told };
}

test("away for a moment is no outage", (t) => {
  const { availability, pass, told } = rigOf(t);
  availability.set(0, false);
  pass(1_900);
  availability.set(0, true);
  pass(10_000);
  assert.equal(availability.isAny, false);
  assert.equal(told(), 0);
});

test("parts that are away together are told together, each under its number, another one for each outage", (t) => {
  const { availability, pass, told } = rigOf(t);
  availability.set(0, false);
  pass(300);
  availability.set(1, false);
  availability.set(1, false);
  pass(2_300);
  assert.deepEqual([availability.outageOf(A), availability.outageOf(B)], [1, 2]);
  assert.equal(told(), 1);
  availability.set(0, true);
  assert.deepEqual([availability.outageOf(A), availability.isAny], [undefined, true]);
  availability.set(1, true);
  assert.equal(availability.isAny, false);
  availability.set(0, false);
  pass(2_500);
  assert.equal(availability.outageOf(A), 3);
  assert.equal(told(), 2);
});

test("a piece of a part is away by itself, and the part is not", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const availability = new Availability(
    () => 0,
    (room) => `FW_${room === A ? 1 : 2}`,
  );
  availability.setAway(0, ["FW_1"]);
  t.mock.timers.tick(2_000);
  assert.deepEqual([availability.outageOf(A), availability.outageOf(B)], [1, undefined]);
  availability.setAway(0, ["FW_1", "FW_2"]);
  availability.setAway(1, ["FW_9"]);
  t.mock.timers.tick(2_000);
  assert.deepEqual([availability.outageOf(A), availability.outageOf(B)], [1, 2]);
  availability.set(0, false);
  t.mock.timers.tick(2_000);
  assert.equal(availability.outageOf(A), 4, "of the whole part");
  availability.set(0, true);
  availability.setAway(0, ["FW_2"]);
  assert.deepEqual([availability.outageOf(A), availability.outageOf(B)], [undefined, 2]);
  availability.setAway(0, []);
  availability.setAway(1, []);
  assert.equal(availability.isAny, false);
  availability.stop();
});
