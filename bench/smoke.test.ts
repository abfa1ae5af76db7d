import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { partsOf, smoke, verdictOf } from "./smoke.js";

test("what moved is told only where it is more than noise, with where it comes from", () => {
  const still = { median: 1.2, spread: 0.01, runs: 7 };
  assert.match(verdictOf(still, { ...still, median: 1.26 }).text, /^as before/);
  assert.deepEqual(verdictOf(still, { ...still, median: 1.5 }).worse, true);
  assert.match(verdictOf(still, { ...still, median: 1 }).text, /^better/);
  const noisy = { median: 1.5, spread: 0.2, runs: 7 };
  assert.equal(verdictOf(still, noisy).worse, false, "a noisy run proves nothing");
  assert.equal(verdictOf(still, { ...noisy, runs: 100 }).worse, true, "many of them do");
  const parts = { user: 0.2, system: 1, messagesPerFrame: 64 };
  const more = { ...still, median: 1.5, parts: { ...parts, user: 0.5 } };
  assert.match(
    verdictOf({ ...still, parts }, more).text,
    /^WORSE .*: in its own code 0\.2 → 0\.5, in the kernel 1 → 1 of bare, messages a frame 64 → 64$/,
  );
});

test("a ratio is made of the engine's own code and the kernel's work, both of what bare takes", () => {
  const engine = { server: "engine", cpuMicros: 6, systemShare: 0.75, messagesPerFrame: 64 } as const;
  const bare = { server: "bare", cpuMicros: 4, systemShare: 0.9, messagesPerFrame: 1 } as const;
  const parts = { user: 0.375, system: 1.125, messagesPerFrame: 64 };
  assert.deepEqual(partsOf([engine, bare, engine, bare]), parts);
  assert.equal(partsOf([{ ...engine, systemShare: Number.NaN }, bare]), undefined);
});

test("smoke finds a regression against a baseline, and writes the next one", {
  timeout: 120_000,
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "fanwire-smoke-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "smoke.json");
  const small = [`--baseline=${file}`, "--repetitions=1", "--subscribers=20", "--seconds=0.15"];
  await assert.rejects(smoke.run(small), /no baseline/);
  const before = {
    ...{ format: "fanwire-smoke/1", at: "2026-01-01T00:00:00.000Z", revision: "none", machine: "2 × test" },
    ratios: {
      "one message a tick": { median: 1_000, spread: 0 },
      "bursts of 64": { median: 0.001, spread: 0 },
    },
  };
  writeFileSync(file, JSON.stringify(before));
  const [table] = await smoke.run([...small, "--write"]);
  assert.match(table?.rows[0]?.[3] ?? "", /^better/);
  assert.match(table?.invalid?.at(-1) ?? "", /^REGRESSION: bursts of 64 is WORSE/);
  const { ratios } = JSON.parse(readFileSync(file, "utf8"));
  for (const name of Object.keys(before.ratios)) {
    assert.ok(ratios[name].median > 0.01 && ratios[name].median < 100);
    assert.equal(ratios[name].runs, 1);
  }
});
