import assert from "node:assert/strict";
import { test } from "node:test";
import { bigroom } from "./bigroom.js";
import { connections } from "./connections.js";
import { connectionsTable } from "./connections-report.js";
import { deltas } from "./deltas.js";
import { burst, fanout } from "./fanout.js";
import { http } from "./http.js";
import { hub, invalidOf } from "./hub.js";
import { idle } from "./idle.js";
import { storm } from "./storm.js";
import type { Table } from "./support/report.js";
import type { Scenario } from "./support/scenario.js";

/** Runs a scenario as small as it gets; each throws by itself when a delivery is missing or a request fails. */
async function rowsOf(scenario: Scenario, ...args: string[]): Promise<readonly (readonly string[])[]> {
  const tables = await scenario.run([...args, "--repetitions=1"]);
  return tables.flatMap((table) => table.rows);
}

const names = (rows: readonly (readonly string[])[]): (string | undefined)[] => rows.map(([name]) => name);

test("fanout and burst deliver everything, from the engine and from the bare servers, and tell what it took", {
  timeout: 60_000,
}, async () => {
  const small = ["--subscribers=20", "--rooms=5", "--rooms-each=3", "--seconds=0.2", "--repetitions=1"];
  const [one, took] = await fanout.run([...small, "--servers=engine", "--rate=50"]);
  const [cost, costs] = [cellsOf(one, "engine"), cellsOf(took, "engine")];
  const times = ["p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms"].map((name) => cost.get(name) ?? 0);
  assert.deepEqual(
    [...times].sort((a, b) => a - b),
    times,
    "later the more of them count",
  );
  const last = cost.get("last delivery ms") ?? 0;
  assert.ok(last > 0 && last <= (times.at(-1) ?? 0), "no last delivery is later than the latest of all");
  for (const [name, value] of costs) assert.ok(value >= 0, `${name} is ${value}`);
  const bytes = costs.get("bytes/delivery") ?? 0;
  assert.ok(bytes > 100 && bytes < 200, `${bytes} bytes carry 100`);
  assert.ok((costs.get("longest ms") ?? 0) >= (costs.get("stall p99 ms") ?? Number.NaN));
  const [, packed] = await burst.run([...small, "--servers=engine,bare,handler", "--rate=640", "--no-watch"]);
  const messages = cellsOf(packed, "engine").get("messages/frame") ?? 0;
  assert.ok(messages > 60, "the engine packs a burst of 64 into one frame");
  assert.equal(cellsOf(packed, "bare").get("messages/frame"), 1);
  assert.equal(cellsOf(packed, "handler").get("stall p99 ms"), Number.NaN, "nobody watched");
});

/** A row's numbers by the names of their columns. */
function cellsOf(table: Table | undefined, name: string): ReadonlyMap<string, number> {
  const row = table?.rows.find(([first]) => first === name) ?? [];
  return new Map(
    row
      .slice(1)
      .map((cell, at) => [table?.columns[at + 1] ?? "", Number.parseFloat(cell.replaceAll(",", ""))]),
  );
}

test("idle tells memory a connection, for both servers", { timeout: 60_000 }, async () => {
  // Some 1.3 KiB each: what the heap gives back or takes meanwhile, a MiB or two, must not outweigh them.
  const rows = await rowsOf(idle, "--subscribers=4000", "--settle-seconds=0.1");
  assert.deepEqual(names(rows), ["engine", "bare"]);
  for (const [name, , afterGc] of rows)
    assert.ok(Number(afterGc) > 0.1 && Number(afterGc) < 50, `${name}: ${afterGc} KiB`);
});

test("http has every way to publish and to read answered", { timeout: 60_000 }, async () => {
  const rows = await rowsOf(http, "--servers=engine", "--connections=2", "--seconds=0.15");
  assert.equal(rows.length, 8);
  for (const [name, requests] of rows) assert.ok(Number(requests?.replaceAll(",", "")) > 0, name);
});

test("connections holds everybody, delivers every broadcast, and takes back who was cut", {
  timeout: 60_000,
}, async () => {
  const small = [
    "--workers=2",
    "--warm-up=50",
    "--settle-seconds=0.1",
    "--hold-seconds=0.5",
    "--broadcasts=2",
  ];
  const [table] = await connections.run([
    ...small,
    ...[
      "--connections=200",
      "--scrapes=3",
      "--witnesses=20",
      "--rooms=21",
      "--broadcast-seconds=0",
      "--storm-share=0.2",
      "--quiet-seconds=0.5",
    ],
  ]);
  const rows = new Map(table?.rows.map(([name, value]) => [name, value]));
  assert.match(rows.get("handshakes") ?? "", /: 200 welcomes, \d+ refusals, 0 neither/);
  assert.equal(rows.get("2 broadcasts, deliveries"), "400");
  const scrape = [...rows].find(([name]) => /^3 scrapes of \/metrics, [\d.,]+ KiB each$/.test(name ?? ""));
  assert.match(scrape?.[1] ?? "", /^[\d.,]+ ms each, the longest [\d.,]+$/);
  assert.match(rows.get("– CPU of one: supervisor; workers and hubs") ?? "", /^[\d.,]+ ms; /);
  assert.match(rows.get("– resumed") ?? "", /^120 subscriptions/);
  assert.match(table?.notes[0] ?? "", /^No connection lost, every message delivered/);
});

