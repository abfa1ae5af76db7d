import assert from "node:assert/strict";
import { test } from "node:test";
import type { Watcher } from "../../core/ports.js";
import { DEFAULT_ROOM_SETTINGS } from "../../core/settings.js";
import { createMessage } from "../../protocol/message.js";
import { parseRoom } from "../../protocol/room-name.js";
import { parsePattern } from "../../protocol/room-pattern.js";
import { MemoryBroker } from "../memory.js";
import { partitioned, partitionOf } from "./partitioned.js";

test("a room's partition is what it has always been", () => {
  // Written down once: whatever changes these loses what is stored and voids positions.
  const places = ["a", "ticks.BTC-USD", "ticks.ETH-USD", "chat:1.x_y"].map((name) =>
    [2, 3, 16, 64].map((count) => partitionOf(parseRoom(name), count)),
  );
  assert.deepEqual(places, [
    [0, 0, 1, 6],
    [0, 0, 2, 8],
    [1, 2, 11, 46],
    [1, 2, 15, 63],
  ]);
});

test("similar names spread evenly, over any number of partitions", () => {
  for (const count of [1, 2, 3, 7, 64]) {
    const sizes = new Array<number>(count).fill(0);
    const rooms = 2_000 * count;
    for (let index = 0; index < rooms; index += 1) {
      const place = partitionOf(parseRoom(`ticks.s${index}`), count);
      sizes[place] = (sizes[place] ?? 0) + 1;
    }
    assert.equal(sizes.length, count);
    for (const size of sizes) assert.ok(size > 1_700 && size < 2_300, `${size} of ${rooms} in ${count}`);
  }
});

test("a list of rooms is of all brokers or of none: one that is away would be missing unseen", async () => {
  const brokers = [0, 1].map(() => new MemoryBroker({ settingsOf: () => DEFAULT_ROOM_SETTINGS }));
  const [one, other] = brokers;
  const whole = partitioned(brokers);
  const names = Array.from({ length: 20 }, (_, index) => parseRoom(`r.${index}`));
  for (const room of names) await whole.publish({ room, data: Uint8Array.of(1) });
  for (const broker of brokers) {
    const { length } = (await broker.rooms("", "", 100)).rooms;
    assert.ok(length > 0 && length < names.length, `${length} in one`);
  }
  const { rooms, more } = await whole.rooms("r.", "", 100);
  assert.deepEqual([rooms.map(({ room }) => room), more], [[...names].sort(), false]);
  await one?.stop(0);
  await assert.rejects(whole.rooms("r.", "", 100), { code: "unavailable" });
  await other?.stop(0);
});

test("without brokers there is nothing to part", () => {
  assert.throws(() => partitioned([]), /at least one/);
});

test("where all brokers see every room, a watched message is taken from its room's broker only", async () => {
  const watchers: Watcher[] = [];
  const brokers = [0, 1, 2].map(() => {
    const broker = new MemoryBroker({ settingsOf: () => DEFAULT_ROOM_SETTINGS });
    broker.watch = async (_pattern, watcher) => {
      watchers.push(watcher);
    };
    return broker;
  });
  const come: string[] = [];
  await partitioned(brokers).watch(parsePattern(">"), {
    message: ({ room }) => come.push(room),
    lost: (where) => come.push(`lost ${JSON.stringify(where)}`),
  });
  assert.equal(watchers.length, 3);
  const rooms = ["a", "b.c", "d", "e", "f.g"].map(parseRoom);
  for (const room of rooms) {
    const message = createMessage({ room, offset: 1, prev: 0, time: 1, data: Uint8Array.of(1) });
    for (const watcher of watchers) watcher.message(message);
    for (const watcher of watchers) watcher.lost({ room });
  }
  assert.deepEqual(
    come,
    rooms.flatMap((room) => [room, `lost {"room":"${room}"}`]),
  );
});
