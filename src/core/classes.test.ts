import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { CHUNK_BYTES, type ServerFrame } from "../protocol/frames.js";
import { parseRoom } from "../protocol/room-name.js";
import { jsonWire } from "../protocol/wire.js";
import { member, messagesOf, seen } from "./classes.testkit.js";
import { EngineRig } from "./engine-rig.testkit.js";
import { dueAt } from "./room-class.js";

test("the first message after a quiet window goes at once, then the latest of each key, in one publish a window", async () => {
  const rig = new EngineRig();
  const client = await member(rig, "keyed.a", 10);
  await rig.publish("keyed.a", 1, "a");
  await rig.settle();
  assert.deepEqual(seen(client.socket.take()), ["0>1 a"]);
  const before = client.socket.chunks.length;
  for (const key of ["b", "a", "b", "c", "b"]) await rig.publish("keyed.a", 1, key);
  await rig.advance(99);
  assert.deepEqual(client.socket.take(), []);
  await rig.advance(1);
  assert.deepEqual(seen(client.socket.take()), ["1>3 a", "3>5 c", "5>6 b"]);
  assert.equal(client.socket.chunks.length - before, 1);
  assert.equal(rig.counters.conflated, 2);
  await rig.advance(1_000);
  await rig.publish("keyed.a", 1, "a");
  await rig.settle();
  assert.deepEqual(seen(client.socket.take()), ["6>7 a"]);
});

test("in a busy loop the first message after a quiet window waits for the others, a window at the most", async () => {
  const rig = new EngineRig();
  rig.isBusy = true;
  const rooms = ["keyed.a", "keyed.b", "keyed.c"];
  const clients = await Promise.all(rooms.map((room) => member(rig, room, 10)));
  await rig.advance(1);
  for (const room of rooms) {
    await rig.publish(room, 1, "a");
    await rig.advance(30);
  }
  for (const { socket } of clients) assert.deepEqual(socket.take(), []);
  await rig.advance(100 - (rig.nowMs % 100));
  for (const { socket } of clients) assert.deepEqual(seen(socket.take()), ["0>1 a"]);
  rig.isBusy = false;
  await rig.advance(130);
  await rig.publish("keyed.a", 1, "a");
  await rig.settle();
  assert.deepEqual(seen(clients[0]?.socket.take() ?? []), ["1>2 a"]);
});

test("a loop that is late for a flush stays with the multiples of the window", async () => {
  const rig = new EngineRig();
  const client = await member(rig, "keyed.a", 10);
  await rig.advance(100 - (rig.nowMs % 100));
  await rig.publish("keyed.a", 1, "a");
  await rig.settle();
  await rig.publish("keyed.a", 1, "a");
  await rig.settle();
  rig.nowMs += 120;
  await rig.settle();
  assert.deepEqual(seen(client.socket.take()), ["0>1 a", "1>2 a"]);
  await rig.publish("keyed.a", 1, "a");
  await rig.advance(79);
  assert.deepEqual(client.socket.take(), []);
  await rig.advance(1);
  assert.deepEqual(seen(client.socket.take()), ["2>3 a"]);
});

test("every message still comes to those who ask for all, and to history", async () => {
  const rig = new EngineRig();
  const [all, slow] = [await member(rig, "keyed.a", "all"), await member(rig, "keyed.a", 1)];
  for (let count = 0; count < 5; count += 1) {
    await rig.publish("keyed.a", count, "a");
    await rig.settle();
  }
  await rig.advance(1_000);
  assert.deepEqual(
    seen(all.socket.take()),
    [1, 2, 3, 4, 5].map((offset) => `${offset - 1}>${offset} a`),
  );
  assert.deepEqual(seen(slow.socket.take()), ["0>1 a", "1>5 a"]);
  const page = await rig.broker.history(parseRoom("keyed.a"), "oldest", 100);
  assert.equal(page.kind === "page" && page.messages.length, 5);
});

test("messages without a key count as one key", async () => {
  const rig = new EngineRig();
  const client = await member(rig, "chat.a", 4);
  for (let count = 0; count < 3; count += 1) await rig.publish("chat.a", count);
  await rig.publish("chat.a", 9, "k");
  await rig.settle();
  assert.deepEqual(seen(client.socket.take()), ["0>3 undefined", "3>4 k"]);
});

