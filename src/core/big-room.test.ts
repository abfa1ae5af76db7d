import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeClient } from "../protocol/client-wire.testkit.js";
import type { ClientFrame } from "../protocol/frames.js";
import { jsonWire } from "../protocol/wire.js";
import { crowd, resume, room, say, seen, taken, tick } from "./big-room.testkit.js";
import { EngineRig, type TestConnection } from "./engine-rig.testkit.js";

test("a tick flushes one lane, asks for the next, and each lane gets all that has come by its turn", async () => {
  const { rig, clients } = await crowd(3);
  await rig.publish("chat.a", 1);
  tick(rig);
  assert.deepEqual(taken(clients), [["0>1"], [], []]);
  assert.equal(rig.tickAsked, true);
  await rig.publish("chat.a", 2);
  tick(rig);
  assert.deepEqual(taken(clients), [[], ["0>1", "1>2"], []]);
  tick(rig);
  assert.deepEqual(taken(clients), [[], [], ["0>1", "1>2"]]);
  tick(rig);
  assert.deepEqual(taken(clients), [["1>2"], [], []]);
  assert.equal(rig.tickAsked, false);
  assert.deepEqual([rig.counters.lanes, rig.counters.laneFlushes, rig.counters.laneWaits], [3, 4, 5]);
});

test("rooms with few members in each lane go out in one tick, as many lanes as there are", async () => {
  const rig = new EngineRig({ laneSockets: 4 });
  const all = Array.from({ length: 12 }, () => rig.connect());
  const few = all.filter((_, index) => index === 1 || index % 4 === 0);
  for (const client of few) await client.subscribe("chat.a");
  for (const client of few) client.socket.take();
  await rig.publish("chat.a", 1);
  tick(rig);
  assert.deepEqual(taken(few), [["0>1"], ["0>1"], ["0>1"], ["0>1"]]);
  // Who is alone in a lane needs no topic there.
  assert.deepEqual(
    rig.published.map(({ topic }) => topic),
    ["b.0.chat.a"],
  );
  assert.deepEqual([rig.counters.topicPublishes, rig.counters.directWrites], [1, 2]);
});

/** Lanes of two: both full ones before the last, where a newcomer finds one member. */
async function threeLanes(): Promise<{
  readonly rig: EngineRig;
  /** One of each lane. */
  readonly clients: TestConnection[];
  readonly newcomer: TestConnection;
}> {
  const { rig, clients } = await crowd(5, { laneSockets: 2 });
  const newcomer = rig.connect();
  newcomer.socket.take();
  assert.equal(newcomer.session.lane, clients[4]?.session.lane);
  return { rig, clients: clients.filter((_, index) => index % 2 === 0), newcomer };
}

test("a member of a lane that waits is replayed up to where the lane is, and gets the rest with it", async () => {
  const { rig, clients, newcomer } = await threeLanes();
  await rig.publish("chat.a", 1);
  await rig.settle();
  taken(clients);
  await rig.publish("chat.a", 2);
  await resume(newcomer, 0);
  tick(rig);
  assert.deepEqual(taken([...clients, newcomer]), [["1>2"], [], [], ["ok", "0>1", "live 1"]]);
  await rig.settle();
  assert.deepEqual(taken([...clients, newcomer]), [[], ["1>2"], ["1>2"], ["1>2"]]);
});

test("one that is ahead of its lane waits for it, and then misses nothing and gets nothing twice", async () => {
  const { rig, clients, newcomer } = await threeLanes();
  await rig.publish("chat.a", 1);
  tick(rig);
  // Begins at the head, which its lane has not been sent.
  say(newcomer, { type: "subscribe", ref: 1, room, options: {} });
  tick(rig);
  assert.deepEqual(taken([...clients, newcomer]), [["0>1"], ["0>1"], [], ["ok"]]);
  await rig.publish("chat.a", 2);
  tick(rig);
  assert.deepEqual(taken([...clients, newcomer]), [[], [], ["0>1", "1>2"], ["1>2", "live 2"]]);
  await rig.settle();
  assert.deepEqual(taken([...clients, newcomer]), [["1>2"], ["1>2"], [], []]);
});

