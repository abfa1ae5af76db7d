import assert from "node:assert/strict";
import { test } from "node:test";
import { Lateness } from "./lateness.js";

test("a timer that is on time, more or less, shows nothing", () => {
  const lateness = new Lateness(5, 0);
  for (let now = 5; now <= 1_000; now += 15) lateness.tick(now);
  assert.equal(lateness.share(1_000), 0);
});

test("time without the timer counts, also where it is not over yet", () => {
  const lateness = new Lateness(5, 0);
  assert.deepEqual(
    [5, 410, 412].map((now) => lateness.tick(now)),
    [0, 400, 0],
  );
  assert.equal(lateness.share(1_015), (400 + 598) / 1_015);
  assert.equal(lateness.share(1_020), 0, "counted once");
});
