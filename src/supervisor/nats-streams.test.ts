import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { WebSocket } from "ws";
import { flagsAs } from "../broker/nats/nats-accounts.testkit.js";
import { NatsAdmin } from "../broker/nats/nats-admin.testkit.js";
import { NatsCluster, type NatsServer, until } from "../broker/nats/nats-server.testkit.js";
import { Subjects } from "../broker/nats/subjects.js";
import { Client } from "../client/index.js";
import { TestNode } from "./node.testkit.js";

const MAIN = fileURLToPath(new URL("../cli/main.js", import.meta.url));
const STREAMS = 4;
const PARTITIONS = ["--nats.partitions", `${STREAMS}`];

test("streams without a leader while others have one: who has rooms there is told, /readyz says which, all heals", async (t) => {
  const cluster = await NatsCluster.start();
  t.after(() => cluster.dispose());
  const flags = [...flagsAs("provisioner", cluster.urls.join(",")), ...PARTITIONS];
  await promisify(execFile)(process.execPath, [MAIN, "nats", "provision", ...flags, "--nats.replicas", "1"]);
  const { server, lost, kept } = await chooseServer(cluster);
  // Connected to the one that is killed, the node looks at everything at once.
  const node = await TestNode.start(t, {
    args: ["--workers", "2", ...flagsAs("engine", server.url), ...PARTITIONS],
  });
  const [cut, well] = [await Follower.open(t, node, lost), await Follower.open(t, node, kept)];
  await publish(node, lost, 1);
  await publish(node, kept, 1);
  for (const one of [cut, well]) await until("the first message", () => one.messages.length === 1);
  await server.kill();
  await until("who has rooms there to be told", () => cut.told.length > 0, 60_000);
  assert.match(cut.told.join(), /^unavailable: rooms of news get nothing new/);
  const ready = await fetch(`${node.adminUrl}/readyz`);
  assert.equal(ready.status, 200, "others would not serve those rooms either");
  const { degraded }: { degraded: string[] } = await ready.json();
  assert.match(degraded.join(), /^hub 0 gets no answer of FW_\d/);
  assert.ok(degraded.join().includes(streamOf(lost)), degraded.join());
  assert.ok(!degraded.join().includes(streamOf(kept)), degraded.join());
  await publish(node, kept, 2);
  await until("others to go on", () => well.messages.length === 2);
  const refused = await send(node, lost, 0, 10_000);
  assert.equal(refused.status, 503);
  const { error }: { error: { code: string; message: string } } = await refused.json();
  assert.equal(error.code, "unavailable");
  assert.ok(error.message.includes(streamOf(lost)), error.message);
  await server.start();
  await node.until("whole again", (status) => status.degraded?.length === 0);
  await publish(node, lost, 2);
  await until("what comes then", () => cut.messages.at(-1) === 2);
  assert.deepEqual(
    [cut.messages, well.messages],
    [
      [1, 2],
      [1, 2],
    ],
  );
  assert.equal(cut.told.length, 1, "once");
  assert.deepEqual(well.told, [], "nobody else");
});

/** Where the control stream is not: one stream is moved there. A room of that stream, and one of another. */
async function chooseServer(
  cluster: NatsCluster,
): Promise<{ server: NatsServer; lost: string; kept: string }> {
  const admin = await NatsAdmin.connect(cluster.urls);
  const control = await admin.leader("FW_CTL");
  await admin.reconfigure(LOST, { num_replicas: 3 });
  await admin.caughtUp(LOST, 3);
  while ((await admin.leader(LOST)) === control) await admin.stepDown(LOST);
  const name = await admin.leader(LOST);
  // The leader is who stays.
  await admin.reconfigure(LOST, { num_replicas: 1 });
  await until("one copy", async () => (await admin.stream(LOST)).cluster?.replicas === undefined);
  assert.equal(await admin.leader(LOST), name);
  const leaders: string[] = [];
  for (let index = 0; index < STREAMS; index += 1) leaders.push(await admin.leader(`FW_${index}`));
  await admin.close();
  const roomLedBy = (isIt: (leader: string | undefined) => boolean): string => {
    for (let index = 0; index < 1_000; index += 1) {
      const room = `news.r${index}`;
      if (isIt(leaders[SUBJECTS.partitionOf(room.replace(".", "~"))])) return room;
    }
    throw new Error(`streams are led by ${leaders.join()}`);
  };
  return {
    server: cluster.server(name),
    lost: roomLedBy((leader) => leader === name),
    kept: roomLedBy((leader) => leader !== name),
  };
}

const LOST = "FW_0";
const SUBJECTS = new Subjects("fw", STREAMS);

function streamOf(room: string): string {
  return `FW_${SUBJECTS.partitionOf(room.replace(".", "~"))}`;
}

/** A client in one room. */
class Follower {
  readonly messages: number[] = [];
  readonly told: string[] = [];

  static async open(t: TestContext, node: TestNode, room: string): Promise<Follower> {
    const follower = new Follower();
    const client = new Client(`${node.url}/ws`, { WebSocket });
    t.after(() => client.close());
    client.on("error", ({ code, message }) => follower.told.push(`${code}: ${message}`));
    const subscription = client.subscribe<number>(room);
    subscription.on("message", ({ data }) => follower.messages.push(data));
    await until("the room to be live", () => subscription.state.kind === "live");
    return follower;
  }
}

async function send(node: TestNode, room: string, value: number, deadlineMs: number): Promise<Response> {
  return await fetch(`${node.url}/v1/rooms/${room}/messages`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(value),
    signal: AbortSignal.timeout(deadlineMs),
  });
}

async function publish(node: TestNode, room: string, value: number): Promise<void> {
  const response = await send(node, room, value, 30_000);
  assert.equal(response.status, 200, await response.text());
}
