import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { CodedError, ERROR_STATUS, toCodedError } from "./errors.js";
import { namespaceOf, parseRoom } from "./room-name.js";
import { room } from "./values.testkit.js";

test("names of the grammar are rooms", () => {
  for (const name of ["a", "stock.AAPL", "A-Z_:0.9", "a".repeat(128), `${"a.".repeat(63)}aa`])
    assert.equal(parseRoom(name), name);
});

test("what is no name of the grammar is refused with the reason", () => {
  const names = [
    "",
    ".",
    "a.",
    ".a",
    "a..b",
    "a b",
    "a/b",
    "*",
    "a.>",
    "ä",
    "a\n",
    "\ud800",
    "a".repeat(129),
  ];
  for (const name of [...names, undefined, null, 7, ["a"], { toString: () => "a" }])
    assert.throws(() => parseRoom(name), {
      name: "CodedError",
      code: "room_invalid",
      message: /is not a room name/,
    });
});

test("the refusal of a long name does not repeat it all", () => {
  assert.throws(
    () => parseRoom("x".repeat(100_000)),
    (error) => error instanceof CodedError && error.message.length < 300,
  );
});

test("any text is either a room of the grammar or refused", () => {
  const text = fc.string({ unit: fc.constantFrom(..."ab.-_:*> /ä"), maxLength: 140 });
  fc.assert(
    fc.property(text, (name) => {
      const fits =
        name.length <= 128 &&
        name.split(".").every((token) => token !== "" && !/[^A-Za-z0-9_:-]/.test(token));
      if (fits) assert.equal(parseRoom(name), name);
      else assert.throws(() => parseRoom(name), CodedError);
    }),
    { numRuns: 5_000 },
  );
});

test("the namespace is the first token", () => {
  assert.equal(namespaceOf(parseRoom("stock.AAPL.trades")), "stock");
  assert.equal(namespaceOf(parseRoom("stock")), "stock");
  fc.assert(fc.property(room, (name) => namespaceOf(name) === name.split(".")[0]));
});

test("a coded error stays what it is, and any other tells nothing of itself", () => {
  const coded = new CodedError("unavailable", "the broker is away", 250);
  assert.equal(toCodedError(coded), coded);
  assert.equal(coded.retryMs, 250);
  const hidden = toCodedError(new Error("password is 1234"));
  assert.equal(hidden.code, "internal");
  assert.doesNotMatch(hidden.message, /1234/);
});

test("every error code has an HTTP status of an error", () => {
  for (const status of Object.values(ERROR_STATUS)) assert.ok(status >= 400 && status < 600);
});
