import assert from "node:assert/strict";
import { performance } from "node:perf_hooks";
import { test } from "node:test";
import { createGatewayCounters } from "./gateway-limits.js";
import { Ticks } from "./gateway-ticks.js";

const DEADLINE_MS = 10_000;

class Rig {
  readonly counters = createGatewayCounters();
  /** Whether each tick took in. */
  readonly ticks: boolean[] = [];
  readonly ticker: Ticks;
  workMs = 0;

  constructor(flushMsMax: number, busyMs?: () => number) {
    const tick = (_nowMs: number, takeIn: boolean): void => {
      this.ticks.push(takeIn);
      for (const endMs = performance.now() + this.workMs; performance.now() < endMs; );
    };
    this.ticker = new Ticks({ tick, flushMsMax, counters: this.counters, ...(busyMs && { busyMs }) });
  }

  async turn(): Promise<void> {
    await new Promise(setImmediate);
  }

  /** Works as if every flush cost that much, until one has to wait. */
  async strain(workMs: number): Promise<void> {
    this.workMs = workMs;
    for (const endMs = performance.now() + DEADLINE_MS; this.counters.flushWaits === 0; ) {
      assert.ok(performance.now() < endMs, "no flush ever waited");
      this.ticker.requestFlush();
      await this.turn();
    }
  }
}

test("on an idle loop a flush is in the same turn, however often it is asked for", async () => {
  const rig = new Rig(10, () => 0);
  for (let count = 1; count <= 20; count += 1) {
    for (let times = 0; times < 5; times += 1) rig.ticker.requestFlush();
    await rig.turn();
    assert.deepEqual(rig.ticks, Array(count).fill(true));
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  assert.equal(rig.counters.flushWaits, 0);
});

test("under load flushes wait, and ticks that are asked for meanwhile take nothing in", async () => {
  const rig = new Rig(1_000);
  await rig.strain(20);
  rig.workMs = 0;
  rig.ticks.length = 0;
  rig.ticker.request();
  await rig.turn();
  assert.deepEqual(rig.ticks, [false]);
  for (const endMs = performance.now() + DEADLINE_MS; !rig.ticks.includes(true); ) {
    assert.ok(performance.now() < endMs, "the flush that waited never came");
    await rig.turn();
  }
  assert.equal(rig.ticks.filter((takeIn) => takeIn).length, 1);
  rig.ticker.stop();
});

test("where no message may wait, none does, whatever the load", async () => {
  const rig = new Rig(0);
  rig.workMs = 20;
  for (let count = 1; count <= 30; count += 1) {
    rig.ticker.requestFlush();
    await rig.turn();
    assert.equal(rig.ticks.length, count);
  }
  assert.equal(rig.counters.flushWaits, 0);
});

test("nothing comes after the stop", async () => {
  const rig = new Rig(1_000);
  await rig.strain(20);
  rig.ticks.length = 0;
  rig.ticker.wakeAt(performance.now() + 20);
  rig.ticker.stop();
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.deepEqual(rig.ticks, []);
});

test("a tick comes at the earliest time that was asked for", async () => {
  const rig = new Rig(10);
  const beganMs = performance.now();
  for (const afterMs of [60_000, 30, 45_000]) rig.ticker.wakeAt(beganMs + afterMs);
  for (const endMs = performance.now() + DEADLINE_MS; rig.ticks.length === 0; ) {
    assert.ok(performance.now() < endMs, "no tick");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.ok(performance.now() - beganMs >= 29);
  assert.deepEqual(rig.ticks, [false]);
  rig.ticker.stop();
});