test("the first member of a lane need not wait for what others have still to be sent", async () => {
  const { rig, clients } = await crowd(3);
  const first = rig.connect();
  first.socket.take();
  await rig.publish("chat.a", 1);
  tick(rig);
  say(first, { type: "subscribe", ref: 1, room, options: { last: 1 } });
  tick(rig);
  assert.deepEqual(taken([...clients, first]), [["0>1"], ["0>1"], [], ["ok", "0>1", "live 1"]]);
  await rig.settle();
  assert.deepEqual(taken([...clients, first]), [[], [], ["0>1"], []]);
});

test("a lane that has still to send a reset is joined behind it, and everybody is told once", async () => {
  const { rig, clients, newcomer } = await threeLanes();
  for (let count = 0; count < 3; count += 1) await rig.publish("chat.a", count);
  await rig.settle();
  taken(clients);
  rig.engine.rooms.reset(room, { epoch: "next", offset: 0 }, "epoch");
  tick(rig);
  // Position 0 of the new epoch is below the 3 of the old one where the lane stands.
  say(newcomer, { type: "subscribe", ref: 1, room, options: {} });
  tick(rig);
  assert.deepEqual(taken([...clients, newcomer]), [["reset"], ["reset"], [], ["ok"]]);
  await rig.settle();
  assert.deepEqual(taken([...clients, newcomer]), [[], [], ["reset"], ["live 0"]]);
});

test("what is behind a reset waits for another tick of its lane, however much room the tick has", async () => {
  const { rig, clients } = await crowd(2, { laneSockets: 10 });
  rig.engine.rooms.reset(room, { epoch: "next", offset: 7 }, "epoch");
  rig.engine.rooms.reset(room, { epoch: "again", offset: 0 }, "purged");
  tick(rig);
  assert.deepEqual(taken(clients), [["reset"], ["reset"]]);
  assert.equal(rig.tickAsked, true);
  tick(rig);
  assert.deepEqual(taken(clients), [["reset"], ["reset"]]);
  assert.equal(rig.tickAsked, false);
});

test("a publish that throws costs its own lane of its own room that flush, and nobody else anything", async () => {
  const { rig, clients } = await crowd(6, { laneSockets: 2 });
  for (const client of clients.slice(2, 4)) await client.subscribe("chat.b");
  taken(clients);
  rig.failing = (topic) => topic === "b.1.chat.a";
  await rig.publish("chat.a", 1);
  await rig.publish("chat.b", 1);
  tick(rig);
  assert.throws(() => tick(rig), /on purpose/);
  assert.equal(rig.tickAsked, true);
  rig.failing = () => false;
  await rig.settle();
  assert.deepEqual(
    rig.published.map(({ topic }) => topic),
    ["b.0.chat.a", "b.2.chat.a", "b.1.chat.b"],
  );
  await rig.publish("chat.a", 2);
  await rig.settle();
  const [first, , second, , third] = taken(clients);
  // Those of the second lane got the other room's message, and see by `prev` that they missed one of this.
  assert.deepEqual(
    [first, second, third],
    [
      ["0>1", "1>2"],
      ["0>1", "1>2"],
      ["0>1", "1>2"],
    ],
  );
});

test("a reset is told also where the messages before it could not be sent", async () => {
  const { rig, clients } = await crowd(2, { laneSockets: 2 });
  let calls = 0;
  rig.failing = (topic) => topic === "b.0.chat.a" && calls++ === 0;
  await rig.publish("chat.a", 1);
  rig.engine.rooms.reset(room, { epoch: "next", offset: 0 }, "epoch");
  assert.throws(() => tick(rig), /on purpose/);
  assert.deepEqual(taken(clients), [["reset"], ["reset"]]);
});

