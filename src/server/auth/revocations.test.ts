import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRevocation, Revocations } from "./revocations.js";

const token = (sub: string | undefined, issuedAt: number, jti?: string) => ({ sub, issuedAt, jti });

test("a token is void by its id, by its subject and by when it was issued", () => {
  const revocations = new Revocations(10);
  const until = 1_000;
  revocations.add({ revocation: { kind: "jti", jti: "t1" }, until });
  revocations.add({ revocation: { kind: "sub", sub: "eve", issuedBefore: 500 }, until });
  assert.equal(revocations.revokes(token("ada", 400, "t1")), true);
  assert.equal(revocations.revokes(token("ada", 400, "t2")), false);
  assert.equal(revocations.revokes(token("eve", 499)), true);
  assert.equal(revocations.revokes(token("eve", 500)), false);
  assert.equal(revocations.revokes(token("eve", 0)), true);
  revocations.add({ revocation: { kind: "issued", issuedBefore: 450 }, until });
  assert.equal(revocations.revokes(token("ada", 449)), true);
  assert.equal(revocations.revokes(token("ada", 450)), false);
  assert.equal(revocations.revokes(token(undefined, 0)), false);
});

test("the later time counts, in whichever order they come", () => {
  const revocations = new Revocations(10);
  revocations.add({ revocation: { kind: "sub", sub: "eve", issuedBefore: 500 }, until: 900 });
  revocations.add({ revocation: { kind: "sub", sub: "eve", issuedBefore: 300 }, until: 700 });
  assert.equal(revocations.revokes(token("eve", 450)), true);
  revocations.sweep(800);
  assert.equal(revocations.size, 1);
});

test("each is kept until its time and handed on whole; none gives way to another", () => {
  const revocations = new Revocations(3);
  revocations.add({ revocation: { kind: "jti", jti: "t1" }, until: 100 });
  revocations.add({ revocation: { kind: "sub", sub: "eve", issuedBefore: 50 }, until: 200 });
  revocations.add({ revocation: { kind: "issued", issuedBefore: 10 }, until: 300 });
  const more = { revocation: { kind: "jti", jti: "t2" } as const, until: 400 };
  assert.throws(() => revocations.add(more), { code: "unavailable" });
  // One that is known may be renewed.
  revocations.add({ revocation: { kind: "sub", sub: "eve", issuedBefore: 60 }, until: 250 });
  const copy = new Revocations(3);
  for (const kept of revocations.list()) copy.add(kept);
  assert.deepEqual(copy.list(), revocations.list());
  assert.equal(copy.size, 3);
  copy.sweep(100);
  assert.equal(copy.revokes(token("ada", 90, "t1")), false);
  copy.add(more);
  copy.sweep(300);
  assert.deepEqual(copy.list(), [more]);
});

test("a body says one thing", () => {
  assert.deepEqual(parseRevocation({ jti: "a" }, 10), { kind: "jti", jti: "a" });
  // Of this very second too.
  assert.deepEqual(parseRevocation({ sub: "a" }, 10.5), { kind: "sub", sub: "a", issuedBefore: 11 });
  assert.deepEqual(parseRevocation({ sub: "a", issuedBefore: 7 }, 10), {
    kind: "sub",
    sub: "a",
    issuedBefore: 7,
  });
  assert.deepEqual(parseRevocation({ issuedBefore: 7 }, 10), { kind: "issued", issuedBefore: 7 });
  for (const wrong of [
    {},
    [],
    null,
    "a",
    { jti: "" },
    { sub: 1 },
    { sub: "x".repeat(257) },
    { jti: "a", sub: "b" },
    { jti: "a", issuedBefore: 1 },
    { issuedBefore: "7" },
    { issuedBefore: Date.now() },
    { issuedBefore: -1 },
    { sub: "a", exp: 1 },
    JSON.parse('{"__proto__":{"sub":"a"}}'),
  ])
    assert.throws(() => parseRevocation(wrong, 10), { code: "bad_request" }, JSON.stringify(wrong));
});
