import assert from "node:assert/strict";
import { test } from "node:test";
import { encode } from "@msgpack/msgpack";
import { parseRoom } from "../../protocol/room-name.js";
import { Collector } from "../conformance-rig.testkit.js";
import { startTestBroker } from "./nats-broker.testkit.js";
import { NatsCluster, until } from "./nats-server.testkit.js";

const DEADLINE_MS = 90_000;

test("a cluster that has lost most of its servers is away, though it can be connected to, until it is whole", async (t) => {
  const cluster = await NatsCluster.start();
  t.after(() => cluster.dispose());
  const told: string[] = [];
  const [survivor, ...lost] = cluster.servers;
  const broker = await startTestBroker(survivor?.url ?? "", {
    partitions: 1,
    replicas: 3,
    onStatus: (status) => told.push(status),
    limits: { sweepMs: 2_000 },
  });
  t.after(() => broker.stop(1_000));
  const room = parseRoom("log.a");
  const sink = new Collector(DEADLINE_MS);
  await broker.open(room, sink);
  await broker.publish({ room, data: encode(1) });
  await sink.until(1);
  for (const server of lost) await server.kill();
  await until("it is away", () => !broker.available && told.at(-1) === "away", DEADLINE_MS);
  assert.equal(broker.counters.disconnects, 0, "the connection is there");
  for (const server of lost) await server.start();
  await until("it is back", () => broker.available && told.at(-1) === "back", DEADLINE_MS);
  const { offset } = await broker.publish({ room, data: encode(2) });
  const [, message] = await sink.until(2);
  assert.equal(message?.offset, offset);
  assert.deepEqual(sink.resets, []);
});
