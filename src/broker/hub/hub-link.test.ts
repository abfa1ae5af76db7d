import assert from "node:assert/strict";
import { test } from "node:test";
import { decode, encode } from "@msgpack/msgpack";
import type { Broker, Sink } from "../../core/ports.js";
import { CodedError, type ErrorCode } from "../../protocol/errors.js";
import { createMessage, dataOf } from "../../protocol/message.js";
import { parseRoom } from "../../protocol/room-name.js";
import { layered } from "../broker-layer.testkit.js";
import { assertChain, Collector, offsetsOf } from "../conformance-rig.testkit.js";
import { GatedBroker } from "./gated-broker.testkit.js";
import { DEADLINE_MS, HubKit, type HubKitOptions, until } from "./hub.testkit.js";
import { PUBLISH_BYTES_MAX } from "./hub-limits.js";
import type { HubLink } from "./hub-link.js";
import { modelSettings } from "./hub-model.testkit.js";

const ROOM = parseRoom("log.a");
const OTHER = parseRoom("log.b");

interface Rig {
  readonly kit: HubKit;
  readonly link: HubLink;
  readonly gate: GatedBroker;
}

/** A hub whose broker has a gate, and one link to it. */
async function withRig(options: HubKitOptions, body: (rig: Rig) => Promise<void>): Promise<void> {
  let gate: GatedBroker | undefined;
  const kit = new HubKit({
    ...options,
    wrap: (broker) => {
      gate ??= new GatedBroker(broker);
      return gate;
    },
  });
  try {
    await kit.start();
    const link = await kit.linked();
    assert.ok(gate !== undefined);
    await body({ kit, link, gate });
  } finally {
    gate?.release();
    await kit.dispose();
  }
}

function publish(link: HubLink, value: unknown, room = ROOM) {
  return link.publish({ room, data: encode(value) });
}

function coded(code: ErrorCode, pattern = /./) {
  return (cause: unknown): boolean =>
    cause instanceof CodedError && cause.code === code && pattern.test(cause.message);
}

test("publishes beyond the window are refused at once and counted, those within it are answered", async () => {
  await withRig({ limits: { publishes: 4, publishBytes: 1_000 } }, async ({ link, gate }) => {
    gate.shut();
    const within = [1, 2, 3, 4].map((value) => publish(link, value));
    await assert.rejects(publish(link, 5), coded("unavailable", /4 publishes .* up to 4 of 1000 may/));
    await until(() => gate.waiting === 4);
    gate.release();
    assert.deepEqual(offsetsOf(await Promise.all(within)), [1, 2, 3, 4]);
    gate.shut();
    // One alone may be as large as it likes, but not two.
    const large = publish(link, new Uint8Array(5_000));
    await assert.rejects(publish(link, 6), coded("unavailable"));
    await until(() => gate.waiting === 1);
    gate.release();
    assert.equal((await large).offset, 5);
    assert.equal((await publish(link, 7)).offset, 6);
    assert.equal(link.counters.refused, 2);
    assert.equal(link.counters.published, 6);
  });
});

test("a request without an answer times out, and its late answer disturbs nobody", async () => {
  await withRig({ limits: { requestMs: 100 } }, async ({ link, gate, kit }) => {
    gate.shut();
    const sinks = [new Collector(DEADLINE_MS), new Collector(DEADLINE_MS)] as const;
    for (const late of [
      publish(link, 1),
      link.open(OTHER, sinks[0]),
      link.history(ROOM, "oldest", 10),
      link.state(ROOM),
    ])
      await assert.rejects(late, coded("timeout"));
    assert.equal(link.counters.timeouts, 4);
    gate.release();
    await until(() => kit.counters.rooms === 0);
    const head = await link.open(OTHER, sinks[1]);
    await publish(link, 2, OTHER);
    assertChain(await sinks[1].until(1), head.offset);
    assert.equal(sinks[0].messages.length, 0);
    assert.equal((await publish(link, 3)).offset, 2);
  });
});

test("reads beyond those that run wait for their turn, and beyond that are refused", async () => {
  await withRig({ limits: { reads: 2, waitingReads: 3 } }, async ({ link, gate }) => {
    await publish(link, "kept");
    gate.shut();
    const reads = [1, 2, 3, 4, 5].map(() => link.history(ROOM, "oldest", 10));
    await assert.rejects(link.state(ROOM), coded("unavailable", /3 reads/));
    await until(() => gate.waiting === 2);
    gate.release();
    for (const page of await Promise.all(reads))
      assert.equal(page.kind === "page" && page.messages.length, 1);
    assert.equal(gate.waitingMax, 2);
  });
});

