import assert from "node:assert/strict";
import { test } from "node:test";
import { layered } from "../broker/broker-layer.testkit.js";
import { CodedError } from "../protocol/errors.js";
import type { ClientFrame, ServerFrame } from "../protocol/frames.js";
import { parseRoom } from "../protocol/room-name.js";
import { EngineRig, type TestConnection } from "./engine-rig.testkit.js";

const types = (frames: readonly ServerFrame[]): string[] => frames.map(({ type }) => type);
const room = parseRoom("chat.a");

async function subscribed(rig: EngineRig): Promise<TestConnection> {
  const client = rig.connect();
  await client.subscribe("chat.a");
  await client.subscribe("chat.b");
  client.socket.take();
  return client;
}

/** The socket is full: whatever comes is dropped, and so told. */
function fill({ socket, session }: TestConnection): void {
  socket.buffered = 70_000;
  socket.dropping = true;
  session.dropped();
}

function drain({ socket, session }: TestConnection): void {
  socket.buffered = 0;
  socket.dropping = false;
  session.drained();
}

test("a socket that drops leaves every topic, is told once it has drained, and resumes without a gap", async () => {
  const rig = new EngineRig();
  const client = await subscribed(rig);
  await rig.publish("chat.a", 1);
  await rig.settle();
  fill(client);
  await rig.settle();
  assert.deepEqual([...client.socket.topics], []);
  await rig.publish("chat.a", 2);
  await rig.settle();
  assert.deepEqual(types(client.socket.take()), ["message"]);
  drain(client);
  await rig.settle();
  assert.deepEqual(types(client.socket.take()), ["lagged"]);
  const { epoch } = await rig.broker.history(room, "oldest", 1).then(({ head }) => head);
  const frames = await client.subscribe("chat.a", { after: { epoch, offset: 1 } });
  assert.deepEqual(types(frames), ["ok", "message", "live"]);
  assert.deepEqual([rig.counters.dropped, rig.counters.lagged], [1, 1]);
});

test("a socket that lost a frame gets nothing more of any room before lagged", async () => {
  const rig = new EngineRig();
  const client = await subscribed(rig);
  client.socket.dropping = true;
  client.session.receive(Uint8Array.of(0x92, 7, 1), rig.nowMs);
  client.socket.dropping = false;
  await rig.publish("chat.b", 1);
  await rig.settle();
  assert.deepEqual(types(client.socket.take()), ["lagged"]);
});

test("no progress for the limit closes with 4408; some progress does not", async () => {
  const rig = new EngineRig({ slowMs: 5_000 });
  const [stuck, slow] = [await subscribed(rig), await subscribed(rig)];
  fill(stuck);
  fill(slow);
  await rig.settle();
  for (let second = 0; second < 6; second += 1) {
    rig.nowMs += 1_000;
    slow.socket.buffered -= 1;
    rig.engine.sweep(rig.nowMs);
  }
  assert.deepEqual([stuck.socket.closedWith, slow.socket.closedWith], [4408, undefined]);
  assert.equal(rig.counters.slowCloses, 1);
});

test("a replay waits while the buffer is above the low watermark, and goes on when it has drained", async () => {
  const rig = new EngineRig();
  for (let count = 0; count < 3; count += 1) await rig.publish("chat.a", count);
  const client = rig.connect();
  client.socket.take();
  client.socket.buffered = 16_385;
  assert.deepEqual(types(await client.subscribe("chat.a", { last: 3 })), ["ok"]);
  client.socket.buffered = 16_384;
  client.session.drained();
  await rig.settle();
  assert.deepEqual(types(client.socket.take()), ["message", "message", "message", "live"]);
});

test("a room closes at the broker some time after its last member, and not before", async () => {
  const closed: string[] = [];
  const rig = new EngineRig({ roomLingerMs: 10_000 }, (broker) =>
    layered(broker, {
      close: (name) => {
        closed.push(name);
        broker.close(name);
      },
    }),
  );
  const [one, two] = [await subscribed(rig), await subscribed(rig)];
  await one.ask({ type: "unsubscribe", ref: 1, room });
  two.session.closed(rig.nowMs);
  rig.nowMs += 9_999;
  rig.engine.sweep(rig.nowMs);
  assert.deepEqual(closed, []);
  rig.nowMs += 1;
  rig.engine.sweep(rig.nowMs);
  assert.deepEqual(closed, ["chat.a"]);
  assert.equal(rig.engine.openRooms, 1);
});

