import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { flagsAs } from "../broker/nats/nats-accounts.testkit.js";
import { NatsServer } from "../broker/nats/nats-server.testkit.js";
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
