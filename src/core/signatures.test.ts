import assert from "node:assert/strict";
import { test } from "node:test";
import { layered } from "../broker/broker-layer.testkit.js";
import { CodedError } from "../protocol/errors.js";
import type { ClientFrame, ServerFrame } from "../protocol/frames.js";
import { parseRoom } from "../protocol/room-name.js";
import { OPEN_ACCESS } from "./access.js";
import { EngineRig, type TestConnection } from "./engine-rig.testkit.js";

const room = parseRoom("cursors.board");

const move = (data: unknown, key?: string, where = room): ClientFrame => ({
  type: "publish",
  ref: 0,
  room: where,
  data,
  key,
});

const seen = (frames: readonly ServerFrame[]): unknown[] =>
  frames.map((frame) => (frame.type === "message" ? [frame.key, frame.data] : frame.type));

async function crowd(size: number, rig = new EngineRig()): Promise<TestConnection[]> {
  const clients = Array.from({ length: size }, () => rig.connect());
  for (const client of clients) await client.subscribe(room, { echo: false });
  for (const client of clients) client.socket.take();
  return clients;
}

test("whatever key a client gives, it is its session that moves", async () => {
  const [first, second] = (await crowd(2)) as [TestConnection, TestConnection];
  await first.ask(move(1), move(2, second.session.id));
  assert.deepEqual(seen(second.socket.take()), [
    [first.session.id, 1],
    [first.session.id, 2],
  ]);
  assert.deepEqual(first.socket.take(), [], "not its own");
});

test("a key goes with its connection, in every room where it was, and the others are told once", async () => {
  const rig = new EngineRig();
  const [leaver, stayer, silent] = (await crowd(3, rig)) as [TestConnection, TestConnection, TestConnection];
  await stayer.subscribe("cursors.other");
  await leaver.ask(move(1), move(2), move(3, undefined, parseRoom("cursors.other")));
  stayer.socket.take();
  leaver.session.closed(rig.nowMs);
  silent.session.closed(rig.nowMs);
  await rig.settle();
  const told = stayer.socket.take().filter((frame) => frame.type === "message");
  assert.deepEqual(told.map(({ room: where }) => where).sort(), ["cursors.board", "cursors.other"]);
  for (const { key, data } of told) assert.deepEqual([key, data], [leaver.session.id, null]);
  assert.equal(rig.counters.keysRemoved, 2);
});

test("who has taken the key out himself leaves nothing to take out", async () => {
  const rig = new EngineRig();
  const [leaver, stayer] = (await crowd(2, rig)) as [TestConnection, TestConnection];
  await leaver.ask(move(1), move(null));
  leaver.session.closed(rig.nowMs);
  await rig.settle();
  assert.deepEqual(seen(stayer.socket.take()), [
    [leaver.session.id, 1],
    [leaver.session.id, null],
  ]);
});

test("fifty who move sixty times a second come in twenty frames a second", async () => {
  const rig = new EngineRig();
  const clients = Array.from({ length: 50 }, () => rig.connect());
  for (const client of clients) await client.subscribe(room, { echo: false, rate: 20 });
  const watcher = clients[0] ?? assert.fail();
  const before = watcher.socket.chunks.length;
  watcher.socket.take();
  for (let frame = 0; frame < 60; frame += 1) {
    for (const client of clients.slice(1)) await client.ask(move(frame));
    await rig.advance(1_000 / 60);
  }
  await rig.advance(100);
  const frames = watcher.socket.chunks.length - before;
  assert.ok(frames >= 15 && frames <= 22, `${frames} frames`);
  const last = new Map<string | undefined, unknown>();
  for (const each of watcher.socket.take()) if (each.type === "message") last.set(each.key, each.data);
  assert.equal(last.size, 49);
  for (const value of last.values()) assert.equal(value, 59);
});

test("a connection has its key in so many rooms, and no more", async () => {
  const rig = new EngineRig({ roomsPerConnection: 2 });
  const client = rig.connect();
  client.socket.take();
  const codes: unknown[] = [];
  for (const name of ["cursors.a", "cursors.b", "cursors.c", "cursors.a"]) {
    const [answer] = await client.ask({ ...move(1, undefined, parseRoom(name)), ref: 1 });
    codes.push(answer?.type === "error" ? answer.code : answer?.type);
  }
  assert.deepEqual(codes, ["ok", "ok", "too_many_rooms", "ok"]);
  assert.equal(rig.counters.tooManyRooms, 1);
});

test("in a room that keeps state, the snapshot has the keys of those who are there", async () => {
  const rig = new EngineRig();
  const where = parseRoom("desks.a");
  const [leaver, stayer] = [rig.connect(), rig.connect()];
  await leaver.ask(move("here", undefined, where));
  await stayer.ask(move("here", undefined, where));
  leaver.session.closed(rig.nowMs);
  await rig.settle();
  const late = rig.connect();
  late.socket.take();
  const frames = await late.subscribe(where, { state: true });
  assert.deepEqual(seen(frames), ["ok", [stayer.session.id, "here"], "live"]);
});

test("a user's key goes with the last of his connections", async () => {
  const rig = new EngineRig();
  const [watcher] = (await crowd(1, rig)) as [TestConnection];
  const ada = { ...OPEN_ACCESS, sub: "ada" };
  const [desk, phone] = [rig.connect(undefined, ada), rig.connect(undefined, ada)];
  await desk.ask(move(1));
  await phone.ask(move(2));
  desk.session.closed(rig.nowMs);
  await rig.settle();
  assert.deepEqual(seen(watcher.socket.take()), [
    ["ada", 1],
    ["ada", 2],
  ]);
  phone.session.closed(rig.nowMs);
  await rig.settle();
  assert.deepEqual(seen(watcher.socket.take()), [["ada", null]]);
  const long = rig.connect(undefined, { ...OPEN_ACCESS, sub: "x".repeat(200) });
  await long.ask(move(3));
  assert.deepEqual(seen(watcher.socket.take()), [[long.session.id, 3]]);
});

test("keys of those who leave while the broker is away go when it is back, but of who has come again", async () => {
  let isAway = false;
  const rig = new EngineRig({}, (broker) =>
    layered(broker, {
      publish: (outgoing) =>
        isAway ? Promise.reject(new CodedError("unavailable", "away", 100)) : broker.publish(outgoing),
    }),
  );
  const [leaver, watcher] = (await crowd(2, rig)) as [TestConnection, TestConnection];
  const ada = { ...OPEN_ACCESS, sub: "ada" };
  const desk = rig.connect(undefined, ada);
  await desk.ask(move(1));
  await leaver.ask(move(2));
  watcher.socket.take();
  isAway = true;
  for (const { session } of [leaver, desk]) session.closed(rig.nowMs);
  for (let sweeps = 0; sweeps < 3; sweeps += 1) {
    await rig.settle();
    rig.engine.sweep(rig.nowMs);
  }
  await rig.settle();
  assert.deepEqual(watcher.socket.take(), []);
  isAway = false;
  await rig.connect(undefined, ada).ask(move(3));
  rig.engine.sweep(rig.nowMs);
  await rig.settle();
  assert.deepEqual(seen(watcher.socket.take()), [
    ["ada", 3],
    [leaver.session.id, null],
  ]);
  assert.equal(rig.counters.keysRemoved, 2);
});
