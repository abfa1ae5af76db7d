import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { decode, encode } from "@msgpack/msgpack";
import type { Sink } from "../core/ports.js";
import { CodedError } from "../protocol/errors.js";
import type { Position, ResetReason } from "../protocol/frames.js";
import { dataOf, type Message } from "../protocol/message.js";
import { parseRoom, type RoomName } from "../protocol/room-name.js";
import { conformance, conformanceSettings } from "./conformance.testkit.js";
import { at, Collector, offsetsOf } from "./conformance-rig.testkit.js";
import { MemoryBroker, type MemoryBrokerOptions } from "./memory.js";
import {
  HISTORY_SHARE,
  LOG_MESSAGE_OVERHEAD_BYTES,
  LOG_OVERHEAD_BYTES,
  type MemoryLimits,
  NESTED_PUBLISHES_MAX,
  SWEEP_STEPS,
} from "./memory-limits.js";

const KEYS = 20;
const ROOMS = 50;

conformance("the memory broker", async () => {
  // The suite has sinks that throw on purpose.
  const kit = new Kit({ keysPerRoom: KEYS, rooms: ROOMS }, { onSinkError: () => {} });
  return {
    broker: kit.broker,
    keysPerRoom: KEYS,
    advanceMs: async (ms) => {
      kit.nowMs += ms;
    },
    renew: async () => {
      for (let index = 0; index < ROOMS; index += 1) await kit.publish(parseRoom(`log.filler${index}`), 0);
    },
    dispose: () => kit.broker.stop(0),
  };
});

describe("numbering", () => {
  test("counts 1, 2, 3 in every room, and brokers differ in their epochs", async () => {
    const kit = new Kit();
    for (const room of [A, B]) {
      const positions = [await kit.publish(room, 0), await kit.publish(room, 0), await kit.publish(room, 0)];
      assert.deepEqual(offsetsOf(positions), [1, 2, 3]);
    }
    const { epoch } = await kit.publish(A, 0);
    assert.match(epoch, /^[A-Za-z0-9]{1,16}$/);
    assert.notEqual((await new Kit().publish(A, 0)).epoch, epoch);
  });

  test("a room that keeps no history tells everyone who is not at its head", async () => {
    const kit = new Kit();
    const room = parseRoom("bare.a");
    const { epoch } = await kit.publish(room, 0);
    assert.equal(await kit.lost(room, { epoch, offset: 0 }), "expired");
    assert.equal(await kit.lost(room, { epoch, offset: 1 }), undefined);
  });
});

