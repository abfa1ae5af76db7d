import assert from "node:assert/strict";
import { test } from "node:test";
import { encode } from "@msgpack/msgpack";
import { decodeServer, encodeClient } from "./client-wire.js";
import { createMessage } from "./message.js";
import { parseRoom } from "./room-name.js";
import { limits } from "./values.testkit.js";
import { msgpackWire } from "./wire.js";

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
    { type: "goaway", reason: "restart", delayMs: 20 },
  ] as const;
  const payload = Buffer.concat(frames.map((frame) => msgpackWire.encode(frame)));
  assert.deepEqual(decodeServer(payload), frames);
});
