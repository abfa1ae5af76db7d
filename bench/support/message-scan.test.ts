import assert from "node:assert/strict";
import { test } from "node:test";
import { encode } from "@msgpack/msgpack";
import fc from "fast-check";
import { benchRoom, codeAt, createContent, scanMessage, setDue, skipValue } from "./message-scan.js";

const SENTINEL = Buffer.of(0x91, 0x14);
const uint = fc.oneof(
  fc.constantFrom(0, 127, 128, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1),
  fc.maxSafeNat(),
);

test("a message's fields are found whatever their widths, and where the next value begins", () => {
  fc.assert(
    fc.property(
      fc.nat({ max: 99_999 }),
      uint,
      uint,
      fc.integer({ min: 8, max: 3_000 }),
      fc.option(fc.string({ maxLength: 300 }), { nil: undefined }),
      (room, offset, prev, size, key) => {
        const content = createContent(size);
        setDue(content, 123_456_789.25);
        const data = encode(content);
        const fields = [
          encode(19),
          encode(benchRoom(room)),
          encode(offset),
          encode(prev),
          encode(Date.now()),
          data,
        ];
        if (key !== undefined) fields.push(encode(key));
        const before = encode({ anything: [1, 2, "x"] });
        const bytes = Buffer.concat([before, Buffer.of(0x90 | fields.length), ...fields, SENTINEL]);
        const into = { roomIndex: -1, offset: -1, prev: -1, dueMicros: -1 };
        assert.equal(codeAt(bytes, before.length), 19);
        const end = scanMessage(bytes, before.length, into);
        assert.deepEqual(into, { roomIndex: room, offset, prev, dueMicros: 123_456_789.25 });
        assert.equal(end, bytes.length - SENTINEL.length);
      },
    ),
  );
});

test("any value is skipped exactly", () => {
  const leaf = fc.oneof(
    fc.integer(),
    fc.double(),
    fc.string({ maxLength: 400 }),
    fc.uint8Array({ maxLength: 400 }),
    fc.boolean(),
    fc.constant(null),
    fc.date({ noInvalidDate: true }),
  );
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof(
      { depthSize: "small" },
      leaf,
      fc.array(tie("tree"), { maxLength: 20 }),
      fc.dictionary(fc.string(), tie("tree")),
    ),
  }));
  fc.assert(
    fc.property(tree ?? leaf, (value) => {
      const bytes = Buffer.from(encode(value));
      assert.equal(skipValue(Buffer.concat([bytes, SENTINEL]), 0), bytes.length);
    }),
  );
});

test("a content without room for the due time is refused", () => {
  assert.equal(createContent(8).length, 8);
  assert.throws(() => createContent(7), RangeError);
});
