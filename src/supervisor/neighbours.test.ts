import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { MemoryGossip } from "../broker/memory-gossip.js";
import type { Gossip } from "../core/ports.js";
import { parseRoom } from "../protocol/room-name.js";
import { decodeNeighbour, encodeNeighbour, NEIGHBOUR_GOSSIP } from "./neighbour-codec.js";
import { NEIGHBOUR_TIMES, Neighbours } from "./neighbours.js";
import { type RoomOfNode, roomOfNode } from "./room-inspection.js";

const ROOM = parseRoom("chat.hall");
/** Long beats: what is known comes from the first words alone. */
const TIMES = { ...NEIGHBOUR_TIMES, settle: 20, answer: 200 };

type Inspect = (room: string) => Promise<RoomOfNode | undefined>;

function here(node: string, subscribers: number): RoomOfNode {
  return { node, subscribers, every: subscribers, paced: 0, silentWorkers: 0 };
}

function join(t: TestContext, gossip: Gossip, node: string, inspect: Inspect, times = TIMES): Neighbours {
  const neighbours = new Neighbours({ node, gossip, inspect, times });
  t.after(() => neighbours.leave());
  return neighbours;
}

test("every node is asked what it has of a room; one that does not answer is named, one that has left is not", async (t) => {
  const gossip = new MemoryGossip();
  const asked: string[] = [];
  const one = join(t, gossip, "one", async () => here("one", 1));
  join(t, gossip, "two", async (room) => {
    asked.push(room);
    return here("two", 2);
  });
  const three = join(t, gossip, "three", () => new Promise(() => undefined));
  assert.deepEqual(await one.ask(ROOM), {
    nodes: [
      { node: "three", room: undefined },
      { node: "two", room: here("two", 2) },
    ],
  });
  assert.deepEqual(asked, ["chat.hall"]);
  three.leave();
  assert.deepEqual((await one.ask(ROOM)).nodes, [{ node: "two", room: here("two", 2) }]);
});

test("a node that was there before is known at once, and one that is silent for long is forgotten", async (t) => {
  const gossip = new MemoryGossip();
  join(t, gossip, "old", async () => undefined);
  // The other's beats are long: it says nothing from here on.
  const late = join(t, gossip, "new", async () => undefined, { ...TIMES, beat: 20, forget: 300 });
  assert.deepEqual(await late.ask(ROOM), { nodes: [{ node: "old", room: undefined }] });
  const endMs = performance.now() + 20_000;
  while ((await late.ask(ROOM)).nodes.length > 0) assert.ok(performance.now() < endMs, "it is still known");
});

test("where nobody can be heard that is said, and nobody is forgotten for it", async (t) => {
  const shared = new MemoryGossip();
  const cut = { isConnected: true };
  const gossip: Gossip = {
    get isConnected() {
      return cut.isConnected;
    },
    say: (bytes) => shared.say(bytes),
    listen: (hear) => shared.listen(hear),
  };
  const times = { ...TIMES, beat: 10, forget: 50 };
  const one = join(t, gossip, "one", async () => here("one", 1), times);
  join(t, shared, "two", async () => here("two", 2));
  await one.ask(ROOM);
  cut.isConnected = false;
  await new Promise((resolve) => setTimeout(resolve, 10 * times.beat));
  const { nodes, problem } = await one.ask(ROOM);
  assert.match(problem ?? "", /NATS is away/);
  assert.deepEqual(nodes, [{ node: "two", room: undefined }]);
});

test("gossip of others, and what is broken, is none of it", () => {
  const from = { node: "one", life: 0.5 };
  const whole = encodeNeighbour({ from, kind: "who", id: 1, room: ROOM });
  assert.deepEqual(decodeNeighbour(whole), { from, kind: "who", id: 1, room: ROOM });
  const answer = { from, kind: "room", to: from, id: 1, room: here("one", 3) } as const;
  assert.deepEqual(decodeNeighbour(encodeNeighbour(answer)), answer);
  // Nobody speaks for another.
  const lie = encodeNeighbour({ ...answer, room: here("two", 3) });
  assert.deepEqual(decodeNeighbour(lie), answer);
  for (let length = 0; length < whole.length; length += 1)
    assert.equal(decodeNeighbour(whole.subarray(0, length)), undefined);
  const of = (value: unknown): Uint8Array =>
    Buffer.from(`${String.fromCharCode(NEIGHBOUR_GOSSIP)}${JSON.stringify(value)}`);
  const who = { from, kind: "who", id: 1, room: "chat.hall" };
  for (const bad of [
    null,
    [],
    {},
    { ...who, kind: "else" },
    { ...who, from: { node: "one" } },
    { ...who, from: { node: "o ne", life: 1 } },
    { ...who, id: -1 },
    { ...who, room: "chat.*" },
    { ...answer, to: undefined },
    { ...answer, room: { ...here("one", 3), subscribers: "3" } },
  ])
    assert.equal(decodeNeighbour(of(bad)), undefined, JSON.stringify(bad));
  assert.equal(decodeNeighbour(Uint8Array.of(1, ...whole.subarray(1))), undefined);
});

test("a worker that did not answer is counted as missing, not as empty", () => {
  const workers = [
    {
      worker: 0,
      open: true,
      subscribers: 5,
      classes: [
        { rate: "all", members: 2 },
        { rate: 4, members: 1 },
        { rate: 1, members: 1 },
      ],
    },
    { worker: 1, open: false },
    { worker: 2, open: false, silent: true },
  ] as const;
  assert.deepEqual(roomOfNode("n", workers), {
    node: "n",
    subscribers: 5,
    every: 2,
    paced: 2,
    silentWorkers: 1,
  });
});