test("what the broker cannot do now is answered with its code and retry time, and asked again works", async () => {
  let away = true;
  const refuse = <T>(call: () => Promise<T>): Promise<T> =>
    away ? Promise.reject(new CodedError("unavailable", "the broker is away", 250)) : call();
  const rig = new EngineRig({}, (broker) =>
    layered(broker, {
      publish: (outgoing) => refuse(() => broker.publish(outgoing)),
      open: (name, sink) => refuse(() => broker.open(name, sink)),
      history: (name, from, limit) => refuse(() => broker.history(name, from, limit)),
      state: (name) => refuse(() => broker.state(name)),
    }),
  );
  const client = rig.connect();
  client.socket.take();
  const asks: ClientFrame[] = [
    { type: "subscribe", ref: 1, room, options: {} },
    { type: "publish", ref: 2, room, data: 1, key: undefined },
    { type: "history", ref: 3, room, options: {} },
  ];
  for (const [index, frame] of asks.entries()) {
    const [answer] = await client.ask(frame);
    assert.deepEqual(answer, {
      type: "error",
      ref: index + 1,
      code: "unavailable",
      text: "the broker is away",
      retryMs: 250,
    });
  }
  assert.equal(rig.engine.openRooms, 0);
  away = false;
  const frames = types(await client.ask(...asks));
  assert.deepEqual(
    frames.filter((type) => type === "error"),
    [],
  );
  assert.deepEqual(frames.toSorted(), ["live", "message", "ok", "ok", "ok"]);
});

const REFUSALS: readonly { readonly name: string; readonly frame: ClientFrame; readonly code: string }[] = [
  {
    name: "publishing where only the API may",
    frame: { type: "publish", ref: 1, room: parseRoom("keyed.a"), data: 1, key: undefined },
    code: "forbidden",
  },
  {
    name: "conflation",
    frame: { type: "subscribe", ref: 1, room, options: { rate: 5 } },
    code: "bad_request",
  },
  {
    name: "presence events",
    frame: { type: "subscribe", ref: 1, room, options: { members: true } },
    code: "bad_request",
  },
  { name: "presence", frame: { type: "presence", ref: 1, room }, code: "bad_request" },
  { name: "tokens", frame: { type: "authenticate", ref: 1, token: "x" }, code: "bad_request" },
  {
    name: "state of a room that keeps none",
    frame: { type: "subscribe", ref: 1, room, options: { state: true } },
    code: "bad_request",
  },
  {
    name: "a rewind above the limit",
    frame: { type: "subscribe", ref: 1, room, options: { last: 1_001 } },
    code: "bad_request",
  },
  {
    name: "history of an ephemeral room",
    frame: { type: "history", ref: 1, room: parseRoom("cursors.a"), options: {} },
    code: "bad_request",
  },
];

for (const { name, frame, code } of REFUSALS) {
  test(`refused with ${code} under its ref: ${name}`, async () => {
    const client = new EngineRig().connect();
    client.socket.take();
    const [answer, ...rest] = await client.ask(frame);
    assert.ok(answer?.type === "error" && answer.ref === 1);
    assert.equal(answer.code, code);
    assert.deepEqual(rest, []);
    assert.equal(client.socket.closedWith, undefined);
  });
}

test("bytes that are no values: an error about the connection, then close 4400, and nothing of them counts", async () => {
  const rig = new EngineRig();
  const client = rig.connect();
  client.socket.take();
  client.session.receive(Uint8Array.of(0x92, 7, 1, 0xc1), rig.nowMs);
  const frames = client.socket.take();
  assert.deepEqual(types(frames), ["error"]);
  assert.equal(client.socket.closedWith, 4400);
  assert.equal(rig.counters.protocolErrors, 1);
});

test("a message above the payload limit is refused and the connection lives on", async () => {
  const rig = new EngineRig();
  const client = rig.connect();
  client.socket.take();
  client.session.receive(new Uint8Array(16_385), rig.nowMs);
  const [error] = client.socket.take();
  assert.ok(error?.type === "error" && error.code === "too_large");
  assert.deepEqual(types(await client.ask({ type: "ping", ref: 9 })), ["ok"]);
});

test("requests above the limit in flight are refused as rate_limited", async () => {
  const rig = new EngineRig({ requestsInFlight: 2 });
  const client = rig.connect();
  client.socket.take();
  const publish = (ref: number): ClientFrame => ({ type: "publish", ref, room, data: 1, key: undefined });
  const frames = await client.ask(publish(1), publish(2), publish(3));
  assert.deepEqual(types(frames).sort(), ["error", "ok", "ok"]);
  assert.equal(rig.counters.rateLimited, 1);
  assert.deepEqual(types(await client.ask(publish(4))), ["ok"]);
});