test("an error of the broker comes through with code, text and retry time; one without a code says nothing", async () => {
  await withRig({ broker: { limits: { rooms: 1 } } }, async ({ link, kit }) => {
    const sink = new Collector(DEADLINE_MS);
    await link.open(ROOM, sink);
    const expected = await kit.broker
      .publish({ room: OTHER, data: encode(1) })
      .catch((cause: unknown) => cause);
    assert.ok(expected instanceof CodedError);
    for (const refused of [publish(link, 1, OTHER), link.open(OTHER, sink)])
      await assert.rejects(refused, ({ code, message, retryMs }: CodedError) => {
        assert.deepEqual([code, message, retryMs], [expected.code, expected.message, expected.retryMs]);
        return true;
      });
    await assert.rejects(
      link.history(parseRoom("unknown.a"), "oldest", 1),
      coded("internal", /^internal error$/),
    );
    assert.match(String(kit.errors[0]), /no namespace unknown/);
    // What failed to open can be tried again.
    link.close(ROOM);
    await link.open(OTHER, sink);
  });
});

test("a room that is closed while it is being opened is free again at once", async () => {
  await withRig({}, async ({ link, gate, kit }) => {
    const sinks = [new Collector(DEADLINE_MS), new Collector(DEADLINE_MS)] as const;
    gate.shut();
    const first = link.open(ROOM, sinks[0]);
    await until(() => gate.waiting === 1);
    link.close(ROOM);
    await assert.rejects(first, coded("unavailable", /closed while/));
    const second = link.open(ROOM, sinks[1]);
    gate.release();
    const head = await second;
    await publish(link, 1);
    assertChain(await sinks[1].until(1), head.offset);
    assert.equal(sinks[0].messages.length, 0);
    link.close(ROOM);
    await until(() => kit.counters.rooms === 0);
  });
});

test("a room that all leave while the broker opens it is closed when it has", async () => {
  await withRig({}, async ({ link, gate, kit }) => {
    gate.shut();
    const opening = link.open(ROOM, new Collector(DEADLINE_MS));
    await until(() => gate.waiting === 1);
    link.close(ROOM);
    await assert.rejects(opening);
    gate.release();
    await until(() => kit.counters.rooms === 0);
    // Closed at the broker, too: it would be refused otherwise.
    await kit.broker.open(ROOM, new Collector(DEADLINE_MS));
  });
});

test("a room that the broker does not open, or whose history it does not read, is asked for until it does", async () => {
  await withRig({ broker: { settingsOf: modelSettings } }, async ({ link, gate, kit }) => {
    const room = parseRoom("long.a");
    const sink = new Collector(DEADLINE_MS);
    const head = await link.open(room, sink);
    await publish(link, 0, room);
    await sink.until(1);
    await kit.stopHub();
    await until(() => !link.linked);
    for (let value = 1; value <= 10; value += 1) await kit.broker.publish({ room, data: encode(value) });
    gate.failing.open = 3;
    gate.failing.history = 3;
    await kit.start();
    const messages = await sink.until(11);
    assertChain(messages, head.offset);
    assert.deepEqual(sink.resets, []);
    assert.deepEqual(gate.failing, { open: 0, history: 0 });
    assert.equal(link.counters.reopened, 4);
  });
});

test("stop waits for requests under way and refuses others; at the deadline it gives them up", async () => {
  await withRig({}, async ({ link, gate, kit }) => {
    gate.shut();
    const answered = publish(link, 1);
    const stopping = link.stop(DEADLINE_MS);
    await assert.rejects(publish(link, 2), coded("unavailable", /stopped/));
    await until(() => gate.waiting === 1);
    assert.equal(link.linked, true);
    gate.release();
    assert.equal((await answered).offset, 1);
    await stopping;
    assert.equal(link.linked, false);
    await until(() => kit.hub.links === 0);
    const late = await kit.linked();
    gate.shut();
    const lost = publish(late, 3);
    const givenUp = assert.rejects(lost, coded("unavailable", /may be stored or not/));
    await late.stop(50);
    await givenUp;
  });
});

test("a hub that stops answers the publishes under way, and says nothing of what it did not store", async () => {
  await withRig({}, async ({ link, gate, kit }) => {
    gate.shut();
    const answered = publish(link, 1);
    await until(() => gate.waiting === 1);
    const stopping = kit.hub.stop(DEADLINE_MS);
    gate.release();
    assert.equal((await answered).offset, 1);
    await stopping;
    await until(() => !link.linked);
    await assert.rejects(publish(link, 2), coded("unavailable", /away/));
  });
});

