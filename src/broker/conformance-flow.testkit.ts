import assert from "node:assert/strict";
import { decode, encode } from "@msgpack/msgpack";
import type { Position } from "../protocol/frames.js";
import { dataOf } from "../protocol/message.js";
import { assertChain, at, type Check, offsetsOf } from "./conformance-rig.testkit.js";

/** What reaches the sink of an open room. */
export function flowTests(check: Check): void {
  check("messages arrive in the order of their publishes, each prev the offset before", async (rig) => {
    const room = rig.room("log");
    const sink = rig.collector();
    const start = await rig.broker.open(room, sink);
    const positions = await rig.publishMany(room, 50);
    const messages = await sink.until(50);
    assertChain(messages, start.offset);
    assert.deepEqual(offsetsOf(messages), offsetsOf(positions));
    assert.deepEqual(
      messages.map((message) => decode(dataOf(message))),
      positions.map((_, index) => index),
    );
    assert.ok(start.epoch !== "");
    for (const { epoch } of positions) assert.equal(epoch, start.epoch);
    assert.deepEqual(sink.resets, []);
  });

  check("a room begins at offset 0, before its first message", async (rig) => {
    const room = rig.room("log");
    const sink = rig.collector();
    const start = await rig.broker.open(room, sink);
    await rig.publish(room, "first");
    assert.equal(at(await sink.until(1), 0).prev, start.offset);
    const other = rig.room("log");
    const first = await rig.publish(other, "first");
    const page = await rig.page(other, { after: { epoch: first.epoch, offset: 0 } }, 10);
    assert.deepEqual(offsetsOf(page.messages), [first.offset]);
    assert.equal(at(page.messages, 0).prev, 0);
  });

  check("concurrent publishes each have their own place, and all arrive once", async (rig) => {
    const room = rig.room("log");
    const sink = rig.collector();
    const start = await rig.broker.open(room, sink);
    const positions = await Promise.all(Array.from({ length: 100 }, (_, index) => rig.publish(room, index)));
    const messages = await sink.until(100);
    assertChain(messages, start.offset);
    assert.equal(messages.length, 100);
    for (const message of messages)
      assert.equal(at(positions, Number(decode(dataOf(message)))).offset, message.offset);
  });

  check("open answers with the head, and exactly what comes after it flows", async (rig) => {
    const room = rig.room("log");
    const before = await rig.publishMany(room, 3);
    const sink = rig.collector();
    const start = await rig.broker.open(room, sink);
    assert.deepEqual(start, at(before, -1));
    const after = await rig.publishMany(room, 2);
    const messages = await sink.until(2);
    assertChain(messages, start.offset);
    assert.deepEqual(offsetsOf(messages), offsetsOf(after));
  });

  check("a room opened amid publishes has neither gap nor double", async (rig) => {
    const room = rig.room("log");
    const sink = rig.collector();
    const publishes: Promise<Position>[] = [];
    let opening: Promise<Position> | undefined;
    for (let index = 0; index < 200; index += 1) {
      publishes.push(rig.publish(room, index));
      if (index === 50) opening = rig.broker.open(room, sink);
      if (index % 10 === 0) await publishes.at(-1);
    }
    const start = await opening;
    assert.ok(start !== undefined);
    const expected = offsetsOf(await Promise.all(publishes)).filter((offset) => offset > start.offset);
    const messages = await sink.until(expected.length);
    assertChain(messages, start.offset);
    assert.deepEqual(
      offsetsOf(messages),
      expected.sort((a, b) => a - b),
    );
  });

  check("rooms do not disturb each other", async (rig) => {
    const rooms = [rig.room("log"), rig.room("log"), rig.room("keyed")].map((room) => ({
      room,
      sink: rig.collector(),
    }));
    const starts = await Promise.all(rooms.map(({ room, sink }) => rig.broker.open(room, sink)));
    await Promise.all(
      Array.from({ length: 60 }, (_, index) => rig.publish(at(rooms, index % 3).room, index)),
    );
    for (const [index, { room, sink }] of rooms.entries()) {
      const messages = await sink.until(20);
      assertChain(messages, at(starts, index).offset);
      for (const message of messages) {
        assert.equal(message.room, room);
        assert.equal(Number(decode(dataOf(message))) % 3, index);
      }
      assert.equal(messages.length, 20);
    }
  });

  check("nothing reaches a closed sink, and a room opened again goes on", async (rig) => {
    const room = rig.room("log");
    const first = rig.collector();
    await rig.broker.open(room, first);
    await rig.publish(room, 0);
    await first.until(1);
    rig.broker.close(room);
    const missed = await rig.publish(room, 1);
    const second = rig.collector();
    assert.deepEqual(await rig.broker.open(room, second), missed);
    await rig.publish(room, 2);
    const messages = await second.until(1);
    assertChain(messages, missed.offset);
    assert.equal(first.messages.length, 1);
    rig.broker.close(room);
    // The same sink may come back, too.
    const again = await rig.broker.open(room, first);
    const last = await rig.publish(room, 3);
    assertChain((await first.until(2)).slice(1), again.offset);
    assert.deepEqual(offsetsOf(first.messages).slice(1), [last.offset]);
    assert.equal(second.messages.length, 1);
  });

  check("opening an open room is refused and changes nothing", async (rig) => {
    for (const namespace of ["log", "eph"] as const) {
      const room = rig.room(namespace);
      const sink = rig.collector();
      const other = rig.collector();
      await rig.broker.open(room, sink);
      await assert.rejects(rig.broker.open(room, other), /open already/);
      await assert.rejects(rig.broker.open(room, sink), /open already/);
      await rig.publish(room, 0);
      await sink.until(1);
      assert.equal(other.messages.length, 0);
    }
  });

  check("closing a room that is not open does nothing", async (rig) => {
    const room = rig.room("log");
    rig.broker.close(room);
    const position = await rig.publish(room, 0);
    rig.broker.close(room);
    assert.deepEqual((await rig.page(room, "oldest", 10)).head, position);
  });

  check("a sink that throws harms neither the publisher nor the messages after it", async (rig) => {
    const broken = rig.room("log");
    const sound = rig.room("log");
    const seen = rig.collector();
    const other = rig.collector();
    await rig.broker.open(broken, {
      message(message) {
        seen.message(message);
        throw new Error("a sink that throws, on purpose");
      },
      reset() {},
    });
    await rig.broker.open(sound, other);
    for (let index = 0; index < 3; index += 1) {
      await rig.publish(broken, index);
      await rig.publish(sound, index);
    }
    assertChain(await other.until(3), 0);
    assertChain(await seen.until(3), 0);
  });

  check(
    "an open room that loses continuity is told once, and goes on after the head it was told",
    async (rig, t) => {
      const { loseContinuity } = rig.fixture;
      if (loseContinuity === undefined) return t.skip("the fixture cannot lose continuity");
      const room = rig.room("log");
      const sink = rig.collector();
      const start = await rig.broker.open(room, sink);
      const before = await rig.publishMany(room, 3);
      assertChain(await sink.until(3), start.offset);
      await loseContinuity(room);
      await sink.until(3, 1);
      const told = at(sink.resets, 0);
      assert.equal(told.room, room);
      assert.notDeepEqual(told.head, at(before, -1));
      await rig.assertLost(room, at(before, -1), told.reason);
      const after = await rig.publishMany(room, 3);
      const flow = (await sink.until(6)).slice(3);
      assertChain(flow, told.head.offset);
      assert.deepEqual(offsetsOf(flow), offsetsOf(after));
      for (const { epoch } of after) assert.equal(epoch, told.head.epoch);
      assert.equal(sink.resets.length, 1);
      assert.deepEqual(
        offsetsOf((await rig.page(room, { after: told.head }, 10)).messages),
        offsetsOf(after),
      );
    },
  );

  check("a room that keeps no history flows and counts all the same", async (rig) => {
    const room = rig.room("bare");
    const sink = rig.collector();
    const start = await rig.broker.open(room, sink);
    const positions = await rig.publishMany(room, 3);
    assertChain(await sink.until(3), start.offset);
    const page = await rig.page(room, { after: at(positions, -1) }, 10);
    assert.deepEqual(page.messages, []);
    assert.deepEqual(page.head, at(positions, -1));
  });

  integrityTests(check);
  ephemeralTests(check);
}

