import assert from "node:assert/strict";
import { test } from "node:test";
import { layered } from "../broker/broker-layer.testkit.js";
import { CodedError } from "../protocol/errors.js";
import type { ClientFrame, ServerFrame, SubscribeOptions } from "../protocol/frames.js";
import { parseRoom, type RoomName } from "../protocol/room-name.js";
import { matchesRoom, parsePattern, type RoomPattern } from "../protocol/room-pattern.js";
import { type Access, OPEN_ACCESS } from "./access.js";
import { EngineRig, type TestConnection } from "./engine-rig.testkit.js";
import type { Broker, Watcher } from "./ports.js";

const subscribe = (pattern: string, options: SubscribeOptions = {}, ref = 1): ClientFrame => ({
  type: "subscribePattern",
  ref,
  pattern: parsePattern(pattern),
  options,
});
const unsubscribe = (pattern: string, ref = 2): ClientFrame => ({
  type: "unsubscribePattern",
  ref,
  pattern: parsePattern(pattern),
});
const unsubscribeRoom = (room: string, ref = 3): ClientFrame => ({
  type: "unsubscribe",
  ref,
  room: parseRoom(room),
});

/** What came: messages as `room offset`, all else by its type. */
function told(frames: readonly ServerFrame[]): string[] {
  return frames.map((frame) => (frame.type === "message" ? `${frame.room} ${frame.offset}` : frame.type));
}

async function welcomed(rig: EngineRig): Promise<TestConnection> {
  const connection = rig.connect();
  await connection.ask();
  return connection;
}

test("a pattern brings what comes from now on in rooms that are open here and in others, and nothing of before", async () => {
  const rig = new EngineRig();
  const [one, other] = [await welcomed(rig), await welcomed(rig)];
  await rig.publish("chat.a", 1);
  await other.subscribe("chat.b");
  const [answer] = await one.ask(subscribe("chat.*"));
  assert.deepEqual(answer, { type: "ok", ref: 1, result: { epoch: "", offset: 0, recovered: false } });
  await rig.publish("chat.a", 2);
  await rig.publish("chat.b", 3);
  await rig.publish("chat.b.c", 4);
  await rig.publish("short.a", 5);
  await rig.settle();
  assert.deepEqual(told(one.socket.take()), ["chat.a 2", "chat.b 1"]);
  await one.ask(unsubscribe("chat.*"));
  await rig.publish("chat.a", 6);
  await rig.settle();
  assert.deepEqual(told(one.socket.take()), []);
});

test("what several patterns and a room by name mean comes once, and goes on without a hole when either ends", async () => {
  const rig = new EngineRig();
  const [one, other] = [await welcomed(rig), await welcomed(rig)];
  await other.ask(subscribe("chat.*"));
  await one.ask(subscribe("chat.*"), subscribe("chat.>", {}, 2), subscribe("*.a", {}, 3));
  const publish = async (): Promise<string[]> => {
    await rig.publish("chat.a", 1);
    await rig.publish("chat.b", 1);
    await rig.settle();
    return told(one.socket.take());
  };
  assert.deepEqual(await publish(), ["chat.a 1", "chat.b 1"]);
  const started = await one.subscribe("chat.a", {}, 4);
  assert.deepEqual(told(started), ["ok", "live"]);
  assert.deepEqual((await publish()).sort(), ["chat.a 2", "chat.b 2"]);
  await one.ask(unsubscribe("chat.>"), unsubscribe("*.a"));
  assert.deepEqual((await publish()).sort(), ["chat.a 3", "chat.b 3"]);
  assert.deepEqual(told(await one.ask(unsubscribeRoom("chat.a"))), ["ok"]);
  assert.deepEqual((await publish()).sort(), ["chat.a 4", "chat.b 4"]);
  await one.ask(unsubscribe("chat.*"));
  assert.deepEqual(await publish(), []);
  assert.deepEqual(told(other.socket.take()).length, 10);
  assert.equal(rig.counters.patterns, 1);
  assert.equal(rig.counters.patternFlows, 1);
});

