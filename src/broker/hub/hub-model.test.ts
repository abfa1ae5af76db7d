import assert from "node:assert/strict";
import { test } from "node:test";
import { World } from "./hub-world.testkit.js";

// FANWIRE_SEEDS=from-to runs others, and more.
const [FROM = 1, TO = FROM] = (process.env.FANWIRE_SEEDS ?? "1-12").split("-").map(Number);
const STEPS = 250;
const DEADLINE_MS = 20_000;

/** What happened in all seeds together. */
const seen: Record<string, number> = {};

for (let seed = FROM; seed <= TO; seed += 1) {
  test(`what was published is received or told, seed ${seed}`, { timeout: 60_000 }, async () => {
    await new World(seed, DEADLINE_MS).run(STEPS, seen);
  });
}

test("the seeds above had every trouble", () => {
  assert.ok(Object.keys(seen).length > 0);
  for (const [name, times] of Object.entries(seen)) assert.ok(times > 0, `${name}: ${JSON.stringify(seen)}`);
});