function integrityTests(check: Check): void {
  check("data and key arrive as they were, byte for byte, live and from history", async (rig) => {
    const values = [
      null,
      "",
      -1,
      2 ** 53 - 1,
      1.5,
      "späße 日本 🦊",
      Uint8Array.from({ length: 256 }, (_, index) => index),
      new Uint8Array(9_000).fill(0xc1),
      { a: [1, { b: [[], {}] }], "": true },
    ];
    const keys = [
      undefined,
      "",
      "a",
      "a.b",
      "*",
      ">",
      "with space",
      "späße 日本 🦊",
      "\r\n\0",
      "x".repeat(128),
    ];
    const room = rig.room("log");
    const sink = rig.collector();
    await rig.broker.open(room, sink);
    // A value whose encoding is not the shortest must stay as long as it was.
    const data = [...values.map((value) => encode(value)), Uint8Array.from([0xd3, 0, 0, 0, 0, 0, 0, 0, 7])];
    for (const [index, key] of keys.entries()) await rig.broker.publish({ room, data: at(data, index), key });
    const live = await sink.until(keys.length);
    const stored = (await rig.page(room, "oldest", 100)).messages;
    for (const messages of [live, stored]) {
      assert.equal(messages.length, keys.length);
      for (const [index, message] of messages.entries()) {
        const { offset, prev, time, key, frame } = message;
        assert.equal(key, keys[index]);
        assert.deepEqual(Buffer.from(dataOf(message)), Buffer.from(at(data, index)));
        const tail = key === undefined ? [] : [key];
        assert.deepEqual(decode(frame), [19, room, offset, prev, time, decode(at(data, index)), ...tail]);
      }
    }
  });

  check("time and origin are handed through, live and from history", async (rig) => {
    const room = rig.room("log");
    const sink = rig.collector();
    await rig.broker.open(room, sink);
    await rig.publish(room, 0, { origin: "session-1" });
    await rig.publish(room, 1);
    const live = await sink.until(2);
    const stored = (await rig.page(room, "oldest", 10)).messages;
    for (const messages of [live, stored])
      assert.deepEqual(
        messages.map(({ origin }) => origin),
        ["session-1", undefined],
      );
    for (const [index, { time }] of live.entries()) {
      assert.ok(Number.isSafeInteger(time) && time > 0);
      assert.equal(at(stored, index).time, time);
    }
  });

  check("the publisher's bytes are copied before publish returns", async (rig) => {
    const room = rig.room("log");
    const data = encode("original");
    const pending = rig.broker.publish({ room, data });
    data.fill(0);
    await pending;
    assert.equal(decode(dataOf(at((await rig.page(room, "oldest", 1)).messages, 0))), "original");
  });
}