test("a class is merged and encoded once, for all of its lanes", async () => {
  const rig = new EngineRig({ laneSockets: 1 });
  const clients = [
    await member(rig, "keyed.a", 10),
    await member(rig, "keyed.a", 10),
    await member(rig, "keyed.a", 10),
  ];
  await rig.publish("keyed.a", 1, "a");
  await rig.settle();
  for (let count = 0; count < 10; count += 1) await rig.publish("keyed.a", count, "a");
  await rig.advance(100);
  for (const { socket } of clients) assert.deepEqual(seen(socket.take()), ["0>1 a", "1>11 a"]);
  assert.equal(rig.counters.classFlushes, 2);
});

test("a window of many keys goes in chunks within their bound", async () => {
  const rig = new EngineRig();
  const client = await member(rig, "keyed.a", 10);
  for (let count = 0; count < 5_000; count += 1) void rig.publish("keyed.a", 1, `key number ${count}`);
  await rig.settle();
  const messages = messagesOf(client.socket.take());
  assert.equal(messages.length, 5_000);
  assert.ok(client.socket.chunks.length > 10);
  for (const { length } of client.socket.chunks) assert.ok(length <= CHUNK_BYTES);
});

test("the text wire conflates too", async () => {
  const rig = new EngineRig();
  const text = rig.connect(jsonWire);
  text.session.receive(Buffer.from('[1, 1, "keyed.a", {"rate": 10}]'), rig.nowMs);
  await rig.settle();
  for (let count = 0; count < 3; count += 1) await rig.publish("keyed.a", count, "a");
  await rig.settle();
  const lines = text.socket.chunks.map((chunk) => Buffer.from(chunk).toString()).join("");
  assert.match(lines, /"recovered":false,"rate":10/);
  assert.equal([...lines.matchAll(/^\[19,.*$/gm)].length, 1);
  assert.match(lines, /\[19,"keyed.a",3,0,/);
});

test("own messages are left out of a class, and the position moves past them", async () => {
  const rig = new EngineRig();
  const client = rig.connect();
  const other = await member(rig, "chat.a", 10);
  await client.subscribe("chat.a", { rate: 10, echo: false });
  client.socket.take();
  const own = await client.ask(
    { type: "publish", ref: 0, room: parseRoom("chat.a"), data: 1, key: "mine" },
    { type: "publish", ref: 0, room: parseRoom("chat.a"), data: 2, key: "mine" },
  );
  assert.deepEqual(messagesOf(own), []);
  assert.deepEqual(seen(other.socket.take()), ["0>2 mine"]);
  await rig.publish("chat.a", 3, "theirs");
  await rig.advance(100);
  assert.deepEqual(seen(client.socket.take()), ["2>3 theirs"]);
});

test("a reset goes out at once, after what waited", async () => {
  const rig = new EngineRig();
  const client = await member(rig, "keyed.a", 1);
  await rig.publish("keyed.a", 1, "a");
  await rig.settle();
  await rig.publish("keyed.a", 2, "a");
  rig.engine.rooms.reset(parseRoom("keyed.a"), { epoch: "next", offset: 0 }, "epoch");
  await rig.settle();
  assert.deepEqual(seen(client.socket.take()), ["0>1 a", "1>2 a", "reset"]);
});

test("a class exists while somebody is in it", async () => {
  const rig = new EngineRig();
  const clients = [await member(rig, "keyed.a", 10), await member(rig, "keyed.a", 10)];
  await rig.publish("keyed.a", 1, "a");
  await rig.settle();
  await rig.publish("keyed.a", 2, "a");
  await rig.settle();
  assert.equal(rig.counters.classes, 1);
  for (const { session } of clients) session.closed(rig.nowMs);
  assert.equal(rig.counters.classes, 0);
  assert.equal(rig.engine.paces.waitingBytes, 0);
  const { directWrites, topicPublishes } = rig.counters;
  await rig.advance(1_000);
  assert.deepEqual([rig.counters.directWrites, rig.counters.topicPublishes], [directWrites, topicPublishes]);
});

test("a snapshot of 5,000 keys and what changes meanwhile are the whole, in every class", async () => {
  const rig = new EngineRig();
  const latest = new Map<string, number>();
  const put = (key: string, offset: number) => latest.set(key, offset);
  for (let count = 0; count < 5_000; count += 1) {
    await rig.publish("keyed.a", 1, `k${count}`);
    put(`k${count}`, count + 1);
  }
  for (const rate of ["all", 10] as const) {
    const client = rig.connect();
    const frames: ServerFrame[] = [];
    client.socket.take();
    frames.push(...(await client.subscribe("keyed.a", { state: true, rate })));
    for (let count = 0; count < 100; count += 1) {
      const position = await rig.broker.publish({
        room: parseRoom("keyed.a"),
        data: Uint8Array.of(2),
        key: `k${count % 7}`,
      });
      put(`k${count % 7}`, position.offset);
      if (count % 10 === 0) await rig.advance(7);
    }
    await rig.advance(200);
    frames.push(...client.socket.take());
    const got = new Map(messagesOf(frames).map(({ key = "", offset }) => [key, offset]));
    assert.deepEqual([...got].sort(), [...latest].sort());
    const live = frames.findIndex(({ type }) => type === "live");
    assert.equal(messagesOf(frames.slice(0, live)).length, 5_000, "one message a key before live");
  }
});

test("a conflated resume sends the keys that changed, from the ring and from history", async () => {
  for (const limits of [{}, { ringMessages: 2 }, { ringMessages: 2, historyMessages: 4 }]) {
    const rig = new EngineRig(limits);
    const first = rig.connect();
    first.socket.take();
    const [ok] = await first.subscribe("keyed.a");
    for (let count = 0; count < 30; count += 1) await rig.publish("keyed.a", 1, `k${count % 3}`);
    await rig.publish("keyed.a", 1, "once");
    await rig.settle();
    const { epoch } = (ok as { result: { epoch: string } }).result;
    const client = rig.connect();
    client.socket.take();
    const frames = await client.subscribe("keyed.a", { rate: 10, after: { epoch, offset: 20 } });
    assert.deepEqual(seen(frames), ["ok", "20>28 k0", "28>29 k1", "29>30 k2", "30>31 once", "live 31"]);
    const { result } = frames[0] as { result: unknown };
    assert.deepEqual(result, { epoch, offset: 20, recovered: true, rate: 10 });
  }
});

test("a storm of conflated resumes reads history once", async () => {
  const rig = new EngineRig({ ringMessages: 2, historyMessages: 4 });
  const [, ok] = await rig.connect().subscribe("keyed.a");
  for (let count = 0; count < 20; count += 1) await rig.publish("keyed.a", 1, `k${count % 3}`);
  await rig.settle();
  const { epoch } = ((ok ?? assert.fail()) as unknown as { result: { epoch: string } }).result;
  const before = rig.counters.historyReads;
  const clients = Array.from({ length: 50 }, () => rig.connect());
  const answers = await Promise.all(
    clients.map((client) => client.subscribe("keyed.a", { rate: 1, after: { epoch, offset: 2 } })),
  );
  for (const frames of answers) assert.equal(messagesOf(frames).length, 3);
  assert.equal(rig.counters.historyReads - before, 5);
});

test("a million distinct keys take no more than is allowed, and all of them come", async () => {
  const conflationBytes = 1_000_000;
  const rig = new EngineRig({ conflationBytes, ringMessages: 10 });
  const [client, other] = [await member(rig, "keyed.a", 1), await member(rig, "keyed.b", 10)];
  client.socket.send = () => "sent";
  await rig.publish("keyed.a", 1, "first");
  await rig.settle();
  let most = 0;
  for (let count = 0; count < 1_000_000; count += 1) {
    void rig.publish("keyed.a", 1, `key ${count}`);
    if (count % 1_000 > 0) continue;
    await rig.settle();
    most = Math.max(most, rig.engine.paces.waitingBytes);
    if (count % 100_000 > 0) continue;
    await rig.publish("keyed.b", 1, "k");
    await rig.advance(100);
    assert.equal(messagesOf(other.socket.take()).length, 1, "others go on at their pace");
  }
  await rig.advance(1_000);
  // What one tick takes in comes on top.
  assert.ok(most < conflationBytes + 1_000 * 250, `${most}`);
  assert.ok(rig.counters.conflationOverflows > 100);
  assert.equal(rig.engine.paces.waitingBytes, 0);
  assert.equal(rig.counters.deliveries, 1_000_001 + 10);
  const frames = await other.subscribe("keyed.a", { state: true, rate: 1 });
  const { result } = frames[0] as unknown as { result: { droppedKeys: number } };
  const kept = messagesOf(frames).length;
  assert.deepEqual([kept, result.droppedKeys], [10_000, 990_001], "state is bounded, and says what it lacks");
});

test("a clock on the wall that is set, back or forward, holds nothing up and hurries nothing", async () => {
  const rig = new EngineRig();
  const client = await member(rig, "keyed.a", 10);
  await rig.publish("keyed.a", 1, "a");
  await rig.settle();
  for (const [step, byMs] of [-86_400_000_000, 40_000_000, -500].entries()) {
    client.socket.take();
    await rig.publish("keyed.a", 2 * step + 2, "a");
    await rig.settle();
    rig.wallAheadMs += byMs;
    await rig.publish("keyed.a", 2 * step + 3, "a");
    await rig.settle();
    assert.deepEqual(seen(client.socket.take()), []);
    await rig.advance(100);
    assert.deepEqual(seen(client.socket.take()), [`${2 * step + 1}>${2 * step + 3} a`]);
  }
});

test("classes of many rooms come to flush together", () => {
  // A message every 30 ms, from some odd time on.
  let sentMs = 1_037;
  for (let cameMs = sentMs; cameMs < 5_000; cameMs += 30) {
    if (cameMs <= sentMs) continue;
    const dueMs = dueAt(cameMs, sentMs, 100);
    assert.ok(dueMs >= sentMs + 100 && dueMs <= Math.max(cameMs + 100, sentMs + 100));
    sentMs = dueMs;
    cameMs = Math.ceil((dueMs - 1_037) / 30) * 30 + 1_037 - 30;
  }
  assert.equal(sentMs % 100, 0);
});

const steps = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.record({ key: fc.constantFrom(undefined, "a", "b", "c", "d") }) },
    { weight: 1, arbitrary: fc.record({ ms: fc.constantFrom(1, 10, 40, 99, 250, 1_100) }) },
  ),
  { minLength: 1, maxLength: 120 },
);

