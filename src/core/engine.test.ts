import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeClient } from "../protocol/client-wire.testkit.js";
import { CHUNK_BYTES, type ClientFrame, type ServerFrame } from "../protocol/frames.js";
import { parseRoom } from "../protocol/room-name.js";
import { EngineRig } from "./engine-rig.testkit.js";

const offsets = (frames: readonly ServerFrame[]): string[] =>
  frames.map((frame) => (frame.type === "message" ? `${frame.prev}>${frame.offset}` : frame.type));

const codeOf = (frames: readonly ServerFrame[]): string[] =>
  frames.map((frame) => (frame.type === "error" ? frame.code : frame.type));

test("welcome comes first", () => {
  const { socket } = new EngineRig().connect();
  assert.deepEqual(socket.take(), [
    { type: "welcome", session: "s0", node: "test", pingMs: 25_000, maxBytes: 16_384 },
  ]);
});

test("a subscription begins at the head, and what is published follows", async () => {
  const rig = new EngineRig();
  await rig.publish("chat.a", 1);
  const client = rig.connect();
  client.socket.take();
  const [ok, live] = await client.subscribe("chat.a");
  assert.deepEqual(ok, { type: "ok", ref: 1, result: { epoch: rigEpoch(ok), offset: 1, recovered: false } });
  assert.equal(live?.type, "live");
  await rig.publish("chat.a", 2);
  await rig.publish("chat.a", 3);
  await rig.settle();
  assert.deepEqual(offsets(client.socket.take()), ["1>2", "2>3"]);
});

test("the messages of a tick go out in one publish", async () => {
  const rig = new EngineRig();
  for (let count = 0; count < 2; count += 1) await rig.connect().subscribe("chat.a");
  for (let count = 0; count < 64; count += 1) void rig.publish("chat.a", 1);
  await rig.settle();
  assert.equal(rig.published.length, 1);
  assert.equal(rig.counters.topicPublishes, 1);
});

test("no chunk is above its bound, whatever is published in a tick", async () => {
  const rig = new EngineRig();
  for (let count = 0; count < 2; count += 1) await rig.connect().subscribe("chat.a");
  const room = parseRoom("chat.a");
  for (const bytes of [9_000, 6_900, 6_900, 15_000, 100]) {
    void rig.broker.publish({
      room,
      data: Uint8Array.of(0xc5, bytes >> 8, bytes & 255, ...new Uint8Array(bytes)),
    });
  }
  await rig.settle();
  assert.equal(rig.published.length, 3);
  for (const { bytes } of rig.published) assert.ok(bytes.length <= CHUNK_BYTES, `${bytes.length}`);
});

test("resume replays from the ring, chained on the position, and then lives", async () => {
  const rig = new EngineRig();
  const first = rig.connect();
  first.socket.take();
  const [ok] = await first.subscribe("chat.a");
  for (let count = 0; count < 5; count += 1) await rig.publish("chat.a", count);
  await rig.settle();
  const after = { epoch: rigEpoch(ok), offset: 2 };
  const second = rig.connect();
  second.socket.take();
  const frames = await second.subscribe("chat.a", { after });
  assert.deepEqual(offsets(frames), ["ok", "2>3", "3>4", "4>5", "live"]);
  assert.equal((frames[0] as { result: { recovered: boolean } }).result.recovered, true);
  assert.equal(rig.counters.historyReads, 0);
});

test("resume from before the ring reads history, once for all who ask", async () => {
  const rig = new EngineRig({ ringMessages: 2 });
  for (let count = 0; count < 5; count += 1) await rig.publish("chat.a", count);
  const epoch = await epochOf(rig);
  const clients = [rig.connect(), rig.connect(), rig.connect()];
  const after = { epoch, offset: 1 };
  const before = rig.counters.historyReads;
  const answers = await Promise.all(clients.map((client) => client.subscribe("chat.a", { after })));
  for (const frames of answers)
    assert.deepEqual(offsets(frames).slice(-5), ["1>2", "2>3", "3>4", "4>5", "live"]);
  assert.equal(rig.counters.historyReads - before, 1);
});

test("a position that has expired, or of another epoch, is told as not recovered", async () => {
  const rig = new EngineRig({ ringMessages: 1 });
  for (let count = 0; count < 9; count += 1) await rig.publish("short.a", count);
  const epoch = await epochOf(rig, "short.a");
  for (const after of [
    { epoch, offset: 1 },
    { epoch: "elsewhere", offset: 9 },
    { epoch, offset: 99 },
  ]) {
    const client = rig.connect();
    client.socket.take();
    const [ok, live] = await client.subscribe("short.a", { after });
    assert.deepEqual(ok, { type: "ok", ref: 1, result: { epoch, offset: 9, recovered: false } });
    assert.equal(live?.type, "live");
  }
});

