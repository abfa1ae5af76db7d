import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { WireClient } from "../server/wire-client.testkit.js";
import { Audience, Publisher } from "./audience.testkit.js";
import { isAlive, TestNode } from "./node.testkit.js";

const ROOMS = ["news.a", "news.b"];
const NAMESPACES = { news: { history: { messages: 100_000, seconds: 600 } } };

/** A node that reads its configuration from a file, so that SIGHUP can change it. */
async function startWithFile(
  t: TestContext,
  input: object,
  env: Record<string, string> = {},
): Promise<{ readonly node: TestNode; readonly write: (next: object) => void }> {
  const file = join(TestNode.folderFor(t), "config.json");
  const write = (next: object): void =>
    writeFileSync(file, JSON.stringify({ namespaces: NAMESPACES, workers: 3, drainSeconds: 1, ...next }));
  write(input);
  return { node: await TestNode.start(t, { args: ["--config", file], env }), write };
}

test("SIGHUP replaces the workers one by one, with the new configuration, and no client misses anything", async (t) => {
  const { node, write } = await startWithFile(t, {});
  const audience = await Audience.open(t, node.url, 40, ROOMS);
  const publisher = new Publisher(t, node.url, ROOMS);
  await publisher.more(100);
  const before = await node.workerPids();
  const [hub] = (await node.status()).hubs;
  const paced = async (): Promise<unknown> => {
    const client = await WireClient.open(node.port);
    t.after(() => client.destroy());
    return client.subscribe("news.a", { rate: 7 }).then(({ rate }) => rate);
  };
  await assert.rejects(paced, /subscribe was answered/, "not one of the classes that there are so far");
  const news = { ...NAMESPACES.news, rates: ["all", 7] };
  write({ origins: ["https://app.example.com"], namespaces: { news } });
  node.signal("SIGHUP");
  const after = await node.until("reloaded", ({ state, workers }) => {
    return state === "running" && workers.every(({ pid }) => !before.includes(pid ?? 0));
  });
  assert.ok(!before.some(isAlive));
  assert.equal(after.workers.length, 3);
  assert.equal(after.hubs[0]?.pid, hub?.pid, "the hub stays, and what it keeps");
  await publisher.more(100);
  await audience.gotAll(await publisher.stop());
  // The new configuration is in force: pages of the node's own origin may not connect any more.
  const refused = await fetch(`${node.url}/ws`, {
    headers: { origin: node.url, upgrade: "websocket" },
  }).catch(() => undefined);
  assert.notEqual(refused?.status, 101);
  assert.equal(await paced(), 7);
});

test("a configuration that cannot be taken leaves everything as it is and says why", async (t) => {
  const { node, write } = await startWithFile(t, {});
  const before = await node.workerPids();
  write({ drainSeconds: "soon" });
  node.signal("SIGHUP");
  await node.untilText("stderr", /drainSeconds = \\"soon\\".*not reloaded: what runs stays as it is/);
  write({ workers: 5, memory: { rooms: 77 } });
  node.signal("SIGHUP");
  await node.untilText("stderr", /a restart is needed to change workers, memory.*not reloaded/);
  assert.deepEqual(await node.workerPids(), before);
  assert.equal((await node.status()).state, "running");
});

test("a build that does not start ends the round; the old workers stay and serve", async (t) => {
  const folder = TestNode.folderFor(t);
  const marker = join(folder, "rotten");
  writeFileSync(
    join(folder, "preload.mjs"),
    `import { existsSync } from "node:fs";
     if (process.argv[1]?.endsWith("worker-main.js") && existsSync(${JSON.stringify(marker)})) throw new Error("rotten build");`,
  );
  const { node } = await startWithFile(t, {}, { NODE_OPTIONS: `--import ${join(folder, "preload.mjs")}` });
  const before = await node.workerPids();
  const audience = await Audience.open(t, node.url, 10, ROOMS);
  const publisher = new Publisher(t, node.url, ROOMS);
  writeFileSync(marker, "");
  node.signal("SIGHUP");
  await node.untilText("stderr", /"why":"worker 0 ended with code 1.*not reloaded/);
  await publisher.more(50);
  await audience.gotAll(await publisher.stop());
  assert.deepEqual(await node.workerPids(), before);
});

test("a single worker takes its broker with it: SIGHUP costs no socket its word, every client is told", async (t) => {
  const { node } = await startWithFile(t, { workers: 1 });
  const audience = await Audience.open(t, node.url, 5, ROOMS);
  const publisher = new Publisher(t, node.url, ROOMS);
  await publisher.more(50);
  await publisher.stop();
  const [before] = await node.workerPids();
  node.signal("SIGHUP");
  await node.until("reloaded", ({ state, workers }) => state === "running" && workers[0]?.pid !== before);
  await audience.until("told", ({ resets, subscription }) => {
    return resets.length === 1 && subscription.state.kind === "live";
  });
  const again = new Publisher(t, node.url, ROOMS);
  await again.more(50);
  await audience.gotAllOrTold(await again.stop());
});

test("POST /v1/drain: not ready at once, clients are sent elsewhere in portions, exit code 0", async (t) => {
  const node = await TestNode.start(t, { args: ["--workers", "2", "--drain-seconds", "2"] });
  const audience = await Audience.open(t, node.url, 120, ROOMS);
  const toldMs = new Map<object, number>();
  for (const client of audience.clients)
    client.on("state", (state) => {
      if (state.kind !== "open" || state.leaving === undefined || toldMs.has(client)) return;
      toldMs.set(client, performance.now());
    });
  const startMs = performance.now();
  const response = await fetch(`${node.adminUrl}/v1/drain`, { method: "POST" });
  assert.equal(response.status, 202);
  const ready = await fetch(`${node.adminUrl}/readyz`);
  assert.deepEqual([ready.status, (await ready.json()).reasons], [503, ["the node is draining"]]);
  // SIGTERM during a drain that was asked for otherwise is the first signal, not the second.
  node.signal("SIGTERM");
  assert.deepEqual(await node.ended(), { code: 0, signal: null });
  assert.ok(performance.now() - startMs < 20_000);
  const told = [...toldMs.values()];
  assert.equal(told.length, 120, "every client was told goaway");
  const halves = [
    told.filter((ms) => ms - startMs < 1_000).length,
    told.filter((ms) => ms - startMs >= 1_000).length,
  ];
  assert.ok(Math.min(...halves) >= 30, `in portions: ${halves}`);
});
