import assert from "node:assert/strict";
import { test } from "node:test";
import { encode } from "@msgpack/msgpack";
import type { Rate, ServerFrame } from "../protocol/frames.js";
import { parseRoom } from "../protocol/room-name.js";
import { EngineRig, type TestConnection } from "./engine-rig.testkit.js";
import { DEFAULT_LIMITS } from "./limits.js";

const { softWatermarkBytes, bufferBytes, slowMs } = DEFAULT_LIMITS;

const seen = (frames: readonly ServerFrame[]): string[] =>
  frames.map((frame) => {
    if (frame.type === "message") return `${frame.prev}>${frame.offset}`;
    if (frame.type === "rate") return `${frame.room} at ${frame.rate}`;
    return frame.type === "live" ? `live ${frame.offset}` : frame.type;
  });

async function member(rig: EngineRig, room: string, rate?: Rate): Promise<TestConnection> {
  const client = rig.connect();
  await client.subscribe(room, rate === undefined ? {} : { rate });
  client.socket.take();
  return client;
}

/** The socket takes something, and so much is left. */
async function take(client: TestConnection, leftBytes: number): Promise<void> {
  client.socket.buffered = leftBytes;
  client.session.drained();
  await client.rig.settle();
}

/** Time passes, swept as in a process. */
async function pass(rig: EngineRig, seconds: number): Promise<void> {
  for (let second = 0; second < seconds; second += 1) {
    await rig.advance(1_000);
    rig.engine.sweep(rig.nowMs);
    await rig.settle();
  }
}

async function publish(rig: EngineRig, room: string, count: number): Promise<void> {
  for (let index = 0; index < count; index += 1) {
    await rig.publish(room, 1, "k");
    await rig.settle();
  }
}

test("above the soft watermark: off its topic, then told and sent what changed, then paced, then back", async () => {
  const rig = new EngineRig();
  const [slow, fast] = [await member(rig, "keyed.a"), await member(rig, "keyed.a")];
  await publish(rig, "keyed.a", 1);
  await take(slow, softWatermarkBytes + 1);
  await publish(rig, "keyed.a", 10);
  assert.deepEqual(seen(slow.socket.take()), ["0>1"], "nothing while it drains");
  assert.equal(fast.socket.take().length, 11);
  await take(slow, 0);
  assert.deepEqual(seen(slow.socket.take()), ["keyed.a at 1", "1>11", "live 11"]);
  await publish(rig, "keyed.a", 5);
  await rig.advance(1_000);
  assert.deepEqual(seen(slow.socket.take()), ["11>12", "12>16"]);
  assert.deepEqual([rig.counters.slowedDown, rig.counters.restored], [1, 0]);
  await pass(rig, 5);
  assert.deepEqual(seen(slow.socket.take()), ["keyed.a at all", "live 16"]);
  await publish(rig, "keyed.a", 2);
  assert.deepEqual(seen(slow.socket.take()), ["16>17", "17>18"]);
  assert.deepEqual([rig.counters.slowedDown, rig.counters.restored], [1, 1]);
});

test("each time it takes longer to come back", async () => {
  const rig = new EngineRig();
  const slow = await member(rig, "keyed.a");
  const seconds: number[] = [];
  for (let time = 0; time < 3; time += 1) {
    await take(slow, softWatermarkBytes + 1);
    await take(slow, 0);
    let passed = 0;
    for (const before = rig.counters.restored; rig.counters.restored === before; passed += 1)
      await pass(rig, 1);
    seconds.push(passed);
  }
  const [first = 0, second = 0, third = 0] = seconds;
  assert.ok(second > 1.5 * first && third > 1.5 * second, seconds.join());
});

test("a namespace may keep its subscriptions where they are, and by itself one whose messages nothing stands for does", async () => {
  for (const [room, rate, moves] of [
    ["kept.a", undefined, false],
    ["chat.a", undefined, false],
    ["chat.a", 30, true],
    ["keyed.a", undefined, true],
    ["keyed.a", 1, false],
    ["cursors.a", undefined, true],
  ] as const) {
    const rig = new EngineRig();
    const slow = await member(rig, room, rate);
    await take(slow, softWatermarkBytes + 1);
    await take(slow, 0);
    const told = slow.socket.take().filter(({ type }) => type === "rate").length;
    assert.deepEqual([told, rig.counters.slowedDown], moves ? [1, 1] : [0, 0], `${room} ${rate}`);
  }
});

test("what is ephemeral is dropped first, and comes again when the socket has drained", async () => {
  const rig = new EngineRig();
  const slow = await member(rig, "cursors.a");
  await take(slow, softWatermarkBytes + 1);
  await publish(rig, "cursors.a", 5);
  assert.deepEqual(slow.socket.take(), []);
  await take(slow, 0);
  await publish(rig, "cursors.a", 1);
  assert.deepEqual(seen(slow.socket.take()), ["cursors.a at 20", "live 0", "0>0"]);
});

