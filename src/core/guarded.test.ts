import assert from "node:assert/strict";
import { test } from "node:test";
import { CodedError } from "../protocol/errors.js";
import type { ServerFrame } from "../protocol/frames.js";
import { parseRoom, type RoomName } from "../protocol/room-name.js";
import type { RoomPattern } from "../protocol/room-pattern.js";
import { msgpackWire } from "../protocol/wire.js";
import { type Access, type Guard, OPEN_ACCESS, type Right } from "./access.js";
import { EngineRig, type TestConnection } from "./engine-rig.testkit.js";
import type { Outgoing } from "./ports.js";

const types = (frames: readonly ServerFrame[]): string[] => frames.map(({ type }) => type);
const codes = (frames: readonly ServerFrame[]): string[] =>
  frames.map((frame) => (frame.type === "error" ? frame.code : frame.type));
const A = parseRoom("chat.a");
const B = parseRoom("chat.b");

/** Access to exactly these, written `right room`. */
function accessTo(...granted: readonly `${Right} ${string}`[]): Access {
  const rights = {
    allows: (right: Right, room: RoomName) => granted.includes(`${right} ${room}`),
    allowsPattern: (right: Right, pattern: RoomPattern) => granted.includes(`${right} ${pattern}`),
  };
  return { ...OPEN_ACCESS, sub: "ada", rights, expiresAt: 2_000_000_000 };
}

function rigWith(guard: Guard = {}): EngineRig {
  return new EngineRig({}, (broker) => broker, guard);
}

function connect(rig: EngineRig, access: Access): TestConnection {
  const client = rig.connect(msgpackWire, access);
  client.socket.take();
  return client;
}

/** A promise in the test's hand. */
function deferred<T>(): { promise: Promise<T>; resolve(value: T): void; reject(cause: unknown): void } {
  let settle: { resolve(value: T): void; reject(cause: unknown): void } | undefined;
  const promise = new Promise<T>((resolve, reject) => {
    settle = { resolve, reject };
  });
  if (settle === undefined) throw new Error("a promise runs its executor at once");
  return { promise, ...settle };
}

test("each right is asked for its operation, and for nothing else", async () => {
  const attempts = async (client: TestConnection, room: RoomName): Promise<string[]> =>
    codes([
      ...(await client.ask({ type: "publish", ref: 1, room, data: 1, key: undefined })),
      ...(await client.ask({ type: "history", ref: 2, room, options: {} })),
      ...(await client.ask({ type: "presence", ref: 3, room })),
      ...(await client.ask({ type: "subscribe", ref: 4, room, options: { members: true } })),
      ...(await client.ask({ type: "subscribe", ref: 5, room, options: {} })),
    ]);
  const no = "forbidden";
  for (const [right, expected] of [
    ["publish", ["ok", no, no, no, no]],
    ["history", [no, "ok", no, no, no]],
    ["members", [no, no, "bad_request", no, no]],
    ["subscribe", [no, no, no, no, "ok", "live"]],
  ] as const) {
    const rig = rigWith();
    assert.deepEqual(await attempts(connect(rig, accessTo(`${right} chat.a`)), A), expected, right);
    assert.equal(rig.counters.forbidden, expected.filter((code) => code === no).length);
  }
});

test("a forbidden room is refused with the same words whether it is there, ephemeral, or was never heard of", async () => {
  const rig = rigWith();
  await rig.publish("chat.a", 1);
  const client = connect(rig, accessTo());
  const answers: string[] = [];
  for (const name of ["chat.a", "cursors.a", "keyed.a", "nowhere.a"]) {
    const room = parseRoom(name);
    const frames = [
      ...(await client.subscribe(name, { last: 5_000 })),
      ...(await client.subscribe(name, { state: true })),
      ...(await client.ask({ type: "publish", ref: 1, room, data: 1, key: undefined })),
      ...(await client.ask({ type: "history", ref: 1, room, options: {} })),
      ...(await client.ask({ type: "presence", ref: 1, room })),
    ];
    answers.push(JSON.stringify(frames).replaceAll(name, "ROOM"));
  }
  assert.equal(new Set(answers).size, 1);
  assert.equal(rig.engine.openRooms, 0);
});

