import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseRoom } from "../protocol/room-name.js";
import { matchesRoom, parsePattern, type RoomPattern } from "../protocol/room-pattern.js";
import { PatternIndex } from "./pattern-index.js";

const token = fc.constantFrom("a", "b", "ab", "c-1");
const pattern = fc
  .tuple(fc.array(fc.oneof(token, fc.constant("*")), { maxLength: 4 }), fc.boolean())
  .filter(([places, isOpen]) => places.length > 0 || isOpen)
  .map(([places, isOpen]) => parsePattern([...places, ...(isOpen ? [">"] : [])].join(".")));
const room = fc.array(token, { minLength: 1, maxLength: 5 }).map((tokens) => parseRoom(tokens.join(".")));

test("the index finds what each pattern by itself means, however they come and go", () => {
  const change = fc.record({ pattern, isAdded: fc.boolean() });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 60 }), fc.array(room, { maxLength: 30 }), (changes, rooms) => {
      const index = new PatternIndex<number>();
      const model = new Map<RoomPattern, number>();
      for (const [value, { pattern: text, isAdded }] of changes.entries()) {
        const { version } = index;
        if (isAdded) {
          index.set(text, value);
          model.set(text, value);
          assert.notEqual(index.version, version);
        } else assert.equal(index.delete(text), model.delete(text), text);
        assert.equal(index.size, model.size);
      }
      for (const name of rooms) {
        const expected = [...model].filter(([text]) => matchesRoom(text, name)).map(([, value]) => value);
        assert.deepEqual(index.match(name).toSorted(), expected.toSorted(), name);
        assert.equal(index.matches(name), expected.length > 0, name);
      }
      for (const [text, value] of model) assert.equal(index.get(text), value);
      for (const text of [...model.keys()]) index.delete(text);
      assert.equal(index.matches(parseRoom("a")), false);
    }),
    { numRuns: 500 },
  );
});