test("everybody with the same patterns shares a flow, of which each message is published once", async () => {
  const rig = new EngineRig();
  const all = await Promise.all([1, 2, 3].map(() => welcomed(rig)));
  for (const one of all) await one.ask(subscribe("chat.a.*"), subscribe("chat.>", {}, 2));
  assert.equal(rig.counters.patternFlows, 1);
  rig.published.splice(0);
  await rig.publish("chat.a.b", 1);
  await rig.settle();
  assert.equal(rig.published.length, 1);
  for (const one of all) assert.deepEqual(told(one.socket.take()), ["chat.a.b 1"]);
  for (const one of all) one.session.closed(rig.nowMs);
  assert.deepEqual([rig.counters.patterns, rig.counters.patternFlows], [0, 0]);
});

test("a pattern is live only: what asks for more is refused with the way to get it, and ends it", async () => {
  const rig = new EngineRig();
  const one = await welcomed(rig);
  await one.ask(subscribe("chat.*"));
  const refused: SubscribeOptions[] = [
    { after: { epoch: "e", offset: 1 } },
    { last: 3 },
    { state: true },
    { rate: 10 },
    { echo: false },
    { members: true },
    { info: { name: "x" } },
  ];
  for (const options of refused) {
    const [answer] = await one.ask(subscribe("chat.*", options));
    assert.ok(answer?.type === "error" && answer.code === "bad_request", JSON.stringify(options));
    assert.match(answer.text, /live only: .*by their names.*over HTTP/);
    assert.ok(answer.text.includes(Object.keys(options)[0] ?? ""));
  }
  await rig.publish("chat.a", 1);
  await rig.settle();
  assert.deepEqual(told(one.socket.take()), []);
  const defaults = { rate: "all", echo: true, members: false, state: false } as const;
  assert.deepEqual(told(await one.ask(subscribe("chat.*", defaults))), ["ok"]);
});

test("a connection has so many patterns, and the process so many flows", async () => {
  const rig = new EngineRig({ patternsPerConnection: 2, openPatterns: 3 });
  const [one, other] = [await welcomed(rig), await welcomed(rig)];
  await one.ask(subscribe("a.*"), subscribe("b.*", {}, 2));
  const [tooMany] = await one.ask(subscribe("c.*", {}, 3));
  assert.ok(tooMany?.type === "error" && tooMany.code === "too_many_rooms");
  assert.match(tooMany.text, /2 patterns, its limit/);
  await other.ask(subscribe("c.*"));
  const [full] = await other.ask(subscribe("d.*", {}, 2));
  assert.ok(full?.type === "error" && full.code === "unavailable" && full.retryMs !== undefined);
  assert.deepEqual([rig.counters.tooManyPatterns, rig.counters.openPatternsRefused], [1, 1]);
  // A room by name that would need one flow more ends the pattern, and says so.
  await rig.connect().ask(subscribe("c.*"));
  const ended = await other.subscribe("c.x", {}, 5);
  assert.deepEqual(told(ended), ["patternEnded", "ok", "live"]);
  // What nobody has for some time makes place.
  await one.ask(unsubscribe("a.*"), unsubscribe("b.*"));
  rig.nowMs += 60_000;
  rig.engine.sweep(rig.nowMs);
  assert.deepEqual(told(await other.ask(subscribe("d.*", {}, 2))), ["ok"]);
});

test("rights decide on all that a pattern means, at the begin and when they are renewed", async () => {
  const rig = new EngineRig();
  const only = (allowed: string): Access => ({
    ...OPEN_ACCESS,
    rights: {
      allows: (_right, room) => matchesRoom(parsePattern(allowed), room),
      allowsPattern: (_right, pattern) => pattern === allowed,
    },
  });
  const one = rig.connect(undefined, only("chat.*"));
  await one.ask();
  const [refused] = await one.ask(subscribe("chat.>"));
  assert.ok(refused?.type === "error" && refused.code === "forbidden");
  await one.ask(subscribe("chat.*", {}, 2));
  one.session.renew(only("short.*"), rig.nowMs);
  assert.deepEqual(
    one.socket.take().map((frame) => frame.type === "patternEnded" && [frame.pattern, frame.code]),
    [["chat.*", "forbidden"]],
  );
  await rig.publish("chat.a", 1);
  await rig.settle();
  assert.deepEqual(told(one.socket.take()), []);
});