describe("bounds", () => {
  test("the bound on bytes drops the oldest messages of all rooms, and readers are told", async () => {
    const kept = 5;
    const message = (await sizeOf(A, 0)) + LOG_MESSAGE_OVERHEAD_BYTES;
    const full = 3 * LOG_OVERHEAD_BYTES + kept * message;
    const kit = new Kit({ bytes: Math.ceil(full / HISTORY_SHARE) });
    for (const room of [A, B, A, B, A]) await kit.publish(room, 0);
    assert.equal(kit.broker.counters.evictedMessages, 0);
    const { epoch } = await kit.publish(C, 0);
    await kit.publish(C, 0);
    assert.equal(kit.broker.counters.evictedMessages, 2);
    assert.deepEqual(await kit.offsets(A), [2, 3]);
    assert.deepEqual(await kit.offsets(B), [2]);
    assert.deepEqual(await kit.offsets(C), [1, 2]);
    assert.equal(await kit.lost(A, { epoch, offset: 0 }), "expired");
    assert.equal(await kit.lost(A, { epoch, offset: 1 }), undefined);
    assert.equal(kit.broker.usage.bytes, full);
  });

  test("history never pushes out state", async () => {
    const kit = new Kit({ bytes: 16_000 });
    const keyed = parseRoom("keyed.a");
    await kit.publish(keyed, "quiet", "quiet");
    for (let index = 0; index < 100; index += 1) await kit.publish(parseRoom(`log.r${index}`), index);
    assert.ok(kit.broker.counters.evictedMessages > 0);
    assert.deepEqual(await kit.offsets(keyed), []);
    const { messages, droppedKeys } = await kit.broker.state(keyed);
    assert.equal(messages.length, 1);
    assert.equal(droppedKeys, 0);
  });

  test("state above its share of the bytes drops the keys that are oldest over all rooms, and says so", async () => {
    const kit = new Kit({ bytes: 16_000 });
    const [quiet, busy] = [parseRoom("keyed.a"), parseRoom("keyed.b")];
    await kit.publish(quiet, "quiet", "quiet");
    for (let index = 0; index < 15; index += 1) await kit.publish(busy, index, `k${index}`);
    assert.deepEqual((await kit.broker.state(quiet)).messages, []);
    assert.equal((await kit.broker.state(quiet)).droppedKeys, 1);
    const { messages, droppedKeys } = await kit.broker.state(busy);
    assert.equal(messages.length + droppedKeys, 15);
    assert.equal(at(messages, -1).key, "k14");
    assert.equal(kit.broker.counters.droppedKeys, 1 + droppedKeys);
    assert.equal(kit.broker.counters.evictedMessages, 0);
    assert.equal((await kit.offsets(busy)).length, 10);
    assert.ok(kit.broker.usage.bytes <= 16_000);
  });

  test("the bound on rooms forgets the least recently used that is not open", async () => {
    const kit = new Kit({ rooms: 3 });
    const sink = new Collector(1_000);
    const first = await kit.publish(A, 0);
    await kit.broker.open(A, sink);
    const second = await kit.publish(B, 0);
    await kit.publish(C, 0);
    await kit.offsets(B);
    const fourth = await kit.publish(D, 0);
    assert.deepEqual(await kit.offsets(C), []);
    assert.deepEqual(await kit.offsets(B), [1]);
    assert.deepEqual(await kit.offsets(A), [1]);
    assert.equal(kit.broker.counters.forgottenRooms, 1);
    assert.equal(kit.broker.usage.rooms, 3);
    assert.equal(second.epoch, first.epoch);
    assert.notEqual(fourth.epoch, first.epoch);
    const again = await kit.publish(C, 0);
    assert.equal(again.offset, 1);
    assert.notEqual(again.epoch, fourth.epoch);
    assert.equal(await kit.lost(C, { epoch: first.epoch, offset: 1 }), "epoch");
  });

  test("where every room is open a further one is refused, until one closes", async () => {
    const kit = new Kit({ rooms: 2 });
    await kit.publish(A, 0);
    await kit.broker.open(A, SILENT);
    await kit.broker.open(parseRoom("eph.a"), SILENT);
    await assert.rejects(kit.publish(B, 0), unavailable);
    await assert.rejects(kit.broker.open(B, SILENT), unavailable);
    await assert.rejects(kit.broker.open(parseRoom("eph.b"), SILENT), unavailable);
    assert.equal((await kit.publish(A, 0)).offset, 2);
    kit.broker.close(parseRoom("eph.a"));
    assert.equal((await kit.publish(B, 0)).offset, 1);
    assert.equal(kit.broker.counters.forgottenRooms, 0);
  });

  test("rooms that were opened or read, but never published to, leave nothing behind", async () => {
    const kit = new Kit({ rooms: 2 });
    const { epoch } = await kit.publish(A, 0);
    for (let index = 0; index < 10; index += 1) {
      const room = parseRoom(`log.guess${index}`);
      await kit.broker.open(room, SILENT);
      kit.broker.close(room);
      await kit.offsets(room);
      await kit.broker.state(room);
    }
    assert.equal(kit.broker.usage.rooms, 1);
    assert.equal((await kit.publish(A, 0)).epoch, epoch);
  });

  test("the bound on ids forgets the oldest", async () => {
    const kit = new Kit({ ids: 2 });
    const publish = (id: string) => kit.broker.publish({ room: A, data: encode(0), id });
    for (const id of ["a", "b", "c"]) await publish(id);
    assert.equal(kit.broker.counters.droppedIds, 1);
    assert.deepEqual(offsetsOf([await publish("b"), await publish("c"), await publish("a")]), [2, 3, 4]);
    assert.equal(kit.broker.counters.duplicates, 2);
    assert.equal(kit.broker.usage.ids, 2);
    // What the window has ended for is no loss.
    kit.nowMs += 120_000;
    for (const id of ["a", "b", "c"]) await publish(id);
    assert.equal(kit.broker.counters.droppedIds, 3);
  });
});

