import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { chat } from "./chat.js";
import { coalesce } from "./coalesce.js";
import { conflation } from "./conflation.js";
import { cursors } from "./cursors.js";
import { runBench } from "./run-bench.js";
import { slow } from "./slow.js";
import { plotPage } from "./support/plot.js";
import type { Scenario } from "./support/scenario.js";

/** Runs a scenario as small as it gets; each throws by itself where a client sees a hole or an error. */
async function rowsOf(scenario: Scenario, ...args: string[]): Promise<readonly (readonly string[])[]> {
  const tables = await scenario.run([...args, "--seconds=1"]);
  for (const { title, plots = [] } of tables) {
    assert.ok(plots.length > 0 || scenario.name === "chat", "there is something to look at");
    for (const { title: what, places, series } of plots)
      for (const { name, values } of series)
        assert.ok(values.length === places.length && values.every(Number.isFinite), `${what}, ${name}`);
    assert.equal(plotPage(title, [], plots).split("<svg").length - 1, plots.length);
  }
  return tables.flatMap((table) => table.rows);
}

test("conflation: slower classes get fewer messages and bytes", { timeout: 120_000 }, async () => {
  const rows = await rowsOf(conflation, "--subscribers=5", "--keys=10", "--rate=500", "--rates=all,4");
  const [all = [], slowest = []] = rows;
  assert.deepEqual([all[0], slowest[0]], ["all", "4"]);
  assert.ok(Number(slowest[1]) < Number(all[1]) / 2, `${slowest[1]} of ${all[1]}`);
  assert.ok(Number(slowest[1]) > 0);
});

test("plots stand beside the file of the result, and say where and how it was measured", {
  timeout: 120_000,
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "fanwire-bench-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const args = ["cursors", "--people=3", "--seconds=0.5", `--json=${join(folder, "cursors.json")}`];
  assert.equal(await runBench(args, "fanwire bench", { out: () => undefined, err: () => undefined }), 0);
  assert.deepEqual(readdirSync(folder).sort(), ["cursors.html", "cursors.json"]);
  const page = readFileSync(join(folder, "cursors.html"), "utf8");
  for (const part of ["Cursors: 3 people", "fanwire bench cursors --people=3", "KB a second", "% of a core"])
    assert.ok(page.includes(part), part);
  assert.doesNotMatch(page, /NaN|undefined|<script|https?:/);
});

test("cursors: conflated they come in fewer frames", { timeout: 120_000 }, async () => {
  const [all = [], paced = []] = await rowsOf(cursors, "--people=8");
  assert.ok(Number(paced[1]) <= 21 && Number(paced[1]) < Number(all[1]), `${paced[1]} of ${all[1]}`);
});

test("coalesce: every load is delivered, with and without waiting", { timeout: 120_000 }, async () => {
  const rows = await rowsOf(coalesce, "--subscribers=5", "--rates=50");
  assert.deepEqual(
    rows.map(([perSecond, flushMsMax]) => [perSecond, flushMsMax]),
    [
      ["50", "0"],
      ["50", "10"],
    ],
  );
});

test("slow: whoever stops reading is noticed, and the others go on", { timeout: 120_000 }, async () => {
  const rows = await rowsOf(slow, "--subscribers=10", "--stalled=3", "--rate=20", "--bulk-rate=600");
  assert.deepEqual(
    rows.map(([name]) => name),
    ["before", "stalled", "still stalled", "they read again", "after"],
  );
  for (const row of rows) assert.equal(row[6], "0", "no reader was lost");
  // Above the marks, or so fast that frames were dropped first.
  const found = (row: readonly string[] = []) => Number(row[7]) + Number(row[9]);
  assert.deepEqual([found(rows[0]), found(rows[2]) >= 3], [0, true], rows.join("\n"));
});

test("chat: everybody hears everything in one order", { timeout: 120_000 }, async () => {
  const [row = []] = await rowsOf(
    chat,
    "--servers=fanwire",
    "--people=40",
    "--rooms=4",
    "--says=40",
    "--rounds=1",
  );
  assert.equal(row[0], "fanwire");
  assert.deepEqual(row.slice(6), ["0", "0", "0"]);
  await assert.rejects(rowsOf(chat, "--people=41", "--rooms=4"), /--people 41: .* a multiple of --rooms 4/);
  await assert.rejects(rowsOf(chat, "--servers=xmpp"), /"xmpp" is not one of fanwire, socket\.io/);
});
