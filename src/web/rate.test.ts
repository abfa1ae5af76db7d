import assert from "node:assert/strict";
import { test } from "node:test";
import { Rate } from "./rate.js";

test("a steady flow is its rate, whenever one looks", () => {
  const rate = new Rate(2_000, 0);
  for (let nowMs = 0; nowMs < 10_000; nowMs += 2) rate.add(1, nowMs);
  assert.ok(Math.abs(rate.perSecond(10_000) - 500) < 30);
});

test("what is older than the window is forgotten, also after a long silence", () => {
  const rate = new Rate(2_000, 0);
  rate.add(1_000, 0);
  assert.ok(rate.perSecond(1_000) > 900);
  assert.equal(rate.perSecond(2_500), 0);
  rate.add(10, 600_000);
  assert.equal(rate.perSecond(600_000), 5);
});