test("a socket that lags leaves its lane's topics before they are flushed, and resumes without a gap", async () => {
  const { rig, clients } = await crowd(2);
  const [first, slow] = clients;
  assert.ok(first !== undefined && slow !== undefined);
  await rig.publish("chat.a", 1);
  await rig.publish("chat.a", 2);
  tick(rig);
  slow.socket.buffered = 70_000;
  slow.session.dropped();
  await rig.settle();
  assert.deepEqual([taken(clients), [...slow.socket.topics]], [[["0>1", "1>2"], []], []]);
  slow.socket.buffered = 0;
  slow.session.drained();
  await rig.settle();
  assert.deepEqual(seen(slow.socket.take()), ["lagged"]);
  await resume(slow, 0);
  await rig.settle();
  assert.deepEqual(seen(slow.socket.take()), ["ok", "0>1", "1>2", "live 2"]);
});

test("who leaves while its lane waits gets nothing more, and takes nothing from those who wait on", async () => {
  const { rig, clients } = await crowd(4);
  const [, second, third, last] = clients;
  assert.ok(second !== undefined && third !== undefined && last !== undefined);
  const { flow } = await rig.engine.rooms.acquire(room);
  await rig.publish("chat.a", 1);
  tick(rig);
  say(second, { type: "unsubscribe", ref: 0, room });
  third.session.closed(rig.nowMs);
  await rig.settle();
  assert.deepEqual(taken(clients), [["0>1"], [], [], ["0>1"]]);
  await rig.publish("chat.a", 2);
  const start = flow.last;
  tick(rig);
  assert.notEqual(start.next, undefined);
  say(last, { type: "unsubscribe", ref: 0, room });
  // Nobody needs the message any more, so it is not kept until the lane's turn.
  assert.equal(start.next, undefined);
  await rig.settle();
  assert.deepEqual(taken(clients), [["1>2"], [], [], []]);
});

test("who has left a room gets nothing of it for what it publishes there, echo or not", async () => {
  const { rig, clients } = await crowd(2, { laneSockets: 2 });
  const [own, other] = clients;
  assert.ok(own !== undefined && other !== undefined);
  await own.subscribe("chat.a", { echo: false });
  say(own, { type: "unsubscribe", ref: 0, room });
  own.socket.take();
  await rig.publish("chat.a", 1);
  await own.ask({ type: "publish", ref: 0, room, data: "mine", key: undefined });
  assert.deepEqual(taken([own, other]), [[], ["0>1", "1>2"]]);
  assert.deepEqual([...own.socket.topics], []);
});

test("replays that a throw kept waiting go on in the next tick", async () => {
  const { rig, clients } = await crowd(2, { laneSockets: 2 });
  const late = rig.connect();
  late.socket.take();
  await rig.publish("chat.a", 1);
  await rig.settle();
  await rig.publish("chat.a", 2);
  rig.failing = () => true;
  await resume(late, 0);
  rig.tickAsked = false;
  assert.throws(() => rig.engine.tick(rig.nowMs), /on purpose/);
  assert.equal(rig.tickAsked, true);
  rig.failing = () => false;
  await rig.settle();
  assert.deepEqual(taken([...clients, late]), [["0>1"], ["0>1"], ["ok", "0>1", "1>2", "live 2"]]);
});

test("while lanes wait for their turn those who catch up have a quarter of a tick's share", async () => {
  const { rig, clients } = await crowd(3, { replayBytesPerTick: 8 * 4_096 });
  await rig.publish("chat.a", 1);
  await rig.settle();
  const late = Array.from({ length: 10 }, () => rig.connect());
  taken([...clients, ...late]);
  await rig.publish("chat.a", 2);
  for (const client of late) await resume(client, 0);
  const served: number[][] = [];
  for (let turn = 0; turn < 3; turn += 1) {
    tick(rig);
    const count = (those: readonly TestConnection[]): number =>
      taken(those).filter(({ length }) => length > 0).length;
    served.push([count(clients), count(late)]);
  }
  // Of ten: two beside each of the first lanes, and the rest when none waits any more.
  assert.deepEqual(served, [
    [1, 2],
    [1, 2],
    [1, 6],
  ]);
  assert.equal(rig.tickAsked, false);
});

