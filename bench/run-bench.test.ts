import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { replay } from "./replay.js";
import { runQuietly } from "./run-bench.testkit.js";
import { SCENARIO_NAMES } from "./scenarios.js";
import { soak } from "./soak.js";
import { checkDescriptors, checkWorkers } from "./support/descriptors.js";
import { ownVersion } from "./support/environment.js";
import { parseResult } from "./support/result.js";
import { freePort, ServedNode } from "./support/served-node.js";

function jsonFile(t: TestContext): { file: string; read: () => ReturnType<typeof parseResult> } {
  const folder = mkdtempSync(join(tmpdir(), "fanwire-bench-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "result.json");
  return { file, read: () => parseResult(JSON.parse(readFileSync(file, "utf8"))) };
}

const TINY = ["--subscribers=10", "--seconds=0.2", "--repetitions=1", "--rate=20"];

test("every scenario is listed with what it is for, and explains its options", {
  timeout: 60_000,
}, async () => {
  const { code, out } = await runQuietly("--help");
  assert.equal(code, 0);
  for (const name of SCENARIO_NAMES) {
    assert.match(out, new RegExp(`^  ${name} +[^(]`, "m"));
    const help = await runQuietly(name, "--help");
    assert.equal(help.code, 0);
    assert.match(help.out, /--json=FILE/, name);
  }
});

test("what is unknown is refused with what was probably meant", async () => {
  assert.deepEqual(await runQuietly("fanot"), {
    code: 2,
    out: "",
    err: `there is no scenario "fanot"; did you mean fanout?\nThere are ${SCENARIO_NAMES.join(", ")}; "fanwire bench --help" explains.\n`,
  });
  const option = await runQuietly("fanout", "--subscriber=3");
  assert.equal(option.code, 2);
  assert.match(option.err, /there is no option --subscriber; did you mean --subscribers\?/);
  const value = await runQuietly("fanout", "--rate=fast");
  assert.equal(value.code, 2);
  assert.match(value.err, /--rate fast: a non-negative number/);
  assert.match((await runQuietly("fanout", "--zzz")).err, /there is no option --zzz\. There are --/);
  assert.equal((await runQuietly("fanout", "--json")).code, 2);
  const nowhere = await runQuietly("fanout", "--json=/no/such/folder/result.json");
  assert.deepEqual([nowhere.code, nowhere.out], [2, ""], "told before anything is measured");
  assert.match(nowhere.err, /--json \/no\/such\/folder\/result\.json: ENOENT/);
  assert.equal((await runQuietly("soak", "--minutes=0")).code, 2);
});

test("the result's file has the numbers and what they were measured on", { timeout: 60_000 }, async (t) => {
  const { file, read } = jsonFile(t);
  const { code, out } = await runQuietly("fanout", "--servers=engine", ...TINY, `--json=${file}`);
  assert.equal(code, 0);
  assert.match(out, /^### Fan-out: 10 subscribers/);
  const result = read();
  assert.equal(result.status, "complete");
  assert.equal(result.valid, true);
  assert.equal(result.environment.fanwire, ownVersion());
  assert.match(result.environment.uws, /^uwebsockets@\d/);
  assert.match(result.environment.revision, /^([0-9a-f]{12}\+?|none)$/);
  assert.ok("net.ipv4.tcp_wmem" in result.environment.sysctls);
  assert.match(result.command, /^fanwire bench fanout --servers=engine/);
  assert.throws(() => parseResult({ ...result, status: "fine" }), /status/);
  assert.throws(() => parseResult({ ...result, more: 1 }), /more/);
  const wrong = { node: "20", fanwire: "new", uws: "uws", revision: "main", sysctls: { tcp: "1" } };
  for (const [name, value] of Object.entries(wrong)) {
    const environment = { ...result.environment, [name]: value };
    assert.throws(() => parseResult({ ...result, environment }), new RegExp(name));
  }
});

test("a run whose clients were kept from running is marked invalid", { timeout: 120_000 }, async (t) => {
  const { file, read } = jsonFile(t);
  const starved = await runQuietly(
    "fanout",
    "--servers=engine",
    ...TINY,
    "--seconds=1",
    "--starve=0.98",
    `--json=${file}`,
  );
  assert.equal(starved.code, 1);
  assert.match(starved.out, /\*\*INVALID: a client process was busy for 9\d %/);
  assert.equal(read().valid, false);
  assert.equal(read().status, "complete");
});

test("a started engine is measured as it is, and left running", { timeout: 120_000 }, async (t) => {
  const node = await ServedNode.start({ workers: 1 });
  t.after(() => node.stop());
  const url = `http://127.0.0.1:${node.port}`;
  const fanout = await runQuietly("fanout", ...TINY, `--url=${url}`);
  assert.equal(fanout.code, 0, fanout.err);
  assert.match(fanout.out, /^\| url +\| +– \|/m, "without CPU, as it is no process of ours");
  const http = await runQuietly(
    "http",
    `--url=${url}`,
    "--connections=2",
    "--seconds=0.2",
    "--repetitions=1",
  );
  assert.equal(http.code, 0, http.err);
  assert.match(http.out, /^\| url: history of 100, JSON /m);
  const again = await runQuietly("replay", `--url=${url}`, "--clients=10", "--missed=30", "--repetitions=1");
  assert.equal(again.code, 0, again.err);
  assert.match(again.out, /^\| as it is set \|/m);
});

test("no engine, another program or another version is told", { timeout: 60_000 }, async (t) => {
  const nobody = await runQuietly("fanout", ...TINY, `--url=http://127.0.0.1:${await freePort()}`);
  assert.equal(nobody.code, 1);
  assert.match(nobody.err, /no engine answers at http:\/\/127\.0\.0\.1:\d+ \(ECONNREFUSED\)/);
  assert.equal((await runQuietly("fanout", "--url=nowhere")).code, 2);
  let body = "{}";
  const other = createServer((_, response) => response.end(body)).listen(0, "127.0.0.1");
  t.after(() => other.close());
  await new Promise((resolve) => other.once("listening", resolve));
  const url = `--url=http://127.0.0.1:${(other.address() as AddressInfo).port}`;
  assert.match((await runQuietly("fanout", url)).err, /is no fanwire/);
  body = '{"status":"ok","version":"0.0.1"}';
  assert.match((await runQuietly("fanout", url)).err, /version 0\.0\.1, this bench is/);
});

test("what was measured before a failure is kept and marked", { timeout: 120_000 }, async (t) => {
  const { file, read } = jsonFile(t);
  const node = await ServedNode.start({ workers: 1 });
  t.after(() => node.stop());
  const main = fileURLToPath(new URL("main.js", import.meta.url));
  const args = ["--subscribers=10", "--rooms=3", "--rooms-each=1", "--minutes=1", "--stretches=60"];
  const soaking = spawn(
    process.execPath,
    [main, "soak", `--url=http://127.0.0.1:${node.port}`, ...args, `--json=${file}`],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  t.after(() => soaking.kill("SIGTERM"));
  let out = "";
  soaking.stdout.on("data", (text) => {
    out += text;
  });
  const ended = once(soaking, "close");
  for await (const line of createInterface({ input: soaking.stderr })) if (line.startsWith("2/60: ")) break;
  soaking.stderr.resume();
  await node.stop();
  const [code] = await ended;
  assert.equal(code, 1);
  assert.match(out, /\*\*INCOMPLETE: /);
  assert.equal(read().status, "partial");
  assert.ok((read().tables[0]?.rows.length ?? 0) >= 2);
});

test("replay: who was away gets all of it, from the ring and from history", {
  timeout: 120_000,
}, async () => {
  const [table] = await replay.run(["--clients=30", "--missed=150", "--repetitions=1"]);
  assert.deepEqual(
    table?.rows.map(([from]) => from),
    ["the ring", "history"],
  );
});

test("soak tells each stretch and how memory grew", { timeout: 120_000 }, async () => {
  const [table] = await soak.run([
    ...["--minutes=0.03", "--stretches=3", "--subscribers=20", "--rooms=4", "--rooms-each=2", "--churn=0.5"],
  ]);
  assert.equal(table?.rows.length, 3);
  assert.equal(table?.rows[0]?.at(-1), "10");
  assert.match(table?.notes[1] ?? "", /^RSS from the first to the last third: -?[\d.]+ MiB/);
});

test("too few descriptors: how many are needed and how many there are", () => {
  assert.throws(() => checkDescriptors(10_000, 1_024), /10,100 open files are needed.*it may have 1,024/);
  assert.doesNotThrow(() => checkDescriptors(900, 1_024));
  assert.throws(
    () => checkWorkers(5_000, 2, 1_024),
    /5,000 connections need 7 workers .* 768 are for sockets; there are 2/,
  );
  assert.doesNotThrow(() => checkWorkers(5_000, 7, 1_024));
});