test("a watchlist is refused room by room, and one that is forbidden now is left", async () => {
  const rig = rigWith();
  const client = connect(rig, accessTo("subscribe chat.a"));
  const rooms = [A, B].map((room) => ({ room, after: undefined }));
  const [answer] = await client.ask({ type: "subscribeMany", ref: 1, rooms, options: {} });
  assert.ok(answer?.type === "ok" && Array.isArray(answer.result));
  assert.equal(answer.result[0].offset, 0);
  assert.equal(answer.result[1][0], "forbidden");
});

test("without a guard a token is refused, and the connection stays", async () => {
  const rig = rigWith();
  const client = rig.connect();
  client.socket.take();
  assert.deepEqual(codes(await client.ask({ type: "authenticate", ref: 1, token: "t" })), ["bad_request"]);
  assert.equal(client.socket.closedWith, undefined);
});

test("a new token takes the place of the old one, and rooms that it does not allow are left with an error", async () => {
  const next = accessTo("subscribe chat.b");
  const rig = rigWith({ authenticate: async () => next });
  const client = connect(rig, accessTo("subscribe chat.a", "subscribe chat.b"));
  await client.subscribe("chat.a");
  await client.subscribe("chat.b");
  const frames = await client.ask({ type: "authenticate", ref: 7, token: "t" });
  assert.deepEqual(frames[0], {
    type: "ok",
    ref: 7,
    result: { expiresMs: 2_000_000_000_000 - rig.wallMs() },
  });
  const [, left, ...more] = frames;
  assert.ok(left?.type === "error");
  assert.deepEqual([left.ref, left.code, left.room, more.length], [0, "forbidden", "chat.a", 0]);
  await rig.publish("chat.a", 1);
  await rig.publish("chat.b", 2);
  await rig.settle();
  assert.deepEqual(
    client.socket.take().map((frame) => frame.type === "message" && frame.room),
    ["chat.b"],
  );
  assert.equal(client.session.access, next);
  assert.equal(rig.counters.authenticated, 1);
});

test("a token that is refused leaves everything as it was", async () => {
  const rig = rigWith({
    authenticate: async () => {
      throw new CodedError("unauthenticated", "no");
    },
  });
  const before = accessTo("subscribe chat.a");
  const client = connect(rig, before);
  await client.subscribe("chat.a");
  assert.deepEqual(codes(await client.ask({ type: "authenticate", ref: 1, token: "t" })), [
    "unauthenticated",
  ]);
  assert.equal(client.session.access, before);
  await rig.publish("chat.a", 1);
  await rig.settle();
  assert.deepEqual(types(client.socket.take()), ["message"]);
});

test("the warning of an expiry says how long there is", () => {
  const client = connect(rigWith(), accessTo());
  client.session.warnOfExpiry(1_999_999_970_500);
  const [frame] = client.socket.take();
  assert.ok(frame?.type === "error");
  assert.deepEqual([frame.ref, frame.code], [0, "unauthenticated"]);
  assert.match(frame.text, /within 30 s/);
});

test("a guard may refuse a subscribe, with its own code, and one that throws refuses it as internal", async () => {
  let outcome: unknown = new CodedError("rate_limited", "later", 5);
  const rig = rigWith({ subscribe: () => Promise.reject(outcome) });
  const client = connect(rig, OPEN_ACCESS);
  const [first] = await client.subscribe("chat.a");
  assert.deepEqual(first, { type: "error", ref: 1, code: "rate_limited", text: "later", retryMs: 5 });
  outcome = new Error("oops");
  assert.deepEqual(codes(await client.subscribe("chat.a")), ["internal"]);
  assert.equal(rig.engine.openRooms, 0);
});

