import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { WebSocket } from "ws";
import { eventually, type Rig, startRig } from "../server/gateway-rig.testkit.js";
import { rejection } from "./fake-socket.testkit.js";
import { Client, type ClientOptions, type Subscription } from "./index.js";
import { TcpProxy } from "./tcp-proxy.testkit.js";

const SEED = Number(process.env.RESUME_SEED ?? Math.floor(Math.random() * 2 ** 31));

const NAMESPACES = {
  long: { history: { messages: 20_000, seconds: 3_600 } },
  short: { history: { messages: 10, seconds: 3_600 } },
  view: { state: true, history: { messages: 10, seconds: 3_600 } },
  eph: { ephemeral: true, history: { messages: 0, seconds: 3_600 } },
  api: { publish: "api" },
} as const;

interface World {
  readonly rig: Rig;
  readonly proxy: TcpProxy;
  /** Over the proxy. */
  client(options?: Partial<ClientOptions>): Client;
}

async function world(t: TestContext, limits = {}): Promise<World> {
  // The ring is small, so that resumes read history as well.
  const rig = await startRig(t, { namespaces: NAMESPACES, limits: { ringMessages: 64, ...limits } });
  const proxy = await TcpProxy.start(t, rig.port);
  const client = (options: Partial<ClientOptions> = {}): Client => {
    // It is resuming that is tested here, and not what else a client tries.
    const always = { WebSocket, backoffBaseMs: 20, transport: "websocket" } as const;
    const made = new Client(`ws://127.0.0.1:${proxy.port}/ws`, { ...always, ...options });
    t.after(() => made.close());
    return made;
  };
  return { rig, proxy, client };
}

/** Everything a subscription told, in order: offsets, resets, lives. */
function told(subscription: Subscription): (number | string)[] {
  const list: (number | string)[] = [];
  subscription.on("message", ({ offset }) => list.push(offset));
  subscription.on("reset", ({ reason }) => list.push(`reset ${reason}`));
  return list;
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);

const isLive = (subscription: Subscription) => (): boolean => subscription.state.kind === "live";

/** Small, seeded: https://gist.github.com/tommyettinger/46a874533244883189143505d203312c */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

test("what one client publishes another gets, and the publisher too unless it does not want to", async (t) => {
  const { client } = await world(t);
  const [alice, bob] = [client(), client()];
  const own = alice.subscribe<string>("long.chat", { echo: false });
  const all = bob.subscribe<string>("long.chat");
  const [ownTold, allTold] = [told(own), told(all)];
  await eventually(() => isLive(own)() && isLive(all)(), "both are live");
  const first = await alice.publish("long.chat", "from alice");
  await bob.publish("long.chat", { from: "bob", bytes: new Uint8Array([1, 2]) });
  await eventually(() => allTold.length === 2 && ownTold.length === 1, "both have what they asked for");
  assert.deepEqual([allTold, ownTold, first.offset], [[1, 2], [2], 1]);
  const page = await bob.history<string>("long.chat", { after: first });
  assert.deepEqual(
    page.messages.map(({ data }) => data),
    [{ from: "bob", bytes: new Uint8Array([1, 2]) }],
  );
  assert.ok((await bob.ping()).latencyMs > 0);
});