test("a socket above the watermark is found by the sweep too, and whoever subscribes meanwhile is moved as well", async () => {
  const rig = new EngineRig();
  const slow = await member(rig, "keyed.a");
  await take(slow, 20_000);
  slow.socket.buffered = softWatermarkBytes + 1;
  await pass(rig, 1);
  assert.equal(rig.counters.slowedDown, 1);
  await slow.subscribe("keyed.b");
  await pass(rig, 1);
  await take(slow, 0);
  const told = slow.socket.take().filter(({ type }) => type === "rate");
  assert.deepEqual(told.map((frame) => frame.type === "rate" && frame.room).sort(), ["keyed.a", "keyed.b"]);
});

async function flood(rig: EngineRig, room: string): Promise<void> {
  await rig.broker.publish({ room: parseRoom(room), data: encode("x".repeat(2_000)), key: "k" });
  await rig.settle();
}

test("in a flood a socket above the watermark is found before it is sent much more, without a sweep and without a drain", async () => {
  const rig = new EngineRig();
  const [slow, fast] = [await member(rig, "keyed.a"), await member(rig, "keyed.a")];
  const before = slow.socket.chunks.length;
  slow.socket.buffered = softWatermarkBytes + 1;
  for (let sent = 0; sent < 10; sent += 1) await flood(rig, "keyed.a");
  const bytes = slow.socket.chunks.slice(before).reduce((sum, chunk) => sum + chunk.length, 0);
  assert.ok(bytes > 0 && bytes < bufferBytes - softWatermarkBytes, `${bytes} bytes were sent after that`);
  assert.equal(fast.socket.take().length, 10);
  assert.equal(rig.counters.slowedDown, 1);
});

test("where flushes are so big that the next would not fit, a socket is slowed down below the soft watermark", async () => {
  const rig = new EngineRig();
  const [slow, calm] = [await member(rig, "keyed.a"), await member(rig, "keyed.a")];
  const burst = async (): Promise<void> => {
    const data = encode("x".repeat(2_000));
    for (let sent = 0; sent < 20; sent += 1)
      void rig.broker.publish({ room: parseRoom("keyed.a"), data, key: "k" });
    await rig.settle();
  };
  slow.socket.buffered = softWatermarkBytes - 10_000;
  calm.socket.buffered = DEFAULT_LIMITS.lowWatermarkBytes;
  await flood(rig, "keyed.a");
  assert.equal(slow.socket.take().length, 1);
  await burst();
  assert.equal(slow.socket.take().length, 20, "nobody could know of the first");
  await burst();
  assert.equal(slow.socket.take().length, 0);
  assert.equal(calm.socket.take().length, 41);
  assert.equal(rig.counters.slowedDown, 1);
});

test("a socket that is alone in a room of its lane is looked at whenever it does not take a frame at once", async () => {
  const rig = new EngineRig();
  const slow = await member(rig, "keyed.a");
  slow.socket.buffered = softWatermarkBytes + 1;
  for (let sent = 0; sent < 10; sent += 1) await flood(rig, "keyed.a");
  assert.equal(slow.socket.take().length, 1);
  assert.equal(rig.counters.slowedDown, 1);
});

test("one that takes a little is slow, one that takes nothing is closed", async () => {
  const rig = new EngineRig();
  const [trickling, stuck] = [await member(rig, "keyed.a"), await member(rig, "keyed.a")];
  for (const client of [trickling, stuck]) await take(client, softWatermarkBytes + 1);
  for (let passed = 0; passed < 2 * slowMs; passed += 1_000) {
    await pass(rig, 1);
    await take(trickling, softWatermarkBytes + 1);
  }
  assert.deepEqual([trickling.socket.closedWith, stuck.socket.closedWith], [undefined, 4408]);
  assert.equal(rig.counters.slowCloses, 1);
});

test("a slowed socket that loses frames all the same is told, and asks anew in its own class", async () => {
  const rig = new EngineRig();
  const slow = await member(rig, "keyed.a");
  await take(slow, softWatermarkBytes + 1);
  slow.session.dropped();
  await rig.settle();
  await take(slow, 0);
  assert.deepEqual(seen(slow.socket.take()), ["lagged"]);
  assert.deepEqual(seen(await slow.subscribe("keyed.a")), ["ok", "live 0"]);
  await publish(rig, "keyed.a", 2);
  assert.deepEqual(seen(slow.socket.take()), ["0>1", "1>2"]);
});