test("history is answered in pages, and a lost position is told with what is kept", async () => {
  const rig = new EngineRig();
  for (let count = 0; count < 5; count += 1) await rig.publish("short.a", count);
  const client = rig.connect();
  client.socket.take();
  const short = parseRoom("short.a");
  const [page] = await client.ask({ type: "history", ref: 1, room: short, options: { limit: 2 } });
  assert.ok(page?.type === "ok");
  const { epoch, messages, more } = page.result as { epoch: string; messages: unknown[][]; more: boolean };
  assert.deepEqual([messages.map(([offset]) => offset), more], [[3, 4], true]);
  const [lost] = await client.ask({
    type: "history",
    ref: 2,
    room: short,
    options: { after: { epoch, offset: 1 } },
  });
  assert.ok(lost?.type === "ok");
  const told = lost.result as { lost: string; messages: unknown[][] };
  assert.deepEqual([told.lost, told.messages.map(([offset]) => offset)], ["expired", [3, 4, 5]]);
});

test("goaway carries its reason and delay", () => {
  const client = new EngineRig().connect();
  client.socket.take();
  client.session.goaway("restart", 250);
  assert.deepEqual(client.socket.take(), [{ type: "goaway", reason: "restart", delayMs: 250 }]);
});

test("after closed nothing happens, and its rooms are given back", async () => {
  const rig = new EngineRig({ roomLingerMs: 0 });
  const client = await subscribed(rig);
  client.session.closed(rig.nowMs);
  client.session.closed(rig.nowMs);
  await rig.publish("chat.a", 1);
  client.session.drained();
  assert.deepEqual(await client.ask({ type: "ping", ref: 1 }), []);
  rig.engine.sweep(rig.nowMs);
  assert.deepEqual([rig.engine.openRooms, rig.counters.connections], [0, 0]);
});

test("a history read that fails in the middle of a replay is tried again", async () => {
  let failing = false;
  const rig = new EngineRig({ ringMessages: 1, historyMessages: 2 }, (broker) =>
    layered(broker, {
      history: (name, from, limit) =>
        failing
          ? Promise.reject(new CodedError("unavailable", "the broker is away", 250))
          : broker.history(name, from, limit),
    }),
  );
  for (let count = 0; count < 6; count += 1) await rig.publish("chat.a", count);
  const { epoch } = await rig.broker.history(room, "oldest", 1).then(({ head }) => head);
  const client = rig.connect();
  client.socket.take();
  client.socket.buffered = 70_000;
  assert.deepEqual(types(await client.subscribe("chat.a", { after: { epoch, offset: 0 } })), ["ok"]);
  failing = true;
  drain(client);
  await rig.settle();
  assert.deepEqual(types(client.socket.take()), ["message", "message"]);
  failing = false;
  rig.engine.sweep(rig.nowMs);
  await rig.settle();
  assert.deepEqual(types(client.socket.take()), [...Array(4).fill("message"), "live"]);
  assert.equal(rig.counters.replayedMessages, 6);
});

test("history requests wait for each other and for the socket: asking is cheap, answering is not", async () => {
  const rig = new EngineRig();
  let reads = 0;
  const { history } = rig.broker;
  rig.broker.history = (...args) => {
    reads += 1;
    return history.apply(rig.broker, args);
  };
  await rig.publish("chat.a", 1);
  const client = rig.connect();
  client.socket.take();
  client.socket.buffered = 70_000;
  const asks = Array.from({ length: 20 }, (_, index): ClientFrame => {
    return { type: "history", ref: index + 1, room, options: {} };
  });
  assert.deepEqual(await client.ask(...asks), []);
  assert.ok(reads <= 1, `${reads}`);
  drain(client);
  await rig.settle();
  const refs = client.socket.take().map((frame) => (frame.type === "ok" ? frame.ref : 0));
  assert.deepEqual(
    refs,
    asks.map(({ ref }) => ref),
  );
});

test("a refused subscribe leaves the room unsubscribed", async () => {
  const rig = new EngineRig();
  const client = await subscribed(rig);
  const [error] = await client.subscribe("chat.a", { state: true });
  assert.equal(error?.type, "error");
  await rig.publish("chat.a", 1);
  await rig.settle();
  assert.deepEqual(client.socket.take(), []);
});
