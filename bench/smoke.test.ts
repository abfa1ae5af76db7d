import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { smoke, verdictOf } from "./smoke.js";

test("what moved is told only where it is more than noise", () => {
  const still = { median: 1.2, spread: 0.01 };
  assert.match(verdictOf(still, { median: 1.26, spread: 0.01 }).text, /^as before/);
  assert.deepEqual(verdictOf(still, { median: 1.5, spread: 0.01 }).worse, true);
  assert.match(verdictOf(still, { median: 1, spread: 0.01 }).text, /^better/);
  assert.equal(verdictOf(still, { median: 1.5, spread: 0.2 }).worse, false, "a noisy run proves nothing");
});

test("smoke writes a baseline, and finds a regression against one", { timeout: 120_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "fanwire-smoke-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "smoke.json");
  const small = [`--baseline=${file}`, "--repetitions=1", "--subscribers=20"];
  await assert.rejects(smoke.run(small), /no baseline/);
  const [same] = await smoke.run([...small, "--write"]);
  assert.deepEqual(
    same?.rows.map(([, , , verdict]) => verdict?.slice(0, 9)),
    ["as before", "as before"],
  );
  const written = JSON.parse(readFileSync(file, "utf8"));
  for (const ratio of Object.values<{ median: number }>(written.ratios)) ratio.median /= 100;
  writeFileSync(file, JSON.stringify(written));
  const [worse] = await smoke.run(small);
  assert.match(worse?.invalid?.at(-1) ?? "", /^REGRESSION: bursts of 64 is WORSE/);
});
