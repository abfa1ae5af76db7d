import { execFile } from "node:child_process";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { flagsAs } from "../broker/nats/nats-accounts.testkit.js";
import { NatsAdmin } from "../broker/nats/nats-admin.testkit.js";
import { NatsCluster, NatsServer } from "../broker/nats/nats-server.testkit.js";
import { Audience, Publisher } from "./audience.testkit.js";
import { Balancer } from "./balancer.testkit.js";
import { kill, TestNode } from "./node.testkit.js";

const MAIN = fileURLToPath(new URL("../cli/main.js", import.meta.url));
const ROOMS = ["news.a", "news.b", "quotes.c"];
const PARTITIONS = ["--nats.partitions", "2"];

// At once: each has servers of its own.
describe("clients go on without a gap where", { concurrency: 2 }, () => {
  test("a node is killed whole: its clients go on at another one without a gap", async (t) => {
    const server = await NatsServer.start();
    t.after(() => server.dispose());
    const args = await provision([server.url]);
    const one = await TestNode.start(t, { args });
    const two = await TestNode.start(t, { args });
    const balancer = await Balancer.start(t, one.port);
    const audience = await Audience.open(t, balancer.url, 10, ROOMS);
    const publisher = new Publisher(t, two.url, ROOMS);
    await publisher.more(50);
    balancer.target = two.port;
    await killWhole(one);
    await publisher.more(100);
    const last = await publisher.stop();
    await audience.gotAll(last);
    t.diagnostic(`longest pause ${audience.longestPauseMs} ms`);
  });

  test("three servers: the leader, a hub of one node and a worker of the other are killed at once", async (t) => {
    const cluster = await NatsCluster.start();
    t.after(() => cluster.dispose());
    const args = await provision(cluster.urls);
    const one = await TestNode.start(t, { args });
    const two = await TestNode.start(t, { args });
    const here = await Audience.open(t, one.url, 5, ROOMS);
    const there = await Audience.open(t, two.url, 5, ROOMS);
    const publisher = new Publisher(t, one.url, ROOMS);
    await publisher.more(50);
    const [hub] = (await one.status()).hubs;
    const [worker] = await two.workerPids();
    const leader = await leaderOf(cluster);
    await leader.kill();
    kill(hub?.pid ?? 0, "SIGKILL");
    kill(worker ?? 0, "SIGKILL");
    await one.until("its hub to be replaced", ({ ready, hubs }) => ready && hubs[0]?.pid !== hub?.pid);
    await two.until("its worker to be replaced", ({ ready, workers }) => ready && workers[0]?.pid !== worker);
    await publisher.more(50);
    await leader.start();
    await publisher.more(50);
    const last = await publisher.stop();
    for (const audience of [here, there]) {
      await audience.gotAll(last);
      t.diagnostic(`longest pause ${audience.longestPauseMs} ms`);
    }
  });
});

/** By the documented user for that. Returns what nodes are started with. */
async function provision(urls: readonly string[]): Promise<string[]> {
  const list = urls.join(",");
  await promisify(execFile)(process.execPath, [
    ...[MAIN, "nats", "provision", ...flagsAs("provisioner", list), ...PARTITIONS],
  ]);
  return ["--workers", "2", ...flagsAs("engine", list), ...PARTITIONS];
}

/** SIGKILL to every process of a node at once. */
async function killWhole(node: TestNode): Promise<void> {
  const { workers, hubs } = await node.status();
  node.signal("SIGKILL");
  for (const { pid } of [...workers, ...hubs]) kill(pid ?? 0, "SIGKILL");
  await node.allGone();
}

async function leaderOf(cluster: NatsCluster): Promise<NatsServer> {
  const admin = await NatsAdmin.connect(cluster.urls);
  const leader = await admin.leader("FW_0");
  await admin.close();
  return cluster.server(leader);
}
