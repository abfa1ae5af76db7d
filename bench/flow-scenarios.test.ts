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
import { runQuietly } from "./run-bench.testkit.js";
import { slow } from "./slow.js";
import { plotPage } from "./support/plot.js";
import type { Table } from "./support/report.js";
import type { Scenario } from "./support/scenario.js";
import { freePort, ServedNode } from "./support/served-node.js";

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

const FLOW = ["conflation", "cursors", "coalesce", "slow"] as const;
const NAMESPACES = {
  prices: { state: true },
  mice: { ephemeral: true, publish: "client", key: "sender", rates: ["all", 20] },
};

/** A row's cells by the names of their columns. */
function cellsOf(table: Table | undefined, index = 0): Readonly<Record<string, string | undefined>> {
  const row = table?.rows[index] ?? [];
  return Object.fromEntries(row.map((cell, at) => [table?.columns[at], cell]));
}

test("an engine at a URL", { timeout: 120_000 }, async (t) => {
  const node = await ServedNode.start({ workers: 1, flags: [`--namespaces=${JSON.stringify(NAMESPACES)}`] });
  t.after(() => node.stop());
  const url = `--url=http://127.0.0.1:${node.port}`;
  await t.test("is measured by what its clients see, and left running", () => measured(url));
  await t.test("is told with its own code where it refuses, and with what it has to allow", () =>
    refused(url),
  );
});

async function measured(url: string): Promise<void> {
  const short = [url, "--seconds=0.4"];
  const [board, mice, load, stalls] = (
    await Promise.all([
      conflation.run([
        ...short,
        "--room=prices.fx",
        "--subscribers=3",
        "--keys=5",
        "--rate=200",
        "--rates=4",
      ]),
      cursors.run([...short, "--namespace=mice", "--people=3", "--moves=20", "--rates=20"]),
      coalesce.run([...short, "--room=loads.one", "--subscribers=3", "--rates=100"]),
      slow.run([...short, "--namespace=prices", "--subscribers=5", "--stalled=3", "--bulk-rate=1500"]),
    ])
  ).flat();
  for (const { title, columns, rows, notes, plots = [] } of [board, mice, load, stalls].filter(isTable)) {
    assert.doesNotMatch([...rows.flat(), ...notes].join(" "), /NaN|undefined/, title);
    assert.match(notes.join(" "), /CPU, memory and counters are not seen from here/, title);
    for (const [at, column] of columns.entries())
      if (/CPU|RSS|waits/.test(column)) assert.deepEqual([...new Set(rows.map((row) => row[at]))], ["–"]);
    assert.ok(plots.length > 0 && plots.every((plot) => !/CPU|Memory|sockets/.test(plot.title)), title);
    assert.doesNotMatch(plotPage(title, [], plots), /NaN|undefined|Infinity/);
  }
  for (const one of [board, mice]) {
    const cells = cellsOf(one);
    assert.ok(Number(cells["frames/s"]) > 0 && Number(cells["age p50 ms"]) > 0, JSON.stringify(cells));
  }
  assert.equal(load?.rows.length, 1);
  assert.deepEqual([cellsOf(load)["messages/s"], cellsOf(load).flushMsMax], ["100", "–"]);
  assert.deepEqual(
    load?.plots?.[0]?.series.map(({ name }) => name),
    ["engine at --url"],
  );
  // Each that stalled was moved to another class, lagged or was cut off, and read of it.
  const told = (index: number): number =>
    ["moved", "lagged", "lost"].reduce(
      (sum, name) => sum + Number(cellsOf(stalls, index)[`stalled: ${name}`]),
      0,
    );
  assert.deepEqual([stalls?.invalid, told(3) + told(4) >= 3], [[], true], JSON.stringify(stalls?.rows));
  assert.equal((await fetch(`${url.slice("--url=".length)}/healthz`)).status, 200);
}

const isTable = (table: Table | undefined): table is Table => table !== undefined;

async function refused(url: string): Promise<void> {
  const few = ["--subscribers=2", "--seconds=0.2"];
  const outcomes = await Promise.all([
    runQuietly("conflation", url, ...few),
    runQuietly("cursors", url, "--people=2", "--seconds=0.2"),
    // limits.dataBytes is 15,360.
    runQuietly("coalesce", url, ...few, "--rates=50", "--bytes=16000"),
    runQuietly("slow", url, ...few, "--stalled=1", "--bulk-bytes=16000"),
    runQuietly("cursors", url, "--people=2", "--seconds=0.2", "--rates=7"),
  ]);
  const expected = [
    /subscribing to board\.fx was refused: bad_request: state: .* keeps no state\..* fanwire serve --namespaces='\{"board":\{"state":true.*--room/,
    /publishing to cursors\.all was refused: forbidden: .* HTTP API only\..*"publish":"client","key":"sender".* --limits\.requests-per-second=1000 .*--namespace/,
    /publishing to bench\.load was refused: too_large: .*--room/,
    /publishing to board\.bulk was refused: too_large: .*--namespace/,
    /subscribing to cursors\.7 was refused: bad_request: rate: 7 is not among .*"rates":\["all",30,20,10,7\]/,
  ];
  for (const [index, { code, out, err }] of outcomes.entries()) {
    assert.match(err, expected[index] ?? /never/);
    assert.deepEqual([code, out], [1, ""]);
  }
}

test("no engine, another scheme, no room and no rate are told by every one of them", {
  timeout: 60_000,
}, async () => {
  const nobody = `--url=http://127.0.0.1:${await freePort()}`;
  for (const name of FLOW) {
    const none = await runQuietly(name, nobody);
    assert.match(none.err, /no engine answers at http:\/\/127\.0\.0\.1:\d+ \(ECONNREFUSED\)/);
    assert.equal(none.code, 1);
    const other = await runQuietly(name, "--url=https://127.0.0.1:1");
    assert.match(other.err, /the bench speaks no TLS/);
    assert.equal(other.code, 2);
    const option = name === "conflation" || name === "coalesce" ? "room" : "namespace";
    const room = await runQuietly(name, `--${option}=a b`);
    assert.match(room.err, new RegExp(`--${option} a b: .* is not a room name`));
    assert.equal(room.code, 2);
  }
  assert.match(
    (await runQuietly("slow", "--namespace=a.b")).err,
    /--namespace a\.b: .* first token, such as a/,
  );
  const rate = await runQuietly("cursors", "--rates=all,0");
  assert.deepEqual([rate.code, /"0" is neither all nor a number of 0\.1 to 200/.test(rate.err)], [2, true]);
});