function ephemeralTests(check: Check): void {
  const nowhere = { epoch: "", offset: 0 };

  check("an ephemeral room flows in order without numbers", async (rig) => {
    const room = rig.room("eph");
    const sink = rig.collector();
    assert.deepEqual(await rig.broker.open(room, sink), nowhere);
    for (let index = 0; index < 5; index += 1)
      assert.deepEqual(await rig.publish(room, index, { key: "k", origin: "session-1" }), nowhere);
    for (const [index, message] of (await sink.until(5)).entries()) {
      assert.equal(decode(dataOf(message)), index);
      const { offset, prev, key, origin } = message;
      assert.deepEqual({ offset, prev, key, origin }, { offset: 0, prev: 0, key: "k", origin: "session-1" });
    }
  });

  check("an ephemeral room keeps nothing", async (rig) => {
    const room = rig.room("eph");
    assert.deepEqual(await rig.publish(room, "nobody is here", { key: "k" }), nowhere);
    for (const from of ["oldest", { last: 5 }, { after: nowhere }] as const)
      assert.deepEqual(await rig.broker.history(room, from, 10), {
        kind: "page",
        messages: [],
        more: false,
        head: nowhere,
      });
    await rig.assertLost(room, { epoch: "e", offset: 1 }, "epoch");
    assert.deepEqual(await rig.broker.state(room), { head: nowhere, messages: [], droppedKeys: 0 });
    const sink = rig.collector();
    await rig.broker.open(room, sink);
    await rig.publish(room, "heard");
    assert.deepEqual(
      (await sink.until(1)).map((message) => decode(dataOf(message))),
      ["heard"],
    );
    rig.broker.close(room);
    await rig.publish(room, "missed");
    await rig.broker.open(room, sink);
    await rig.publish(room, "heard again");
    assert.deepEqual(
      (await sink.until(2)).map((message) => decode(dataOf(message))),
      ["heard", "heard again"],
    );
  });
}