test("last rewinds, from the ring and from history alike", async () => {
  for (const ringMessages of [2, 100]) {
    const rig = new EngineRig({ ringMessages });
    await rig.connect().subscribe("chat.a");
    for (let count = 0; count < 6; count += 1) await rig.publish("chat.a", count);
    await rig.settle();
    const client = rig.connect();
    client.socket.take();
    const frames = await client.subscribe("chat.a", { last: 3 });
    assert.deepEqual(offsets(frames), ["ok", "3>4", "4>5", "5>6", "live"]);
    assert.equal((frames[0] as { result: { offset: number } }).result.offset, 3);
  }
});

test("a state subscription gets the latest of every key, chained, and then lives from the head", async () => {
  const rig = new EngineRig();
  for (const [data, key] of [
    [1, "a"],
    [2, "b"],
    [3, "a"],
    [4, undefined],
  ] as const) {
    await rig.publish("keyed.a", data, key);
  }
  const client = rig.connect();
  client.socket.take();
  const frames = await client.subscribe("keyed.a", { state: true });
  assert.deepEqual(offsets(frames), ["ok", "0>2", "2>3", "live"]);
  assert.deepEqual(frames.at(-1), { type: "live", room: "keyed.a", offset: 4 });
  await rig.publish("keyed.a", 5, "b");
  await rig.settle();
  assert.deepEqual(offsets(client.socket.take()), ["4>5"]);
});

test("echo: false leaves own messages out, live and in a replay, and the chain holds over them", async () => {
  const rig = new EngineRig();
  const own = rig.connect();
  const other = rig.connect();
  await own.subscribe("chat.a", { echo: false });
  await other.subscribe("chat.a");
  const room = parseRoom("chat.a");
  const publish: ClientFrame = { type: "publish", ref: 0, room, data: "mine", key: undefined };
  await rig.publish("chat.a", 1);
  own.socket.take();
  other.socket.take();
  await own.ask();
  assert.deepEqual(offsets(other.socket.take()), ["0>1"]);
  void rig.publish("chat.a", 2);
  assert.deepEqual(offsets(await own.ask(publish)), ["1>2", "live"]);
  assert.deepEqual(offsets(other.socket.take()), ["1>2", "2>3"]);
  void rig.publish("chat.a", 4);
  assert.deepEqual(offsets(await own.ask()), ["3>4"]);
  const epoch = await epochOf(rig);
  const replayed = await own.subscribe("chat.a", { after: { epoch, offset: 2 }, echo: false });
  assert.deepEqual(offsets(replayed), ["ok", "2>4", "live"]);
});

test("an ephemeral room has offset 0, no history, and every message is live", async () => {
  const rig = new EngineRig();
  const client = rig.connect();
  client.socket.take();
  const frames = await client.subscribe("cursors.a");
  assert.deepEqual(frames, [
    { type: "ok", ref: 1, result: { epoch: "", offset: 0, recovered: false } },
    { type: "live", room: "cursors.a", offset: 0 },
  ]);
  await rig.publish("cursors.a", 1, "me");
  await rig.settle();
  assert.deepEqual(offsets(client.socket.take()), ["0>0"]);
  for (const options of [{ last: 1 }, { state: true }, { after: { epoch: "", offset: 0 } }]) {
    assert.deepEqual(codeOf(await client.subscribe("cursors.a", options)), ["bad_request"]);
  }
});

test("subscribe many answers a result a room, in order, each on its own", async () => {
  const rig = new EngineRig({ roomsPerConnection: 2 });
  const client = rig.connect();
  client.socket.take();
  const many = (ref: number, ...rooms: string[]): ClientFrame => ({
    type: "subscribeMany",
    ref,
    rooms: rooms.map((room) => ({ room: parseRoom(room), after: undefined })),
    options: {},
  });
  const frames = await client.ask(many(7, "chat.a", "cursors.b"));
  const [ok] = frames;
  assert.ok(ok?.type === "ok" && Array.isArray(ok.result));
  assert.equal(ok.result.length, 2);
  assert.deepEqual(
    frames.slice(1).map((frame) => frame.type),
    ["live", "live"],
  );
  // Both replays came in one chunk, after welcome and the answer.
  assert.equal(client.socket.chunks.length, 3);
  const [partly] = await client.ask(many(8, "chat.a", "chat.c"));
  assert.ok(partly?.type === "ok" && Array.isArray(partly.result));
  assert.equal(partly.result[1][0], "too_many_rooms");
});

