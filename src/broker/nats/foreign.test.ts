import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { describe, type TestContext, test } from "node:test";
import { encode } from "@msgpack/msgpack";
import { headers } from "@nats-io/transport-node";
import fc from "fast-check";
import type { Message } from "../../protocol/message.js";
import { parseRoom } from "../../protocol/room-name.js";
import { assertChain, Collector } from "../conformance-rig.testkit.js";
import type { NatsBroker } from "./nats-broker.js";
import { freshPrefix, startTestBroker } from "./nats-broker.testkit.js";
import { serverOfFile } from "./server-of-file.testkit.js";

const DEADLINE_MS = 60_000;
const MESSAGES = 500;

const system = serverOfFile();

describe("whatever anybody publishes", () => {
  const seed = Math.floor(Math.random() * 0x7fff_ffff);

  test("is delivered in order and read back the same, in rooms with and without state", async (t) => {
    t.diagnostic(`seed ${seed}`);
    const { node, prefix } = await start(t);
    for (const [name, stream, subjectOf] of [
      ["log.a", `${prefix.toUpperCase()}_0`, () => `${prefix}.in.0.log~a`],
      ["keyed.a", `${prefix.toUpperCase()}_KEY_0`, (key: string) => `${prefix}.key.0.keyed~a.${key}`],
    ] as const) {
      const room = parseRoom(name);
      const sink = new Collector(DEADLINE_MS);
      await node.open(room, sink);
      await publishRaw(system.server.port, fc.sample(strange(subjectOf), { numRuns: MESSAGES, seed }));
      await system.admin.publish(subjectOf("end"), '"end"');
      const { state } = await system.admin.stream(stream);
      const live = await sink.until(state.last_seq);
      assertChain(live, 0);
      assert.deepEqual(sink.resets, []);
      assert.ok(live.length > MESSAGES / 2, `${live.length} of ${MESSAGES} were stored`);
      // As far as history reaches.
      const page = await node.history(room, { last: 10 }, 10);
      assert.ok(page.kind === "page" && page.messages.length === 10);
      assert.deepEqual(page.messages.map(contentsOf), live.slice(-10).map(contentsOf));
      if (name === "keyed.a") assert.ok((await node.state(room)).messages.length > 0);
    }
    // And the node goes on as if nothing had been.
    await node.publish({ room: parseRoom("log.a"), data: encode("own") });
    const { invalidData, sinkErrors } = node.counters;
    assert.ok(invalidData > 0);
    assert.equal(sinkErrors, 0);
  });

  test("is delivered in an ephemeral room", async (t) => {
    t.diagnostic(`seed ${seed}`);
    const { node, prefix } = await start(t);
    const sink = new Collector(DEADLINE_MS);
    await node.open(parseRoom("eph.a"), sink);
    const all = fc.sample(
      strange(() => `${prefix}.eph.0.eph~a`),
      { numRuns: MESSAGES, seed },
    );
    await publishRaw(system.server.port, all);
    const messages = await sink.until(MESSAGES);
    assert.ok(messages.every(({ offset }) => offset === 0));
  });
});

test("headers that tell JetStream to drop, expire or count are refused: nothing is lost by them", async (t) => {
  const { node, prefix } = await start(t);
  const room = parseRoom("log.a");
  const subject = `${prefix}.in.0.log~a`;
  for (let index = 0; index < 5; index += 1) await system.admin.publish(subject, String(index));
  for (const [name, value] of [
    ["Nats-Rollup", "sub"],
    ["Nats-Rollup", "all"],
    ["Nats-Expected-Last-Sequence", "1"],
    ["Nats-Expected-Stream", "OTHER"],
  ] as const) {
    const options = { headers: headers(), timeout: 5_000 };
    options.headers.set(name, value);
    const reply = await system.admin.connection.request(subject, "1", options);
    assert.ok(reply.json<{ error?: object }>().error !== undefined, `${name}: ${reply.string()}`);
  }
  const page = await node.history(room, "oldest", 10);
  assert.ok(page.kind === "page");
  assert.equal(page.messages.length, 5);
});

interface Raw {
  readonly subject: string;
  /** Empty: none. */
  readonly head: Buffer;
  readonly data: Buffer;
}

/** Messages with what may stand in headers and data, and what may not. */
function strange(subjectOf: (key: string) => string): fc.Arbitrary<Raw> {
  const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array));
  const json = fc.json().map((text) => Buffer.from(text));
  const value = fc.oneof(
    fc.string({ maxLength: 60 }),
    fc.constantFrom("", "1;2;3", "zz;%zz;%C3", "%", "18446744073709551616"),
  );
  const name = fc.constantFrom(
    ...["Fw", "Fw-Key", "fw-key", "Content-Type", "Nats-Msg-Id", "Nats-Sequence", "Nats-Last-Sequence"],
    ...["Nats-Subject", "Nats-Stream", "Nats-Time-Stamp", "Nats-Num-Pending", "Status", "X"],
  );
  const line = fc.oneof(
    fc.tuple(name, value).map(([key, text]) => `${key}: ${text}`),
    fc.constantFrom("Content-Type: application/msgpack", "Fw: lq2x;;", "no colon", "", ":", "\r", "\n"),
  );
  const block = fc
    .array(line, { maxLength: 6 })
    .map((lines) => Buffer.from(["NATS/1.0", ...lines, "", ""].join("\r\n"), "latin1"));
  const status = fc
    .constantFrom("NATS/1.0 503\r\n\r\n", "NATS/1.0 404 No\r\n\r\n")
    .map((text) => Buffer.from(text));
  const head = fc.oneof({ weight: 6, arbitrary: block }, status, fc.constant(Buffer.alloc(0)));
  const key = fc.constantFrom("k", "~", "%", "%2E", "%zz", "%%hash", "Ü", "a%2", "x".repeat(300));
  return fc
    .record({ key, head, data: fc.oneof(bytes, json) })
    .map(({ key: token, ...rest }) => ({ subject: subjectOf(token), ...rest }));
}

/** Without a client that would refuse, or mend, what is not valid. */
async function publishRaw(port: number, messages: readonly Raw[]): Promise<void> {
  const socket: Socket = connect(port, "127.0.0.1");
  let said = "";
  socket.on("data", (bytes) => {
    said += bytes.toString("latin1");
  });
  socket.write('CONNECT {"verbose":false,"headers":true,"lang":"test"}\r\n');
  for (const { subject, head, data } of messages) {
    const sizes = head.length === 0 ? `${data.length}` : `${head.length} ${head.length + data.length}`;
    socket.write(`${head.length === 0 ? "PUB" : "HPUB"} ${subject} ${sizes}\r\n`);
    socket.write(Buffer.concat([head, data, Buffer.from("\r\n")]));
  }
  socket.write("PING\r\n");
  while (!said.includes("PONG")) {
    assert.ok(!said.includes("-ERR"), said);
    await once(socket, "data");
  }
  socket.destroy();
}

async function start(t: TestContext): Promise<{ node: NatsBroker; prefix: string }> {
  const prefix = freshPrefix();
  const node = await startTestBroker(system.server.url, { prefix, partitions: 1 });
  t.after(() => node.stop(0));
  return { node, prefix };
}

function contentsOf({ offset, time, key, frame, dataStart }: Message): unknown {
  return { offset, time, key, data: Buffer.from(frame.subarray(dataStart)).toString("hex") };
}