test("a conflated client ends with the state of one that got everything, at its pace, never with what is old", async () => {
  await fc.assert(
    fc.asyncProperty(steps, fc.constantFrom(30, 10, 4, 1), async (todo, rate) => {
      const rig = new EngineRig();
      const [all, paced] = [await member(rig, "keyed.a"), await member(rig, "keyed.a", rate)];
      const publishedMs = new Map<number, number>();
      const everything = new Map<string | undefined, number>();
      const state = new Map<string | undefined, { readonly offset: number; readonly ms: number }>();
      let last = 0;
      const look = (): void => {
        for (const { key, offset } of messagesOf(all.socket.take())) everything.set(key, offset);
        for (const { key, offset, prev } of messagesOf(paced.socket.take())) {
          assert.equal(prev, last, "chained");
          last = offset;
          const ageMs = rig.nowMs - (publishedMs.get(offset) ?? 0);
          // What is published in one millisecond may be taken in in the next.
          assert.ok(ageMs <= 1_000 / rate + 2, `${ageMs} ms old`);
          const before = state.get(key)?.ms ?? Number.NEGATIVE_INFINITY;
          assert.ok(rig.nowMs - before >= 1_000 / rate - 1, `${rig.nowMs - before} ms after the one before`);
          state.set(key, { offset, ms: rig.nowMs });
        }
      };
      const pass = async (ms: number): Promise<void> => {
        for (let left = ms; left > 0; left -= 1) {
          await rig.advance(1);
          look();
        }
      };
      let offset = 0;
      for (const step of todo) {
        if ("ms" in step) {
          await pass(step.ms);
          continue;
        }
        offset += 1;
        publishedMs.set(offset, rig.nowMs);
        await rig.publish("keyed.a", 1, step.key);
        if (offset % 3 === 0) await rig.settle();
        look();
      }
      await pass(Math.ceil(1_000 / rate) + 1);
      assert.deepEqual(new Map([...state].map(([key, { offset: at }]) => [key, at])), everything);
    }),
    { numRuns: 25 },
  );
});
