import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { decode } from "@msgpack/msgpack";
import type { LostWhere, Sink, Watcher } from "../core/ports.js";
import { dataOf, type Message } from "../protocol/message.js";
import { parseRoom, type RoomName } from "../protocol/room-name.js";
import { parsePattern, type RoomPattern } from "../protocol/room-pattern.js";
import { type Check, type Namespace, offsetsOf, type Rig, Witness } from "./conformance-rig.testkit.js";

/** What the rooms of the tests are published to: their numbers, 0, 1, 2… in every room. */
type Numbers = Map<RoomName, number[]>;

/** A watcher that remembers everything, by room, and can be waited for. */
export class Onlooker extends Witness implements Watcher {
  readonly messages: Message[] = [];
  readonly lostWhere: LostWhere[] = [];

  message(message: Message): void {
    this.messages.push(message);
    this.wake();
  }

  lost(where: LostWhere): void {
    this.lostWhere.push(where);
    this.wake();
  }

  /** Waits until it holds; fails at the deadline, telling what has come. */
  async until(holds: () => boolean, what: string): Promise<void> {
    await this.holds(holds, () => `${what}: ${this.messages.length} messages`);
  }

  of(room: RoomName): readonly Message[] {
    return this.messages.filter((message) => message.room === room);
  }
}

/** A family of rooms that one pattern means, and no other test does. */
class Family {
  readonly rig: Rig;
  readonly #mark = `w${randomBytes(8).toString("hex")}`;
  readonly onlooker: Onlooker;

  constructor(rig: Rig) {
    this.rig = rig;
    this.onlooker = new Onlooker(rig.fixture.deadlineMs ?? 5_000);
  }

