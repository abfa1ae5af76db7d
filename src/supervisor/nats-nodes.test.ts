import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { WebSocket } from "ws";
import { flagsAs } from "../broker/nats/nats-accounts.testkit.js";
import { NatsServer, until } from "../broker/nats/nats-server.testkit.js";
import { Client, type FanwireError, type Subscribed } from "../client/index.js";
import { Audience, Publisher } from "./audience.testkit.js";
import { kill, TestNode } from "./node.testkit.js";

const MAIN = fileURLToPath(new URL("../cli/main.js", import.meta.url));
const ROOMS = ["news.a", "news.b", "quotes.c"];
const PARTITIONS = ["--nats.partitions", "4"];

/** A server provisioned by the documented user for that; nodes get the rights of the user `engine`. */
async function provisioned(t: TestContext): Promise<{ server: NatsServer; engine: string[] }> {
  const server = await NatsServer.start();
  t.after(() => server.dispose());
  await promisify(execFile)(process.execPath, [
    ...[MAIN, "nats", "provision", ...flagsAs("provisioner", server.url), ...PARTITIONS],
  ]);
  return { server, engine: [...flagsAs("engine", server.url), ...PARTITIONS] };
}

test("two nodes on one NATS serve the same rooms; the hub of one and a worker of the other die without a gap", async (t) => {
  const { engine } = await provisioned(t);
  const args = ["--workers", "2", ...engine];
  const one = await TestNode.start(t, { args });
  const two = await TestNode.start(t, { args });
  const here = await Audience.open(t, one.url, 8, ROOMS);
  const there = await Audience.open(t, two.url, 8, ROOMS);
  const publisher = new Publisher(t, one.url, ROOMS);
  await publisher.more(50);
  const [worker] = await two.workerPids();
  kill(worker ?? 0, "SIGKILL");
  await two.until("replaced", ({ ready, workers }) => ready && workers[0]?.pid !== worker);
  const [hub] = (await one.status()).hubs;
  kill(hub?.pid ?? 0, "SIGKILL");
  await one.until("replaced", ({ ready, hubs }) => ready && hubs[0]?.pid !== hub?.pid);
  await publisher.more(50);
  const last = await publisher.stop();
  await here.gotAll(last);
  await there.gotAll(last);
});

test("NATS away: nodes say so and keep their sockets; back: everything goes on, nothing is lost", async (t) => {
  const { server, engine } = await provisioned(t);
  const node = await TestNode.start(t, { args: ["--workers", "2", ...engine] });
  const audience = await Audience.open(t, node.url, 8, ROOMS);
  let left = 0;
  for (const client of audience.clients) client.on("state", ({ kind }) => (left += kind === "open" ? 0 : 1));
  const publisher = new Publisher(t, node.url, ROOMS);
  await publisher.more(30);
  await server.kill();
  const away = await node.until("not ready", ({ ready }) => !ready);
  assert.deepEqual(away.reasons, ["hub 0 does not reach the broker"]);
  assert.equal((await fetch(`${node.adminUrl}/readyz`)).status, 503);
  await server.restart();
  await node.until("ready", ({ ready }) => ready);
  await publisher.more(30);
  await audience.gotAll(await publisher.stop());
  assert.equal(left, 0, "no socket was lost");
});

test("NATS away for longer: subscribers are told once, resumes are served from memory, publishes fail fast, all goes on", async (t) => {
  const { server, engine } = await provisioned(t);
  const node = await TestNode.start(t, { args: ["--workers", "2", "--hubs", "2", ...engine] });
  const audience = await Audience.open(t, node.url, 6, ROOMS);
  const errors = audience.clients.map((client) => {
    const told: string[] = [];
    client.on("error", ({ code, message }) => told.push(`${code}: ${message}`));
    return told;
  });
  const sockets: WebSocket[] = [];
  class Cuttable extends WebSocket {
    constructor(...args: ConstructorParameters<typeof WebSocket>) {
      super(...args);
      sockets.push(this);
    }
  }
  const returning = new Client(`${node.url}/ws`, { WebSocket: Cuttable, backoffBaseMs: 50 });
  t.after(() => returning.close());
  const returned: string[] = [];
  returning.on("error", ({ code }) => returned.push(code));
  const subscription = returning.subscribe("news.a");
  await new Promise((resolve) => subscription.on("live", resolve));
  const stranger = new Client(`${node.url}/ws`, { WebSocket });
  t.after(() => stranger.close());
  let strangerTold = 0;
  stranger.on("error", () => (strangerTold += 1));
  await new Promise((resolve) => stranger.on("state", ({ kind }) => kind === "open" && resolve(undefined)));
  const publisher = new Publisher(t, node.url, ROOMS);
  await publisher.more(30);
  await server.kill();
  await until("all are told", () => errors.every(({ length }) => length > 0));
  for (const [first] of errors)
    assert.match(first ?? "", /^unavailable: rooms of news, quotes get nothing new/);
  // Within the deadline of a publish, which others would wait for.
  const late = AbortSignal.timeout(5_000);
  const refused = await fetch(`${node.url}/v1/rooms/news.a/messages`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: "1",
    signal: late,
  });
  assert.equal(refused.status, 503);
  const { error }: { error: { code: string } } = await refused.json();
  assert.equal(error.code, "unavailable");
  // So is a room that is not open here yet, and says so with a time.
  const strange = stranger.subscribe("news.other");
  const refusal = await new Promise<FanwireError>((resolve) => strange.on("error", resolve));
  assert.equal(refusal.code, "unavailable");
  assert.ok(refusal.retryMs !== undefined && refusal.retryMs > 0);
  strange.unsubscribe();
  const resumed = new Promise<Subscribed>((resolve) => subscription.on("subscribed", resolve));
  for (const socket of sockets) socket.terminate();
  assert.equal((await resumed).recovered, true, "from the ring");
  await until("the new connection is told", () => returned.length === 2);
  await server.restart();
  await node.until("ready", ({ ready }) => ready);
  await publisher.more(30);
  await audience.gotAll(await publisher.stop());
  for (const told of errors) assert.equal(told.length, 1, told.join());
  assert.equal(strangerTold, 0, "who has no rooms is not told");
});

test("a node whose settings are not those of the deployment does not start, and says which", async (t) => {
  const { engine } = await provisioned(t);
  const args = ["--workers", "1", ...engine];
  await TestNode.start(t, { args });
  const other = TestNode.launch(t, {
    args: [...args, "--namespaces", JSON.stringify({ news: { state: true } })],
  });
  assert.deepEqual(await other.ended(), { code: 1, signal: null });
  assert.match(other.stderr, /news/);
});
