import assert from "node:assert/strict";
import { test } from "node:test";
import { Turns } from "./turns.js";

test("so many at once, the others in their order; ending twice counts once", async () => {
  const turns = new Turns(2);
  const begun: number[] = [];
  const ends: (() => void)[] = [];
  for (let index = 0; index < 5; index += 1)
    void turns.take().then((end) => {
      begun.push(index);
      ends[index] = end;
    });
  const settle = () => new Promise(setImmediate);
  await settle();
  assert.deepEqual(begun, [0, 1]);
  ends[1]?.();
  ends[1]?.();
  await settle();
  assert.deepEqual(begun, [0, 1, 2]);
  for (const index of [0, 2]) ends[index]?.();
  await settle();
  assert.deepEqual(begun, [0, 1, 2, 3, 4]);
  for (const index of [3, 4]) ends[index]?.();
  // All are free again, and no more than there were.
  let again = 0;
  for (let index = 0; index < 5; index += 1) void turns.take().then(() => (again += 1));
  await settle();
  assert.equal(again, 2);
});