test("a socket that lost frames leaves its patterns, is told, and asks again", async () => {
  const rig = new EngineRig();
  const one = await welcomed(rig);
  await one.ask(subscribe("chat.*"));
  await one.subscribe("chat.a", {}, 2);
  one.session.dropped();
  await rig.publish("chat.b", 1);
  await rig.settle();
  assert.deepEqual(told(one.socket.take()), ["lagged"]);
  await rig.publish("chat.b", 2);
  await rig.settle();
  assert.deepEqual(told(await one.ask(subscribe("chat.*"))), ["ok"]);
  await rig.publish("chat.b", 3);
  // Not asked for by name again.
  await rig.publish("chat.a", 1);
  await rig.settle();
  assert.deepEqual(told(one.socket.take()), ["chat.b 3", "chat.a 1"]);
  assert.deepEqual(told(await one.subscribe("chat.a", {}, 2)), ["ok", "live"]);
  await rig.publish("chat.a", 1);
  await rig.settle();
  assert.deepEqual(told(one.socket.take()), ["chat.a 2"]);
});

test("a room by its name that is asked for again and refused goes on by patterns, and what came between is told missing", async () => {
  const refused = new CodedError("unavailable", "on purpose", 20);
  const wrap = (broker: Broker) => layered(broker, { history: () => Promise.reject(refused) });
  const rig = new EngineRig({}, wrap);
  const one = await welcomed(rig);
  await one.ask(subscribe("chat.*"));
  // Never had by name: the pattern goes on as if nothing had been asked.
  assert.deepEqual(told(await one.subscribe("chat.a", { last: 9 }, 2)), ["error"]);
  await rig.publish("chat.a", 1);
  await rig.settle();
  assert.deepEqual(told(one.socket.take()), ["chat.a 1"]);
  assert.deepEqual(told(await one.subscribe("chat.a", {}, 3)), ["ok", "live"]);
  await rig.publish("chat.a", 2);
  await rig.settle();
  assert.deepEqual(told(one.socket.take()), ["chat.a 2"]);
  assert.deepEqual(told(await one.subscribe("chat.a", { last: 9 }, 4)).sort(), ["error", "patternReset"]);
  await rig.publish("chat.a", 3);
  await rig.settle();
  assert.deepEqual(told(one.socket.take()), ["chat.a 3"]);
  assert.equal(rig.counters.patternGaps, 1);
});

test("a room whose subscribe was not answered yet comes by patterns, also where it was asked for twice", async () => {
  let letGo: () => void = () => assert.fail("no history was asked for");
  const gate = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  const wrap = (broker: Broker) =>
    layered(broker, { history: (room, from, limit) => gate.then(() => broker.history(room, from, limit)) });
  const rig = new EngineRig({}, wrap);
  const one = await welcomed(rig);
  for (const ref of [2, 3]) assert.deepEqual(await one.subscribe("chat.a", { last: 9 }, ref), []);
  assert.deepEqual(told(await one.ask(subscribe("chat.*"))), ["ok"]);
  await rig.publish("chat.a", 1);
  await rig.settle();
  assert.deepEqual(told(one.socket.take()), ["chat.a 1"]);
  letGo();
  await rig.settle();
  assert.deepEqual(told(one.socket.take()).sort(), ["chat.a 1", "error", "live", "ok"]);
});

test("a pattern brings nothing of before the broker agreed to it, though others had it come here", async () => {
  let agree: () => void = () => assert.fail("nothing was watched");
  const wrap = (broker: Broker) =>
    layered(broker, {
      watch: async (pattern, watcher) => {
        if (pattern === "chat.*")
          await new Promise<void>((resolve) => {
            agree = resolve;
          });
        await broker.watch(pattern, watcher);
      },
    });
  const rig = new EngineRig({}, wrap);
  const [one, other] = [await welcomed(rig), await welcomed(rig)];
  await other.ask(subscribe("chat.>"));
  assert.deepEqual(told(await one.ask(subscribe("chat.*"))), []);
  await rig.publish("chat.a", 1);
  await rig.settle();
  // Here already, but not taken in: between this and what the new pattern brings something may be missing.
  await rig.publish("chat.a", 2);
  agree();
  await rig.settle();
  assert.deepEqual(told(one.socket.take()), ["ok"]);
  await rig.publish("chat.a", 3);
  await rig.settle();
  assert.deepEqual(told(one.socket.take()), ["chat.a 3"]);
  assert.deepEqual(told(other.socket.take()), ["chat.a 1", "chat.a 2", "chat.a 3"]);
});

