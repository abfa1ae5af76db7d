import assert from "node:assert/strict";
import { test } from "node:test";
import { bridge } from "./bridge.js";
import { zeros } from "./fleet/tally.js";
import type { Table } from "./support/report.js";

const SMALL = ["--replicas=1", "--repetitions=1", "--partitions=2"];

test("latency, publishing, resumes and open rooms are measured between real processes, and nothing is lost", {
  timeout: 120_000,
}, async () => {
  const listeners = process.listenerCount("exit");
  const tables = await bridge.run([
    ...SMALL,
    ...["--rates=200", "--seconds=1", "--rooms=10"],
    ...["--publishers=1", "--in-flight=50", "--publish-seconds=0.5", "--publish-rooms=10"],
    ...["--resumes=200", "--resume-rooms=20", "--rooms-each=10", "--rate=100", "--quiet-seconds=1"],
    "--open-rooms=100",
  ]);
  const [latency, publish, resumes, rooms] = tables;
  assert.equal(tables.length, 4);
  for (const table of [latency, resumes]) assert.match(table?.notes.at(-1) ?? "", /^Every delivery checked/);
  const [row] = latency?.rows ?? [];
  assert.deepEqual(row?.slice(0, 2), ["R1", "200"]);
  for (const cell of row?.slice(2) ?? []) assert.ok(Number(cell) >= 0 && Number(cell) < 100_000, cell);
  assert.ok(numberIn(publish?.rows[0]?.[1]) > 0);
  const told = new Map(resumes?.rows.map(([name, value]) => [name, value]));
  assert.equal(told.get("resumes"), "200");
  // Of ten positions of a room the n-th misses eleven less n, and what is published meanwhile.
  assert.ok(numberIn(told.get("messages replayed")) >= 20 * 55, told.get("messages replayed"));
  assert.ok(numberIn(rooms?.rows[0]?.[1]) > 0);
  assert.equal(process.listenerCount("exit"), listeners, "what was started and has ended is not waited for");
});

test("a run in which something is lost is void, and says what", async () => {
  const { latencyTable } = await import("./bridge/report.js");
  const micros = { max: 1, buckets: [[1, 1]] as const };
  const run = {
    ...{ rate: 1, messages: 1, micros, acknowledgedMicros: micros, lateMicros: micros },
    ...{ hubOut: 1, hubIn: 1, workerOut: 1, workerIn: 1, nats: 1, busyCores: 1 },
  };
  const runs = [
    { ...run, troubles: [] },
    { ...run, troubles: ["1 failures: a hole"] },
  ];
  const { notes } = latencyTable([{ replicas: 1, runs }]);
  assert.match(notes.at(-1) ?? "", /^VOID, 50 % of the runs: 1 failures: a hole/);
});

test("who resumes again after a refusal voids nothing and is told; who does not resume does", async () => {
  const { resumesTable } = await import("./bridge/report.js");
  const { unresumed } = await import("./bridge/resumes.js");
  assert.deepEqual(unresumed({ recovered: 52_267 }, 50_000), []);
  const micros = { max: 1, buckets: [[1, 1]] as const };
  const seen = { messages: 1, acknowledgedMicros: micros, witnessMicros: micros };
  const counts = { ...zeros(), recovered: 52_267 };
  const run = {
    ...{ counts, resumes: 50_000, reasons: { "subscribing: history is late": 120 } },
    ...{ seconds: 1, hubSeconds: 1, workerSeconds: 1, natsSeconds: 1, reads: {}, quiet: seen, during: seen },
    troubles: unresumed(counts, 50_000),
  };
  const told = ({ rows }: Table): Map<string | undefined, string | undefined> =>
    new Map(rows.map(([what, value]) => [what, value]));
  const fine = resumesTable(2_000, [{ replicas: 1, runs: [run] }]);
  assert.equal(told(fine).get("resumes"), "50,000");
  assert.equal(told(fine).get("– asked for again"), "2,267");
  assert.match(fine.notes.at(-2) ?? "", /history is late \(120\)/);
  assert.match(fine.notes.at(-1) ?? "", /^Every delivery checked/);
  const fewer = { ...run, troubles: unresumed({ recovered: 49_999 }, 50_000) };
  const { notes } = resumesTable(2_000, [{ replicas: 1, runs: [fewer] }]);
  assert.match(notes.at(-1) ?? "", /^VOID.*49999 of 50000 subscriptions recovered/);
});

test("what cannot be measured is refused before anything starts", async () => {
  await assert.rejects(bridge.run(["--parts=latency,speed"]), /--parts latency,speed/);
  await assert.rejects(bridge.run(["--replicas=2"]), /--replicas 2/);
  await assert.rejects(bridge.run(["--rates=0"]), /--rates 0/);
  await assert.rejects(bridge.run(["--bytes=7"]), /--bytes 7/);
  await assert.rejects(bridge.run(["--rooms-each=30", "--resume-rooms=20"]), /--rooms-each 30/);
});

function numberIn(cell: string | undefined): number {
  return Number(cell?.replaceAll(",", ""));
}
