import assert from "node:assert/strict";
import { test } from "node:test";
import { Watchdog } from "./watchdog.js";

test("silence beyond the limit is a stall", () => {
  const watchdog = new Watchdog(1_000, 0);
  for (let nowMs = 0; nowMs <= 3_000; nowMs += 250) watchdog.tick(nowMs);
  assert.equal(watchdog.stalledMs(2_500, 3_000), undefined);
  assert.equal(watchdog.stalledMs(2_000, 3_000), undefined);
  assert.equal(watchdog.stalledMs(1_999, 3_000), 1_001);
});

test("after a stall of the supervisor itself everybody has the full limit anew", () => {
  const watchdog = new Watchdog(1_000, 0);
  watchdog.tick(250);
  watchdog.tick(60_000);
  assert.equal(watchdog.stalledMs(200, 60_000), undefined);
  watchdog.tick(60_250);
  watchdog.tick(60_500);
  watchdog.tick(60_750);
  watchdog.tick(61_000);
  assert.equal(watchdog.stalledMs(200, 61_000), undefined);
  watchdog.tick(61_250);
  assert.equal(watchdog.stalledMs(200, 61_250), 1_250);
});
