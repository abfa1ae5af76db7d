import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createServer } from "node:net";
import { test } from "node:test";
import { encode } from "@msgpack/msgpack";
import { CodedError } from "../../protocol/errors.js";
import { parseRoom } from "../../protocol/room-name.js";
import { assertChain, Collector } from "../conformance-rig.testkit.js";
import { DEADLINE_MS, HubKit, until } from "./hub.testkit.js";
import { bytesOf, closed, rawSocket } from "./raw-peer.testkit.js";
import { WIRE_VERSION } from "./record.js";

const ROOM = parseRoom("log.a");
const HELLO = bytesOf({ type: "hello", version: WIRE_VERSION, worker: "raw" });

const GARBAGE: readonly (readonly [name: string, bytes: Uint8Array])[] = [
  ["random bytes", Buffer.concat([Buffer.from([100, 0, 0, 0, 0xee]), randomBytes(10_000)])],
  ["a length of 0", new Uint8Array(8)],
  ["a length of 4 GB", new Uint8Array(8).fill(0xff)],
  ["HTTP", Buffer.from("GET / HTTP/1.1\r\nHost: hub\r\n\r\n")],
  ["a request before hello", bytesOf({ type: "close", room: ROOM })],
  ["a second hello", Buffer.concat([HELLO, HELLO])],
  ["a record that only hubs send", Buffer.concat([HELLO, bytesOf({ type: "lagged" })])],
  ["a room name outside of the grammar", Buffer.concat([HELLO, withRoom("a..b")])],
  ["a record with bytes left over", Buffer.concat([HELLO, longer(bytesOf({ type: "close", room: ROOM }))])],
];

for (const [name, bytes] of GARBAGE) {
  test(`a peer that sends ${name} is cut off, counted, and disturbs nobody`, async () => {
    const kit = new HubKit();
    try {
      await kit.start();
      const link = await kit.linked();
      const sink = new Collector(DEADLINE_MS);
      await link.open(ROOM, sink);
      const socket = await rawSocket(kit.path);
      socket.write(bytes);
      await closed(socket);
      await until(() => kit.hub.links === 1);
      assert.equal(kit.counters.malformed, 1);
      assert.equal(kit.errors.length, 1);
      await link.publish({ room: ROOM, data: encode(1) });
      await sink.until(1);
      assert.equal(link.counters.lost, 0);
    } finally {
      await kit.dispose();
    }
  });
}

test("a worker that dies in the middle of a record leaves nothing behind", async () => {
  const kit = new HubKit();
  try {
    await kit.start();
    const open = bytesOf({ type: "open", ref: 1, room: ROOM, after: undefined });
    const publish = bytesOf({ type: "publish", ref: 2, outgoing: { room: ROOM, data: encode("whole") } });
    const stream = Buffer.concat([HELLO, open, publish]);
    for (let cut = 1; cut <= stream.length; cut += 1) {
      const socket = await rawSocket(kit.path);
      socket.write(stream.subarray(0, cut), () => socket.destroy());
      await closed(socket);
    }
    await until(() => kit.hub.links === 0 && kit.counters.rooms === 0);
    assert.deepEqual([kit.counters.malformed, kit.errors], [0, []]);
    // Only the last of them had sent all of its publish.
    const page = await kit.broker.history(ROOM, "oldest", 100);
    assert.equal(page.kind === "page" ? page.messages.length : -1, 1);
  } finally {
    await kit.dispose();
  }
});

test("a worker of another version is told so, and cut off", async () => {
  const kit = new HubKit();
  try {
    await kit.start();
    const socket = await rawSocket(kit.path);
    const parts: Buffer[] = [];
    socket.on("data", (part) => parts.push(part));
    socket.write(bytesOf({ type: "hello", version: WIRE_VERSION + 1, worker: "newer" }));
    await closed(socket);
    const welcome = Buffer.from(bytesOf({ type: "welcome", version: WIRE_VERSION }));
    assert.deepEqual(Buffer.concat(parts), welcome);
    const told = `worker newer speaks version ${WIRE_VERSION + 1}, this hub ${WIRE_VERSION}`;
    assert.match(String(kit.errors[0]), new RegExp(told));
  } finally {
    await kit.dispose();
  }
});

test("a hub of another version, or one that sends no records, is left, tried again and told of", async () => {
  const kit = new HubKit();
  const newer = bytesOf({ type: "welcome", version: WIRE_VERSION + 1 });
  const answers = [newer, Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n"), bytesOf({ type: "lagged" })];
  let connections = 0;
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.resume();
    socket.write(answers[connections++ % answers.length] ?? newer);
  });
  try {
    await new Promise<void>((resolve) => server.listen(kit.path, resolve));
    const link = kit.connect();
    await until(() => connections >= 6);
    assert.equal(link.linked, false);
    const told = kit.errors.map(String).join("\n");
    assert.match(told, new RegExp(`the hub speaks version ${WIRE_VERSION + 1}, this worker ${WIRE_VERSION}`));
    assert.match(told, /lagged before welcome/);
    assert.ok(link.counters.malformed >= 2);
    await new Promise((resolve) => server.close(resolve));
    await kit.start();
    await link.ready(DEADLINE_MS);
  } finally {
    server.close();
    await kit.dispose();
  }
});

test("a link goes on through hubs that die at any byte of what they say", async () => {
  const kit = new HubKit();
  const script = Buffer.concat([
    bytesOf({ type: "welcome", version: WIRE_VERSION }),
    bytesOf({ type: "opened", ref: 1, number: 0, head: { epoch: "e", offset: 3 }, lost: undefined }),
    bytesOf({ type: "reset", number: 0, head: { epoch: "e", offset: 5 }, reason: "purged" }),
    bytesOf({ type: "lagged" }),
    bytesOf({ type: "failed", ref: 99, error: new CodedError("internal", "nobody asked") }),
  ]);
  let cut = 0;
  const server = createServer((socket) => {
    socket.on("error", () => {});
    cut += 3;
    socket.write(script.subarray(0, cut), () => socket.destroy());
  });
  try {
    await new Promise<void>((resolve) => server.listen(kit.path, resolve));
    const link = kit.connect();
    await until(() => cut > 60);
    await new Promise((resolve) => server.close(resolve));
    await kit.start();
    await link.ready(DEADLINE_MS);
    const sink = new Collector(DEADLINE_MS);
    const head = await link.open(ROOM, sink);
    await link.publish({ room: ROOM, data: encode(1) });
    assertChain(await sink.until(1), head.offset);
    assert.deepEqual(kit.errors, []);
  } finally {
    server.close();
    await kit.dispose();
  }
});

/** A close of a room whose name has as many bytes as `log.a`. */
function withRoom(name: string): Uint8Array {
  const record = Buffer.from(bytesOf({ type: "close", room: parseRoom("x".repeat(name.length)) }));
  record.write(name, record.length - name.length, "latin1");
  return record;
}

function longer(record: Uint8Array): Uint8Array {
  const longer = Buffer.concat([record, Buffer.alloc(3)]);
  longer.writeUInt32LE(longer.length, 0);
  return longer;
}
