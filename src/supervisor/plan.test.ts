import assert from "node:assert/strict";
import { test } from "node:test";
import { planOf } from "./plan.js";

test("auto is a worker a core, and a hub as soon as there are two workers", () => {
  const plan = (workers: number | "auto", hubs: number | "auto", cores: number) => {
    const made = planOf({ workers, hubs }, cores);
    return [made.workers, made.hubs];
  };
  assert.deepEqual(plan("auto", "auto", 4), [4, 1]);
  assert.deepEqual(plan("auto", "auto", 1), [1, 0]);
  assert.deepEqual(plan(1, "auto", 8), [1, 0]);
  assert.deepEqual(plan(1, 1, 8), [1, 1]);
  assert.deepEqual(plan(6, 3, 2), [6, 3]);
});
