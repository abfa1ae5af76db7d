import assert from "node:assert/strict";
import { test } from "node:test";
import { RestartPolicy } from "./restart-policy.js";

const RULES = { delayMsMin: 50, delayMsMax: 300, healthyMs: 1_000, crashesMax: 6 };

function delays(policy: RestartPolicy, crashes: number, livedMs = 10): unknown[] {
  return Array.from({ length: crashes }, () => {
    const verdict = policy.crashed(livedMs);
    return verdict.kind === "restart" ? verdict.delayMs : verdict.kind;
  });
}

test("the wait doubles up to its limit, and a crash loop is given up", () => {
  assert.deepEqual(delays(new RestartPolicy(RULES), 6), [50, 100, 200, 300, 300, "giveUp"]);
});

test("who lived well begins a new count", () => {
  const policy = new RestartPolicy(RULES);
  delays(policy, 4);
  assert.deepEqual(policy.crashed(1_000), { kind: "restart", delayMs: 50, crashes: 1 });
  assert.deepEqual(delays(policy, 5), [100, 200, 300, 300, "giveUp"]);
});

test("crashes after a long life each are never a loop", () => {
  assert.deepEqual(new Set(delays(new RestartPolicy(RULES), 100, 5_000)), new Set([50]));
});
