import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { compare } from "./compare.js";
import type { BoardEntry } from "./peers/board-report.js";
import { contenderOf } from "./peers/board-turn.js";
import { PEERS } from "./peers/catalog.js";
import { comparePage } from "./peers/plot.js";
import { type Entry, standings, tablesOf } from "./peers/standings.js";
import { ownVersion, revision } from "./support/environment.js";

const SMALL = ["--subscribers=20", "--seconds=0.1", "--bursts=1,5", "--deliveries-per-second=400"];
const BOARD = ["--boards=fanwire:all,ws", "--board-clients=5", "--board-updates=500"];

test("compare measures fanwire and peers on the same work, and goes on where it was", {
  timeout: 120_000,
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "fanwire-compare-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const [results, plot] = [join(folder, "results.json"), join(folder, "page.html")];
  const args = [
    ...SMALL,
    ...BOARD,
    `--cache=${folder}`,
    `--results=${results}`,
    `--plot=${plot}`,
    "--rounds=1",
  ];
  // Without those that a registry or a compiler must give.
  const [table, market] = await compare.run([
    ...args,
    "--peers=fanwire,uws,uws-packed,ws,ws-prepared,ws-corked",
  ]);
  assert.equal(table?.rows.length, 6);
  for (const [label, single, , burst] of table?.rows ?? []) {
    assert.match(single ?? "", /^[\d.]+ ± /, label);
    assert.match(burst ?? "", /^[\d.]+ ± /, label);
  }
  assert.equal(table?.incomplete, undefined);
  assert.match(readFileSync(plot, "utf8"), /uWebSockets\.js, a publish a message<\/text>/);
  assert.deepEqual(
    market?.rows.map(([label]) => label),
    ["fanwire, rate all", "ws, send for each watcher"],
  );

  const written = statSync(results).mtimeMs;
  assert.ok(existsSync(results));
  await compare.run([...args, "--peers=fanwire,ws", "--max-minutes=0"]);
  const [again] = await compare.run([...args, "--peers=fanwire,ws", "--max-minutes=0"]);
  assert.deepEqual(
    again?.rows.map(([label]) => label),
    table?.rows.filter((_, at) => at === 0 || at === 3).map(([label]) => label),
  );
  assert.ok(statSync(results).mtimeMs >= written);
  const build = `fanwire ${ownVersion()} ${revision()}`;
  const known = readFileSync(results, "utf8");
  assert.ok(known.includes(build));
  writeFileSync(results, known.replaceAll(build, "fanwire 0.0.0 none"));
  const [older] = await compare.run([...args, "--peers=fanwire,ws", "--max-minutes=0"]);
  assert.match(older?.incomplete ?? "", /^1 turns/, "what another build did is not this one's");
  writeFileSync(results, known);
  const [cut, cutMarket] = await compare.run([
    ...args,
    ...["--peers=fanwire,ws", "--rounds=2", "--max-minutes=0"],
  ]);
  assert.match(cut?.incomplete ?? "", /^2 turns/);
  assert.equal(cutMarket?.rows.length, 2, "the board's finished turns are kept, too");
  assert.match(cutMarket?.incomplete ?? "", /fanwire:all: not begun in time/);
});

test("unknown peers and counts are refused before anything starts", async () => {
  await assert.rejects(compare.run(["--peers=nobody"]), /"nobody" is not one of limit, /);
  await assert.rejects(compare.run(["--bursts=1,0"]), /--bursts 1,0/);
  await assert.rejects(compare.run(["--boards=nobody"]), /"nobody" is none of/);
  await assert.rejects(compare.run(["--subscribers=900000000"]), /900,000,100 open files are needed/);
});

test("who could not be measured is in the table with the reason, and ratios are to the same round's limit", () => {
  const [limit, , fanwire, uws] = PEERS;
  assert.ok(limit !== undefined && fanwire !== undefined && uws !== undefined);
  const seen = (cpuMicros: number): Entry["outcome"] => {
    const rest = { deliveries: 10, systemShare: 0.9, readsPerDelivery: 1, bytesPerDelivery: 100 };
    const times = { p50Micros: 1, p99Micros: 2, maxMicros: 3, lastMicros: undefined, clientBusy: 0.99 };
    return {
      kind: "seen",
      seen: { works: [{ burst: 1, cpuMicros, ...rest, ...times }], emptyBytes: 1, bytesEach: 1 },
    };
  };
  const entries: Entry[] = [
    { peer: limit, subscribers: 10, round: 1, outcome: seen(4) },
    { peer: fanwire, subscribers: 10, round: 1, outcome: seen(5) },
    { peer: limit, subscribers: 10, round: 2, outcome: seen(8) },
    { peer: fanwire, subscribers: 10, round: 2, outcome: seen(10) },
    { peer: uws, subscribers: 10, round: 1, outcome: { kind: "failed", why: "no <network>" } },
  ];
  const standing = standings(10, [1], [limit, fanwire, uws], entries, 2);
  assert.equal(standing.peers[1]?.costs[0]?.ratio?.median, 1.25);
  const table = tablesOf(standing, { bytes: 100, rounds: 2, seconds: 1, "deliveries-per-second": 1 });
  assert.equal(table.rows[2]?.[1], "failed");
  assert.ok(table.notes.some((note) => note.includes("no <network>")));
  assert.equal(
    table.incomplete,
    "1 turns were not begun in time; run it again to go on; turns failed of uws-packed, as the notes say",
  );
  const whole = standings(10, [1], [limit], entries.slice(0, 3), 2);
  const options = { bytes: 100, rounds: 2, seconds: 1, "deliveries-per-second": 1 };
  assert.equal(tablesOf(whole, options).incomplete, undefined);
  assert.match(table.invalid?.[0] ?? "", /INVALID: a client process was busy for 99 %/);
  assert.ok(comparePage([standing]).includes("×1.25"));
  const market = { clients: 5, symbols: 10, updates: 100, watchMin: 1, watchMax: 2, slow: 0 };
  const costs = [-3, 20, 400].map((microsPerClient, at): BoardEntry => {
    const rest = { baseMicros: 1, loadedMicros: 2, deliveriesPerClient: 3, readsPerClient: 1 };
    const times = { p50Micros: 1, p99Micros: 2, clientBusy: 0.1 };
    const contender = contenderOf(["fanwire:10", "fanwire:all", "ws"][at] ?? "");
    return { contender, seen: { microsPerClient, ...rest, ...times } };
  });
  const page = comparePage(
    [],
    [{ work: { ...market, bytes: 9, seconds: 1, seed: 1, pin: false }, entries: costs }],
  );
  assert.match(page, /Market board: 5 clients/);
  assert.doesNotMatch(page, /NaN|Infinity|undefined/);
});
