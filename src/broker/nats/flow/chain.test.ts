import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { follow, lossOf, type Shown } from "./chain.js";

describe("a live message", () => {
  const cases = [
    ["the one after the head is next", 10, true, 15, 10, "next"],
    ["the head itself is known", 10, true, 10, 7, "known"],
    ["one before the head is known, whatever it says", 10, true, 9, 0, "known"],
    ["one whose predecessor did not come shows a hole", 10, true, 15, 12, "hole"],
    ["one whose predecessor is gone shows a cut", 10, true, 15, 0, "cut"],
    ["one whose predecessor is older than the head shows a cut", 10, true, 15, 7, "cut"],
    ["the first of an empty room is first", 0, false, 15, 0, "first"],
    ["one of a room that was thought to be empty shows a hole", 0, false, 15, 12, "hole"],
    ["one behind a reset whose predecessor lies before it is next", 10, false, 15, 7, "next"],
  ] as const;
  for (const [title, head, anchored, sequence, previous, expected] of cases)
    test(title, () => assert.equal(follow(head, anchored, sequence, previous), expected));
});

describe("what a read shows", () => {
  const HOUR = 3_600_000;
  const shown: Shown = {
    head: 100,
    anchored: true,
    verified: 120,
    headMs: 1_000,
    found: false,
    newer: 3,
    first: 50,
    keeps: { messages: 1_000, ageMs: HOUR, trims: false },
  };
  const check = (title: string, change: Partial<Shown>, expected: string | undefined): void => {
    test(title, () => assert.equal(lossOf({ ...shown, ...change }), expected));
  };

  check("nothing is lost while the head is stored", { found: true, newer: 5_000 }, undefined);
  check("a head that is gone before its time was purged", {}, "purged");
  check("a head behind a full room was pushed out", { newer: 1_000 }, "expired");
  check("a young head that is gone with all before it was purged", { first: 110 }, "purged");
  check("an old head goes without a word where all is verified", { first: 121, headMs: HOUR }, undefined);
  check("an old head goes with what nobody looked at", { first: 122, headMs: HOUR }, "expired");
  check(
    "a young head may go where bytes are bounded",
    { first: 121, keeps: { ...shown.keeps, trims: true } },
    undefined,
  );
  check(
    "where bytes are bounded, what nobody looked at has expired",
    { first: 122, keeps: { ...shown.keeps, trims: true } },
    "expired",
  );
  check(
    "an empty room has lost nothing while the stream goes back far enough",
    { head: 0, anchored: false },
    undefined,
  );
  check(
    "an empty room may have had what the stream no longer has",
    { head: 0, anchored: false, first: 122, headMs: Number.POSITIVE_INFINITY },
    "expired",
  );
});