test("a room that closes while lanes wait is opened anew without what was left of it", async () => {
  const { rig, clients } = await crowd(2, { roomLingerMs: 0 });
  await rig.publish("chat.a", 1);
  tick(rig);
  for (const client of clients) say(client, { type: "unsubscribe", ref: 0, room });
  await rig.publish("chat.a", 2);
  rig.engine.sweep(rig.nowMs);
  assert.equal(rig.engine.openRooms, 0);
  for (const client of clients) say(client, { type: "subscribe", ref: 1, room, options: {} });
  await rig.settle();
  await rig.publish("chat.a", 3);
  await rig.settle();
  assert.deepEqual(taken(clients), [
    ["0>1", "ok", "live 2", "2>3"],
    ["ok", "live 2", "2>3"],
  ]);
});

test("every message of an ephemeral room goes to every lane, each in its turn", async () => {
  const { rig, clients } = await crowd(3, {}, "cursors.a");
  await rig.publish("cursors.a", 1, "me");
  tick(rig);
  await rig.publish("cursors.a", 2, "me");
  await rig.settle();
  assert.deepEqual(taken(clients), [
    ["0>0", "0>0"],
    ["0>0", "0>0"],
    ["0>0", "0>0"],
  ]);
});

test("in a lane that is behind, echo: false leaves own messages out and chains over them", async () => {
  const { rig, clients } = await crowd(2);
  const [, own] = clients;
  assert.ok(own !== undefined);
  await own.subscribe("chat.a", { echo: false });
  own.socket.take();
  await rig.publish("chat.a", 1);
  tick(rig);
  say(own, { type: "publish", ref: 0, room, data: "mine", key: undefined });
  await rig.publish("chat.a", 3);
  say(own, { type: "publish", ref: 0, room, data: "mine", key: undefined });
  await rig.settle();
  assert.deepEqual(taken(clients), [
    ["0>1", "1>2", "2>3", "3>4"],
    ["0>1", "1>3", "live 4"],
  ]);
  await rig.publish("chat.a", 5);
  await rig.settle();
  assert.deepEqual(taken(clients), [["4>5"], ["4>5"]]);
});

test("both wires have topics of their own in a lane, and each member gets its own kind of bytes", async () => {
  const rig = new EngineRig({ laneSockets: 2 });
  const clients = [rig.connect(), ...Array.from({ length: 3 }, () => rig.connect(jsonWire))];
  for (const { session } of clients) {
    const frame: ClientFrame = { type: "subscribe", ref: 1, room, options: {} };
    const bytes = session.wire.binary ? encodeClient(frame) : new TextEncoder().encode('[1,1,"chat.a"]');
    session.receive(bytes, rig.nowMs);
  }
  await rig.settle();
  await rig.publish("chat.a", 1);
  tick(rig);
  tick(rig);
  assert.deepEqual(
    rig.published.map(({ topic }) => topic),
    ["b.0.chat.a", "j.0.chat.a", "j.1.chat.a"],
  );
  const [binary, ...texts] = rig.published.map(({ bytes }) => new TextDecoder().decode(bytes));
  assert.notEqual(binary?.[0], "[");
  for (const text of texts) assert.deepEqual(JSON.parse(text).slice(0, 4), [19, "chat.a", 1, 0]);
});

test("a closed connection gives its place back, and the next takes it", async () => {
  const { rig, clients } = await crowd(4, { laneSockets: 2 });
  const lanes = (): number[] => rig.sockets.map(({ session }) => session.lane.id);
  assert.deepEqual([lanes(), rig.counters.lanes], [[0, 0, 1, 1], 2]);
  clients[0]?.session.closed(rig.nowMs);
  clients[0]?.session.closed(rig.nowMs);
  rig.connect();
  rig.connect();
  assert.deepEqual([lanes().slice(4), rig.counters.lanes], [[0, 2], 3]);
});
