import assert from "node:assert/strict";
import { test } from "node:test";
import { encode } from "@msgpack/msgpack";
import { DEFAULT_ROOM_SETTINGS } from "../core/settings.js";
import { parseRoom } from "../protocol/room-name.js";
import { MemoryBroker } from "./memory.js";
import { LISTS_MAX } from "./room-lists.js";

const SINK = { message: () => {}, reset: () => {} };
const ephemeral = { ...DEFAULT_ROOM_SETTINGS, ephemeral: true };

function brokerOf(rooms: number): MemoryBroker {
  return new MemoryBroker({
    settingsOf: (room) => (room.startsWith("eph") ? ephemeral : DEFAULT_ROOM_SETTINGS),
    id: "e",
    limits: { rooms },
  });
}

test("a list of many rooms lets others go on, and rooms that come and go meanwhile are no harm", async () => {
  const broker = brokerOf(30_000);
  const name = (index: number) => parseRoom(`r.${String(index).padStart(6, "0")}`);
  for (let index = 0; index < 30_000; index += 1)
    await broker.publish({ room: name(index), data: encode(0) });
  let ended = false;
  const list = broker.rooms("r.", "", 10).finally(() => {
    ended = true;
  });
  let turns = 0;
  for (; !ended; turns += 1) {
    // The oldest goes for each that comes; here, it comes back at once: it is in the broker twice while the list is made.
    await broker.publish({ room: name(turns % 2 === 0 ? 30_000 + turns : turns), data: encode(0) });
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.ok(turns >= 10, `${turns} turns`);
  const { rooms, more } = await list;
  const names = rooms.map(({ room }) => room);
  assert.deepEqual([names.length, more, new Set(names).size], [10, true, 10]);
  assert.deepEqual(names, [...names].sort());
});

test("rooms that are open are listed with nothing in them, ephemeral ones too, until they are closed", async () => {
  const broker = brokerOf(10);
  for (const name of ["eph.a", "log.a"]) await broker.open(parseRoom(name), SINK);
  await broker.publish({ room: parseRoom("eph.b"), data: encode(0) });
  const heads = async () => (await broker.rooms("", "", 10)).rooms.map(({ room, head }) => [room, head]);
  assert.deepEqual(await heads(), [
    ["eph.a", { epoch: "", offset: 0 }],
    ["log.a", { epoch: "e", offset: 0 }],
  ]);
  for (const name of ["eph.a", "log.a"]) broker.close(parseRoom(name));
  assert.deepEqual(await heads(), []);
});

test("to be listed is no use: the room that was not used for longest still goes first", async () => {
  const broker = brokerOf(2);
  const publish = (name: string) => broker.publish({ room: parseRoom(name), data: encode(0) });
  await publish("a");
  await publish("b");
  await broker.rooms("a", "", 10);
  await publish("c");
  assert.deepEqual(
    (await broker.rooms("", "", 10)).rooms.map(({ room }) => room),
    ["b", "c"],
  );
});

test("of too many lists at once some are refused and counted; later ones are made", async () => {
  const broker = brokerOf(10);
  const lists = await Promise.allSettled(
    Array.from({ length: LISTS_MAX + 3 }, () => broker.rooms("", "", 10)),
  );
  const refused = lists.filter((list) => list.status === "rejected");
  assert.equal(refused.length, 3);
  for (const { reason } of refused) assert.equal(reason.code, "unavailable");
  assert.equal(broker.counters.refusedLists, 3);
  assert.deepEqual(await broker.rooms("", "", 10), { rooms: [], more: false });
  await broker.stop(0);
  await assert.rejects(broker.rooms("", "", 10), { code: "unavailable" });
});