  room(namespace: Namespace, ...tokens: readonly string[]): RoomName {
    return parseRoom([namespace, this.#mark, ...tokens].join("."));
  }

  pattern(namespace: Namespace | "*", ...tokens: readonly string[]): RoomPattern {
    return parsePattern([namespace, this.#mark, ...tokens].join("."));
  }

  watch(pattern: RoomPattern): Promise<void> {
    return this.rig.broker.watch(pattern, this.onlooker);
  }

  /** Publishes a message and waits until the watcher has it: what was under way before has come, too. */
  async settle(room: RoomName): Promise<void> {
    const value = `settle ${randomBytes(6).toString("hex")}`;
    await this.rig.publish(room, value);
    await this.onlooker.until(
      () => this.onlooker.of(room).some((message) => dataIn(message) === value),
      value,
    );
  }
}

/** What every broker does with patterns. */
export function watchTests(check: Check): void {
  check(
    "watch: every message of rooms that a pattern means comes, in order, and of no others",
    async (rig) => {
      const family = new Family(rig);
      await family.watch(family.pattern("log", "*"));
      const inside = [family.room("log", "a"), family.room("log", "b")];
      const outside = [
        family.room("log"),
        family.room("log", "a", "x"),
        rig.room("log"),
        family.room("bare", "a"),
      ];
      for (let n = 0; n < 20; n += 1)
        await Promise.all([...outside, ...inside].map((room) => rig.publish(room, n)));
      await family.onlooker.until(() => family.onlooker.messages.length >= 40, "all messages");
      for (const room of inside) {
        const messages = family.onlooker.of(room);
        assert.deepEqual(messages.map(dataIn), upTo(20), room);
        assertGrowing(offsetsOf(messages));
      }
      assert.equal(family.onlooker.messages.length, 40, "only of rooms inside");
      assert.deepEqual(family.onlooker.lostWhere, []);
    },
  );

  check("watch: a message carries what its publisher gave it, and its place in history", async (rig) => {
    const family = new Family(rig);
    await family.watch(family.pattern("keyed", ">"));
    const room = family.room("keyed", "a", "b");
    const position = await rig.publish(room, { x: 1 }, { key: "k", origin: "me" });
    await family.onlooker.until(() => family.onlooker.messages.length > 0, "the message");
    const [message] = family.onlooker.messages;
    assert.ok(message !== undefined);
    assert.deepEqual(
      [message.room, message.offset, message.key, message.origin, dataIn(message)],
      [room, position.offset, "k", "me", { x: 1 }],
    );
    const page = await rig.page(room, "oldest", 10);
    assert.deepEqual(page.messages.map(dataIn), [{ x: 1 }]);
    assert.equal(page.messages[0]?.time, message.time);
  });

  check(
    "watch: a message that several patterns mean comes once, also of a pattern watched twice",
    async (rig) => {
      const family = new Family(rig);
      const patterns = [family.pattern("log", "*"), family.pattern("log", ">"), family.pattern("*", "a")];
      for (const pattern of patterns) await family.watch(pattern);
      await family.watch(family.pattern("log", ">"));
      const room = family.room("log", "a");
      for (let n = 0; n < 10; n += 1) await rig.publish(room, n);
      await family.settle(room);
      assert.deepEqual(family.onlooker.of(room).map(dataIn).slice(0, -1), upTo(10));
      // What is left of them still means it.
      for (const pattern of patterns.slice(0, 2)) rig.broker.unwatch(pattern);
      await rig.publish(room, "one");
      await family.onlooker.until(() => dataIn(family.onlooker.messages.at(-1)) === "one", "one is left");
      assert.equal(family.onlooker.messages.length, 12);
    },
  );

  check("watch: ephemeral rooms come too, and nothing else does", async (rig) => {
    const family = new Family(rig);
    await family.watch(family.pattern("eph", ">"));
    const room = family.room("eph", "cursor");
    for (let n = 0; n < 50; n += 1) await rig.publish(room, n, { key: "k" });
    await rig.publish(rig.room("eph"), "another");
    await family.settle(room);
    const messages = family.onlooker.messages.slice(0, -1);
    assert.deepEqual(messages.map(dataIn), upTo(50));
    assert.ok(messages.every(({ offset, key }) => offset === 0 && key === "k"));
  });

  check(
    "watch: nothing comes after unwatch, unknown patterns are ignored, and it can begin again",
    async (rig) => {
      const family = new Family(rig);
      const [a, b] = [family.pattern("log", "a"), family.pattern("log", "b")];
      rig.broker.unwatch(a);
      await family.watch(a);
      await family.watch(b);
      const [roomA, roomB] = [family.room("log", "a"), family.room("log", "b")];
      await family.settle(roomA);
      rig.broker.unwatch(a);
      const before = family.onlooker.of(roomA).length;
      await rig.publishMany(roomA, 5);
      await family.settle(roomB);
      assert.equal(family.onlooker.of(roomA).length, before);
      await family.watch(a);
      await family.settle(roomA);
      assert.equal(family.onlooker.of(roomA).length, before + 1);
    },
  );

  check(
    "watch: with a room open its messages come to the sink only, before and after to the watcher only",
    async (rig) => {
      for (const namespace of ["log", "keyed", "eph"] as const) {
        const family = new Family(rig);
        const room = family.room(namespace, "a");
        await family.watch(family.pattern(namespace, ">"));
        const sink = rig.collector();
        await rig.publishMany(room, 5);
        await family.onlooker.until(() => family.onlooker.of(room).length === 5, "before");
        const { offset } = await rig.broker.open(room, sink);
        for (let n = 5; n < 10; n += 1) await rig.publish(room, n);
        await sink.until(5);
        rig.broker.close(room);
        for (let n = 10; n < 15; n += 1) await rig.publish(room, n);
        await family.onlooker.until(() => family.onlooker.of(room).length >= 10, "after");
        assert.deepEqual(sink.messages.map(dataIn), [5, 6, 7, 8, 9], namespace);
        assert.deepEqual(
          family.onlooker.of(room).map(dataIn),
          [0, 1, 2, 3, 4, 10, 11, 12, 13, 14],
          namespace,
        );
        if (namespace !== "eph") assert.ok(sink.messages.every((message) => message.offset > offset));
      }
    },
  );

  check("watch: a room that was open before the pattern was watched keeps its flow", async (rig) => {
    for (const namespace of ["log", "keyed", "eph"] as const) {
      const family = new Family(rig);
      const room = family.room(namespace, "a");
      const sink = rig.collector();
      await rig.broker.open(room, sink);
      const stop = publishOn(rig, [room]);
      await sink.until(3);
      await family.watch(family.pattern(namespace, ">"));
      await sink.until(sink.messages.length + 5);
      rig.broker.close(room);
      const numbers = await stop();
      await family.settle(room);
      assertOnce(numbers, [...sink.messages, ...family.onlooker.messages]);
      assert.deepEqual(sink.resets, []);
    }
  });

  check(
    "watch: however rooms open and close meanwhile, every message comes to one place, in order",
    async (rig) => {
      const family = new Family(rig);
      await family.watch(family.pattern("*", ">"));
      const rooms = (["log", "bare", "keyed", "eph"] as const).flatMap((namespace) =>
        ["a", "b"].map((token) => family.room(namespace, token)),
      );
      // In the order in which they came, wherever.
      const all: Message[] = [];
      const onlooker = { message: family.onlooker.message.bind(family.onlooker) };
      family.onlooker.message = (message) => {
        all.push(message);
        onlooker.message(message);
      };
      const stop = publishOn(rig, rooms);
      await Promise.all(rooms.map((room, index) => churn(rig, room, index, all)));
      const numbers = await stop();
      for (const room of rooms) await family.settle(room);
      assertOnce(numbers, all);
      assert.deepEqual(family.onlooker.lostWhere, []);
    },
  );
}

/** Opens and closes a room again and again; what its sinks get joins the others. */
async function churn(rig: Rig, room: RoomName, index: number, all: Message[]): Promise<void> {
  for (let round = 0; round < 12; round += 1) {
    let start = Number.POSITIVE_INFINITY;
    const early: Message[] = [];
    const sink: Sink = {
      message: (message) => {
        if (start === Number.POSITIVE_INFINITY) early.push(message);
        all.push(message);
      },
      reset: (_room, head, reason) => assert.fail(`${room}: reset ${reason} to ${head.offset}`),
    };
    start = (await rig.broker.open(room, sink)).offset;
    for (const { offset } of early) assert.ok(offset === 0 || offset > start, `${offset} after ${start}`);
    const before = all.length;
    for (let turn = 0; turn < 20 && (all.length === before || turn < (index + round) % 4); turn += 1)
      await new Promise((resolve) => setImmediate(resolve));
    rig.broker.close(room);
    if (round % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Publishes to all rooms in turn, some at once, until it is stopped; resolves with how many each got. */
function publishOn(rig: Rig, rooms: readonly RoomName[]): () => Promise<Numbers> {
  const numbers: Numbers = new Map(rooms.map((room) => [room, []]));
  let isStopped = false;
  const publishing = (async () => {
    for (let n = 0; !isStopped && n < 5_000; n += 1) {
      await Promise.all(rooms.map((room) => rig.publish(room, n)));
      for (const [, list] of numbers) list.push(n);
      if (n % 4 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    }
  })();
  return async () => {
    isStopped = true;
    await publishing;
    return numbers;
  };
}

/** Of every room all that was published has come, once and in order. */
function assertOnce(numbers: Numbers, messages: readonly Message[]): void {
  for (const [room, expected] of numbers) {
    const found = messages
      .filter((message) => message.room === room)
      .map(dataIn)
      .filter((value) => typeof value === "number");
    assert.deepEqual(found, expected, room);
    assert.ok(expected.length > 5, `${room} has had traffic`);
  }
}

function assertGrowing(offsets: readonly number[]): void {
  for (const [index, offset] of offsets.entries())
    assert.ok(index === 0 || offset > (offsets[index - 1] ?? 0), `${offset} after ${offsets[index - 1]}`);
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}

function dataIn(message: Message | undefined): unknown {
  return message === undefined ? undefined : decode(dataOf(message));
}
