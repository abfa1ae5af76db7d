import assert from "node:assert/strict";
import { test } from "node:test";
import { type RawSocket, within } from "../server/raw-socket.testkit.js";
import { TestNode } from "../supervisor/node.testkit.js";
import { connectMany, total } from "./attack.testkit.js";
import { FRAME_ATTACKS } from "./frame-attacks.testkit.js";
import { NeighbourProcess } from "./neighbour-process.testkit.js";
import { SOCKET_ATTACKS } from "./socket-attacks.testkit.js";

const MIB = 1_048_576;
const SLOWLORIS = 300;
const TEST_MS = 240_000;

const ENV = {
  FANWIRE_WORKERS: "2",
  FANWIRE_DEMO: "true",
  FANWIRE_NAMESPACES: JSON.stringify({ bulk: { history: { messages: 50 } } }),
  FANWIRE_LIMITS_SLOW_MS: "1000",
  // What an attack takes of two cores that tests share makes any loop late; refusing handshakes for it is another test's matter.
  FANWIRE_LIMITS_HANDSHAKE_LAG_MS: "60000",
  FANWIRE_PROXIES_TRUSTED: "127.0.0.1",
};

/** Handshakes that come a byte at a time; resolves when the node has cut the last of them. */
async function slowloris(node: TestNode): Promise<readonly RawSocket[]> {
  const sockets = await connectMany(node, SLOWLORIS);
  const drip = setInterval(() => {
    const open = sockets.filter((socket) => !socket.isClosed);
    if (open.length === 0) clearInterval(drip);
    for (const socket of open) socket.write("a");
  }, 500);
  for (const socket of sockets) socket.write("GET /ws HTTP/1.1\r\nHost: a\r\nX-A: ");
  return sockets;
}

async function rss(node: TestNode): Promise<number> {
  const { workers, hubs } = await node.status();
  return [...workers, ...hubs].reduce((sum, { rssBytes }) => sum + (rssBytes ?? 0), 0);
}

test("no client can hurt others", { timeout: TEST_MS }, async (t) => {
  const node = await TestNode.start(t, { env: ENV });
  const pids = await node.workerPids();
  const honest = await NeighbourProcess.start(t, node.url, 8);
  t.diagnostic(`before: ${JSON.stringify(honest.before)}`);
  const before = await rss(node);
  const slow = await slowloris(node);
  const cut = within(Promise.all(slow.map(({ closed }) => closed)), "the end of slow handshakes", 60_000);
  cut.catch(() => {});
  for (const attack of [...FRAME_ATTACKS, ...SOCKET_ATTACKS])
    await t.test(attack.name, { timeout: 60_000 }, async (each) => {
      const found = await attack.run(node);
      each.diagnostic(`${found}; honest: ${JSON.stringify(await honest.caughtUp())}`);
    });
  await t.test("handshakes a byte at a time", { timeout: 60_000 }, async (each) => {
    await cut;
    each.diagnostic(`${SLOWLORIS} cut; honest: ${JSON.stringify(await honest.caughtUp())}`);
  });
  await honest.stop();
  assert.deepEqual(await node.workerPids(), pids, "the same processes serve");
  for (const [of, name] of [
    ["gateway", "faults"],
    ["engine", "chainBroken"],
  ] as const)
    assert.equal(await total(node, of, name), 0, name);
  await node.until("rid of everybody", ({ connections }) => connections === 0);
  const growth = (await rss(node)) - before;
  t.diagnostic(`memory: ${Math.round(growth / MIB)} MiB more than before, all processes`);
  assert.ok(growth < 400 * MIB, `${growth} bytes more`);
});