test("subscribe many has a bound of rooms, above which nothing of it counts", async () => {
  const rig = new EngineRig({ values: 2 });
  const client = rig.connect();
  client.socket.take();
  const rooms = ["chat.a", "chat.b", "chat.c"].map((room) => ({ room: parseRoom(room), after: undefined }));
  const frames = await client.ask({ type: "subscribeMany", ref: 1, rooms, options: {} });
  assert.deepEqual(codeOf(frames), ["too_large"]);
  assert.equal(rig.engine.openRooms, 0);
});

test("in subscribe many a room with its own position is resumed, whatever the options say for the others", async () => {
  const rig = new EngineRig();
  await rig.publish("chat.a", 1);
  await rig.publish("keyed.a", 1, "k");
  const after = { epoch: await epochOf(rig), offset: 0 };
  const client = rig.connect();
  client.socket.take();
  const rooms = [
    { room: parseRoom("chat.a"), after },
    { room: parseRoom("keyed.a"), after: undefined },
  ];
  const frames = await client.ask({ type: "subscribeMany", ref: 1, rooms, options: { state: true } });
  assert.deepEqual(offsets(frames), ["ok", "0>1", "live", "0>1", "live"]);
});

function rigEpoch(ok: ServerFrame | undefined): string {
  assert.ok(ok?.type === "ok");
  return (ok.result as { epoch: string }).epoch;
}

async function epochOf(rig: EngineRig, room = "chat.a"): Promise<string> {
  const client = rig.connect();
  client.socket.take();
  return rigEpoch((await client.subscribe(room))[0]);
}

test("a room whose flush throws costs neither the other rooms nor what comes later", async () => {
  const rig = new EngineRig();
  const client = rig.connect();
  const other = rig.connect();
  for (const room of ["chat.a", "chat.b", "chat.c"])
    for (const member of [client, other]) await member.subscribe(room);
  client.socket.take();
  rig.failing = (topic) => topic === "b.0.chat.b";
  for (const room of ["chat.a", "chat.b", "chat.c"]) await rig.publish(room, 1);
  assert.throws(() => rig.engine.tick(rig.nowMs), /on purpose/);
  rig.failing = () => false;
  await rig.publish("chat.b", 2);
  await rig.settle();
  const rooms = client.socket
    .take()
    .map((frame) => (frame.type === "message" ? `${frame.room} ${frame.offset}` : frame.type));
  assert.deepEqual(rooms.sort(), ["chat.a 1", "chat.b 2", "chat.c 1"]);
  const after = { epoch: await epochOf(rig, "chat.b"), offset: 0 };
  assert.deepEqual(offsets(await client.subscribe("chat.b", { after })), ["ok", "0>1", "1>2", "live"]);
});

test("a publisher without echo is back on its topic after a flush that threw", async () => {
  const rig = new EngineRig();
  const client = rig.connect();
  await client.subscribe("chat.a", { echo: false });
  await rig.connect().subscribe("chat.a");
  rig.failing = (topic) => topic === "b.0.chat.a";
  const publish: ClientFrame = {
    type: "publish",
    ref: 0,
    room: parseRoom("chat.a"),
    data: 1,
    key: undefined,
  };
  client.session.receive(encodeClient(publish), rig.nowMs);
  assert.throws(() => rig.engine.tick(rig.nowMs), /on purpose/);
  rig.failing = () => false;
  client.socket.take();
  await rig.publish("chat.a", 2);
  await rig.settle();
  assert.deepEqual(offsets(client.socket.take()), ["1>2"]);
});

test("at the bound of open rooms the longest empty one makes place, and only an empty one", async () => {
  const rig = new EngineRig({ openRooms: 2 });
  const client = rig.connect();
  client.socket.take();
  for (const room of ["chat.a", "chat.b"]) await client.subscribe(room);
  assert.deepEqual(codeOf(await client.subscribe("chat.c")), ["unavailable"]);
  await client.ask({ type: "unsubscribe", ref: 1, room: parseRoom("chat.a") });
  assert.deepEqual(offsets(await client.subscribe("chat.c")), ["ok", "live"]);
  assert.equal(rig.engine.openRooms, 2);
  await rig.publish("chat.b", 1);
  await rig.settle();
  assert.deepEqual(offsets(client.socket.take()), ["0>1"]);
});