describe("history", () => {
  test("gives back what was published, however large, and what was read stays as it is", async () => {
    const kit = new Kit(
      {},
      { settingsOf: () => ({ ...conformanceSettings(A), history: { messages: 40, seconds: 300 } }) },
    );
    const live: Message[] = [];
    await kit.broker.open(A, { ...SILENT, message: (message) => live.push(message) });
    const read: Message[] = [];
    const values: string[] = [];
    for (let index = 0; index < 300; index += 1) {
      // Some fill several chunks, some are larger than one.
      const value = `${index} `.repeat(1 + ((index * 37) % 400) * (index % 50 === 0 ? 40 : 1));
      values.push(value);
      const [key, origin] = [
        index % 3 === 0 ? `kéy${index}` : undefined,
        index % 2 === 0 ? `ö${index}` : undefined,
      ];
      await kit.broker.publish({ room: A, data: encode(value), key, origin });
      const page = await kit.broker.history(A, { last: 3 }, 3);
      read.push(...(page.kind === "page" ? page.messages : []));
    }
    assert.equal(live.length, 300);
    for (const message of [...live, ...read]) {
      const index = message.offset - 1;
      assert.equal(message.prev, index);
      assert.equal(decode(dataOf(message)), values[index]);
      assert.equal(message.key, index % 3 === 0 ? `kéy${index}` : undefined);
      assert.equal(message.origin, index % 2 === 0 ? `ö${index}` : undefined);
    }
    for (const [last, limit] of [
      [40, 40],
      [39, 7],
      [11, 40],
      [1, 1],
    ] as const) {
      const page = await kit.broker.history(A, { last }, limit);
      assert.ok(page.kind === "page");
      const expected = live.slice(-last).slice(0, limit);
      assert.deepEqual(
        page.messages.map(({ frame }) => Buffer.from(frame)),
        expected.map(({ frame }) => Buffer.from(frame)),
      );
    }
  });

  test("a key's message holds nothing of its room's history", async () => {
    const kit = new Kit();
    const keyed = parseRoom("keyed.a");
    for (let index = 0; index < 100; index += 1) await kit.publish(keyed, "x".repeat(50), `k${index % 5}`);
    const { messages } = await kit.broker.state(keyed);
    assert.equal(messages.length, 5);
    for (const { frame } of messages) assert.equal(frame.buffer.byteLength, frame.length);
  });
});

test("ids are remembered by a clock that does not jump with the wall's", async () => {
  const clocks = { nowMs: 1_750_000_000_000, elapsedMs: 0 };
  const kit = new Kit({}, { nowMs: () => clocks.nowMs, elapsedMs: () => clocks.elapsedMs });
  const publish = async () => (await kit.broker.publish({ room: A, data: encode(0), id: "id" })).offset;
  assert.equal(await publish(), 1);
  clocks.nowMs += 130_000;
  kit.broker.sweep();
  assert.equal(await publish(), 1, "the wall clock was put forward");
  clocks.nowMs -= 3_600_000;
  clocks.elapsedMs += 119_999;
  assert.equal(await publish(), 1);
  clocks.elapsedMs += 1;
  assert.equal(await publish(), 2, "it was put back, and the window is over all the same");
});