/** A broker whose watcher is in the test's hand. */
function watched(): { rig: EngineRig; watcher: () => Watcher; patterns: Set<RoomPattern> } {
  const patterns = new Set<RoomPattern>();
  let found: Watcher | undefined;
  const wrap = (broker: Broker) =>
    layered(broker, {
      watch: async (pattern, watcher) => {
        found = watcher;
        patterns.add(pattern);
        await broker.watch(pattern, watcher);
      },
      unwatch: (pattern) => {
        patterns.delete(pattern);
        broker.unwatch(pattern);
      },
    });
  return { rig: new EngineRig({}, wrap), watcher: () => found ?? assert.fail("nobody watches"), patterns };
}

test("what the broker lost is told to the patterns that may have missed it, before what follows", async () => {
  const { rig, watcher, patterns } = watched();
  const [one, other] = [await welcomed(rig), await welcomed(rig)];
  await one.ask(subscribe("chat.*"));
  await other.ask(subscribe("short.*"));
  await rig.publish("chat.a", 1);
  watcher().lost({ room: parseRoom("chat.b") });
  await rig.publish("chat.a", 2);
  await rig.publish("short.a", 2);
  await rig.settle();
  assert.deepEqual(told(one.socket.take()), ["chat.a 1", "patternReset", "chat.a 2"]);
  assert.deepEqual(told(other.socket.take()), ["short.a 1"]);
  watcher().lost({ patterns: [parsePattern("*.x")] });
  watcher().lost("all");
  await rig.settle();
  for (const { socket } of [one, other]) assert.deepEqual(told(socket.take()), ["patternReset"]);
  // One that is open here tells by itself.
  await other.ask({ type: "subscribe", ref: 7, room: parseRoom("chat.a"), options: {} });
  const head = { epoch: "other", offset: 0 };
  rig.engine.rooms.reset(parseRoom("chat.a"), head, "epoch");
  await rig.settle();
  assert.deepEqual(told(one.socket.take()), ["patternReset"]);
  assert.deepEqual(told(other.socket.take()).slice(-1), ["reset"]);
  await one.ask(unsubscribe("chat.*"));
  assert.equal(patterns.size, 2);
  rig.nowMs += 60_000;
  rig.engine.sweep(rig.nowMs);
  assert.deepEqual([...patterns], ["short.*"]);
});

test("with many rooms by name within its patterns a session has a flow of its own, and goes back to a shared one", async () => {
  const rig = new EngineRig();
  const [one, other] = [await welcomed(rig), await welcomed(rig)];
  await other.ask(subscribe("chat.*"));
  await one.ask(subscribe("chat.*"));
  const rooms: RoomName[] = Array.from({ length: 12 }, (_, index) => parseRoom(`chat.r${index}`));
  await one.ask({
    type: "subscribeMany",
    ref: 2,
    rooms: rooms.map((room) => ({ room, after: undefined })),
    options: {},
  });
  const publish = async (): Promise<string[]> => {
    for (const room of [...rooms, parseRoom("chat.other")]) await rig.publish(room, 1);
    await rig.settle();
    return told(one.socket.take()).sort();
  };
  const once = (offset: number): string[] =>
    [...rooms, "chat.other"].map((room) => `${room} ${offset}`).sort();
  assert.deepEqual(await publish(), once(1));
  assert.equal(rig.counters.patternFlows, 2);
  for (const room of rooms.slice(0, 11)) assert.deepEqual(told(await one.ask(unsubscribeRoom(room))), ["ok"]);
  assert.deepEqual(await publish(), once(2));
  await one.ask(unsubscribeRoom("chat.r11"));
  assert.equal(rig.counters.patternFlows, 1);
  assert.deepEqual(await publish(), once(3));
});
