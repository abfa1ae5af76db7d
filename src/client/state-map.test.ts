import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { WebSocket } from "ws";
import { parseRoom } from "../protocol/room-name.js";
import { eventually, startRig } from "../server/gateway-rig.testkit.js";
import { control, type FakeSocket, keyed, open, turn } from "./fake-socket.testkit.js";
import { Client, type StateMap } from "./index.js";
import { TcpProxy } from "./tcp-proxy.testkit.js";

const room = parseRoom("a");

async function answer(socket: FakeSocket, offset = 0, recovered = false, epoch = "e"): Promise<void> {
  await turn();
  socket.receive(control({ type: "ok", ref: socket.ref("subscribe"), result: { epoch, offset, recovered } }));
}

const contents = (map: StateMap): Record<string, unknown> =>
  Object.fromEntries([...map].map(([key, { data }]) => [key, data]));

test("a snapshot fills it, messages change it, null removes, and each turn tells what changed", async () => {
  const { client, socket } = open();
  const map = client.stateMap("a", { rate: 10 });
  const changes: string[][] = [];
  const each: unknown[] = [];
  map.on("changes", (keys) => changes.push([...keys]));
  map.on("change", ({ key, message }) => each.push([key, message?.data]));
  await turn();
  assert.deepEqual(socket.sent.at(-1), {
    type: "subscribe",
    ref: socket.ref("subscribe"),
    room,
    options: { state: true, rate: 10 },
  });
  await answer(socket);
  socket.receive(
    keyed("a", 1, 0, "x", 1),
    keyed("a", 2, 1, "y", 2),
    control({ type: "live", room, offset: 2 }),
  );
  assert.deepEqual(contents(map), { x: 1, y: 2 });
  await turn();
  socket.receive(keyed("a", 3, 2, "x", 5), keyed("a", 4, 3, "y", null), keyed("a", 5, 4, "x", 6));
  socket.receive(keyed("a", 6, 5, "gone", null), keyed("a", 7, 6, undefined, "no key"));
  assert.deepEqual(contents(map), { x: 6 });
  assert.deepEqual([map.size, map.has("y"), map.get("x")?.offset], [1, false, 5]);
  await turn();
  assert.deepEqual(changes, [
    ["x", "y"],
    ["x", "y"],
  ]);
  assert.deepEqual(each, [
    ["x", 1],
    ["y", 2],
    ["x", 5],
    ["y", undefined],
    ["x", 6],
  ]);
  client.close();
});

test("after a lost continuity keys that are gone leave it, and the others never flicker", async () => {
  const { client, socket } = open();
  const map = client.stateMap("a");
  await answer(socket);
  socket.receive(
    keyed("a", 1, 0, "x", 1),
    keyed("a", 2, 1, "y", 2),
    control({ type: "live", room, offset: 2 }),
  );
  socket.receive(control({ type: "reset", room, epoch: "f", offset: 0, reason: "epoch" }));
  assert.deepEqual(contents(map), { x: 1, y: 2 });
  const removed: string[] = [];
  map.on("change", ({ key, message }) => {
    if (message === undefined) removed.push(key);
  });
  await answer(socket, 0, false, "f");
  socket.receive(keyed("a", 1, 0, "y", 7));
  assert.deepEqual(contents(map), { x: 1, y: 7 });
  socket.receive(control({ type: "live", room, offset: 1 }));
  assert.deepEqual([contents(map), removed], [{ y: 7 }, ["x"]]);
  client.close();
});

test("a resume keeps what it has", async () => {
  const { client, socket, sockets } = open({ backoffBaseMs: 1, backoffCapMs: 1 });
  const map = client.stateMap("a");
  await answer(socket);
  socket.receive(keyed("a", 1, 0, "x", 1), control({ type: "live", room, offset: 1 }));
  socket.closed(1006);
  await eventually(() => sockets.length === 2, "a new socket");
  const [, next] = sockets;
  assert.ok(next !== undefined);
  next.welcome();
  await answer(next, 1, true);
  next.receive(keyed("a", 2, 1, "y", 2), control({ type: "live", room, offset: 2 }));
  assert.deepEqual(contents(map), { x: 1, y: 2 });
  client.close();
});

const NAMESPACES = { board: { state: true, history: { messages: 50, seconds: 3_600 } } } as const;
const KEYS = 40;

async function connect(t: TestContext, port: number): Promise<Client> {
  const client = new Client(`ws://127.0.0.1:${port}/ws`, { WebSocket, backoffBaseMs: 20 });
  t.after(() => client.close());
  return client;
}

test("a real server: conflated maps end as those of every message do, through breaks and changes of rate", async (t) => {
  const rig = await startRig(t, { namespaces: NAMESPACES, limits: { ringMessages: 64 } });
  const proxy = await TcpProxy.start(t, rig.port);
  const name = "board.a";
  for (let key = 0; key < KEYS; key += 1) await rig.publish(name, -1, `k${key}`);
  const all = (await connect(t, rig.port)).stateMap<number>(name);
  const maps = [all];
  for (const rate of [30, 10, 4]) maps.push((await connect(t, proxy.port)).stateMap<number>(name, { rate }));
  await eventually(() => maps.every(({ subscription }) => subscription.state.kind === "live"), "all whole");
  for (const map of maps) assert.equal(map.size, KEYS);
  let frames = 0;
  maps[3]?.subscription.on("message", () => {
    frames += 1;
  });
  for (let round = 1; round <= 150; round += 1) {
    await Promise.all(
      Array.from({ length: 8 }, (_, each) => rig.publish(name, round, `k${(round * 7 + each) % KEYS}`)),
    );
    if (round % 50 === 25) proxy.cut();
    if (round === 60) maps[1]?.subscription.setRate("all");
    if (round === 90) maps[1]?.subscription.setRate(1);
    await turn();
  }
  const last = await rig.publish(name, "last", "k0");
  await eventually(() => maps.every((map) => map.get("k0")?.offset === last.offset), "all caught up");
  for (const map of maps) assert.deepEqual(contents(map), contents(all));
  assert.ok(frames < 150 * 8, `${frames} messages at 4 Hz`);
});
