import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { CodedError } from "./errors.js";
import { parseRoom } from "./room-name.js";
import {
  containsPattern,
  hasWildcard,
  matchesRoom,
  namespaceOfPattern,
  parsePattern,
  patternsOverlap,
} from "./room-pattern.js";

const TOKENS = ["a", "b", "ab"] as const;
const LONGEST = 5;

/** Every room of these tokens with up to so many. */
const ROOMS = [1, 2, 3, 4, 5]
  .flatMap((length) => tuples(length))
  .map((tokens) => parseRoom(tokens.join(".")));

function tuples(length: number): string[][] {
  if (length === 0) return [[]];
  return tuples(length - 1).flatMap((head) => TOKENS.map((token) => [...head, token]));
}

/** Patterns short enough that a difference between two of them shows in some room above. */
const pattern = fc
  .tuple(
    fc.array(fc.oneof(fc.constantFrom(...TOKENS), fc.constant("*")), { maxLength: LONGEST - 2 }),
    fc.boolean(),
  )
  .filter(([places, isOpen]) => places.length > 0 || isOpen)
  .map(([places, isOpen]) => parsePattern([...places, ...(isOpen ? [">"] : [])].join(".")));

test("a pattern means the rooms that its definition says, token by token", () => {
  fc.assert(
    fc.property(pattern, (text) => {
      const places = text.split(".");
      const isOpen = places.at(-1) === ">";
      const fixed = isOpen ? places.slice(0, -1) : places;
      for (const room of ROOMS) {
        const tokens = room.split(".");
        const expected =
          fixed.every((place, i) => tokens[i] !== undefined && (place === "*" || place === tokens[i])) &&
          (isOpen ? tokens.length > fixed.length : tokens.length === fixed.length);
        assert.equal(matchesRoom(text, room), expected, `${text} ${room}`);
      }
    }),
    { numRuns: 500 },
  );
});

test("a pattern contains another where every room of that one is one of its own, and only there", () => {
  fc.assert(
    fc.property(pattern, pattern, (outer, inner) => {
      const expected = ROOMS.every((room) => !matchesRoom(inner, room) || matchesRoom(outer, room));
      assert.equal(containsPattern(outer, inner), expected, `${outer} contains ${inner}`);
      const meets = ROOMS.some((room) => matchesRoom(inner, room) && matchesRoom(outer, room));
      assert.equal(patternsOverlap(outer, inner), meets, `${outer} overlaps ${inner}`);
    }),
    { numRuns: 3_000 },
  );
});

describe("a pattern", () => {
  const contained: [outer: string, inner: string, expected: boolean][] = [
    [">", ">", true],
    [">", "a.*.>", true],
    ["*", ">", false],
    ["*.>", ">", false],
    [">", "*.>", true],
    ["a.>", "a", false],
    ["a.>", "a.*", true],
    ["a.*", "a.>", false],
    ["a.*.>", "a.>", false],
    ["a.>", "a.*.>", true],
    ["a.*", "a.b", true],
    ["a.b", "a.*", false],
    ["*.b", "a.b", true],
    ["telemetry.site1.>", "telemetry.*.x", false],
  ];
  for (const [outer, inner, expected] of contained)
    test(`${outer} ${expected ? "contains" : "does not contain"} ${inner}`, () => {
      assert.equal(containsPattern(parsePattern(outer), parsePattern(inner)), expected);
    });

  test("that is none is refused with a code and what is allowed", () => {
    const long = "a".repeat(129);
    for (const raw of [
      "",
      "a..b",
      ".a",
      "a.",
      ">.a",
      "a.>.b",
      "a*",
      "a.b>",
      "**",
      "a b",
      "ä.*",
      long,
      1,
      null,
    ])
      assert.throws(
        () => parsePattern(raw),
        (cause) =>
          cause instanceof CodedError && cause.code === "room_invalid" && /stands for/.test(cause.message),
        String(raw),
      );
  });

  test("tells its namespace where it has one", () => {
    assert.equal(namespaceOfPattern(parsePattern("chat.>")), "chat");
    assert.equal(namespaceOfPattern(parsePattern("chat")), "chat");
    assert.equal(namespaceOfPattern(parsePattern("*.a")), undefined);
    assert.equal(namespaceOfPattern(parsePattern(">")), undefined);
    assert.deepEqual(["a.b", "a.*", ">"].map(hasWildcard), [false, true, true]);
  });
});
