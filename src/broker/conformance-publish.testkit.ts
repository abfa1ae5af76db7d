import assert from "node:assert/strict";
import { decode } from "@msgpack/msgpack";
import { CodedError } from "../protocol/errors.js";
import { dataOf, type Message } from "../protocol/message.js";
import { type Check, HISTORY_MESSAGES, HISTORY_SECONDS, offsetsOf } from "./conformance-rig.testkit.js";

/** Idempotency and the end. */
export function publishTests(check: Check): void {
  check("the same id in the same room is stored once and answered alike", async (rig) => {
    const room = rig.room("log");
    const sink = rig.collector();
    await rig.broker.open(room, sink);
    const first = await rig.publish(room, "a", { id: "id-1" });
    const between = await rig.publish(room, "b", { id: "id-2" });
    assert.deepEqual(await rig.publish(room, "a", { id: "id-1" }), first);
    assert.deepEqual(await rig.publish(room, "b", { id: "id-2" }), between);
    const end = await rig.publish(room, "end");
    const expected = offsetsOf([first, between, end]);
    assert.deepEqual(offsetsOf(await sink.until(3)), expected);
    assert.deepEqual(offsetsOf((await rig.page(room, "oldest", 10)).messages), expected);
  });

  check("concurrent publishes of the same id are stored once", async (rig) => {
    const room = rig.room("log");
    const publishes = Array.from({ length: 20 }, () => rig.publish(room, "a", { id: "id-1" }));
    const [first, ...rest] = await Promise.all(publishes);
    for (const position of rest) assert.deepEqual(position, first);
    assert.equal((await rig.page(room, "oldest", 100)).messages.length, 1);
  });

  check("an id counts in its room only, and publishes without one are never the same", async (rig) => {
    const one = rig.room("log");
    const other = rig.room("log");
    await rig.publish(one, "a", { id: "id-1" });
    await rig.publish(other, "a", { id: "id-1" });
    await rig.publish(other, "b");
    await rig.publish(other, "b");
    assert.deepEqual(values((await rig.page(one, "oldest", 10)).messages), ["a"]);
    assert.deepEqual(values((await rig.page(other, "oldest", 10)).messages), ["a", "b", "b"]);
  });

  check("an id is remembered for two minutes", async (rig, t) => {
    const { advanceMs } = rig.fixture;
    if (advanceMs === undefined) return t.skip("the fixture cannot move time");
    const room = rig.room("log");
    const first = await rig.publish(room, "a", { id: "id-1" });
    await advanceMs(119_000);
    assert.deepEqual(await rig.publish(room, "a", { id: "id-1" }), first);
    // A repeat does not prolong the window.
    await advanceMs(2_000);
    const second = await rig.publish(room, "a", { id: "id-1" });
    assert.ok(second.offset > first.offset);
    assert.deepEqual(await rig.publish(room, "a", { id: "id-1" }), second);
    assert.deepEqual(offsetsOf((await rig.page(room, "oldest", 10)).messages), offsetsOf([first, second]));
  });

  check("after stop, publishes are refused as unavailable", async (rig) => {
    const room = rig.room("log");
    const sink = rig.collector();
    await rig.broker.open(room, sink);
    await rig.publish(room, 0);
    await sink.until(1);
    await rig.broker.stop(1_000);
    for (const other of [room, rig.room("log"), rig.room("eph")])
      await assert.rejects(rig.publish(other, 1), (error) => {
        return error instanceof CodedError && error.code === "unavailable";
      });
    assert.equal(sink.messages.length, 1);
  });
}