test("what is asked of a room while the guard thinks takes the place of what waits", async () => {
  const verdicts = [deferred<void>(), deferred<void>(), deferred<void>()];
  const asked = [...verdicts];
  const rig = rigWith({ subscribe: () => asked.shift()?.promise ?? Promise.resolve() });
  const client = connect(rig, OPEN_ACCESS);
  assert.deepEqual(await client.subscribe("chat.a", {}, 1), []);
  assert.deepEqual(await client.subscribe("chat.a", {}, 2), []);
  verdicts[0]?.resolve();
  await rig.settle();
  assert.deepEqual(codes(client.socket.take()), ["bad_request"]);
  verdicts[1]?.resolve();
  await rig.settle();
  assert.deepEqual(types(client.socket.take()), ["ok", "live"]);
  assert.deepEqual(await client.subscribe("chat.b", {}, 3), []);
  assert.deepEqual(types(await client.ask({ type: "unsubscribe", ref: 4, room: B })), ["ok"]);
  verdicts[2]?.resolve();
  await rig.settle();
  assert.deepEqual(codes(client.socket.take()), ["bad_request"]);
  await rig.publish("chat.b", 1);
  await rig.settle();
  assert.deepEqual(client.socket.take(), []);
});

test("a token replaced while the guard thinks counts, and so does a connection that is gone", async () => {
  const verdicts = [deferred<void>(), deferred<void>()];
  const asked = [...verdicts];
  const rig = rigWith({
    subscribe: () => asked.shift()?.promise ?? Promise.resolve(),
    authenticate: async () => accessTo(),
  });
  const client = connect(rig, OPEN_ACCESS);
  await client.subscribe("chat.a");
  await client.ask({ type: "authenticate", ref: 9, token: "t" });
  verdicts[0]?.resolve();
  await rig.settle();
  assert.deepEqual(codes(client.socket.take()), ["forbidden"]);
  const other = connect(rig, OPEN_ACCESS);
  await other.subscribe("chat.a");
  other.session.closed(rig.nowMs);
  verdicts[1]?.resolve();
  await rig.settle();
  assert.equal(rig.engine.openRooms, 0);
});

test("a guard may rewrite a publish, refuse it, and sees data that stay valid", async () => {
  const verdict = deferred<void>();
  const seen: Outgoing[] = [];
  const rig = rigWith({
    publish: async (_guest, outgoing) => {
      seen.push(outgoing);
      await verdict.promise;
      if (outgoing.key === "no") throw new CodedError("forbidden", "not that");
      return { ...outgoing, data: Uint8Array.of(9) };
    },
  });
  const client = connect(rig, OPEN_ACCESS);
  await client.subscribe("chat.a");
  client.socket.take();
  await client.ask({ type: "publish", ref: 1, room: A, data: 1, key: undefined });
  await client.ask({ type: "publish", ref: 2, room: A, data: 2, key: "no" });
  assert.deepEqual(
    seen.map(({ data }) => [...data]),
    [[1], [2]],
  );
  verdict.resolve();
  await rig.settle();
  const frames = client.socket.take();
  assert.deepEqual(codes(frames).sort(), ["forbidden", "message", "ok"]);
  assert.deepEqual(
    frames.map((frame) => frame.type === "message" && frame.data).filter((data) => data !== false),
    [9],
  );
});

test("a connection that is closed while the guard thinks publishes nothing", async () => {
  const verdict = deferred<void>();
  const rig = rigWith({ publish: (_guest, outgoing) => verdict.promise.then(() => outgoing) });
  const client = connect(rig, OPEN_ACCESS);
  await client.ask({ type: "publish", ref: 1, room: A, data: 1, key: undefined });
  client.session.closed(rig.nowMs);
  verdict.resolve();
  await rig.settle();
  assert.equal((await rig.broker.history(A, "oldest", 10)).head.offset, 0);
});
