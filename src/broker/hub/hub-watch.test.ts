import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { decode, encode } from "@msgpack/msgpack";
import type { LostWhere, Watcher } from "../../core/ports.js";
import { CodedError } from "../../protocol/errors.js";
import { dataOf, type Message } from "../../protocol/message.js";
import { parseRoom } from "../../protocol/room-name.js";
import { parsePattern } from "../../protocol/room-pattern.js";
import { Collector } from "../conformance-rig.testkit.js";
import { GatedBroker } from "./gated-broker.testkit.js";
import { DEADLINE_MS, HubKit, type HubKitOptions, until } from "./hub.testkit.js";
import type { HubLink } from "./hub-link.js";
import { SocketProxy } from "./socket-proxy.testkit.js";

const ROOM = parseRoom("log.a");
const OTHER = parseRoom("log.b");
const ALL = parsePattern("log.>");

/** What a watcher was handed, in order: numbers of messages, and what was lost. */
class Onlooker implements Watcher {
  readonly told: (number | LostWhere)[] = [];

  message(message: Message): void {
    this.told.push(Number(decode(dataOf(message))));
  }

  lost(where: LostWhere): void {
    this.told.push(where);
  }
}

function makeKit(t: TestContext, options: HubKitOptions = {}): HubKit {
  const kit = new HubKit(options);
  t.after(() => kit.dispose());
  return kit;
}

/** A broker behind a gate that stays over the hubs before it. */
function gatedKit(t: TestContext, options: HubKitOptions = {}): { kit: HubKit; gate: () => GatedBroker } {
  let gate: GatedBroker | undefined;
  const kit = makeKit(t, {
    ...options,
    wrap: (broker) => {
      gate ??= new GatedBroker(broker);
      return gate;
    },
  });
  return {
    kit,
    gate: () => {
      assert.ok(gate !== undefined);
      return gate;
    },
  };
}

/** A link whose socket can be troubled. */
async function troubled(t: TestContext, kit: HubKit): Promise<{ link: HubLink; proxy: SocketProxy }> {
  const proxy = new SocketProxy(kit.path);
  t.after(() => proxy.dispose());
  const socketPath = kit.folder.at("troubled");
  await proxy.listen(socketPath);
  return { link: await kit.linked({ socketPath }), proxy };
}

function publish(kit: HubKit, value: unknown, room = ROOM) {
  return kit.broker.publish({ room, data: encode(value) });
}

test("a hub that is gone and back: the watcher is told once, before anything comes again", async (t) => {
  const kit = makeKit(t);
  await kit.start();
  const link = await kit.linked();
  const onlooker = new Onlooker();
  for (const text of ["log.>", "log.*", "eph.*"]) await link.watch(parsePattern(text), onlooker);
  await publish(kit, 1);
  await until(() => onlooker.told.length === 1);
  await kit.stopHub();
  await until(() => !link.linked);
  await assert.rejects(
    link.watch(parsePattern("log.x"), onlooker),
    (cause) => cause instanceof CodedError && cause.code === "unavailable" && cause.retryMs !== undefined,
  );
  await publish(kit, 2);
  await kit.start();
  await until(() => onlooker.told.length === 2);
  await publish(kit, 3);
  await until(() => onlooker.told.length === 3);
  assert.deepEqual(onlooker.told, [1, "all", 3]);
  assert.deepEqual([link.counters.watchedPatterns, kit.counters.watchedPatterns], [3, 3]);
});

