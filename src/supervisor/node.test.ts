import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Audience, Publisher } from "./audience.testkit.js";
import { isAlive, TestNode } from "./node.testkit.js";

const ROOMS = ["news.a", "news.b", "quotes.c"];

test("workers share one port, and what any of them takes reaches the clients of all", async (t) => {
  const node = await TestNode.start(t, { args: ["--workers", "3", "--node", "box"] });
  const audience = await Audience.open(t, node.url, 30, ROOMS);
  const publisher = new Publisher(t, node.url, ROOMS);
  await publisher.more(200);
  await audience.gotAll(await publisher.stop());
  const status = await node.until("counted", ({ connections }) => connections === 30);
  assert.deepEqual(
    [status.node, status.state, status.workers.length, status.hubs.length],
    ["box", "running", 3, 1],
  );
  // The kernel spreads connections by a hash: with 30 over 3 none stays empty, but for one time in 60,000.
  for (const { report, state, crashes } of status.workers) {
    assert.deepEqual([state, crashes, report?.brokerAvailable], ["ready", 0, true]);
    assert.ok((report?.connections ?? 0) > 0);
  }
  assert.equal(status.hubs[0]?.report?.links, 3);
  const metrics = await fetch(`${node.adminUrl}/metrics`);
  assert.match(metrics.headers.get("content-type") ?? "", /^text\/plain; version=0\.0\.4/);
  const text = await metrics.text();
  execFileSync("promtool", ["check", "metrics"], { input: text });
  const sum = (name: string): number =>
    [...text.matchAll(new RegExp(`^${name}\\{.*\\} (\\S+)$`, "gm"))].reduce(
      (all, [, n]) => all + Number(n),
      0,
    );
  assert.equal(sum("fanwire_connections"), 30);
  assert.equal(sum("fanwire_bugs_total"), 0);
  assert.ok(text.includes('fanwire_hub_links{process="hub-0"} 3\n'));
});

test("one worker hosts the broker itself, unless a hub is asked for", async (t) => {
  const alone = await TestNode.start(t, { args: ["--workers", "1"] });
  const { workers, hubs } = await alone.status();
  assert.deepEqual([workers.length, hubs.length], [1, 0]);
  const withHub = await TestNode.start(t, { args: ["--workers", "1", "--hubs", "1"] });
  assert.equal((await withHub.status()).hubs.length, 1);
  for (const node of [alone, withHub]) {
    const audience = await Audience.open(t, node.url, 3, ROOMS);
    const publisher = new Publisher(t, node.url, ROOMS);
    await publisher.more(50);
    await audience.gotAll(await publisher.stop());
  }
});

test("rooms are spread over several hubs", async (t) => {
  const node = await TestNode.start(t, { args: ["--workers", "2", "--hubs", "3"] });
  const rooms = Array.from({ length: 12 }, (_, i) => `spread.r${i}`);
  const audience = await Audience.open(t, node.url, 4, rooms);
  const publisher = new Publisher(t, node.url, rooms);
  await publisher.more(50);
  await audience.gotAll(await publisher.stop());
  const { hubs } = await node.until("reported", (status) =>
    status.hubs.every(({ report }) => (report?.counters.broker.published ?? 0) > 0),
  );
  assert.equal(hubs.length, 3);
});

test("SIGTERM ends every process with exit code 0 and leaves nothing behind", async (t) => {
  const node = await TestNode.start(t, { args: ["--workers", "2", "--drain-seconds", "1"] });
  await Audience.open(t, node.url, 5, ROOMS);
  await node.status();
  node.signal("SIGTERM");
  assert.deepEqual(await node.ended(), { code: 0, signal: null });
  await node.allGone();
  assert.deepEqual(readdirSync(node.folder), []);
});

test("SIGTERM twice ends at once", async (t) => {
  const node = await TestNode.start(t, { args: ["--workers", "2", "--drain-seconds", "600"] });
  await Audience.open(t, node.url, 5, ROOMS);
  await node.status();
  node.signal("SIGTERM");
  await node.until("draining", ({ state }) => state === "draining");
  node.signal("SIGTERM");
  assert.deepEqual(await node.ended(), { code: 143, signal: null });
  await node.allGone();
});

test("a port that is taken is told at the start, also where another node shares it", async (t) => {
  const first = await TestNode.start(t, { args: ["--workers", "2"] });
  const second = TestNode.launch(t, { args: ["--workers", "2", "--port", String(first.port)] });
  assert.deepEqual(await second.ended(), { code: 1, signal: null });
  assert.match(second.stderr, /cannot listen on 127\.0\.0\.1:\d+: the port is taken\. Stop the program/);
  assert.ok((await first.workerPids()).every(isAlive));
});

test("one worker that cannot start ends the start of all, with its reason", async (t) => {
  const folder = TestNode.folderFor(t);
  const code = `if (process.argv[1]?.endsWith("worker-main.js") && process.argv[2] === "1") throw new Error("rotten");`;
  writeFileSync(join(folder, "preload.mjs"), code);
  const node = TestNode.launch(t, {
    args: ["--workers", "3"],
    env: { NODE_OPTIONS: `--import ${join(folder, "preload.mjs")}` },
  });
  assert.deepEqual(await node.ended(), { code: 1, signal: null });
  assert.match(node.stderr, /fanwire serve: worker 1 ended with code 1/);
  assert.deepEqual(readdirSync(node.folder), []);
});

test("a configuration that a worker refuses ends the start with its reason", async (t) => {
  // An address of another machine passes the configuration, and the supervisor's own probe is of the same kind.
  const node = TestNode.launch(t, { args: ["--workers", "2", "--host", "192.0.2.1"] });
  assert.deepEqual(await node.ended(), { code: 1, signal: null });
  assert.match(node.stderr, /this machine has no such address/);
});
