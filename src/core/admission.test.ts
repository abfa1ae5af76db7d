import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeClient } from "../protocol/client-wire.testkit.js";
import type { ClientFrame, ClientInput } from "../protocol/frames.js";
import { parseRoom } from "../protocol/room-name.js";
import { ADMITTED_PER_TURN, WAITING_MAX, WAITING_OF_ONE_MAX } from "./admission.js";
import { EngineRig, type TestConnection } from "./engine-rig.testkit.js";

const SUBSCRIBE = 25;

function subscribe(ref: number): ClientFrame {
  return { type: "subscribe", ref, room: parseRoom(`chat.r${ref}`), options: {} };
}

/** One turn of the loop: what came is read, promises settle, then the tick. Returns the rooms that were let in. */
async function turn(rig: EngineRig): Promise<number> {
  const before = rig.engine.openRooms;
  rig.tickAsked = false;
  rig.engine.tick(rig.nowMs);
  const admitted = rig.engine.openRooms - before;
  await new Promise(setImmediate);
  return admitted;
}

/** Each subscribes to rooms of its own, all at once. */
function storm(rig: EngineRig, count: number): TestConnection[] {
  const clients = Array.from({ length: count }, () => rig.connect());
  for (const [number, { session }] of clients.entries())
    for (let room = 0; room < SUBSCRIBE; room += 1)
      session.receive(encodeClient(subscribe(1 + number * SUBSCRIBE + room)), rig.nowMs);
  return clients;
}

test("a storm of subscribes is let in by a budget a turn, and what others are sent goes on in each of them", async () => {
  const rig = new EngineRig();
  const witness = rig.connect();
  await witness.subscribe("chat.a");
  await rig.settle();
  witness.socket.take();
  const clients = storm(rig, 40);
  assert.equal(rig.engine.openRooms, 1 + ADMITTED_PER_TURN, "within the turn in which all came");
  let published = 0;
  for (let left = 40 * SUBSCRIBE - ADMITTED_PER_TURN; left > 0; ) {
    published += 1;
    await rig.publish("chat.a", published);
    const admitted = await turn(rig);
    assert.ok(admitted > 0 && admitted <= ADMITTED_PER_TURN, `${admitted} in one turn`);
    assert.equal(witness.socket.take().filter(({ type }) => type === "message").length, 1);
    left -= admitted;
  }
  await rig.settle();
  for (const { socket } of clients) {
    const answered = socket.take().flatMap((frame) => (frame.type === "ok" ? [frame.ref] : []));
    assert.equal(answered.length, SUBSCRIBE);
    assert.deepEqual(
      answered,
      answered.toSorted((a, b) => a - b),
      "in the order in which it asked",
    );
  }
  assert.equal(rig.engine.admission.waiting, 0);
  assert.equal(rig.counters.admissionWaits, 40 * SUBSCRIBE - ADMITTED_PER_TURN);
});

test("connections take turns: one that asks for very much does not keep out who comes after it", async () => {
  const rig = new EngineRig();
  const [greedy, modest] = [rig.connect(), rig.connect()];
  for (let ref = 1; ref <= 900; ref += 1) greedy.session.receive(encodeClient(subscribe(ref)), rig.nowMs);
  modest.session.receive(encodeClient(subscribe(1_000)), rig.nowMs);
  modest.socket.take();
  await turn(rig);
  await turn(rig);
  assert.deepEqual(
    modest.socket.take().map(({ type }) => type),
    ["ok", "live"],
  );
  assert.ok(rig.engine.admission.waiting > 500);
  await rig.settle();
});

test("what a connection asks is done in its order, also where it has to wait", async () => {
  const rig = new EngineRig();
  storm(rig, 10);
  const client = rig.connect();
  client.socket.take();
  const data = Uint8Array.of(0xa1, 0x31);
  const room = parseRoom("chat.x");
  const frames: ClientFrame[] = [
    { type: "subscribe", ref: 1, room, options: {} },
    { type: "publish", ref: 2, room, data, key: undefined },
    { type: "unsubscribe", ref: 3, room },
    { type: "subscribe", ref: 4, room, options: {} },
    { type: "ping", ref: 5 },
  ];
  for (const frame of frames) {
    const bytes = encodeClient(frame);
    client.session.receive(bytes, rig.nowMs);
    // Valid during the call only.
    bytes.fill(0);
  }
  assert.deepEqual(client.socket.take(), [], "it waits");
  await rig.settle();
  const got = client.socket.take();
  const refs = got.flatMap((frame) => (frame.type === "ok" || frame.type === "error" ? [frame.ref] : []));
  assert.deepEqual(refs.toSorted(), [1, 2, 3, 4, 5]);
  assert.equal(got.at(-1)?.type, "live");
  const page = await rig.broker.history(room, "oldest", 9);
  assert.ok(page.kind === "page" && page.messages.length === 1);
  assert.ok(
    Buffer.from(page.messages[0]?.frame ?? []).includes(Buffer.from(data)),
    "the data that it published",
  );
});

test("a connection that goes takes what waits for it along", async () => {
  const rig = new EngineRig();
  for (const { session } of storm(rig, 20)) session.closed(rig.nowMs);
  assert.equal(rig.engine.admission.waiting, 0);
  await turn(rig);
  assert.ok(rig.engine.openRooms <= ADMITTED_PER_TURN);
});

test("what waits is bounded, of one connection and of all: further requests are refused", async () => {
  const rig = new EngineRig({ requestsPerSecond: 0 });
  const client = rig.connect();
  client.socket.take();
  const input: ClientInput = { type: "ping", ref: 1 };
  const { admission } = rig.engine;
  for (let guests = 0; guests < WAITING_MAX / WAITING_OF_ONE_MAX; guests += 1) {
    const guest = guests === 0 ? client.session : { admitted: () => undefined };
    for (let count = 0; count < WAITING_OF_ONE_MAX; count += 1) assert.ok(admission.wait(guest, input));
    assert.equal(admission.wait(guest, input), false);
    if (guests === 0) client.session.receive(encodeClient(subscribe(7)), rig.nowMs);
  }
  const [refused] = client.socket.take();
  assert.ok(refused?.type === "error" && refused.code === "rate_limited" && refused.retryMs === 1_000);
  assert.equal(rig.counters.rateLimited, 1);
  assert.equal(admission.wait({ admitted: () => undefined }, input), false);
  assert.equal(admission.waiting, WAITING_MAX);
});