describe("sweep", () => {
  test("gives back what quiet rooms hold, once it is too old", async () => {
    const kit = new Kit();
    for (const room of [A, B, C]) await kit.broker.publish({ room, data: encode(0), id: "id" });
    kit.nowMs += 299_999;
    kit.broker.sweep();
    assert.ok(kit.broker.usage.bytes > 0);
    assert.equal(kit.broker.usage.ids, 0);
    kit.nowMs += 1;
    kit.broker.sweep();
    assert.equal(kit.broker.usage.bytes, 0);
  });

  test("does a bounded part of the work a call, and all of it in a few", async () => {
    const settings = { ...conformanceSettings(A), history: { messages: 30_000, seconds: 300 } };
    for (const rooms of [1, 3_000]) {
      const kit = new Kit({}, { settingsOf: () => settings });
      for (let index = 0; index < 30_000; index += 1)
        await kit.publish(parseRoom(`log.r${index % rooms}`), 0);
      const full = kit.broker.usage.bytes;
      kit.nowMs += 300_000;
      kit.broker.sweep();
      const dropped = 1 - kit.broker.usage.bytes / full;
      assert.ok(dropped > 0.2 && dropped <= SWEEP_STEPS / 30_000, `${dropped} dropped of ${rooms} rooms`);
      for (let index = 0; index < 3; index += 1) kit.broker.sweep();
      assert.equal(kit.broker.usage.bytes, 0);
    }
  });
});

describe("delivery", () => {
  test("the sink has the message before publish returns", async () => {
    const kit = new Kit();
    const sink = new Collector(1_000);
    await kit.broker.open(A, sink);
    const publish = kit.publish(A, 0);
    assert.equal(sink.messages.length, 1);
    await publish;
  });

  test("what sinks publish is stored at once and handed over after, in the order stored", async () => {
    const kit = new Kit();
    const log: string[] = [];
    const nested: Promise<unknown>[] = [];
    const sink: Sink = {
      message: (message) => {
        const value = String(decode(dataOf(message)));
        log.push(`begin ${value}`);
        if (value === "a1") nested.push(kit.publish(B, "b1"), kit.publish(A, "a2"), kit.publish(B, "b2"));
        if (value === "b1") nested.push(kit.publish(A, "a3"));
        log.push(`end ${value}`);
      },
      reset: () => assert.fail("a reset"),
    };
    await kit.broker.open(A, sink);
    await kit.broker.open(B, sink);
    await kit.publish(A, "a1").then(() => log.push("resolved"));
    await Promise.all(nested);
    assert.deepEqual(log, [
      ...["a1", "b1", "a2", "b2", "a3"].flatMap((v) => [`begin ${v}`, `end ${v}`]),
      "resolved",
    ]);
    assert.deepEqual(await kit.offsets(A), [1, 2, 3]);
  });

  test("a room closed by a sink gets nothing more, and one opened again only what is new", async () => {
    const kit = new Kit();
    const seen: number[] = [];
    const work: Promise<unknown>[] = [];
    const sink: Sink = {
      message: ({ offset }) => {
        seen.push(offset);
        if (offset !== 1) return;
        work.push(kit.publish(A, 0));
        kit.broker.close(A);
        work.push(kit.publish(A, 0));
        work.push(kit.broker.open(A, sink).then((start) => assert.equal(start.offset, 3)));
        work.push(kit.publish(A, 0));
      },
      reset: () => assert.fail("a reset"),
    };
    await kit.broker.open(A, sink);
    await kit.publish(A, 0);
    await Promise.all(work);
    assert.deepEqual(seen, [1, 4]);
  });

  test("publishes that pile up inside a sink are bounded", async () => {
    const kit = new Kit();
    const nested: Promise<unknown>[] = [];
    let seen = 0;
    await kit.broker.open(A, {
      message: ({ offset }) => {
        seen += 1;
        if (offset === 1)
          for (let index = 0; index <= NESTED_PUBLISHES_MAX; index += 1) nested.push(kit.publish(A, 0));
      },
      reset: () => assert.fail("a reset"),
    });
    await kit.publish(A, 0);
    const results = await Promise.allSettled(nested);
    assert.equal(results.filter(({ status }) => status === "fulfilled").length, NESTED_PUBLISHES_MAX);
    const refused = at(results, -1);
    assert.ok(refused.status === "rejected" && unavailable(refused.reason));
    assert.equal(seen, 1 + NESTED_PUBLISHES_MAX);
  });

  test("what a sink throws is counted and told", async () => {
    const told: unknown[] = [];
    const kit = new Kit({}, { onSinkError: (cause, room) => told.push([cause, room]) });
    const cause = new Error("broken");
    await kit.broker.open(A, {
      message: () => {
        throw cause;
      },
      reset: () => {},
    });
    await kit.publish(A, 0);
    assert.deepEqual(told, [[cause, A]]);
    assert.equal(kit.broker.counters.sinkErrors, 1);
  });
});

