import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { decode, encode } from "@msgpack/msgpack";
import { headers } from "@nats-io/transport-node";
import { DEFAULT_ROOM_SETTINGS } from "../../core/settings.js";
import { CodedError } from "../../protocol/errors.js";
import { dataOf, type Message } from "../../protocol/message.js";
import { parseRoom, type RoomName } from "../../protocol/room-name.js";
import { assertChain, at, Collector, offsetsOf } from "../conformance-rig.testkit.js";
import { parseServers } from "./connection.js";
import { ownHeaders } from "./message-headers.js";
import type { NatsBroker } from "./nats-broker.js";
import { CONFORMANCE_NAMESPACES, freshPrefix, startTestBroker } from "./nats-broker.testkit.js";
import { until } from "./nats-server.testkit.js";
import { prepareProvisioning } from "./provision.js";
import { serverOfFile } from "./server-of-file.testkit.js";
import type { NatsBrokerOptions } from "./start.js";
import { encodeRoom, Subjects, setName } from "./subjects.js";

const MAPPING = 'mappings = { "fw.pub.*": "fw.in.{{partition(2,1)}}.{{wildcard(1)}}" }';
const DEADLINE_MS = 15_000;

const system = serverOfFile({ account: MAPPING });

describe("nodes", () => {
  test("share rooms: what one takes flows on the other, and a position of one is good on the other", async (t) => {
    const [one, other] = await nodes(t, 2);
    for (const name of ["log.a", "keyed.a"]) {
      const room = parseRoom(name);
      const sink = new Collector(DEADLINE_MS);
      const start = await other.open(room, sink);
      const positions = [];
      for (let index = 0; index < 5; index += 1) positions.push(await publish(one, room, index, "k"));
      assertChain(await sink.until(5), start.offset);
      assert.deepEqual(values(sink.messages), [0, 1, 2, 3, 4]);
      for (const node of [one, other]) {
        const page = await node.history(room, { after: at(positions, 1) }, 10);
        assert.ok(page.kind === "page");
        assert.deepEqual(offsetsOf(page.messages), offsetsOf(positions.slice(2)));
        assert.equal(page.head.epoch, at(positions, 0).epoch);
      }
    }
  });

  test("an ephemeral room flows between them", async (t) => {
    const [one, other] = await nodes(t, 2);
    const room = parseRoom("eph.a");
    const sink = new Collector(DEADLINE_MS);
    await other.open(room, sink);
    await publish(one, room, "x", "k");
    const [message] = await sink.until(1);
    assert.equal(message?.key, "k");
  });

  test("that disagree do not run together, and say in what", async (t) => {
    const prefix = freshPrefix();
    await nodes(t, 1, { prefix });
    const refused = (options: Partial<NatsBrokerOptions>, text: RegExp): Promise<void> =>
      assert.rejects(
        startTestBroker(system.server.url, { prefix, ...options }),
        (error) => error instanceof CodedError && error.code === "bad_request" && text.test(error.message),
      );
    await refused({ partitions: 3 }, /the deployment: partitions is 3 here and 2 in the plan/);
    const log = { ...DEFAULT_ROOM_SETTINGS, history: { messages: 11, seconds: 300 } };
    const settings = { ...CONFORMANCE_NAMESPACES, byName: { ...CONFORMANCE_NAMESPACES.byName, log } };
    await refused({ settings }, /namespace log: messages is 11 here and 10 in the plan/);
  });

  test("do not start where nothing is provisioned and they may not, or something is missing", async (t) => {
    const prefix = freshPrefix();
    await assert.rejects(
      startTestBroker(system.server.url, { prefix, provision: false }),
      /nothing is provisioned in NATS: run "fanwire nats provision"/,
    );
    await nodes(t, 1, { prefix });
    await system.admin.api(`STREAM.DELETE.${prefix.toUpperCase()}_KEY_1`);
    await assert.rejects(
      startTestBroker(system.server.url, { prefix }),
      /stream \w+_KEY_1 is missing: run "fanwire nats/,
    );
  });

  test("stop serving when rooms are moved while they run", async (t) => {
    const prefix = freshPrefix();
    const [node] = await nodes(t, 1, { prefix });
    const provisioning = await prepareProvisioning({
      access: parseServers(system.server.url),
      settings: CONFORMANCE_NAMESPACES,
      prefix,
      partitions: 3,
      maxBytes: -1,
      dataBytes: 15_360,
    });
    t.after(() => provisioning.close());
    await provisioning.apply(true);
    await until("the node to refuse", () => !node.available);
    await assert.rejects(
      publish(node, parseRoom("log.a"), 1),
      /rooms were moved while this node ran .*start it again/,
    );
  });
});

