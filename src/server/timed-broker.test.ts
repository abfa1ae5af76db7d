import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryBroker } from "../broker/memory.js";
import { BUCKETS_MS } from "../core/histogram.js";
import { DEFAULT_ROOM_SETTINGS } from "../core/settings.js";
import { parseRoom } from "../protocol/room-name.js";
import { TimedBroker } from "./timed-broker.js";

const room = parseRoom("a.b");
const sink = { message: () => undefined, reset: () => undefined };

/** A broker whose answers come when the test lets them. */
class HeldBroker extends MemoryBroker {
  release: (() => void) | undefined;

  constructor() {
    super({ settingsOf: () => ({ ...DEFAULT_ROOM_SETTINGS, state: true }) });
  }

  override history(...args: Parameters<MemoryBroker["history"]>): ReturnType<MemoryBroker["history"]> {
    return new Promise((resolve) => {
      this.release = () => resolve(super.history(...args));
    });
  }
}

const total = (counts: readonly number[]): number => counts.reduce((sum, count) => sum + count, 0);

test("answers and refusals are the broker's own, and each is timed", async () => {
  const broker = new TimedBroker(new HeldBroker());
  const head = await broker.open(room, sink);
  for (let offset = 1; offset <= 3; offset += 1)
    assert.equal(
      (await broker.publish({ room, data: Uint8Array.of(1), key: "k" })).offset,
      head.offset + offset,
    );
  assert.equal((await broker.state(room)).messages.length, 1);
  broker.close(room);
  await broker.stop(100);
  await assert.rejects(broker.publish({ room, data: Uint8Array.of(1) }), { code: "unavailable" });
  const times = broker.times();
  assert.deepEqual(
    Object.entries(times).map(([operation, { counts }]) => [operation, total(counts)]),
    [
      ["publish", 4],
      ["open", 1],
      ["history", 0],
      ["state", 1],
    ],
  );
});

test("the time is that until the answer", async () => {
  const held = new HeldBroker();
  const broker = new TimedBroker(held);
  const page = broker.history(room, "oldest", 10);
  assert.equal(total(broker.times().history.counts), 0);
  const sinceMs = performance.now();
  while (performance.now() - sinceMs < 25);
  held.release?.();
  await page;
  const { counts, sumMs } = broker.times().history;
  assert.ok(sumMs >= 25, String(sumMs));
  assert.equal(total(counts.slice(BUCKETS_MS.indexOf(25) + 1)), 1);
});

test("of many publishes some are timed, and stand for all", async () => {
  const broker = new TimedBroker(new MemoryBroker({ settingsOf: () => DEFAULT_ROOM_SETTINGS }));
  const outgoing = { room, data: Uint8Array.of(1) };
  for (let batch = 0; batch < 20; batch += 1)
    await Promise.all(Array.from({ length: 1_000 }, () => broker.publish(outgoing)));
  const counted = total(broker.times().publish.counts);
  assert.ok(Math.abs(counted / 20_000 - 1) < 0.2, String(counted));
});
