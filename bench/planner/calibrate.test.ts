import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { parseCalibration } from "./calibration.js";

const MAIN = fileURLToPath(new URL("../../cli/main.js", import.meta.url));

test("calibrate takes prices on this machine and says how far predictions are off", {
  timeout: 300_000,
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "fanwire-calibrate-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "new", "prices.json");
  // A hundredth of the clients: what it finds is of no use, that it does is what is tested.
  const small = ["--scale=0.01", "--seconds=0.1", "--repetitions=1"];
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [
    ...[MAIN, "calibrate", ...small, `--out=${file}`],
  ]);
  const { prices, heldOut, runs, memory, frontier } = parseCalibration(readFileSync(file, "utf8"));
  assert.ok(prices.write + prices.message + prices.publish > 0);
  assert.ok(memory.workerBytes > 1e6);
  assert.equal(heldOut.runs, 2);
  assert.equal(runs.filter((run) => run.heldOut).length, 2);
  // How many came in time depends on what else the machine does.
  assert.deepEqual(
    frontier.map(({ connections }) => connections),
    [10],
  );
  assert.match(stderr, /^round 1\/1$/m);
  assert.match(stdout, /Of the 2 runs held out predictions were off by/);
});