describe("foreign publishers", () => {
  const room = parseRoom("log.prices.eur");
  const token = encodeRoom(room);

  test("publish JSON or MessagePack to a documented subject, and are answered with the position", async (t) => {
    const prefix = freshPrefix();
    const [node] = await nodes(t, 1, { prefix });
    const sink = new Collector(DEADLINE_MS);
    await node.open(room, sink);
    const subject = new Subjects(prefix, 2).stored(setName("", false), room, undefined);
    const type = headers();
    type.set("Content-Type", "application/msgpack");
    type.set("Fw-Key", "EUR%2FUSD");
    const first = await system.admin.publish(subject, '{"bid": 1.08}');
    await system.admin.connection.request(subject, encode({ bid: 1.09 }), { headers: type, timeout: 2_000 });
    const live = await sink.until(2);
    assert.deepEqual(values(live), [{ bid: 1.08 }, { bid: 1.09 }]);
    assert.equal(at(live, 0).offset, first);
    assert.equal(at(live, 1).key, "EUR/USD");
    assert.ok(Math.abs(at(live, 0).time - Date.now()) < 60_000);
    const stored = await node.history(room, "oldest", 10);
    assert.ok(stored.kind === "page");
    assert.deepEqual(values(stored.messages), values(live));
  });

  test("may leave the partition to the server", async (t) => {
    const [node] = await nodes(t, 1, { prefix: "fw" });
    const rooms = ["a", "b", "c", "d", "e"].map((name) => parseRoom(`log.${name}`));
    for (const one of rooms) {
      const sink = new Collector(DEADLINE_MS);
      await node.open(one, sink);
      await system.admin.publish(`fw.pub.${encodeRoom(one)}`, '"x"');
      assert.deepEqual(values(await sink.until(1)), ["x"]);
    }
  });

  test("cannot break anything: data, keys and headers that are not valid, and places that are none", async (t) => {
    const prefix = freshPrefix();
    const [node] = await nodes(t, 1, { prefix });
    const subjects = new Subjects(prefix, 2);
    const sink = new Collector(DEADLINE_MS);
    await node.open(room, sink);
    const subject = subjects.stored(setName("", false), room, undefined);
    const forged = headers();
    forged.append("Nats-Sequence", "999999");
    forged.append("Nats-Last-Sequence", "999998");
    forged.append("Nats-Subject", "elsewhere");
    const p = subjects.partitionOf(token);
    await system.admin.publish(subject, "no JSON");
    await system.admin.publish(subject, Uint8Array.of(0xc1));
    await system.admin.publish(subject, "");
    await system.admin.connection.request(subject, '"forged"', { headers: forged, timeout: 2_000 });
    // A message that claims to be ours: its data is checked like any other.
    await rawPublish(
      subject,
      Buffer.from(ownHeaders({ time: 5, origin: "o", key: "k", id: undefined })),
      Uint8Array.of(0xdf),
    );
    // The wrong partition, a room that is none, and a status where a message should be.
    await system.admin.publish(`${prefix}.in.${1 - p}.${token}`, '"lost"');
    await system.admin.publish(`${prefix}.in.${p}.~`, '"lost"');
    await rawPublish(subject, Buffer.from("NATS/1.0 503\r\n\r\n"), new Uint8Array());
    await system.admin.publish(subject, '"end"');
    const live = await sink.until(7);
    assertChain(live, 0);
    const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text));
    assert.deepEqual(values(live), [
      bytes("no JSON"),
      Uint8Array.of(0xc1),
      new Uint8Array(),
      "forged",
      Uint8Array.of(0xdf),
      new Uint8Array(),
      "end",
    ]);
    assert.equal(node.counters.invalidData, 5);
    // Read back they are the same.
    const page = await node.history(room, "oldest", 10);
    assert.ok(page.kind === "page");
    assert.deepEqual(values(page.messages), values(live));
    assert.deepEqual(sink.resets, []);
  });

  test("publish keyed state, whose key is in the subject", async (t) => {
    const prefix = freshPrefix();
    const [node] = await nodes(t, 1, { prefix });
    const keyed = parseRoom("keyed.prices");
    const stored = (key: string | undefined): string =>
      new Subjects(prefix, 2).stored(setName("", true), keyed, key);
    const sink = new Collector(DEADLINE_MS);
    await node.open(keyed, sink);
    await system.admin.publish(stored("EUR/USD"), "1");
    await system.admin.publish(stored("EUR/USD"), "2");
    await system.admin.publish(stored(undefined), '"an event"');
    await system.admin.publish(stored("x").replace(/x$/, "%zz"), "3");
    assert.deepEqual(
      (await sink.until(4)).map(({ key }) => key),
      ["EUR/USD", "EUR/USD", undefined, "%zz"],
    );
    const { messages } = await node.state(keyed);
    assert.deepEqual(
      messages.map((message) => [message.key, decode(dataOf(message))]),
      [
        ["EUR/USD", 2],
        ["%zz", 3],
      ],
    );
  });

  test("what is far too large is refused by the server", async (t) => {
    const prefix = freshPrefix();
    const [node] = await nodes(t, 1, { prefix });
    const subject = new Subjects(prefix, 2).stored(setName("", false), room, undefined);
    const ack = await system.admin.connection.request(subject, new Uint8Array(30_000));
    assert.match(ack.string(), /message size exceeds maximum allowed/);
    for (const bytes of [30_000, 2_000_000])
      await assert.rejects(
        publish(node, room, new Uint8Array(bytes)),
        (error) => error instanceof CodedError && error.code === "too_large",
      );
    await publish(node, room, "small");
  });
});

