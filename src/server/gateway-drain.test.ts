import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { WebSocket } from "ws";
import { MemoryBroker } from "../broker/memory.js";
import { Client } from "../client/index.js";
import { DEFAULT_ROOM_SETTINGS } from "../core/settings.js";
import { CODE } from "../protocol/frames.js";
import { planDrain, tellInPortions } from "./gateway-drain.js";
import { DRAIN_GRACE_MS } from "./gateway-exit.js";
import { eventually, type Rig, type RigOptions, startRig } from "./gateway-rig.testkit.js";
import { freePort, RawSocket, within } from "./raw-socket.testkit.js";
import { SharedBroker } from "./shared-broker.testkit.js";
import { WireClient } from "./wire-client.testkit.js";

const ROOM = "news.world";
const LONG_MS = 20_000;

test("a drain is planned in portions that fill its time", () => {
  assert.deepEqual(planDrain(20_000, 30_000), { portions: 300, portionMs: 100 });
  assert.deepEqual(planDrain(20_000, 250), { portions: 3, portionMs: 250 / 3 });
  assert.deepEqual(planDrain(20_000, 0), { portions: 1, portionMs: 0 });
});

test("few sessions are drained in less time, none in none", () => {
  assert.deepEqual(planDrain(10, 30_000), { portions: 5, portionMs: 100 });
  assert.deepEqual(planDrain(0, 30_000), { portions: 1, portionMs: 100 });
});

test("everybody is told once, in portions of even size, with a delay within the portion's time", async () => {
  const everybody = Array.from({ length: 103 }, (_, index) => index);
  const delays: number[] = [];
  /** How many were told when the loop was free again. */
  const portions = new Set<number>();
  const told: number[] = [];
  const tell = (one: number, delayMs: number) => {
    told.push(one);
    delays.push(delayMs);
    setImmediate(() => portions.add(told.length));
  };
  await tellInPortions(everybody, 500, tell, () => false);
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(told, everybody);
  assert.deepEqual([...portions], [21, 41, 62, 82, 103]);
  assert.ok(delays.every((delayMs) => delayMs >= 0 && delayMs <= 100));
  assert.ok(new Set(delays).size > 10, "delays are jittered");
});

test("telling ends early when nobody is left to tell", async () => {
  let told = 0;
  await within(
    tellInPortions(
      Array.from({ length: 1_000 }),
      1_000_000,
      () => {
        told += 1;
      },
      () => told >= 100,
    ),
    "the end",
  );
  assert.ok(told >= 100 && told < 200, `${told} told`);
});

/** Two gateways on one port over one broker: what is drained from one goes to the other. */
async function startPair(t: TestContext, options: RigOptions = {}): Promise<[Rig, Rig]> {
  const broker = new MemoryBroker({ settingsOf: () => DEFAULT_ROOM_SETTINGS });
  const shared = new SharedBroker(broker);
  t.after(() => broker.stop(200));
  const port = await freePort();
  const start = () => startRig(t, { ...options, port, sharePort: true, broker: shared.member() });
  return [await start(), await start()];
}

interface Follower {
  readonly client: Client;
  readonly values: unknown[];
  readonly resets: unknown[];
  /** Ends of connections that no goaway had announced. */
  readonly surprises: string[];
}

function follow(t: TestContext, rig: Rig): Promise<Follower> {
  const client = new Client(`ws://127.0.0.1:${rig.port}/ws`, { WebSocket, backoffBaseMs: 20 });
  t.after(() => client.close());
  const follower: Follower = { client, values: [], resets: [], surprises: [] };
  let leaving = false;
  client.on("state", (state) => {
    if (state.kind === "open") leaving = state.leaving !== undefined;
    if (state.kind === "waiting" && !leaving) follower.surprises.push(JSON.stringify(state));
  });
  const subscription = client.subscribe(ROOM, { onMessage: ({ data }) => follower.values.push(data) });
  subscription.on("reset", (reset) => follower.resets.push(reset));
  const subscribed = new Promise<Follower>((resolve) => {
    subscription.on("subscribed", () => resolve(follower));
  });
  return within(subscribed, "the subscription", LONG_MS);
}

