import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRoom, type RoomName } from "../protocol/room-name.js";
import { Census, LARGEST_MAX } from "./census.js";
import { EngineRig } from "./engine-rig.testkit.js";
import type { Room } from "./room.js";
import type { OpenRoom } from "./rooms.js";

/** Rooms by name with members and the bytes that they wrote since they were asked last. */
function roomsOf(list: readonly { readonly name: string; readonly members: number; bytes: number }[]): {
  all(): Iterator<OpenRoom>;
  find(name: RoomName): OpenRoom | undefined;
} {
  const rooms = new Map(
    list.map((entry) => {
      const room = {
        name: parseRoom(entry.name),
        tookBytes: 0,
        takeWroteBytes: () => {
          room.tookBytes = entry.bytes;
          entry.bytes = 0;
          return room.tookBytes;
        },
      };
      return [room.name, { members: entry.members, room: room as unknown as Room }] as const;
    }),
  );
  return { all: () => rooms.values(), find: (name) => rooms.get(name) };
}

test("the largest of many rooms are found in passes of bounded steps, and rates need two of them", () => {
  const list = Array.from({ length: 50_000 }, (_, at) => ({
    name: `r.${at}`,
    members: at % 1_000,
    bytes: 0,
  }));
  list.push({ name: "r.big", members: 5_000, bytes: 7 });
  const rooms = roomsOf(list);
  const census = new Census();
  assert.equal(census.step(rooms, 1_000).subscribers, undefined);
  assert.equal(census.step(rooms, 2_000).subscribers, undefined);
  const first = census.step(rooms, 3_000);
  assert.deepEqual(first.subscribers?.slice(0, 2), [
    { room: "r.big", count: 5_000 },
    { room: "r.999", count: 999 },
  ]);
  assert.equal(first.subscribers?.length, LARGEST_MAX);
  assert.equal(first.bytes, undefined, "since when it counted is not known");
  for (const [at, entry] of list.entries()) entry.bytes = at === 17 ? 6_000 : at === 3 ? 9_000 : 0;
  census.step(rooms, 4_000);
  census.step(rooms, 5_000);
  // From the beginning of one pass to that of the next it was three seconds.
  const { bytes, named } = census.step(rooms, 6_000, [parseRoom("r.17"), parseRoom("r.none")]);
  assert.deepEqual(bytes, [
    { room: "r.3", count: 3_000 },
    { room: "r.17", count: 2_000 },
  ]);
  assert.deepEqual(named, [{ room: "r.17", subscribers: 17, bytes: 2_000 }], "small ones by name");
});

test("after nobody looked for long, what was counted meanwhile is no rate", () => {
  const list = [{ name: "a", members: 1, bytes: 0 }];
  const rooms = roomsOf(list);
  const census = new Census();
  census.step(rooms, 0);
  assert.deepEqual(census.step(rooms, 1_000).bytes, []);
  const [entry] = list;
  assert.ok(entry !== undefined);
  entry.bytes = 1e9;
  assert.equal(census.step(rooms, 100_000).bytes, undefined);
  entry.bytes = 5_000;
  assert.deepEqual(census.step(rooms, 101_000).bytes, [{ room: "a", count: 5_000 }]);
});

test("bytes are those of every socket, whether it is alone, on a topic or in a conflated class", async () => {
  const rig = new EngineRig();
  const alone = rig.connect();
  const others = [rig.connect(), rig.connect(), rig.connect()];
  await alone.subscribe("chat.alone");
  for (const [at, one] of others.entries()) await one.subscribe("chat.hall", at === 2 ? { rate: 10 } : {});
  rig.engine.look(rig.nowMs);
  const sent = (all: readonly (typeof alone)[]): number =>
    all.flatMap(({ socket }) => socket.chunks).reduce((sum, chunk) => sum + chunk.length, 0);
  for (const { socket } of [alone, ...others]) socket.chunks.length = 0;
  for (const room of ["chat.alone", "chat.hall", "chat.hall"]) await rig.publish(room, 7);
  await rig.advance(1_000);
  assert.ok(sent([alone]) > 0 && sent(others) > sent([alone]));
  assert.deepEqual(rig.engine.look(rig.nowMs).rooms, {
    named: [],
    subscribers: [
      { room: "chat.hall", count: 3 },
      { room: "chat.alone", count: 1 },
    ],
    bytes: [
      { room: "chat.hall", count: sent(others) },
      { room: "chat.alone", count: sent([alone]) },
    ],
  });
});

test("a room is inspected by class, and one that is not open is none", async () => {
  const rig = new EngineRig();
  for (const rate of ["all", "all", 10] as const) await rig.connect().subscribe("chat.hall", { rate });
  await rig.publish("chat.hall", 7);
  await rig.advance(1_000);
  const report = rig.engine.inspect(parseRoom("chat.hall"));
  assert.deepEqual(
    [report?.subscribers, report?.classes, report?.head.offset, report?.ringMessages],
    [
      3,
      [
        { rate: "all", members: 2 },
        { rate: 10, members: 1 },
      ],
      1,
      1,
    ],
  );
  assert.equal(rig.engine.inspect(parseRoom("chat.other")), undefined);
});

test("who has most waiting is named first, with what became of it", async () => {
  const rig = new EngineRig();
  const [calm, behind, lagging] = [rig.connect(), rig.connect(), rig.connect()];
  await Promise.all([calm, behind, lagging].map((one) => one.subscribe("chat.hall")));
  behind.socket.buffered = 40_000;
  lagging.socket.buffered = 60_000;
  behind.session.drained();
  lagging.session.dropped();
  await rig.settle();
  rig.engine.sweep(rig.nowMs);
  rig.nowMs += 500;
  const { clients, watched } = rig.engine.look(rig.nowMs).slow;
  assert.equal(watched, 2);
  assert.deepEqual(
    clients.map(({ session, state, bufferedBytes, stillMs }) => [session, state, bufferedBytes, stillMs]),
    [
      [lagging.session.id, "lagging", 60_000, 500],
      [behind.session.id, "behind", 40_000, 500],
    ],
  );
});