test("a worker that does not read is told that it has lost some, and holds nobody up", async (t) => {
  const kit = makeKit(t, { limits: { bufferBytes: 1_000_000, lowWatermarkBytes: 100_000 } });
  await kit.start();
  const proxy = new SocketProxy(kit.path);
  t.after(() => proxy.dispose());
  const socketPath = kit.folder.at("slow");
  await proxy.listen(socketPath);
  const [slow, quick] = [await kit.linked({ socketPath }), await kit.linked()];
  const [seen, all] = [new Onlooker(), new Onlooker()];
  await slow.watch(ALL, seen);
  await quick.watch(ALL, all);
  proxy.holdFlow(true);
  let number = 0;
  const publishSome = async (): Promise<void> => {
    for (let turn = 0; turn < 50; turn += 1)
      await kit.broker.publish({ room: ROOM, data: encode([number++, new Uint8Array(4_000)]) });
    await until(() => all.told.length === number);
  };
  for (let turn = 0; turn < 200 && kit.counters.lagged === 0; turn += 1) await publishSome();
  assert.equal(kit.counters.lagged, 1);
  proxy.holdFlow(false);
  await until(() => seen.told.includes("all"));
  const before = seen.told.indexOf("all");
  await publishSome();
  await until(() => seen.told.length >= before + 51);
  assert.equal(seen.told.filter((told) => told === "all").length, 1);
  assert.deepEqual(kit.errors, []);
});

test("each message goes once to each worker that watches or has the room open, by one watch at the broker", async (t) => {
  const kit = makeKit(t);
  await kit.start();
  const links = [await kit.linked(), await kit.linked(), await kit.linked()] as const;
  const [one, two] = [new Onlooker(), new Onlooker()];
  await links[0].watch(ALL, one);
  await links[0].watch(parsePattern("log.*"), one);
  await links[1].watch(ALL, two);
  const sink = new Collector(DEADLINE_MS);
  await links[1].open(ROOM, sink);
  const alone = new Collector(DEADLINE_MS);
  await links[2].open(OTHER, alone);
  for (let n = 0; n < 20; n += 1) await Promise.all([publish(kit, n), publish(kit, 100 + n, OTHER)]);
  await until(() => one.told.length === 40 && two.told.length === 20 && sink.messages.length === 20);
  await alone.until(20);
  assert.deepEqual(
    one.told.toSorted(),
    two.told.concat(sink.messages.map((m) => decode(dataOf(m)) as number)).toSorted(),
  );
  assert.equal(kit.counters.watchedMessages, 60);
  assert.equal(kit.counters.watchedPatterns, 2);
  links[1].unwatch(ALL);
  await links[0].stop(0);
  await until(() => kit.counters.watchedPatterns === 0);
  assert.equal(kit.broker.counters.watchedPatterns, 0);
});

test("a room that is closed while it is still being replayed has lost what it was owed, and that is told", async (t) => {
  const { kit, gate } = gatedKit(t);
  await kit.start();
  const link = await kit.linked();
  const onlooker = new Onlooker();
  await link.watch(ALL, onlooker);
  await link.open(ROOM, new Collector(DEADLINE_MS));
  await kit.stopHub();
  await until(() => !link.linked);
  for (let n = 0; n < 5; n += 1) await publish(kit, n);
  // The broker lets nothing through: the room is asked for again, and nothing of it has come.
  gate().shut();
  await kit.start();
  await until(() => gate().waiting > 0 && onlooker.told.includes("all"));
  link.close(ROOM);
  await until(() => onlooker.told.length === 2);
  gate().release();
  await until(() => kit.counters.rooms === 0);
  await publish(kit, 9);
  await until(() => onlooker.told.at(-1) === 9);
  assert.deepEqual(onlooker.told, ["all", { room: ROOM }, 9]);
});

test("a room that is closed while it is asked for again: nothing of it comes twice or late, and what was left out is told", async (t) => {
  const { kit, gate } = gatedKit(t);
  await kit.start();
  const { link, proxy } = await troubled(t, kit);
  const onlooker = new Onlooker();
  await link.watch(ALL, onlooker);
  await link.open(ROOM, new Collector(DEADLINE_MS));
  proxy.cut();
  await until(() => !link.linked);
  await publish(kit, 0);
  await until(() => kit.counters.links === 0);
  gate().shut();
  await until(() => gate().waiting > 0 && onlooker.told.includes("all"));
  const before = link.counters.ignored;
  await publish(kit, 1);
  await until(() => link.counters.ignored > before);
  // The hub does not hear that it is closed, and means to replay it.
  proxy.holdRequests(true);
  link.close(ROOM);
  for (const n of [2, 3]) await publish(kit, n);
  await until(() => onlooker.told.includes(3));
  gate().release();
  await until(() => kit.counters.replayedMessages === 4);
  proxy.holdRequests(false);
  await until(() => kit.counters.rooms === 0);
  await publish(kit, 4);
  await until(() => onlooker.told.includes(4));
  assert.deepEqual(
    onlooker.told.filter((told) => typeof told === "number"),
    [2, 3, 4],
  );
  assert.deepEqual(onlooker.told.slice(0, 3), ["all", { room: ROOM }, 2]);
});