test("storm: who lost a killed worker is back and has everything", { timeout: 60_000 }, async () => {
  const small = [
    "--connections=300",
    "--workers=3",
    "--kill=2",
    "--rooms=21",
    "--witnesses=60",
    "--quiet-seconds=0.5",
  ];
  const [table] = await storm.run(small);
  const rows = new Map(table?.rows.map(([name, value]) => [name, value]));
  const lost = Number(rows.get("lost their worker"));
  assert.ok(lost > 0 && lost < 300, `${lost} lost their worker`);
  assert.match(
    rows.get("– resumed") ?? "",
    new RegExp(`^${(3 * lost).toLocaleString("en-US")} subscriptions`),
  );
  assert.match(table?.notes[0] ?? "", /^Every subscription recovered/);
});

test("bigroom tells the stalls of both servers", { timeout: 60_000 }, async () => {
  const rows = await rowsOf(bigroom, "--subscribers=100", "--seconds=0.5");
  assert.deepEqual(names(rows), ["engine", "one-lane"]);
  for (const [name, p50, p99, longest] of rows)
    assert.ok(0 < Number(p50) && Number(p50) <= Number(p99) && Number(p99) <= Number(longest), name);
});

test("hub hands every message to every worker, and publishes through the links", {
  timeout: 60_000,
}, async () => {
  const small = [
    "--workers=2",
    "--rooms=10",
    "--rates=2000",
    "--seconds=0.3",
    "--publishers=1",
    "--in-flight=4",
  ];
  const [delivery, through] = await hub.run(small);
  const [row] = delivery?.rows ?? [];
  assert.equal(row?.[0], "2,000");
  for (const micros of [2, 3, 5, 6, 7, 8].map((column) => Number.parseFloat(row?.[column] ?? "")))
    assert.ok(micros > 0 && micros < 100_000, JSON.stringify(row));
  assert.ok(Number(through?.rows[0]?.[0]?.replaceAll(",", "")) > 0);
});

test("runs whose workers or clients could not keep up are marked", () => {
  const marks = invalidOf([
    { rate: 100, workerBusy: 0.5 },
    { rate: 300_000, workerBusy: 0.97 },
  ]);
  assert.deepEqual(marks, [
    "300,000/s: INVALID: a client process was busy for 97 % of the time, so it was late itself",
  ]);
  const micros = { max: 1, buckets: [] };
  const handshakes = { attempts: 1, welcomes: 1, refused: 0, neither: 0, unanswered: 0, reasons: {} };
  const table = connectionsTable(
    { connections: 1, rooms: 2, "rooms-each": 1, broadcasts: 1 },
    {
      workers: undefined,
      opened: {
        ...{ seconds: 1, handshakes, handshakeMicros: micros, cpuMicrosEach: Number.NaN },
        ...{ workerBytes: [], hubBytes: [], totalBytes: 0, slabBytes: 0, tcpBytes: 0 },
        ...{ troubles: [], invalid: [] },
      },
      held: undefined,
      broadcasts: {
        ...{ deliveries: [1], lastMicros: [1], cpuMicros: [1], clientsBusy: [0.99], latencyMicros: micros },
        ...{ troubles: ["1 connections lagged"], invalid: ["broadcasts: INVALID: busy"] },
      },
      ...{ storm: undefined, verdicts: {}, kernelEvents: "none" },
    },
  );
  assert.deepEqual(table.invalid, ["broadcasts: INVALID: busy"]);
  assert.match(table.notes[0] ?? "", /^TROUBLE: 1 connections lagged/);
  assert.ok(
    table.rows.some(([name, value]) => name === "– busiest client process" && value === "99 % of the time"),
  );
});

test("what cannot be measured is refused before anything starts", async () => {
  await assert.rejects(fanout.run(["--servers=engine,nobody"]), /nobody/);
  await assert.rejects(fanout.run(["--rooms=1", "--rooms-each=3"]), /rooms-each/);
  await assert.rejects(storm.run(["--workers=3", "--kill=3"]), /--kill 3/);
  await assert.rejects(connections.run(["--broadcasts=0"]), /--broadcasts/);
  await assert.rejects(hub.run(["--bytes=7"]), /--bytes 7/);
  await assert.rejects(idle.run(["--subscribers=many"]), /many/);
});

test("deltas weighs bytes against CPU for every class", async () => {
  const [table] = await deltas.run(["--quotes=5000", "--rates=10,1", "--rounds=1"]);
  assert.deepEqual(names(table?.rows ?? []), ["10 Hz", "1 Hz"]);
  const raw = table?.raw as readonly {
    readonly full: number;
    readonly delta: number;
    readonly messages: number;
  }[];
  for (const { full, delta, messages } of raw) assert.ok(messages > 2_000 && delta > 0 && delta <= full);
  assert.match(table?.notes.join() ?? "", /it (pays|does not pay)/);
});
