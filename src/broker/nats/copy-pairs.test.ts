import assert from "node:assert/strict";
import { test } from "node:test";
import { CopyPairs } from "./copy-pairs.js";

test("of two copies the first counts, whichever way it comes, also of messages that look the same", () => {
  const pairs = new CopyPairs();
  const come = (way: "single" | "whole", ...marks: readonly number[]): boolean[] =>
    marks.map((mark) => pairs.isFirst(way, mark));
  assert.deepEqual(come("single", 1, 2), [true, true]);
  assert.deepEqual(come("whole", 1, 2, 3), [false, false, true]);
  assert.deepEqual(come("single", 3), [false]);
  assert.deepEqual(come("whole", 7, 7), [true, true]);
  assert.deepEqual(come("single", 7, 7, 7), [false, false, true]);
  assert.deepEqual(come("whole", 7), [false]);
});

test("what came before the second way was in force is forgotten, but not half of the very last message", () => {
  const pairs = new CopyPairs();
  for (const mark of [1, 1, 2]) assert.ok(pairs.isFirst("single", mark));
  pairs.forget();
  assert.equal(pairs.isFirst("whole", 2), false);
  assert.equal(pairs.isFirst("whole", 1), true);
  assert.equal(pairs.isFirst("single", 1), false);
});
