import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { flagsAs } from "../broker/nats/nats-accounts.testkit.js";
import { NatsServer } from "../broker/nats/nats-server.testkit.js";
import { parseRoom } from "../protocol/room-name.js";
import { WireClient } from "../server/wire-client.testkit.js";
import { kill, TestNode } from "./node.testkit.js";
import type { InspectedRoom } from "./room-inspection.js";

const MAIN = fileURLToPath(new URL("../cli/main.js", import.meta.url));
const PARTITIONS = ["--nats.partitions", "2"];
const ROOM = "chat.hall";
const DEADLINE_MS = 30_000;

async function inspect({ adminUrl }: TestNode): Promise<InspectedRoom> {
  return (await fetch(`${adminUrl}/v1/ops/rooms/${parseRoom(ROOM)}`)).json();
}

/** Asks again until it is so: of what nodes say of each other nothing is promised. */
async function until(
  what: string,
  node: TestNode,
  isSo: (room: InspectedRoom) => boolean,
): Promise<InspectedRoom> {
  const endMs = performance.now() + DEADLINE_MS;
  for (;;) {
    const room = await inspect(node);
    if (isSo(room)) return room;
    if (performance.now() > endMs) assert.fail(`not ${what}: ${JSON.stringify(room, null, 1)}`);
  }
}

function subscribe(t: TestContext, node: TestNode, count: number): Promise<unknown> {
  return Promise.all(
    Array.from({ length: count }, async () => {
      const client = await WireClient.open(node.port);
      t.after(() => client.ws.destroy());
      await client.subscribe(ROOM);
    }),
  );
}

const numbers = ({ nodes }: InspectedRoom): (number | undefined)[] =>
  nodes.map(({ subscribers }) => subscribers);

test("the room inspector tells who is in a room on every node, and which node does not answer", async (t) => {
  const server = await NatsServer.start();
  t.after(() => server.dispose());
  await promisify(execFile)(process.execPath, [
    MAIN,
    "nats",
    "provision",
    ...flagsAs("provisioner", server.url),
    ...PARTITIONS,
  ]);
  const args = [...flagsAs("engine", server.url), ...PARTITIONS, "--drain-seconds", "0"];
  // One with a hub between its workers and NATS, one whose worker hosts the broker itself.
  const [one, two] = await Promise.all([
    TestNode.start(t, { args: ["--node", "one", "--workers", "2", ...args] }),
    TestNode.start(t, {
      args: ["--node", "two", "--workers", "1", "--hubs", "0", "--watchdog-ms", "60000", ...args],
    }),
  ]);
  await Promise.all([subscribe(t, one, 3), subscribe(t, two, 2)]);
  const room = await until("known to one", one, (of) => numbers(of).join() === "3,2");
  assert.deepEqual(
    room.nodes.map(({ node }) => node),
    ["one", "two"],
  );
  assert.deepEqual([room.subscribers, room.workers.length, room.problem], [3, 2, undefined]);
  await until("known to two", two, (of) => numbers(of).join() === "2,3");

  const [stopped = 0] = await two.workerPids();
  kill(stopped, "SIGSTOP");
  t.after(() => kill(stopped, "SIGCONT"));
  const silent = await inspect(one);
  assert.deepEqual(silent.nodes.slice(1), [{ node: "two", silent: true }]);
  kill(stopped, "SIGCONT");
  await until("known again", one, (of) => numbers(of).join() === "3,2");

  two.signal("SIGINT");
  assert.equal((await two.ended()).code, 0);
  const alone = await inspect(one);
  assert.deepEqual(numbers(alone), [3]);

  await server.kill();
  await one.until("away", ({ ready }) => !ready);
  assert.match((await inspect(one)).problem ?? "", /NATS is away/);
});
