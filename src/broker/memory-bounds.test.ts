import assert from "node:assert/strict";
import { test } from "node:test";
import { encode } from "@msgpack/msgpack";
import { LOG_MESSAGE_OVERHEAD_BYTES, LOG_OVERHEAD_BYTES } from "../core/log-chunks.js";
import type { Message } from "../protocol/message.js";
import { parseRoom, type RoomName } from "../protocol/room-name.js";
import { at, Collector, offsetsOf } from "./conformance-rig.testkit.js";
import { A, B, C, D, MemoryKit, SILENT, unavailable } from "./memory.testkit.js";
import { HISTORY_SHARE } from "./memory-limits.js";

test("the bound on bytes drops the oldest messages of all rooms, and readers are told", async () => {
  const kept = 5;
  const message = (await sizeOf(A, 0)) + LOG_MESSAGE_OVERHEAD_BYTES;
  const full = 3 * LOG_OVERHEAD_BYTES + kept * message;
  const kit = new MemoryKit({ bytes: Math.ceil(full / HISTORY_SHARE) });
  for (const room of [A, B, A, B, A]) await kit.publish(room, 0);
  assert.equal(kit.broker.counters.evictedMessages, 0);
  const { epoch } = await kit.publish(C, 0);
  await kit.publish(C, 0);
  assert.equal(kit.broker.counters.evictedMessages, 2);
  assert.deepEqual(await kit.offsets(A), [2, 3]);
  assert.deepEqual(await kit.offsets(B), [2]);
  assert.deepEqual(await kit.offsets(C), [1, 2]);
  assert.equal(await kit.lost(A, { epoch, offset: 0 }), "expired");
  assert.equal(await kit.lost(A, { epoch, offset: 1 }), undefined);
  assert.equal(kit.broker.usage.bytes, full);
});

test("history never pushes out state", async () => {
  const kit = new MemoryKit({ bytes: 16_000 });
  const keyed = parseRoom("keyed.a");
  await kit.publish(keyed, "quiet", "quiet");
  for (let index = 0; index < 100; index += 1) await kit.publish(parseRoom(`log.r${index}`), index);
  assert.ok(kit.broker.counters.evictedMessages > 0);
  assert.deepEqual(await kit.offsets(keyed), []);
  const { messages, droppedKeys } = await kit.broker.state(keyed);
  assert.equal(messages.length, 1);
  assert.equal(droppedKeys, 0);
});

test("state above its share of the bytes drops the keys that are oldest over all rooms, and says so", async () => {
  const kit = new MemoryKit({ bytes: 16_000 });
  const [quiet, busy] = [parseRoom("keyed.a"), parseRoom("keyed.b")];
  await kit.publish(quiet, "quiet", "quiet");
  for (let index = 0; index < 15; index += 1) await kit.publish(busy, index, `k${index}`);
  assert.deepEqual((await kit.broker.state(quiet)).messages, []);
  assert.equal((await kit.broker.state(quiet)).droppedKeys, 1);
  const { messages, droppedKeys } = await kit.broker.state(busy);
  assert.equal(messages.length + droppedKeys, 15);
  assert.equal(at(messages, -1).key, "k14");
  assert.equal(kit.broker.counters.droppedKeys, 1 + droppedKeys);
  assert.equal(kit.broker.counters.evictedMessages, 0);
  assert.equal((await kit.offsets(busy)).length, 10);
  assert.ok(kit.broker.usage.bytes <= 16_000);
});

test("the bound on rooms forgets the least recently used that is not open", async () => {
  const kit = new MemoryKit({ rooms: 3 });
  const sink = new Collector(1_000);
  const first = await kit.publish(A, 0);
  await kit.broker.open(A, sink);
  const second = await kit.publish(B, 0);
  await kit.publish(C, 0);
  await kit.offsets(B);
  const fourth = await kit.publish(D, 0);
  assert.deepEqual(await kit.offsets(C), []);
  assert.deepEqual(await kit.offsets(B), [1]);
  assert.deepEqual(await kit.offsets(A), [1]);
  assert.equal(kit.broker.counters.forgottenRooms, 1);
  assert.equal(kit.broker.usage.rooms, 3);
  assert.equal(second.epoch, first.epoch);
  assert.notEqual(fourth.epoch, first.epoch);
  const again = await kit.publish(C, 0);
  assert.equal(again.offset, 1);
  assert.notEqual(again.epoch, fourth.epoch);
  assert.equal(await kit.lost(C, { epoch: first.epoch, offset: 1 }), "epoch");
});

test("where every room is open a further one is refused, until one closes", async () => {
  const kit = new MemoryKit({ rooms: 2 });
  await kit.publish(A, 0);
  await kit.broker.open(A, SILENT);
  await kit.broker.open(parseRoom("eph.a"), SILENT);
  await assert.rejects(kit.publish(B, 0), unavailable);
  await assert.rejects(kit.broker.open(B, SILENT), unavailable);
  await assert.rejects(kit.broker.open(parseRoom("eph.b"), SILENT), unavailable);
  assert.equal((await kit.publish(A, 0)).offset, 2);
  kit.broker.close(parseRoom("eph.a"));
  assert.equal((await kit.publish(B, 0)).offset, 1);
  assert.equal(kit.broker.counters.forgottenRooms, 0);
});

test("rooms that were opened or read, but never published to, leave nothing behind", async () => {
  const kit = new MemoryKit({ rooms: 2 });
  const { epoch } = await kit.publish(A, 0);
  for (let index = 0; index < 10; index += 1) {
    const room = parseRoom(`log.guess${index}`);
    await kit.broker.open(room, SILENT);
    kit.broker.close(room);
    await kit.offsets(room);
    await kit.broker.state(room);
  }
  assert.equal(kit.broker.usage.rooms, 1);
  assert.equal((await kit.publish(A, 0)).epoch, epoch);
});

test("the bound on ids forgets the oldest", async () => {
  const kit = new MemoryKit({ ids: 2 });
  const publish = (id: string) => kit.broker.publish({ room: A, data: encode(0), id });
  for (const id of ["a", "b", "c"]) await publish(id);
  assert.equal(kit.broker.counters.droppedIds, 1);
  assert.deepEqual(offsetsOf([await publish("b"), await publish("c"), await publish("a")]), [2, 3, 4]);
  assert.equal(kit.broker.counters.duplicates, 2);
  assert.equal(kit.broker.usage.ids, 2);
  // What the window has ended for is no loss.
  kit.nowMs += 120_000;
  for (const id of ["a", "b", "c"]) await publish(id);
  assert.equal(kit.broker.counters.droppedIds, 3);
});

async function sizeOf(room: RoomName, value: unknown): Promise<number> {
  const messages: Message[] = [];
  const kit = new MemoryKit();
  await kit.broker.open(room, { ...SILENT, message: (message) => messages.push(message) });
  await kit.publish(room, value);
  return at(messages, 0).frame.byteLength;
}
