import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { decode, encode } from "@msgpack/msgpack";
import type { Sink } from "../core/ports.js";
import { dataOf, type Message } from "../protocol/message.js";
import { parseRoom } from "../protocol/room-name.js";
import { conformance, conformanceSettings } from "./conformance.testkit.js";
import { at, Collector, offsetsOf } from "./conformance-rig.testkit.js";
import { A, B, C, MemoryKit, SILENT, unavailable } from "./memory.testkit.js";
import { NESTED_PUBLISHES_MAX, SWEEP_STEPS } from "./memory-limits.js";

const KEYS = 20;
const ROOMS = 50;

conformance("the memory broker", async () => {
  // The suite has sinks that throw on purpose.
  const kit = new MemoryKit({ keysPerRoom: KEYS, rooms: ROOMS }, { onSinkError: () => {} });
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
    const kit = new MemoryKit();
    for (const room of [A, B]) {
      const positions = [await kit.publish(room, 0), await kit.publish(room, 0), await kit.publish(room, 0)];
      assert.deepEqual(offsetsOf(positions), [1, 2, 3]);
    }
    const { epoch } = await kit.publish(A, 0);
    assert.match(epoch, /^[A-Za-z0-9]{1,16}$/);
    assert.notEqual((await new MemoryKit().publish(A, 0)).epoch, epoch);
  });

  test("a room that keeps no history tells everyone who is not at its head", async () => {
    const kit = new MemoryKit();
    const room = parseRoom("bare.a");
    const { epoch } = await kit.publish(room, 0);
    assert.equal(await kit.lost(room, { epoch, offset: 0 }), "expired");
    assert.equal(await kit.lost(room, { epoch, offset: 1 }), undefined);
  });
});

describe("history", () => {
  test("gives back what was published, however large, and what was read stays as it is", async () => {
    const kit = new MemoryKit(
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
    const kit = new MemoryKit();
    const keyed = parseRoom("keyed.a");
    for (let index = 0; index < 100; index += 1) await kit.publish(keyed, "x".repeat(50), `k${index % 5}`);
    const { messages } = await kit.broker.state(keyed);
    assert.equal(messages.length, 5);
    for (const { frame } of messages) assert.equal(frame.buffer.byteLength, frame.length);
  });
});

test("ids are remembered by a clock that does not jump with the wall's", async () => {
  const clocks = { nowMs: 1_750_000_000_000, elapsedMs: 0 };
  const kit = new MemoryKit({}, { nowMs: () => clocks.nowMs, elapsedMs: () => clocks.elapsedMs });
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
    const kit = new MemoryKit();
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
      const kit = new MemoryKit({}, { settingsOf: () => settings });
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
    const kit = new MemoryKit();
    const sink = new Collector(1_000);
    await kit.broker.open(A, sink);
    const publish = kit.publish(A, 0);
    assert.equal(sink.messages.length, 1);
    await publish;
  });

  test("what sinks publish is stored at once and handed over after, in the order stored", async () => {
    const kit = new MemoryKit();
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
    const kit = new MemoryKit();
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
    const kit = new MemoryKit();
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
    const kit = new MemoryKit({}, { onSinkError: (cause, room) => told.push([cause, room]) });
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
  const kit = new MemoryKit();
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
