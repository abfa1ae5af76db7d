import assert from "node:assert/strict";
import { test } from "node:test";
import { layered } from "../broker/broker-layer.testkit.js";
import type { ServerFrame } from "../protocol/frames.js";
import { createMessage } from "../protocol/message.js";
import { parseRoom } from "../protocol/room-name.js";
import { EngineRig, type TestConnection } from "./engine-rig.testkit.js";
import type { Broker, HistoryPage, Sink } from "./ports.js";

const ROOM = parseRoom("chat.a");
const EPOCH = "e";

/** A broker whose one room is in the test's hand. */
class Hand {
  sink: Sink | undefined;
  /** What history answers. */
  page: HistoryPage = { kind: "page", messages: [], more: false, head: { epoch: EPOCH, offset: 5 } };
  readonly wrap = (broker: Broker) =>
    layered(broker, {
      open: async (_room, sink) => {
        this.sink = sink;
        return { epoch: EPOCH, offset: 5 };
      },
      close: () => undefined,
      history: async () => this.page,
      stop: async () => undefined,
    });

  message(offset: number, prev: number): void {
    const data = Uint8Array.of(offset);
    this.sink?.message(
      createMessage({ room: ROOM, time: 0, key: undefined, origin: undefined, data, offset, prev }),
    );
  }

  checkpoint(offset: number): void {
    this.sink?.checkpoint?.(ROOM, offset);
  }
}

const shown = (frames: readonly ServerFrame[]): string[] =>
  frames.map((frame) => {
    if (frame.type === "message") return `${frame.prev}>${frame.offset}`;
    if (frame.type === "live") return `live ${frame.offset}`;
    return frame.type;
  });

async function subscribed(rig: EngineRig, after?: number): Promise<TestConnection> {
  const client = rig.connect();
  client.socket.take();
  await client.subscribe("chat.a", after === undefined ? {} : { after: { epoch: EPOCH, offset: after } });
  return client;
}

for (const members of [1, 3])
  test(`a checkpoint moves the position of ${members} by live, and what follows chains as before`, async () => {
    const hand = new Hand();
    const rig = new EngineRig({}, hand.wrap);
    const clients = [];
    for (let count = 0; count < members; count += 1) clients.push(await subscribed(rig));
    for (const { socket } of clients) socket.take();
    hand.message(7, 5);
    hand.checkpoint(20);
    await rig.settle();
    for (const { socket } of clients) assert.deepEqual(shown(socket.take()), ["5>7", "live 20"]);
    hand.message(25, 7);
    hand.checkpoint(21);
    await rig.settle();
    for (const { socket } of clients) assert.deepEqual(shown(socket.take()), ["7>25"]);
    assert.equal(rig.counters.chainBroken, 0);
  });

test("a checkpoint that the next message overtakes in the same tick is not sent", async () => {
  const hand = new Hand();
  const rig = new EngineRig({}, hand.wrap);
  const { socket } = await subscribed(rig);
  socket.take();
  hand.checkpoint(20);
  hand.message(25, 5);
  await rig.settle();
  assert.deepEqual(shown(socket.take()), ["5>25"]);
});

test("a reset voids a checkpoint before it", async () => {
  const hand = new Hand();
  const rig = new EngineRig({}, hand.wrap);
  const { socket } = await subscribed(rig);
  socket.take();
  hand.checkpoint(20);
  hand.sink?.reset(ROOM, { epoch: "f", offset: 3 }, "epoch");
  await rig.settle();
  assert.deepEqual(shown(socket.take()), ["reset"]);
});

test("who comes back from before a checkpoint, or from there, is served from memory", async () => {
  const hand = new Hand();
  const rig = new EngineRig({}, hand.wrap);
  await subscribed(rig);
  hand.message(7, 5);
  hand.checkpoint(20);
  await rig.settle();
  hand.message(25, 7);
  await rig.settle();
  for (const [after, want] of [
    [7, ["ok", "7>25", "live 25"]],
    [20, ["ok", "7>25", "live 25"]],
  ] as const) {
    const client = rig.connect();
    client.socket.take();
    const frames = await client.subscribe("chat.a", { after: { epoch: EPOCH, offset: after } });
    assert.deepEqual(shown(frames), want);
  }
  assert.equal(rig.counters.historyReads, 0);
});

test("a position before this process's memory, after which nothing is stored, has lost nothing", async () => {
  const hand = new Hand();
  const rig = new EngineRig({}, hand.wrap);
  const client = rig.connect();
  client.socket.take();
  const frames = await client.subscribe("chat.a", { after: { epoch: EPOCH, offset: 3 } });
  assert.deepEqual(shown(frames), ["ok", "live 5"]);
});