test("a room that opens while a worker's flow is cut: what is missing before it is told first", async (t) => {
  const { kit, gate } = gatedKit(t, { limits: { bufferBytes: 100_000, lowWatermarkBytes: 10_000 } });
  await kit.start();
  const link = await kit.linked();
  const onlooker = new Onlooker();
  await link.watch(ALL, onlooker);
  gate().shut();
  const opened = link.open(ROOM, new Collector(DEADLINE_MS)).then(() => [...onlooker.told]);
  await until(() => gate().waiting > 0);
  for (let turn = 0; turn < 100 && kit.counters.lagged === 0; turn += 1)
    await kit.broker.publish({ room: ROOM, data: encode([turn, new Uint8Array(4_000)]) });
  // In the same turn of the loop as the cut.
  gate().release();
  assert.ok((await opened).includes("all"));
  assert.equal(kit.counters.lagged, 1);
});

test("a room that opens before patterns are watched again: what is missing before it is told first", async (t) => {
  const { kit, gate } = gatedKit(t);
  await kit.start();
  const link = await kit.linked();
  const onlooker = new Onlooker();
  await link.watch(ALL, onlooker);
  await kit.stopHub();
  await until(() => !link.linked);
  await publish(kit, 1);
  gate().holdsWatches = true;
  await kit.start();
  await link.ready(DEADLINE_MS);
  await link.open(ROOM, new Collector(DEADLINE_MS));
  assert.deepEqual(onlooker.told, [{ room: ROOM }]);
  gate().releaseWatches();
  await until(() => onlooker.told.length === 2);
  assert.deepEqual(onlooker.told, [{ room: ROOM }, "all"]);
});

test("a room that has lost its continuity at the broker: who only watches it is told, who has it open is reset", async (t) => {
  const { kit, gate } = gatedKit(t);
  await kit.start();
  const [member, watcher] = [await kit.linked(), await kit.linked()];
  const [sink, onlooker, both] = [new Collector(DEADLINE_MS), new Onlooker(), new Onlooker()];
  await watcher.watch(ALL, onlooker);
  await member.watch(ALL, both);
  await member.open(ROOM, sink);
  gate().sinks.get(ROOM)?.reset(ROOM, { epoch: "another", offset: 0 }, "epoch");
  await until(() => onlooker.told.length > 0 && sink.resets.length > 0);
  assert.deepEqual(onlooker.told, [{ room: ROOM }]);
  assert.deepEqual(both.told, []);
});

test("patterns beyond a worker's bound are refused and counted, and one that the broker refuses is said so", async (t) => {
  const kit = makeKit(t, { limits: { patterns: 2 }, broker: { limits: { patterns: 1 } } });
  await kit.start();
  const link = await kit.linked();
  const onlooker = new Onlooker();
  const refused = (text: RegExp) => (cause: unknown) =>
    cause instanceof CodedError && cause.code === "unavailable" && text.test(cause.message);
  await link.watch(ALL, onlooker);
  await assert.rejects(link.watch(parsePattern("log.a"), onlooker), refused(/at this broker/));
  const pending = link.watch(parsePattern("log.b"), onlooker);
  await assert.rejects(link.watch(parsePattern("log.c"), onlooker), refused(/2 patterns .* this worker/));
  await assert.rejects(pending, refused(/at this broker/));
  link.unwatch(ALL);
  await until(() => kit.broker.counters.watchedPatterns === 0);
  await link.watch(parsePattern("log.a"), onlooker);
  await publish(kit, 1);
  await publish(kit, 2, OTHER);
  await publish(kit, 3);
  await until(() => onlooker.told.length === 2);
  assert.deepEqual(onlooker.told, [1, 3]);
});