test("a drain moves every client to the neighbour on the same port; each gets every message once, in order", async (t) => {
  const [leaving, staying] = await startPair(t);
  const followers = await Promise.all(Array.from({ length: 60 }, () => follow(t, leaving)));
  assert.equal(leaving.counters.connections + staying.counters.connections, followers.length);
  assert.ok(leaving.counters.connections > 0 && staying.counters.connections > 0, "the port is shared");
  let published = 0;
  let publishing = true;
  const load = (async () => {
    while (publishing) {
      published += 1;
      await leaving.publish(ROOM, published);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  })();
  await eventually(() => published > 20, "messages before the drain");
  await within(leaving.gateway.drain(1_000), "the drain", LONG_MS);
  assert.equal(leaving.counters.connections, 0);
  await leaving.gateway.close(1_000);
  await eventually(() => staying.counters.connections === followers.length, "all moved", LONG_MS);
  publishing = false;
  await load;
  const all = Array.from({ length: published }, (_, index) => index + 1);
  await eventually(() => followers.every(({ values }) => values.length >= published), "all", LONG_MS);
  for (const { values, resets, surprises } of followers) {
    assert.deepEqual(values, all);
    assert.deepEqual(resets, []);
    assert.deepEqual(surprises, []);
  }
});

test("a gateway that drains listens no more, refuses handshakes on kept connections, answers requests and lets go", async (t) => {
  const rig = await startRig(t, { http: async () => ({ status: 200, headers: {}, body: "here" }) });
  const client = await WireClient.open(rig.port);
  const handshaking = await RawSocket.connect(rig.port);
  const asking = await RawSocket.connect(rig.port);
  // Taken by uWebSockets.js, so that nothing of them is in the listener's queue.
  for (const socket of [handshaking, asking]) {
    socket.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert.equal((await socket.answer()).status, 200);
  }
  const drained = rig.gateway.drain(1_000);
  await client.find(([code]) => code === CODE.goaway, "goaway");
  await assert.rejects(RawSocket.connect(rig.port));
  handshaking.write(
    "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
  );
  const refusal = await handshaking.answer();
  assert.equal(refusal.status, 503);
  assert.equal(JSON.parse(refusal.body.toString()).error.code, "unavailable");
  assert.ok(Number(refusal.headers.get("retry-after")) >= 1);
  asking.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  assert.equal((await asking.answer()).body.toString(), "here");
  await Promise.all([handshaking.closed, asking.closed]);
  assert.equal(rig.counters.connections, 1, "who does not leave at once stays");
  client.destroy();
  await drained;
});

test("a drain waits its time for those who do not leave; then close ends them with 1001", async (t) => {
  const rig = await startRig(t);
  const client = await WireClient.open(rig.port);
  const startMs = performance.now();
  await within(rig.gateway.drain(200), "the drain", LONG_MS);
  assert.ok(performance.now() - startMs >= DRAIN_GRACE_MS);
  assert.equal(rig.counters.connections, 1);
  await rig.gateway.close(1_000);
  assert.equal((await client.ws.closed).code, 1001);
  const goaways = client.values.filter(([code]) => code === CODE.goaway);
  assert.equal(goaways.length, 1, "told once");
});

test("a close ends a drain that goes on", async (t) => {
  const rig = await startRig(t);
  const clients = await Promise.all(Array.from({ length: 10 }, () => WireClient.open(rig.port)));
  const drained = rig.gateway.drain(600_000);
  const closed = rig.gateway.close(500);
  await within(Promise.all([drained, closed]), "the end", LONG_MS);
  for (const client of clients) assert.equal((await client.ws.closed).code, 1001);
});

test("a session whose goaway throws is counted, and the others are told", async (t) => {
  const rig = await startRig(t);
  const clients = await Promise.all(Array.from({ length: 3 }, () => WireClient.open(rig.port)));
  const [broken] = rig.sessions;
  assert.ok(broken);
  broken.goaway = () => {
    throw new Error("goaway fails");
  };
  const drained = rig.gateway.drain(100);
  await Promise.all(
    clients.slice(1).map((client) => client.find(([code]) => code === CODE.goaway, "goaway")),
  );
  for (const client of clients) client.destroy();
  await within(drained, "the drain", LONG_MS);
  assert.equal(rig.gatewayCounters.faults, 1);
});
