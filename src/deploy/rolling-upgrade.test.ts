import assert from "node:assert/strict";
import { test } from "node:test";
import { NatsServer } from "../broker/nats/nats-server.testkit.js";
import { freePort } from "../server/raw-socket.testkit.js";
import { Audience, Publisher } from "../supervisor/audience.testkit.js";
import { TestNode } from "../supervisor/node.testkit.js";
import { startProxy, type Upstream } from "./proxies.testkit.js";

const CLIENTS = 2_000;
const ROOMS = Array.from({ length: 100 }, (_, index) => `drill.r${index}`);
const TEST_MS = 180_000;

test("every node is replaced in turn, under load: no client misses a message or gets one twice", {
  timeout: TEST_MS,
}, async (t) => {
  const server = await NatsServer.start();
  t.after(() => server.dispose());
  const place = async (): Promise<Upstream> => ({ port: await freePort(), adminPort: await freePort() });
  const places = [await place(), await place(), await place()] as const;
  const start = ({ port, adminPort }: Upstream): Promise<TestNode> =>
    TestNode.start(t, {
      args: [
        ...["--port", String(port), "--admin.port", String(adminPort), "--workers", "1"],
        ...[
          "--broker",
          server.url,
          "--nats.partitions",
          "4",
          "--drain-seconds",
          "3",
          "--proxies.trusted",
          "127.0.0.1",
        ],
      ],
    });
  const nodes = new Map<Upstream, TestNode>();
  for (const upstream of places) nodes.set(upstream, await start(upstream));
  const url = await startProxy(t, "haproxy", places);
  const audience = await Audience.spread(t, url, CLIENTS, ROOMS);
  const pauses = audience.pauses();
  // 500 messages a second: one a room and batch.
  const publisher = new Publisher(t, url, ROOMS, { perBatch: 1, everyMs: 195 });
  await publisher.more(10);
  for (const [upstream, node] of nodes) {
    node.signal("SIGTERM");
    assert.deepEqual(await node.ended(), { code: 0, signal: null }, node.stderr);
    nodes.set(upstream, await start(upstream));
    await publisher.more(10);
  }
  const last = await publisher.stop();
  await audience.gotAll(last);
  const { longestMs, reconnects } = pauses();
  assert.ok(reconnects >= CLIENTS / 2, `${reconnects} reconnects: the drill moved nobody`);
  t.diagnostic(
    `${CLIENTS} clients, ${reconnects} reconnects, ${[...last.values()].reduce((a, b) => a + b, 0)} messages, ` +
      `the longest pause between two messages of a room at any client: ${Math.round(longestMs)} ms (200 ms is the pace)`,
  );
});
