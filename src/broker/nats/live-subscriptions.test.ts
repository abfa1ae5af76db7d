import assert from "node:assert/strict";
import { test } from "node:test";
import { encode } from "@msgpack/msgpack";
import type { Message } from "../../protocol/message.js";
import { parseRoom, type RoomName } from "../../protocol/room-name.js";
import { assertChain, Collector } from "../conformance-rig.testkit.js";
import type { NatsBroker } from "./nats-broker.js";
import { freshPrefix, startTestBroker } from "./nats-broker.testkit.js";
import { until } from "./nats-server.testkit.js";
import { serverOfFile } from "./server-of-file.testkit.js";

const ROOMS = 60;
const DEADLINE_MS = 30_000;

const system = serverOfFile();

test("a partition of which most is open is followed by one subscription, and back, without a hole or a double", async (t) => {
  const prefix = freshPrefix();
  const options = { prefix, partitions: 1, limits: { sweepMs: 500 } };
  const broker = await startTestBroker(system.server.url, options);
  t.after(() => broker.stop(1_000));
  const rooms = Array.from({ length: ROOMS }, (_, index) => parseRoom(`log.r${index}`));
  const sinks = new Map(rooms.map((room) => [room, new Collector(DEADLINE_MS)] as const));
  const starts = new Map<RoomName, number>();
  const publisher = new Load(broker, rooms);
  const work = publisher.run();
  for (const room of rooms) {
    const head = await broker.open(room, sinks.get(room) ?? new Collector(DEADLINE_MS));
    starts.set(room, head.offset);
  }
  await until("the partition is taken whole", () => broker.widePartitions === 1, DEADLINE_MS);
  await publisher.round();
  const closed = rooms.slice(10);
  for (const room of closed) broker.close(room);
  await until("rooms are followed by themselves again", () => broker.widePartitions === 0, DEADLINE_MS);
  await publisher.round();
  publisher.stop();
  await work;
  for (const room of rooms.slice(0, 10)) {
    const sink = sinks.get(room);
    const want = (publisher.stored.get(room) ?? []).filter((offset) => offset > (starts.get(room) ?? 0));
    await until(`${room} has all`, () => (sink?.messages.length ?? 0) >= want.length, DEADLINE_MS);
    const got: readonly Message[] = sink?.messages ?? [];
    assert.deepEqual(
      got.map(({ offset }) => offset),
      want,
    );
    assertChain(got, starts.get(room) ?? 0);
    assert.deepEqual(sink?.resets, []);
  }
  assert.equal(broker.counters.holes, 0, "nothing had to be repaired");
  assert.equal(broker.counters.knownMessages, 0, "nothing came twice");
});

/** Publishes to all rooms in turn, until it is stopped. */
class Load {
  readonly stored = new Map<RoomName, number[]>();
  readonly #broker: NatsBroker;
  readonly #rooms: readonly RoomName[];
  #rounds = 0;
  #stopped = false;

  constructor(broker: NatsBroker, rooms: readonly RoomName[]) {
    this.#broker = broker;
    this.#rooms = rooms;
  }

  async run(): Promise<void> {
    while (!this.#stopped) {
      await Promise.all(
        this.#rooms.map(async (room) => {
          const { offset } = await this.#broker.publish({ room, data: encode(this.#rounds) });
          const stored = this.stored.get(room) ?? [];
          this.stored.set(room, stored);
          stored.push(offset);
        }),
      );
      this.#rounds += 1;
    }
  }

  /** Two more rounds: one that began after this call is done. */
  async round(): Promise<void> {
    const goal = this.#rounds + 2;
    await until("another round", () => this.#rounds >= goal, DEADLINE_MS);
  }

  stop(): void {
    this.#stopped = true;
  }
}
