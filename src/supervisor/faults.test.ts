import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { WebSocket } from "ws";
import { Client } from "../client/index.js";
import { Audience, Publisher } from "./audience.testkit.js";
import { isAlive, kill, TestNode } from "./node.testkit.js";

const ROOMS = ["news.a", "news.b"];
/** As far back as a slow machine may need. */
const DEEP = JSON.stringify({ news: { history: { messages: 100_000, seconds: 600 } } });

async function startDeep(t: TestContext, args: readonly string[], env = {}): Promise<TestNode> {
  return TestNode.start(t, { args, env: { FANWIRE_NAMESPACES: DEEP, ...env } });
}

/** A module that every process of the node loads first. */
function preload(folder: string, code: string): Record<string, string> {
  const file = join(folder, "preload.mjs");
  writeFileSync(file, code);
  return { NODE_OPTIONS: `--import ${file}` };
}

test("kill -9 of each worker in turn under load: no client misses, doubles or reorders anything", async (t) => {
  const node = await startDeep(t, ["--workers", "3"]);
  const audience = await Audience.open(t, node.url, 40, ROOMS);
  const publisher = new Publisher(t, node.url, ROOMS);
  const pids = await node.workerPids();
  for (const [index, pid] of pids.entries()) {
    await publisher.more(100);
    kill(pid, "SIGKILL");
    await node.until("replaced", ({ ready, workers }) => ready && workers[index]?.pid !== pid);
  }
  await publisher.more(100);
  await audience.gotAll(await publisher.stop());
  const { workers } = await node.status();
  assert.deepEqual(
    workers.map(({ crashes }) => crashes),
    [1, 1, 1],
  );
});

test("a worker that stands still is killed and replaced, and its clients go on without a gap", async (t) => {
  const node = await startDeep(t, ["--workers", "2", "--watchdog-ms", "1000"]);
  const audience = await Audience.open(t, node.url, 30, ROOMS);
  const publisher = new Publisher(t, node.url, ROOMS);
  const [pid = 0] = await node.workerPids();
  await publisher.more(100);
  kill(pid, "SIGSTOP");
  await node.until(
    "replaced",
    ({ ready, stalls, workers }) => ready && stalls === 1 && workers[0]?.pid !== pid,
  );
  assert.ok(!isAlive(pid));
  assert.match(node.stderr, /"child":"worker 0","pid":\d+,"stalledMs":\d+,"msg":"stands still: killed"/);
  await publisher.more(100);
  await audience.gotAll(await publisher.stop());
});

test("kill -9 of the hub: sockets stay open, every client is told, and all goes on", async (t) => {
  const node = await startDeep(t, ["--workers", "2"]);
  const audience = await Audience.open(t, node.url, 20, ROOMS);
  let closed = 0;
  for (const client of audience.clients)
    client.on("state", ({ kind }) => (closed += kind === "open" ? 0 : 1));
  const publisher = new Publisher(t, node.url, ROOMS);
  await publisher.more(100);
  const [hub] = (await node.status()).hubs;
  kill(hub?.pid ?? 0, "SIGKILL");
  await node.until("replaced", ({ ready, hubs }) => ready && hubs[0]?.pid !== hub?.pid);
  await audience.until("told", ({ resets }) => resets.length === 1);
  for (const { resets } of audience.books) assert.equal(resets[0]?.reason, "epoch");
  await publisher.more(100);
  await audience.gotAllOrTold(await publisher.stop());
  assert.equal(closed, 0, "sockets that were not open for a while");
});

test("a hub that stands still is replaced like one that ended", async (t) => {
  const node = await startDeep(t, ["--workers", "2", "--watchdog-ms", "1000"]);
  const audience = await Audience.open(t, node.url, 10, ROOMS);
  const publisher = new Publisher(t, node.url, ROOMS);
  await publisher.more(50);
  const [hub] = (await node.status()).hubs;
  kill(hub?.pid ?? 0, "SIGSTOP");
  await node.until("replaced", ({ ready, hubs }) => ready && hubs[0]?.pid !== hub?.pid);
  await publisher.more(50);
  await audience.gotAllOrTold(await publisher.stop());
});

test("kill -9 of the supervisor under load: workers drain, every process ends, and the port is free for the next", async (t) => {
  const node = await startDeep(t, ["--workers", "2", "--drain-seconds", "1"]);
  const audience = await Audience.open(t, node.url, 10, ROOMS);
  const publisher = new Publisher(t, node.url, ROOMS);
  await publisher.more(50);
  node.signal("SIGKILL");
  const next = await startDeep(t, ["--workers", "2", "--port", String(node.port)]);
  await node.allGone();
  // The past was in the memory of the hub that is gone, so clients are told, and go on at the new node.
  await audience.until(
    "told",
    ({ resets, subscription }) => resets.length === 1 && subscription.state.kind === "live",
  );
  assert.equal(next.port, node.port);
  await publisher.more(50);
  await audience.gotAllOrTold(await publisher.stop());
});

test("kill -9 of the supervisor while a worker stands still: it ends as soon as it runs again", async (t) => {
  const node = await startDeep(t, ["--workers", "2", "--drain-seconds", "0"]);
  const [pid = 0] = await node.workerPids();
  kill(pid, "SIGSTOP");
  node.signal("SIGKILL");
  await node.ended();
  kill(pid, "SIGCONT");
  await node.allGone();
});

test("a handler that throws costs its own connection only", async (t) => {
  const session = new URL("../core/session.js", import.meta.url).href;
  const code = `import { Session } from "${session}";
    const take = Session.prototype.take;
    Session.prototype.take = function (payload, nowMs) {
      if (Buffer.from(payload).includes("poison")) throw new Error("poisoned");
      return take.call(this, payload, nowMs);
    };`;
  const folder = TestNode.folderFor(t);
  const node = await startDeep(t, ["--workers", "2"], preload(folder, code));
  const pids = await node.workerPids();
  const audience = await Audience.open(t, node.url, 10, ROOMS);
  const publisher = new Publisher(t, node.url, ROOMS);
  await publisher.more(50);
  const client = new Client(`${node.url}/ws`, { WebSocket });
  t.after(() => client.close());
  let closes = 0;
  client.on("state", ({ kind }) => (closes += kind === "waiting" ? 1 : 0));
  client.subscribe("poison.room");
  await audience.until("closed", () => closes > 0);
  await publisher.more(50);
  await audience.gotAll(await publisher.stop());
  assert.deepEqual(await node.workerPids(), pids, "no worker ended");
  const faults = await node.until("counted", ({ workers }) =>
    workers.some(({ report }) => (report?.counters.gateway.faults ?? 0) > 0),
  );
  assert.equal(faults.ready, true);
});

test("a crash loop is given up, loudly, with exit code 1", async (t) => {
  const code = `const send = process.send;
    if (process.argv[1]?.endsWith("worker-main.js")) process.send = (message, ...rest) => {
      if (message.kind === "ready") setTimeout(() => { throw new Error("rotten"); }, 50);
      return send.call(process, message, ...rest);
    };`;
  const node = TestNode.launch(t, {
    args: ["--workers", "2", "--drain-seconds", "0"],
    env: preload(TestNode.folderFor(t), code),
  });
  assert.deepEqual(await node.ended(), { code: 1, signal: null });
  assert.match(node.stderr, /"level":"fatal".*"msg":"crash loop: giving up"/);
  assert.match(
    node.stderr,
    /fanwire serve: worker \d ended with code 1, for the 8th time in a row soon after its start/,
  );
});