test("after stop everything is refused, nothing flows and nothing is held", async () => {
  const kit = new Kit();
  const sink = new Collector(1_000);
  let nested: Promise<unknown> | undefined;
  await kit.broker.open(A, {
    message: (message) => {
      sink.message(message);
      nested = kit.publish(A, 0);
      void kit.broker.stop(0);
    },
    reset: () => {},
  });
  await kit.publish(parseRoom("keyed.a"), 0, "k");
  await kit.broker.publish({ room: A, data: encode(0), id: "id" });
  await nested;
  assert.equal(sink.messages.length, 1);
  assert.deepEqual(kit.broker.usage, { rooms: 0, ids: 0, bytes: 0 });
  const { broker } = kit;
  await assert.rejects(kit.publish(A, 0), unavailable);
  await assert.rejects(broker.open(A, SILENT), unavailable);
  await assert.rejects(broker.history(A, "oldest", 1), unavailable);
  await assert.rejects(broker.state(A), unavailable);
  broker.close(A);
  broker.sweep();
  await broker.stop(0);
});

const A = parseRoom("log.a");
const B = parseRoom("log.b");
const C = parseRoom("log.c");
const D = parseRoom("log.d");
const SILENT: Sink = { message: () => {}, reset: () => {} };

/** A broker whose clock stands still, and short hands for it. */
class Kit {
  nowMs = 1_750_000_000_000;
  readonly broker: MemoryBroker;

  constructor(limits: Partial<MemoryLimits> = {}, options: Partial<MemoryBrokerOptions> = {}) {
    const nowMs = () => this.nowMs;
    this.broker = new MemoryBroker({ settingsOf: conformanceSettings, nowMs, limits, ...options });
  }

  publish(room: RoomName, value: unknown, key?: string): Promise<Position> {
    return this.broker.publish({ room, data: encode(value), key });
  }

  async offsets(room: RoomName): Promise<readonly number[]> {
    const page = await this.broker.history(room, "oldest", 1_000);
    return page.kind === "page" ? offsetsOf(page.messages) : assert.fail("lost");
  }

  /** Why the position is lost; undefined where it is not. */
  async lost(room: RoomName, after: Position): Promise<ResetReason | undefined> {
    const page = await this.broker.history(room, { after }, 1_000);
    return page.kind === "lost" ? page.reason : undefined;
  }
}

async function sizeOf(room: RoomName, value: unknown): Promise<number> {
  const messages: Message[] = [];
  const kit = new Kit();
  await kit.broker.open(room, { ...SILENT, message: (message) => messages.push(message) });
  await kit.publish(room, value);
  return at(messages, 0).frame.byteLength;
}

function unavailable(error: unknown): boolean {
  return error instanceof CodedError && error.code === "unavailable";
}