test(`cut again and again at any byte, every one of 5,000 messages arrives once and in order (seed ${SEED})`, async (t) => {
  const { rig, proxy, client } = await world(t);
  const next = random(SEED);
  const rooms = ["long.a", "long.b", "long.c"];
  const subscriptions = rooms.map((room) => {
    const subscription = client().subscribe(room);
    return { subscription, list: told(subscription) };
  });
  await eventually(() => subscriptions.every(({ subscription }) => isLive(subscription)()), "all are live");
  for (let n = 1; n <= 5_000; n++) {
    for (const room of rooms) await rig.publish(room, { n, filler: "x".repeat(next() * 200) });
    if (n % 50 === 0) proxy.cutAfter(Math.floor(next() * 20_000));
    if (n % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
    if (n % 500 === 0) proxy.cut();
    // Time to come back, or it would all be one break.
    if (n % 100 === 0) await new Promise((resolve) => setTimeout(resolve, next() * 30));
  }
  await eventually(() => subscriptions.every(({ list }) => list.length >= 5_000), "all messages", 20_000);
  for (const { list } of subscriptions) assert.deepEqual(list, upTo(5_000));
  assert.ok(proxy.connections > 20, `${proxy.connections} connections were needed`);
  assert.ok(rig.counters.historyReads > 0, "history was read");
});

test("a connection that is half-open is found dead by its pings, and resumed on a new one", async (t) => {
  const { rig, proxy, client } = await world(t);
  const subscriber = client({ pingMs: 100, deadMs: 200 });
  const subscription = subscriber.subscribe("long.a");
  const list = told(subscription);
  await eventually(isLive(subscription), "it is live");
  await rig.publish("long.a", 1);
  await eventually(() => list.length === 1, "the first message");
  proxy.stall();
  for (let n = 2; n <= 100; n++) await rig.publish("long.a", n);
  await eventually(() => list.length === 100, "what was missed");
  assert.deepEqual([list, proxy.connections], [upTo(100), 2]);
});

test("a client that stops reading is told lagged, and gets everything once and in order", async (t) => {
  const { rig, proxy, client } = await world(t, { slowMs: 60_000 });
  const subscription = client({ deadMs: 60_000 }).subscribe("long.a");
  const list = told(subscription);
  await eventually(isLive(subscription), "it is live");
  proxy.pauseReading();
  let published = 0;
  // Kernel buffers on both sides of the proxy take some megabytes before the server sees it.
  while (rig.counters.lagged === 0 && published < 4_000) {
    for (let i = 0; i < 20; i++) await rig.publish("long.a", [++published, "x".repeat(15_000)]);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(rig.counters.lagged, 1);
  proxy.resumeReading();
  await rig.publish("long.a", ++published);
  await eventually(() => list.length >= published, "all messages", 20_000);
  assert.deepEqual([list, proxy.connections], [upTo(published), 1]);
});

test("away for longer than history is kept: it is told, and goes on with what is left", async (t) => {
  const { rig, proxy, client } = await world(t);
  const subscription = client().subscribe("short.a");
  const list = told(subscription);
  await eventually(isLive(subscription), "it is live");
  await rig.publish("short.a", 1);
  await eventually(() => list.length === 1, "the first message");
  proxy.refuse(true);
  for (let n = 2; n <= 200; n++) await rig.publish("short.a", n);
  proxy.refuse(false);
  await eventually(() => list.length > 1 && isLive(subscription)(), "it is live again");
  await rig.publish("short.a", 201);
  await eventually(() => list.at(-1) === 201, "the next message");
  assert.deepEqual(list, [1, "reset expired", 201]);
});

test("a view of state is whole again after being away for too long", async (t) => {
  const { rig, proxy, client } = await world(t);
  const publisher = new Client(`http://127.0.0.1:${rig.port}/ws`, { WebSocket });
  t.after(() => publisher.close());
  const subscription = client().subscribe<number>("view.a", { state: true });
  let view = new Map<string | undefined, number>();
  const resets: string[] = [];
  subscription.on("message", ({ key, data }) => view.set(key, data));
  subscription.on("reset", ({ reason }) => {
    resets.push(reason);
    view = new Map();
  });
  await eventually(isLive(subscription), "it is live");
  await publisher.publish("view.a", 1, { key: "old" });
  await eventually(() => view.get("old") === 1, "the first key");
  proxy.refuse(true);
  for (let n = 1; n <= 100; n++) await publisher.publish("view.a", n, { key: `k${n % 30}` });
  proxy.refuse(false);
  await eventually(() => view.size === 31 && isLive(subscription)(), "the view is whole");
  assert.deepEqual(resets, ["expired"]);
  assert.deepEqual([view.get("old"), view.get("k29"), view.get("k10")], [1, 89, 100]);
});

test("goaway: it moves on after the delay, and nothing is lost", async (t) => {
  const { rig, proxy, client } = await world(t);
  const subscriber = client();
  const subscription = subscriber.subscribe("long.a");
  const list = told(subscription);
  await eventually(isLive(subscription), "it is live");
  for (const session of rig.sessions) session.goaway("rebalance", 100);
  await eventually(
    () => subscriber.state.kind === "open" && subscriber.state.leaving !== undefined,
    "it is told",
  );
  const startMs = performance.now();
  for (let n = 1; proxy.connections < 2; n++) {
    await rig.publish("long.a", n);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  assert.ok(performance.now() - startMs > 80, "not before the delay");
  await eventually(
    () => isLive(subscription)() && subscription.position?.offset === list.at(-1),
    "it is live again",
  );
  assert.deepEqual(list, upTo(list.length));
});

test("a server that stops and starts anew: it waits for it, and is told that numbering is new", async (t) => {
  const { rig: first, proxy, client: make } = await world(t);
  const second = await startRig(t, { namespaces: NAMESPACES });
  const client = make();
  const subscription = client.subscribe("long.a");
  const list = told(subscription);
  await eventually(isLive(subscription), "it is live");
  await first.publish("long.a", 1);
  await eventually(() => list.length === 1, "the first message");
  const waits: string[] = [];
  client.on("state", (state) => {
    if (state.kind === "waiting") waits.push(state.by);
  });
  await first.gateway.close(500);
  await eventually(() => waits.length > 0, "it is away");
  assert.equal(waits[0], "server");
  proxy.retarget(second.port);
  await eventually(isLive(subscription), "it is live again");
  await second.publish("long.a", 2);
  await eventually(() => list.length === 3, "a message of the new server");
  assert.deepEqual(list, [1, "reset epoch", 1]);
});

test("what is published while away goes out in order when it is back; above the bound it is refused", async (t) => {
  const { proxy, client } = await world(t);
  const other = client();
  const subscription = other.subscribe<number>("long.a");
  const got: number[] = [];
  subscription.on("message", ({ data }) => got.push(data));
  const publisher = client({ queueMessages: 500 });
  await eventually(() => isLive(subscription)() && publisher.state.kind === "open", "both are there");
  proxy.refuse(true);
  await eventually(() => publisher.state.kind !== "open", "it is away");
  const published = Array.from({ length: 500 }, (_, n) => publisher.publish("long.a", n));
  const refused = await rejection(publisher.publish("long.a", 500));
  assert.deepEqual([refused.code, refused.maybeDone], ["unavailable", false]);
  proxy.refuse(false);
  const positions = await Promise.all(published);
  assert.deepEqual(
    positions.map(({ offset }) => offset),
    upTo(500),
  );
  await eventually(() => got.length === 500, "all are delivered");
  assert.deepEqual(
    got,
    upTo(500).map((n) => n - 1),
  );
});

test("in flight at the break, a publish says that it may have been stored", async (t) => {
  const { proxy, client } = await world(t);
  const publisher = client();
  await publisher.publish("long.a", 0);
  proxy.stall();
  const published = publisher.publish("long.a", 1);
  // Sent at the end of this turn, and then it is broken.
  await new Promise((resolve) => setImmediate(resolve));
  proxy.cut();
  const error = await rejection(published);
  assert.deepEqual([error.code, error.maybeDone], ["unavailable", true]);
  assert.ok((await publisher.publish("long.a", 2)).offset >= 2);
});

test("what the server refuses has its code: namespace, options, size, number of rooms", async (t) => {
  const { client } = await world(t, { roomsPerConnection: 20 });
  const one = client();
  assert.equal((await rejection(one.publish("api.a", 1))).code, "forbidden");
  assert.equal((await rejection(one.publish("long.a", "x".repeat(16_300)))).code, "too_large");
  assert.equal((await rejection(one.publish("long.a", "x".repeat(20_000)))).code, "too_large");
  assert.equal((await rejection(one.history("eph.a"))).code, "bad_request");
  const wrong = one.subscribe("long.a", { state: true });
  await eventually(() => wrong.state.kind === "failed", "it is refused for good");
  assert.equal(wrong.state.kind === "failed" && wrong.state.error.code, "bad_request");
  const many = client();
  const subscriptions = upTo(25).map((n) => many.subscribe(`long.${n}`));
  const kinds = (): string[] => subscriptions.map(({ state }) => state.kind);
  await eventually(() => kinds().every((kind) => kind === "live" || kind === "failed"), "all are answered");
  assert.deepEqual(kinds().filter((kind) => kind === "failed").length, 5);
  assert.equal((await one.publish("long.a", 1)).offset, 1);
});

test("an ephemeral room delivers while it stands, and goes on after a break without a position", async (t) => {
  const { proxy, client } = await world(t);
  const publisher = client();
  const subscription = client().subscribe<number>("eph.a");
  const got: number[] = [];
  subscription.on("message", ({ data }) => got.push(data));
  subscription.on("reset", () => got.push(-1));
  await eventually(isLive(subscription), "it is live");
  for (const n of [1, 2, 3]) await publisher.publish("eph.a", n);
  await eventually(() => got.length === 3, "three messages");
  proxy.refuse(true);
  await eventually(() => subscription.state.kind !== "live", "it is away");
  proxy.refuse(false);
  await eventually(isLive(subscription), "it is live again");
  await publisher.publish("eph.a", 4);
  await eventually(() => got.length === 4, "the next message");
  assert.deepEqual([got, subscription.position], [[1, 2, 3, 4], undefined]);
});

test("a thousand rooms resume together after a break, in few requests", async (t) => {
  const { rig, proxy, client } = await world(t);
  const subscriber = client();
  const subscriptions = upTo(1_000).map((n) => subscriber.subscribe(`long.room.${n}`));
  const lists = subscriptions.map((subscription) => told(subscription));
  await eventually(() => subscriptions.every((one) => isLive(one)()), "all are live");
  for (const n of upTo(1_000)) await rig.publish(`long.room.${n}`, 1);
  await eventually(() => lists.every((list) => list.length === 1), "a message in each");
  proxy.refuse(true);
  for (const n of upTo(1_000)) await rig.publish(`long.room.${n}`, 2);
  const before = rig.counters.requests;
  proxy.refuse(false);
  await eventually(() => lists.every((list) => list.length === 2), "the message that was missed, in each");
  for (const list of lists) assert.deepEqual(list, [1, 2]);
  assert.ok(rig.counters.requests - before < 20, `${rig.counters.requests - before} requests`);
});