/** The latest message of every key. */
export function stateTests(check: Check): void {
  check("state is the latest message of every key, in offset order", async (rig) => {
    const room = rig.room("keyed");
    const fresh = await rig.broker.state(room);
    assert.deepEqual(fresh.messages, []);
    assert.equal(fresh.head.offset, 0);
    for (const [index, key] of ["a", "b", "c", "b", "a", "ключ 🦊", "a"].entries())
      await rig.publish(room, index, { key, origin: "o" });
    const event = await rig.publish(room, "an event: no key, no part in the state");
    const { head, messages, droppedKeys } = await rig.broker.state(room);
    assert.deepEqual(
      messages.map((message) => [message.key, decode(dataOf(message)), message.origin]),
      [
        ["c", 2, "o"],
        ["b", 3, "o"],
        ["ключ 🦊", 5, "o"],
        ["a", 6, "o"],
      ],
    );
    assert.deepEqual(
      offsetsOf(messages),
      offsetsOf(messages).sort((a, b) => a - b),
    );
    assert.deepEqual(head, event);
    assert.equal(droppedKeys, 0);
  });

  check("nil under a key takes it out of the state, and flows and is kept like any message", async (rig) => {
    const room = rig.room("keyed");
    const sink = rig.collector();
    await rig.broker.open(room, sink);
    for (const key of ["a", "b", "c"]) await rig.publish(room, key, { key });
    await rig.publish(room, null, { key: "b" });
    await rig.publish(room, null, { key: "never there" });
    const event = await rig.publish(room, null);
    const { head, messages, droppedKeys } = await rig.broker.state(room);
    assert.deepEqual(values(messages), ["a", "c"]);
    assert.deepEqual([head, droppedKeys], [event, 0]);
    const flowed = await sink.until(6);
    assert.deepEqual(values(flowed), ["a", "b", "c", null, null, null]);
    assert.deepEqual(values((await rig.page(room, "oldest", 10)).messages), values(flowed));
    await rig.publish(room, "again", { key: "b" });
    assert.deepEqual(values((await rig.broker.state(room)).messages), ["a", "c", "again"]);
  });

  check("state and what flows after its head are the whole", async (rig) => {
    const room = rig.room("keyed");
    const sink = rig.collector();
    const start = await rig.broker.open(room, sink);
    const publishes = Array.from({ length: 60 }, (_, index) =>
      rig.publish(room, index, { key: `k${index % 7}` }),
    );
    const snapshot = await rig.broker.state(room);
    await Promise.all(publishes);
    await sink.until(60);
    assert.equal(snapshot.head.epoch, start.epoch);
    const latest = new Map<string | undefined, unknown>();
    for (const message of snapshot.messages) {
      assert.ok(message.offset <= snapshot.head.offset);
      latest.set(message.key, decode(dataOf(message)));
    }
    for (const message of sink.messages)
      if (message.offset > snapshot.head.offset) latest.set(message.key, decode(dataOf(message)));
    const after = (await rig.broker.state(room)).messages;
    assert.equal(after.length, 7);
    for (const message of after) assert.equal(latest.get(message.key), decode(dataOf(message)));
  });

  check("state outlives history", async (rig) => {
    const room = rig.room("keyed");
    const quiet = await rig.publish(room, "quiet", { key: "quiet" });
    for (let index = 0; index < HISTORY_MESSAGES + 5; index += 1)
      await rig.publish(room, index, { key: "busy" });
    assert.deepEqual(values((await rig.broker.state(room)).messages), ["quiet", HISTORY_MESSAGES + 4]);
    await rig.assertLost(room, { epoch: quiet.epoch, offset: 0 }, "expired");
    await rig.fixture.advanceMs?.(HISTORY_SECONDS * 1_000 + 1_000);
    assert.deepEqual(values((await rig.broker.state(room)).messages), ["quiet", HISTORY_MESSAGES + 4]);
  });

  check("a room without state has an empty snapshot", async (rig) => {
    const room = rig.room("log");
    const head = await rig.publish(room, 0, { key: "k" });
    assert.deepEqual(await rig.broker.state(room), { head, messages: [], droppedKeys: 0 });
  });

  check("above the bound of keys the least recently updated go, and that is told", async (rig, t) => {
    const { keysPerRoom } = rig.fixture;
    if (keysPerRoom === undefined) return t.skip("the fixture has no bound of keys to reach");
    const room = rig.room("keyed");
    for (let index = 0; index < keysPerRoom; index += 1) await rig.publish(room, index, { key: `k${index}` });
    await rig.publish(room, "updated", { key: "k0" });
    assert.equal((await rig.broker.state(room)).droppedKeys, 0);
    await rig.publish(room, "new", { key: "x" });
    await rig.publish(room, "new", { key: "y" });
    const { messages, droppedKeys } = await rig.broker.state(room);
    assert.equal(droppedKeys, 2);
    const kept = Array.from({ length: keysPerRoom - 3 }, (_, index) => `k${index + 3}`);
    assert.deepEqual(
      messages.map(({ key }) => key),
      [...kept, "k0", "x", "y"],
    );
  });
}

function values(messages: readonly Message[]): unknown[] {
  return messages.map((message) => decode(dataOf(message)));
}
