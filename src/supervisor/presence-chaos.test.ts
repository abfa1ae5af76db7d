import { execFile } from "node:child_process";
import { describe, type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { flagsAs } from "../broker/nats/nats-accounts.testkit.js";
import { NatsServer } from "../broker/nats/nats-server.testkit.js";
import { Random } from "../core/simulation/scheduler.testkit.js";
import { kill, TestNode } from "./node.testkit.js";
import { PRESENCE_ENV } from "./presence.testkit.js";
import { Crowd } from "./presence-crowd.testkit.js";

/** `FANWIRE_CHAOS_SEED=n` has the same guests do the same; what the machine does meanwhile is its own. */
const SEED = Number(process.env.FANWIRE_CHAOS_SEED ?? Math.floor(Math.random() * 2 ** 31));
const STEPS = 40;
const MAIN = fileURLToPath(new URL("../cli/main.js", import.meta.url));
const PARTITIONS = ["--nats.partitions", "2"];

function crowdOf(t: TestContext): Crowd {
  t.diagnostic(`seed ${SEED}`);
  return new Crowd(t, new Random(SEED));
}

interface Blow {
  /** Such as `a killed worker`. */
  readonly what: string;
  /** Those that are there after it. */
  readonly nodes: readonly TestNode[];
  /** Those that were there before. Default: the same. */
  readonly before?: readonly TestNode[];
  readonly strike: () => Promise<void>;
}

/** Guests come and go, are struck, and come and go on; then all who watch are to come to the truth. */
async function endure(
  t: TestContext,
  crowd: Crowd,
  { what, nodes, before = nodes, strike }: Blow,
): Promise<void> {
  await crowd.churn(before, STEPS / 2);
  const struckMs = performance.now();
  await Promise.all([strike(), crowd.churn(nodes, STEPS)]);
  const tookMs = await crowd.converge(nodes, `${what}, seed ${SEED}`);
  const sinceMs = Math.round(performance.now() - struckMs);
  t.diagnostic(`${what}: the truth ${sinceMs} ms after it, ${Math.round(tookMs)} ms after the last change`);
}

/** Kills processes of a node, chosen by what it says of itself. */
async function killSome(
  node: TestNode,
  pick: (status: Awaited<ReturnType<TestNode["status"]>>) => readonly (number | undefined)[],
): Promise<void> {
  for (const pid of pick(await node.status())) if (pid !== undefined) kill(pid, "SIGKILL");
}

const firstWorker = (node: TestNode) => () => killSome(node, ({ workers }) => [workers[0]?.pid]);
const everyHub = (node: TestNode) => () => killSome(node, ({ hubs }) => hubs.map(({ pid }) => pid));
const everything = (node: TestNode) => () =>
  killSome(node, ({ workers, hubs }) => [node.process.pid, ...[...workers, ...hubs].map(({ pid }) => pid)]);

// What they do most is waiting.
describe("presence comes to the truth while clients come and go", { concurrency: 2 }, () => {
  test("and workers and hubs of a node are killed", async (t) => {
    const node = await TestNode.start(t, { args: ["--workers", "2", "--hubs", "2"], env: PRESENCE_ENV });
    const nodes = [node];
    const crowd = crowdOf(t);
    await endure(t, crowd, { what: "nothing", nodes, strike: async () => undefined });
    await endure(t, crowd, { what: "a killed worker", nodes, strike: firstWorker(node) });
    await endure(t, crowd, { what: "killed hubs", nodes, strike: everyHub(node) });
    const both = async (): Promise<void> => {
      await firstWorker(node)();
      await everyHub(node)();
    };
    await endure(t, crowd, { what: "a killed worker and killed hubs", nodes, strike: both });
  });

  test("and workers, hubs, nodes and the NATS server that they share are killed", async (t) => {
    const server = await NatsServer.start();
    t.after(() => server.dispose());
    const provision = [MAIN, "nats", "provision", ...flagsAs("provisioner", server.url), ...PARTITIONS];
    await promisify(execFile)(process.execPath, provision, { env: { ...process.env, ...PRESENCE_ENV } });
    const engine = [...flagsAs("engine", server.url), ...PARTITIONS];
    const start = (node: string, ...args: string[]): Promise<TestNode> =>
      TestNode.start(t, { args: ["--node", node, ...args, ...engine], env: PRESENCE_ENV });
    const [here, there] = await Promise.all([
      start("here", "--workers", "2"),
      start("there", "--workers", "1"),
    ]);
    const crowd = crowdOf(t);
    const nodes = [here, there];
    await endure(t, crowd, { what: "nothing", nodes, strike: async () => undefined });
    await endure(t, crowd, { what: "a killed worker", nodes, strike: firstWorker(here) });
    await endure(t, crowd, { what: "a killed hub", nodes, strike: everyHub(here) });
    await endure(t, crowd, { what: "a killed worker that has the hub", nodes, strike: firstWorker(there) });
    const restart = async (): Promise<void> => {
      await server.kill();
      await server.restart();
    };
    await endure(t, crowd, { what: "a killed NATS server", nodes, strike: restart });
    await endure(t, crowd, {
      what: "a killed node",
      nodes: [here],
      before: nodes,
      strike: everything(there),
    });
    // Under the name of the one that was killed, so that what that one said is replaced.
    const again = await start("there", "--workers", "1");
    const back = [here, again];
    await endure(t, crowd, { what: "a node of the same name", nodes: back, strike: async () => undefined });
  });
});