test("a sink may publish, close and open from within its flow", async () => {
  await withRig({}, async ({ link }) => {
    const other = new Collector(DEADLINE_MS);
    const values: unknown[] = [];
    let reopened: Promise<unknown> | undefined;
    await link.open(ROOM, {
      message(message) {
        values.push(decode(dataOf(message)));
        void publish(link, "from within", OTHER);
        link.close(ROOM);
        reopened = link.open(ROOM, other);
      },
      reset() {},
    });
    await link.open(OTHER, other);
    await Promise.all([publish(link, 1), publish(link, 2)]);
    await other.until(1);
    await reopened;
    await publish(link, 3);
    await until(() => other.messages.some((message) => decode(dataOf(message)) === 3));
    assert.deepEqual(values, [1]);
  });
});

test("a publish beyond what a record can say is refused before it harms the link", async () => {
  await withRig({}, async ({ link }) => {
    const data = new Uint8Array(PUBLISH_BYTES_MAX);
    await assert.rejects(link.publish({ room: ROOM, data }), coded("too_large"));
    assert.equal((await link.publish({ room: ROOM, data: data.subarray(0, 20_000_000) })).offset, 1);
    assert.equal(link.counters.lost, 0);
  });
});

test("a hub that has stopped has closed all rooms at its broker", async () => {
  await withRig({}, async ({ link, kit }) => {
    await link.open(ROOM, new Collector(DEADLINE_MS));
    await kit.hub.stop(DEADLINE_MS);
    assert.equal(kit.counters.rooms, 0);
    await kit.broker.open(ROOM, new Collector(DEADLINE_MS));
  });
});

test("a checkpoint comes to every worker in its place, and the link resumes from it", async () => {
  const sinks: Sink[] = [];
  const wrap = (broker: Broker) =>
    layered(broker, {
      open: (room, sink) => {
        sinks.push(sink);
        return broker.open(room, sink);
      },
    });
  const kit = new HubKit({ wrap });
  try {
    await kit.start();
    const collectors = [new Collector(DEADLINE_MS), new Collector(DEADLINE_MS)];
    for (const collector of collectors) await (await kit.linked()).open(ROOM, collector);
    const hubRoom = sinks[0];
    hubRoom?.checkpoint?.(ROOM, 40);
    hubRoom?.checkpoint?.(ROOM, 40);
    for (const { checkpoints } of collectors) await until(() => checkpoints.length > 0);
    const data = encode("x");
    hubRoom?.message(
      createMessage({ room: ROOM, time: 0, key: undefined, origin: undefined, data, offset: 41, prev: 0 }),
    );
    for (const collector of collectors) {
      const [message] = await collector.until(1);
      assert.deepEqual([message?.offset, message?.prev], [41, 0]);
      assert.deepEqual(collector.checkpoints, [40]);
    }
    assert.deepEqual(kit.errors, []);
  } finally {
    await kit.dispose();
  }
});

test("workers know whether the hub reaches its broker, also those that come later", async () => {
  const kit = new HubKit();
  try {
    const hub = await kit.start();
    const told: boolean[] = [];
    const link = await kit.linked({ onAvailable: (available) => told.push(available) });
    assert.deepEqual(told, [true]);
    hub.setAvailable(false);
    await until(() => !link.available);
    const late = await kit.linked();
    await until(() => !late.available);
    hub.setAvailable(true);
    await until(() => link.available && late.available);
    await kit.stopHub();
    await until(() => !link.available);
    assert.deepEqual(told, [true, false, true, false]);
  } finally {
    await kit.dispose();
  }
});

test("who comes back after a position behind which nothing is stored has lost nothing", async () => {
  let head = { epoch: "e", offset: 3 };
  const wrap = (broker: Broker) =>
    layered(broker, {
      open: async () => head,
      close: () => undefined,
      history: async () => ({ kind: "page", messages: [], more: false, head }),
    });
  const kit = new HubKit({ wrap });
  try {
    await kit.start();
    const link = await kit.linked();
    const sink = new Collector(DEADLINE_MS);
    assert.equal((await link.open(ROOM, sink)).offset, 3);
    await kit.stopHub();
    // Others have moved the stream on, and what this room had has expired.
    head = { epoch: "e", offset: 9 };
    await kit.start();
    await until(() => kit.counters.historyReads > 0);
    await link.ready(DEADLINE_MS);
    await link.history(ROOM, "oldest", 1);
    assert.deepEqual(sink.resets, []);
    assert.equal(kit.counters.resets, 0);
  } finally {
    await kit.dispose();
  }
});