test("a foreign consumer reads what is stored: subject, headers and MessagePack as documented", async (t) => {
  const prefix = freshPrefix();
  const [node] = await nodes(t, 1, { prefix });
  const room = parseRoom("keyed.a");
  const { offset } = await node.publish({
    room,
    data: encode({ a: 1 }),
    key: "k.1",
    origin: "s-1",
    id: "once",
  });
  const name = new Subjects(prefix, 2).stream(
    setName("", true),
    new Subjects(prefix, 2).partitionOf("keyed~a"),
  );
  const { message } = await system.admin.api<{ message: { subject: string; hdrs: string; data: string } }>(
    `STREAM.MSG.GET.${name}`,
    { seq: offset },
  );
  assert.match(message.subject, /\.key\.[01]\.keyed~a\.k%2E1$/);
  assert.deepEqual(decode(Buffer.from(message.data, "base64")), { a: 1 });
  const text = Buffer.from(message.hdrs, "base64").toString();
  assert.match(text, /^NATS\/1\.0\r\nFw: [0-9a-z]+;s-1;\r\nNats-Msg-Id: keyed~a\/once\r\n\r\n$/);
});

test("a key too long for a subject is kept whole", async (t) => {
  const [node] = await nodes(t, 1, { limits: { keyBytes: 1_024 } });
  const room = parseRoom("keyed.long");
  const sink = new Collector(DEADLINE_MS);
  await node.open(room, sink);
  const keys = ["x".repeat(1_024), "ü".repeat(300), "ü".repeat(301)];
  for (const key of [...keys, ...keys]) await publish(node, room, key, key);
  assert.deepEqual(
    (await sink.until(6)).map(({ key }) => key),
    [...keys, ...keys],
  );
  const { messages } = await node.state(room);
  assert.deepEqual(
    messages.map(({ key }) => key),
    keys,
  );
});

/** A message with a block of headers that the client would not make. */
async function rawPublish(subject: string, block: Uint8Array, data: Uint8Array): Promise<void> {
  const raw = Object.assign(headers(), { encode: () => block });
  await system.admin.connection.request(subject, data, { headers: raw, timeout: 2_000 });
}

async function nodes<N extends number>(
  t: TestContext,
  count: N,
  options: Partial<NatsBrokerOptions> = {},
): Promise<N extends 1 ? [NatsBroker] : [NatsBroker, NatsBroker]> {
  const prefix = freshPrefix();
  const started: NatsBroker[] = [];
  for (let index = 0; index < count; index += 1) {
    const node = await startTestBroker(system.server.url, { prefix, ...options });
    t.after(() => node.stop(1_000));
    started.push(node);
  }
  return started as N extends 1 ? [NatsBroker] : [NatsBroker, NatsBroker];
}

function publish(node: NatsBroker, room: RoomName, value: unknown, key?: string) {
  return node.publish({ room, data: encode(value), key });
}

function values(messages: readonly Message[]): unknown[] {
  return messages.map((message) => decode(dataOf(message)));
}
