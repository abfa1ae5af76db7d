import assert from "node:assert/strict";
import { test } from "node:test";
import { decode, encode } from "@msgpack/msgpack";
import fc from "fast-check";
import { dataOf } from "../protocol/message.js";
import { parseRoom } from "../protocol/room-name.js";
import { createRig, JSON_TYPE, MSGPACK_TYPE } from "./http-api.testkit.js";

const RUNS = 2_000;
const PATHS = ["/v1/messages", "/v1/rooms/a/messages"];

/** Bytes that are nothing, and bytes that are nearly something. */
const bodies = fc.oneof(
  fc.uint8Array({ maxLength: 64 }),
  fc.tuple(fc.anything(), fc.nat(), fc.uint8Array({ maxLength: 4 })).map(([value, cut, more]) => {
    const bytes = encode([
      { room: "a", data: fc.stringify(value), key: "k", id: null },
      { room: "a", data: 1 },
    ]);
    return new Uint8Array([...bytes.subarray(0, cut % (bytes.length + 1)), ...more]);
  }),
  fc.json().map((text) => new TextEncoder().encode(text)),
);

test("no body whatsoever is a fault of ours", async () => {
  const { ask, faults } = createRig();
  await fc.assert(
    fc.asyncProperty(bodies, fc.constantFrom(...PATHS), fc.boolean(), async (body, path, packed) => {
      const reply = await ask({ method: "POST", path, headers: packed ? MSGPACK_TYPE : JSON_TYPE, body });
      assert.ok([200, 400, 413].includes(reply.status), String(reply.status));
    }),
    { numRuns: RUNS },
  );
  assert.deepEqual(faults, []);
});

test("no path, query or header whatsoever is a fault of ours", async () => {
  const { ask, faults } = createRig();
  const names = [
    "accept",
    "content-type",
    "fanwire-key",
    "idempotency-key",
    "authorization",
    "content-encoding",
  ];
  const text = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.constantFrom("a:1", "application/json;q=1,*/*", "%00", "1"),
  );
  const paths = fc.oneof(
    text.map((room) => `/v1/rooms/${room}/messages`),
    text.map((room) => `/v1/rooms/${room}/state`),
    text,
  );
  const queries = fc
    .dictionary(fc.constantFrom("after", "last", "limit"), text)
    .map((fields) => new URLSearchParams(fields).toString());
  const headers = fc.dictionary(fc.constantFrom(...names), text);
  const methods = fc.constantFrom("GET", "HEAD", "POST", "PUT", "");
  await fc.assert(
    fc.asyncProperty(methods, paths, queries, headers, async (method, path, query, given) => {
      const reply = await ask({ method, path, query, headers: given, body: "1" });
      assert.ok(reply.status < 500, String(reply.status));
    }),
    { numRuns: RUNS },
  );
  assert.deepEqual(faults, []);
});

test("JSON and MessagePack batches store the same, and MessagePack byte for byte", async () => {
  const values = fc.array(fc.jsonValue({ noUnicodeString: false }), { maxLength: 20 });
  await fc.assert(
    fc.asyncProperty(values, async (list) => {
      const stored: unknown[][] = [];
      for (const [headers, body] of [
        [JSON_TYPE, JSON.stringify(list.map((data) => ({ room: "a", data })))],
        [MSGPACK_TYPE, encode(list.map((data) => ({ room: "a", data })))],
      ] as const) {
        const { ask, broker } = createRig();
        await ask({ method: "POST", path: "/v1/messages", headers, body });
        const page = await broker.history(parseRoom("a"), "oldest", 100);
        assert.ok(page.kind === "page");
        stored.push(page.messages.map((message) => decode(dataOf(message))));
        if (headers === MSGPACK_TYPE && page.messages.length === list.length)
          for (const [i, message] of page.messages.entries())
            assert.deepEqual([...dataOf(message)], [...encode(list[i])]);
      }
      assert.deepEqual(stored[0], stored[1]);
    }),
    { numRuns: 300 },
  );
});
