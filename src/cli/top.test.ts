import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import { Audience, Publisher } from "../supervisor/audience.testkit.js";
import { TestNode } from "../supervisor/node.testkit.js";
import type { NodeStatus } from "../supervisor/status.js";
import { NO_TELEMETRY } from "../supervisor/telemetry.js";
import { fanwire } from "./cli.testkit.js";
import { topText } from "./top-text.js";

test("a real node is shown, first without rates, then with them", async (t) => {
  const node = await TestNode.start(t, { args: ["--workers", "2", "--node", "box"] });
  await Audience.open(t, node.url, 20, ["news.a"]);
  const publisher = new Publisher(t, node.url, ["news.a"]);
  await node.until("counted", ({ connections }) => connections === 20);
  await publisher.more(50);
  const { code, stdout, stderr } = await fanwire(["top", "--admin", node.adminUrl, "--count", "3"]);
  await publisher.stop();
  assert.deepEqual([code, stderr], [0, ""]);
  const [first = "", , third = ""] = stdout.split("\n\nbox");
  assert.match(first, /^box {2}fanwire .* running .* 20 of 100,000 connections/);
  assert.match(first, /\nworker 0 +\d+ +ready .* – +– +–\nworker 1 .*\nhub 0 +\d+ +ready /);
  // Messages a second at the hub, and twice as many handed to its two workers.
  assert.match(third, /\nhub 0 .* [1-9][\d,]* +[1-9][\d,]* +0$/m);
  // Twenty sockets get each of them, at some latency.
  assert.match(third, /\nworker 0 .* [1-9][\d,]* +[1-9][\d,]* +0$/m);
  assert.match(third, / {2}· {2}latency p50 [\d.]+ ms, p99 [\d.]+ ms\n/);
  assert.doesNotMatch(first, /latency/);
});

test("what is wrong with a node is in sight", () => {
  const worker = { index: 0, crashes: 2, uptimeSeconds: 3 } as const;
  const gone = {
    pid: undefined,
    rssBytes: undefined,
    cpuMs: undefined,
    lag: undefined,
    utilization: undefined,
    report: undefined,
  };
  const status: NodeStatus = {
    node: "n",
    state: "running",
    ready: false,
    reasons: ["worker 0 is being restarted"],
    url: "",
    pid: 1,
    startedAt: "",
    uptimeSeconds: 90_000,
    versions: { fanwire: "0", node: "v20" },
    connections: 0,
    rooms: 0,
    stalls: 1,
    telemetry: NO_TELEMETRY,
    supervisor: { rssBytes: 0, cpuMs: 0 },
    limits: {},
    workers: [{ ...worker, state: "ended", ...gone }],
    hubs: [],
  };
  const text = topText(status, status);
  assert.match(text, /running, NOT READY {2}· {2}up 1d1h .* 1 stalls/);
  assert.match(text, /not ready: worker 0 is being restarted/);
  assert.match(text, /worker 0 +– +ended \(2 crashes\)/);
});

test("no admin port, another server, a key that is missing: each is told", async (t) => {
  const nobody = await fanwire(["top", "--admin", "http://127.0.0.1:1"]);
  assert.equal(nobody.code, 1);
  assert.match(
    nobody.stderr,
    /unavailable: no admin port answers at http:\/\/127\.0\.0\.1:1 .*--admin names another/,
  );
  const server = createServer((request, response) => {
    response.statusCode = request.headers.authorization === "Bearer k" ? 200 : 401;
    response.end("{}");
  }).listen(0, "127.0.0.1");
  t.after(() => server.close());
  await new Promise((resolve) => server.once("listening", resolve));
  const address = server.address();
  const admin = `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`;
  assert.match((await fanwire(["top", "--admin", admin])).stderr, /answers 401/);
  assert.match(
    (await fanwire(["top", "--admin", admin, "--api-key", "k"])).stderr,
    /is no admin port of fanwire/,
  );
  for (const args of [["--admin", "nonsense"], ["extra"], ["--every", "0"]]) {
    const { code, stderr } = await fanwire(["top", ...args]);
    assert.equal(code, 2, stderr);
  }
});
