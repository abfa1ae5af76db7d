import assert from "node:assert/strict";
import { test } from "node:test";
import { decode, encode } from "@msgpack/msgpack";
import fc from "fast-check";
import { createMessage, dataOf, frameWithPrev } from "./message.js";
import { parseRoom } from "./room-name.js";
import { messageFields, uint53 } from "./values.testkit.js";

test("a message's frame decodes to its fields, in the same bytes as the codec's own", () => {
  fc.assert(
    fc.property(messageFields, (given) => {
      const message = createMessage(given);
      const elements = [19, given.room, given.offset, given.prev, given.time, decode(given.data)];
      const expected = given.key === undefined ? elements : [...elements, given.key];
      assert.deepEqual(decode(message.frame), expected);
      assert.deepEqual(Buffer.from(message.frame), Buffer.from(encode(expected)));
      assert.deepEqual(Buffer.from(dataOf(message)), Buffer.from(given.data));
    }),
    { numRuns: 2_000 },
  );
});

test("a key of any length has the head that its bytes need", () => {
  for (const length of [1, 31, 32, 127, 255, 256, 65_535, 65_536]) {
    for (const key of ["k".repeat(length), `${"ü".repeat(length >> 1)}${"k".repeat(length & 1)}`]) {
      const { frame } = createMessage({
        room: parseRoom("a"),
        offset: 1,
        prev: 0,
        time: 0,
        data: encode(1),
        key,
      });
      assert.deepEqual(Buffer.from(frame), Buffer.from(encode([19, "a", 1, 0, 0, 1, key])));
    }
  }
});

test("the data is copied, so that the caller may reuse its bytes", () => {
  const data = encode("a");
  const message = createMessage({
    room: parseRoom("a"),
    offset: 1,
    prev: 0,
    time: 0,
    data,
  });
  data.fill(0);
  assert.equal(decode(dataOf(message)), "a");
});

test("a frame with another prev equals one made with it", () => {
  fc.assert(
    fc.property(messageFields, uint53, (given, prev) => {
      const message = createMessage(given);
      assert.deepEqual(frameWithPrev(message, prev), createMessage({ ...given, prev }).frame);
    }),
    { numRuns: 2_000 },
  );
});

test("a frame with the prev that it has is not copied", () => {
  const message = createMessage({ ...(fc.sample(messageFields, 1)[0] ?? assert.fail()), prev: 7 });
  assert.equal(frameWithPrev(message, 7), message.frame);
});
