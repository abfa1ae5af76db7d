import assert from "node:assert/strict";
import { test } from "node:test";
import { encode } from "@msgpack/msgpack";
import { decodeServerJson } from "./client-json.testkit.js";
import { decodeServer, encodeClient } from "./client-wire.testkit.js";
import { CHUNK_BYTES } from "./frames.js";
import { createMessage } from "./message.js";
import { parseRoom } from "./room-name.js";
import { limits } from "./values.testkit.js";
import { jsonWire, msgpackWire, type ServerWire, wireFor } from "./wire.js";

const room = parseRoom("stock.AAPL");

test("every request arrives as it was sent", () => {
  const after = { epoch: "e1", offset: 7 };
  const frames = [
    { type: "subscribe", ref: 1, room, options: { after, echo: false } },
    { type: "unsubscribe", ref: 2, room },
    { type: "authenticate", ref: 3, token: "a.b.c" },
    { type: "history", ref: 4, room, options: { after, limit: 10 } },
    { type: "presence", ref: 5, room },
    {
      type: "subscribeMany",
      ref: 6,
      rooms: [
        { room, after },
        { room, after: undefined },
      ],
      options: { state: true },
    },
    { type: "ping", ref: 0 },
  ] as const;
  const payload = Buffer.concat(frames.map((frame) => encodeClient(frame)));
  assert.deepEqual(msgpackWire.decode(payload, limits), frames);
});

test("a publish's data arrives as bytes, a view into the payload", () => {
  const payload = encodeClient({ type: "publish", ref: 9, room, data: { a: [1, 2] }, key: "k" });
  const [input] = msgpackWire.decode(payload, limits);
  assert.ok(input?.type === "publish");
  assert.deepEqual(Buffer.from(input.data), Buffer.from(encode({ a: [1, 2] })));
  assert.equal(input.data.buffer, payload.buffer);
  assert.equal(input.key, "k");
});

test("history arrives with its messages", () => {
  const messages = [1, 2].map((offset) =>
    createMessage({
      room,
      offset,
      prev: offset - 1,
      time: 5,
      data: encode({ offset }),
      key: offset === 2 ? "k" : undefined,
    }),
  );
  assert.deepEqual(decodeServer(msgpackWire.encodeHistory(3, { epoch: "e", messages, more: false })), [
    {
      type: "ok",
      ref: 3,
      result: {
        epoch: "e",
        more: false,
        messages: [
          [1, 5, { offset: 1 }],
          [2, 5, { offset: 2 }, "k"],
        ],
      },
    },
  ]);
});

test("every reply arrives as it was sent", () => {
  const frames = [
    { type: "welcome", session: "s", node: "n", pingMs: 25_000, maxBytes: 16_384 },
    { type: "ok", ref: 1, result: { epoch: "e", offset: 3, recovered: true } },
    { type: "ok", ref: 2, result: undefined },
    { type: "error", ref: 0, code: "forbidden", text: "no", retryMs: undefined },
    { type: "error", ref: 1, code: "unavailable", text: "later", retryMs: 250 },
    { type: "live", room, offset: 3 },
    { type: "lagged" },
    { type: "reset", room, epoch: "e", offset: 9, reason: "expired" },
    { type: "members", room, count: 2, joined: ["a"], left: [] },
    { type: "members", room, count: 1, joined: [["a", { x: 1 }]], left: [], list: true },
    { type: "goaway", reason: "restart", delayMs: 20 },
  ] as const;
  const payload = Buffer.concat(frames.map((frame) => msgpackWire.encode(frame)));
  assert.deepEqual(decodeServer(payload), frames);
});

test("a history page is cut at 16,000 bytes, and says so", () => {
  const messages = [1, 2, 3, 4, 5].map((offset) =>
    createMessage({ room, offset, prev: offset - 1, time: 5, data: encode("x".repeat(3_900)) }),
  );
  for (const wire of [msgpackWire, jsonWire]) {
    const bytes = wire.encodeHistory(3, { epoch: "e", messages, more: false });
    assert.ok(bytes.length > 15_000 && bytes.length <= CHUNK_BYTES, `${bytes.length} bytes`);
    const result = resultOf(wire, bytes);
    assert.equal(result.messages.length, 4);
    assert.equal(result.more, true);
  }
});

test("a history page holds one message at the least, however long", () => {
  const data = encode(new Uint8Array(20_000));
  const messages = [1, 2].map((offset) => createMessage({ room, offset, prev: offset - 1, time: 5, data }));
  for (const wire of [msgpackWire, jsonWire]) {
    const result = resultOf(wire, wire.encodeHistory(3, { epoch: "e", messages, more: false }));
    assert.equal(result.messages.length, 1);
    assert.equal(result.more, true);
  }
});

test("a message's own frame goes out uncopied where its prev stands", () => {
  const message = createMessage({ room, offset: 9, prev: 8, time: 5, data: encode(1) });
  assert.equal(msgpackWire.encodeMessage(message), message.frame);
  assert.equal(msgpackWire.encodeMessage(message, 8), message.frame);
  const [frame] = decodeServer(msgpackWire.encodeMessage(message, 0));
  assert.ok(frame?.type === "message" && frame.prev === 0);
});

test("each sub-protocol has its wire", () => {
  assert.equal(wireFor("fanwire.v1"), msgpackWire);
  assert.equal(wireFor("fanwire.v1.json"), jsonWire);
  for (const wire of [msgpackWire, jsonWire]) assert.equal(wireFor(wire.subprotocol), wire);
});

test("what cannot be encoded is refused before it is sent", () => {
  const circle: unknown[] = [];
  circle.push(circle);
  for (const data of [() => 1, 1n, Symbol("a"), circle])
    assert.throws(() => encodeClient({ type: "publish", ref: 1, room, data, key: undefined }), {
      name: "CodedError",
      code: "bad_request",
    });
  // The encoder is not left in a bad state.
  assert.deepEqual(msgpackWire.decode(encodeClient({ type: "ping", ref: 1 }), limits), [
    { type: "ping", ref: 1 },
  ]);
});

test("an unknown code is named in its refusal", () => {
  const [input] = msgpackWire.decode(encode([77, 5]), limits);
  assert.ok(input?.type === "invalid");
  assert.match(input.error.message, /77/);
});

function resultOf(wire: ServerWire, bytes: Uint8Array): { messages: unknown[]; more: boolean } {
  const [frame] = wire.binary ? decodeServer(bytes) : decodeServerJson(Buffer.from(bytes).toString());
  assert.ok(frame?.type === "ok");
  const { messages, more }: { messages?: unknown; more?: unknown } = { ...Object(frame.result) };
  assert.ok(Array.isArray(messages) && typeof more === "boolean");
  return { messages, more };
}
