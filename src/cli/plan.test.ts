import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fanwire } from "./cli.testkit.js";

const WISH = [
  "--connections=250000",
  "--rooms-per-client=40",
  "--rooms=5000",
  "--updates=15000",
  "--rate=20",
];

test("plan refuses what cannot be, and says where calibrations come from", async () => {
  const none = await fanwire(["plan", ...WISH]);
  assert.equal(none.code, 1);
  assert.match(none.stderr, /no calibration at .*calibration\.json: "fanwire calibrate" makes one/);
  const missing = await fanwire(["plan", "--connections=5"]);
  assert.equal(missing.code, 2);
  assert.match(missing.stderr, /--updates is needed/);
  assert.match((await fanwire(["plan", ...WISH, "--rate=fast"])).stderr, /--rate is "fast"/);
  assert.match(
    (await fanwire(["plan", ...WISH, "--rooms=3"])).stderr,
    /--rooms is at least --rooms-per-client/,
  );
  assert.match((await fanwire(["plan", ...WISH, "--core=4"])).stderr, /did you mean --cores/);
});

test("plan answers by a calibration's prices, for people and for programs", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "fanwire-plan-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "prices.json");
  writeFileSync(
    file,
    JSON.stringify({
      format: "fanwire-calibration/3",
      at: "2026-01-01T00:00:00.000Z",
      machine: "2 × test",
      fanwire: "0.1.0",
      prices: { write: 4, cold: 6, message: 0.1, byte: 0.0003, publish: 3, batch: 2, second: 1 },
      restMs: 50,
      connectMicros: 100,
      memory: { connectionBytes: 1_500, subscriptionBytes: 100, workerBytes: 80e6, kernelBytes: 5_000 },
      heldOut: { runs: 6, median: 0.08, worst: 0.2 },
      runs: [],
      frontier: [],
    }),
  );
  const text = await fanwire(["plan", ...WISH, `--calibration=${file}`]);
  assert.equal(text.code, 0, text.stderr);
  assert.match(text.stdout, /^\d+ boxes of 8 cores/);
  const json = await fanwire(["plan", ...WISH, `--calibration=${file}`, "--json"]);
  const { plan, wish } = JSON.parse(json.stdout);
  assert.equal(wish.rate, 20);
  assert.match(text.stdout, new RegExp(`^${plan.boxes} boxes`));
  const page = join(folder, "plan.html");
  assert.equal((await fanwire(["plan", ...WISH, `--calibration=${file}`, `--html=${page}`])).code, 0);
  assert.match(readFileSync(page, "utf8"), new RegExp(`<h1>${plan.boxes} boxes for 250,000 connections`));
  const nowhere = await fanwire(["plan", ...WISH, `--calibration=${file}`, `--html=${folder}/no/plan.html`]);
  assert.equal(nowhere.code, 1);
  assert.match(nowhere.stderr, /--html .*no\/plan\.html: ENOENT/);
  writeFileSync(file, "{}");
  const broken = await fanwire(["plan", ...WISH, `--calibration=${file}`]);
  assert.equal(broken.code, 1);
  assert.match(broken.stderr, /no calibration of this version/);
  const impossible = await fanwire(["calibrate", "--seconds=none"]);
  assert.equal(impossible.code, 2);
});
