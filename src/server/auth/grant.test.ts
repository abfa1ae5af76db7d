import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { Right } from "../../core/access.js";
import { parseRoom } from "../../protocol/room-name.js";
import { matchesRoom, parsePattern } from "../../protocol/room-pattern.js";
import { CompiledRights, isGrant } from "./grant.js";

const allows = (pattern: string, room: string, right: Right = "subscribe", rights = "s", sub = "ada") =>
  new CompiledRights([{ pattern, rights }], sub, () => 0).allows(right, parseRoom(room));

describe("a pattern", () => {
  const cases: [pattern: string, room: string, expected: boolean][] = [
    ["chat.a", "chat.a", true],
    ["chat.a", "chat.a.b", false],
    ["chat.a", "chat", false],
    ["chat.a", "xchat.a", false],
    ["chat.*", "chat.a", true],
    ["chat.*", "chat", false],
    ["chat.*", "chat.a.b", false],
    ["*.a", "chat.a", true],
    ["*", "chat", true],
    ["*", "chat.a", false],
    ["chat.>", "chat.a", true],
    ["chat.>", "chat.a.b.c", true],
    ["chat.>", "chat", false],
    ["chat.>", "chatter.a", false],
    [">", "chat", true],
    [">", "chat.a.b", true],
    ["*.*.>", "a.b.c.d", true],
    ["*.*.>", "a.b", false],
    ["chat.*.log.>", "chat.x.log.1.2", true],
    ["user.{sub}", "user.ada", true],
    ["user.{sub}", "user.eve", false],
    ["user.{sub}.*", "user.ada.in", true],
    ["user-{sub}", "user-ada", true],
    ["dm.{sub}:{sub}", "dm.ada:ada", true],
  ];
  for (const [pattern, room, expected] of cases)
    test(`${pattern} ${expected ? "covers" : "does not cover"} ${room}`, () => {
      assert.ok(isGrant([pattern, "s"]), pattern);
      assert.equal(allows(pattern, room), expected);
    });
});

test("what is no grant is told apart", () => {
  for (const raw of [
    ["", "s"],
    ["a..b", "s"],
    [".a", "s"],
    ["a.", "s"],
    ["a.>.b", "s"],
    ["a.b>", "s"],
    ["a*.b", "s"],
    ["{sub", "s"],
    ["a.{jti}", "s"],
    ["a b", "s"],
    ["a".repeat(129), "s"],
    ["a", ""],
    ["a", "ss"],
    ["a", "S"],
    ["a", "x"],
    ["a"],
    ["a", "s", "p"],
    [1, "s"],
    "a",
    null,
  ])
    assert.equal(isGrant(raw), false, JSON.stringify(raw));
});

test("rights add up, from every grant and from the namespace", () => {
  const grants = [
    { pattern: "a.*", rights: "s" },
    { pattern: "a.b", rights: "p" },
    { pattern: "a.b", rights: "h" },
  ];
  const rights = new CompiledRights(grants, undefined, (room) => (room === "open" ? 1 : 0));
  const of = (room: string) =>
    (["subscribe", "publish", "history", "members"] as const).filter((right) =>
      rights.allows(right, parseRoom(room)),
    );
  assert.deepEqual(of("a.b"), ["subscribe", "publish", "history"]);
  assert.deepEqual(of("a.c"), ["subscribe"]);
  assert.deepEqual(of("open"), ["subscribe"]);
  assert.deepEqual(of("x"), []);
});

test("patterns match as their definition says, token by token", () => {
  const token = fc.constantFrom("a", "b", "ab", "a-b", "a:b", "A", "_");
  const room = fc.array(token, { minLength: 1, maxLength: 5 });
  const pattern = fc.tuple(fc.array(fc.oneof(token, fc.constant("*")), { maxLength: 4 }), fc.boolean());
  fc.assert(
    fc.property(room, pattern, (tokens, [places, isOpen]) => {
      fc.pre(places.length > 0 || isOpen);
      const expected =
        places.every((place, i) => (place === "*" ? tokens[i] !== undefined : place === tokens[i])) &&
        (isOpen ? tokens.length > places.length : tokens.length === places.length);
      const text = [...places, ...(isOpen ? [">"] : [])].join(".");
      assert.equal(allows(text, tokens.join(".")), expected, `${text} ${tokens.join(".")}`);
    }),
    { numRuns: 2_000 },
  );
});

test("a pattern is allowed where one grant contains it, or its namespace lets everybody, and not otherwise", () => {
  const rights = new CompiledRights(
    [
      { pattern: "user.{sub}.>", rights: "s" },
      { pattern: "chat.*", rights: "sp" },
      { pattern: "half.a", rights: "s" },
      { pattern: "half.*.b", rights: "s" },
      { pattern: "log.>", rights: "h" },
    ],
    "ada",
    (room) => (room === "open" || room.startsWith("open.") ? 1 : 0),
  );
  const allowed = [
    "user.ada.>",
    "user.ada.*",
    "user.ada.in.*",
    "chat.*",
    "chat.a",
    "open.>",
    "open.*",
    "open",
    "half.*.b",
  ];
  const denied = [
    ...[">", "*", "*.*", "user.>", "user.*.in", "user.*.>", "user.eve.>", "chat.>", "chat.*.b", "half.>"],
    ...["half.*", "log.>", "log.*", "opened.>", "*.a", "open.*.>".replace("open", "*")],
  ];
  for (const text of allowed) assert.equal(rights.allowsPattern("subscribe", parsePattern(text)), true, text);
  for (const text of denied) assert.equal(rights.allowsPattern("subscribe", parsePattern(text)), false, text);
  assert.equal(rights.allowsPattern("publish", parsePattern("chat.*")), true);
  assert.equal(rights.allowsPattern("members", parsePattern("chat.*")), false);
});

test("where a pattern is allowed, so is every room that it means", () => {
  const place = fc.constantFrom("a", "b", "*");
  const pattern = fc
    .tuple(fc.array(place, { maxLength: 3 }), fc.boolean())
    .filter(([places, isOpen]) => places.length > 0 || isOpen)
    .map(([places, isOpen]) => [...places, ...(isOpen ? [">"] : [])].join("."));
  const room = fc.array(fc.constantFrom("a", "b"), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(fc.array(pattern, { maxLength: 4 }), pattern, room, (grants, wanted, tokens) => {
      const rights = new CompiledRights(
        grants.map((text) => ({ pattern: text, rights: "s" })),
        undefined,
        (name) => (name === "b" || name.startsWith("b.") ? 1 : 0),
      );
      const name = parseRoom(tokens.join("."));
      if (
        !rights.allowsPattern("subscribe", parsePattern(wanted)) ||
        !matchesRoom(parsePattern(wanted), name)
      )
        return;
      assert.ok(rights.allows("subscribe", name), `${wanted} ${name} by ${grants}`);
    }),
    { numRuns: 2_000 },
  );
});

test("a subject that is not one token of a room's name gives nothing", () => {
  const name = /^[A-Za-z0-9_:-]+$/;
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.constantFrom("a.b", "*", ">", "a|b", ".*", "")), (sub) => {
      const rights = new CompiledRights([{ pattern: "user.{sub}.>", rights: "s" }], sub, () => 0);
      for (const room of ["user.x.y", "user.a.b", "user.a.b.c"])
        assert.equal(
          rights.allows("subscribe", parseRoom(room)),
          name.test(sub) && room.startsWith(`user.${sub}.`),
        );
    }),
  );
});
