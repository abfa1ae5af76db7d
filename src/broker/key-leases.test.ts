import assert from "node:assert/strict";
import { test } from "node:test";
import { encode } from "@msgpack/msgpack";
import type { Outgoing, Sink } from "../core/ports.js";
import { DEFAULT_ROOM_SETTINGS, type SettingsOf } from "../core/settings.js";
import { CodedError } from "../protocol/errors.js";
import { dataOf, isRemoval, type Message, nil } from "../protocol/message.js";
import { parseRoom, type RoomName } from "../protocol/room-name.js";
import { conformance, conformanceSettings } from "./conformance.testkit.js";
import { createBrokerCounters } from "./counters.js";
import { DEFAULT_LEASE_LIMITS, KeyLeases } from "./key-leases.js";
import { MemoryBroker } from "./memory.js";

const ROOM = parseRoom("cursors.a");
const { renewMs, lostMs } = DEFAULT_LEASE_LIMITS;
const settingsOf: SettingsOf = (room) => ({
  ...DEFAULT_ROOM_SETTINGS,
  ephemeral: true,
  key: room.startsWith("cursors.") ? "sender" : "any",
});

conformance("a broker with leases on keys", async () => {
  const memory = new MemoryBroker({ settingsOf: conformanceSettings, onSinkError: () => {} });
  const leased: SettingsOf = (room) => ({ ...conformanceSettings(room), key: "sender" });
  const broker = new KeyLeases(memory, leased, createBrokerCounters());
  return { broker, dispose: () => broker.stop(0) };
});

/** What several nodes share. Who is down neither sends nor hears. */
class Bus {
  nowMs = 1_000_000;
  readonly nodes: Node[] = [];

  node(limits = DEFAULT_LEASE_LIMITS): Node {
    const node = new Node(this, limits);
    this.nodes.push(node);
    return node;
  }

  /** Time passes, swept as in a process by those who live. */
  async pass(ms: number): Promise<void> {
    for (const endMs = this.nowMs + ms; this.nowMs < endMs; ) {
      this.nowMs += 1_000;
      for (const node of this.nodes) if (node.isAlive) node.leases.sweep(!node.isAway);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

class Node implements Sink {
  isAlive = true;
  isAway = false;
  readonly counters = createBrokerCounters();
  readonly leases: KeyLeases;
  readonly #memory: MemoryBroker;
  /** `key=data`, or `-key` where it was taken out. */
  readonly seen: string[] = [];

  constructor(bus: Bus, limits: typeof DEFAULT_LEASE_LIMITS) {
    this.#memory = new MemoryBroker({ settingsOf, nowMs: () => bus.nowMs });
    const shared = Object.create(this.#memory, {
      publish: {
        value: async (outgoing: Outgoing) => {
          if (this.isAway) throw new CodedError("unavailable", "away", 100);
          const hearing = bus.nodes.filter((node) => node.isAlive && !node.isAway);
          await Promise.all(hearing.map((node) => node.#memory.publish(outgoing)));
          return { epoch: "", offset: 0 };
        },
      },
      open: { value: (room: RoomName, sink: Sink) => this.#memory.open(room, sink) },
      close: { value: (room: RoomName) => this.#memory.close(room) },
    });
    this.leases = new KeyLeases(shared, settingsOf, this.counters, limits, () => bus.nowMs);
  }

  message(message: Message): void {
    const [first] = dataOf(message);
    this.seen.push(isRemoval(message) ? `-${message.key}` : `${message.key}=${first}`);
  }

  reset(): void {}

  move(key: string, data: number, room = ROOM): Promise<unknown> {
    return this.leases.publish({ room, key, data: encode(data), origin: "s", hold: "take" });
  }

  release(key: string): Promise<unknown> {
    return this.leases.publish({ room: ROOM, key, data: nil(), origin: "s", hold: "release" });
  }

  take(): string[] {
    return this.seen.splice(0);
  }
}

async function pair(limits = DEFAULT_LEASE_LIMITS): Promise<{ bus: Bus; here: Node; there: Node }> {
  const bus = new Bus();
  const [here, there] = [bus.node(limits), bus.node(limits)];
  for (const node of [here, there]) await node.leases.open(ROOM, node);
  return { bus, here, there };
}

test("keys of a node that dies go at the others, those of one that lives stay however long nobody moves", async () => {
  const { bus, here, there } = await pair();
  await there.move("dead", 1);
  await here.move("quiet", 2);
  assert.deepEqual(here.take(), ["dead=1", "quiet=2"]);
  there.isAlive = false;
  await bus.pass(lostMs - 1_000);
  assert.ok(!here.seen.includes("-dead"), "not before its time");
  await bus.pass(2_000);
  assert.equal(here.seen.filter((what) => what === "-dead").length, 1);
  await bus.pass(5 * lostMs);
  const seen = here.take();
  assert.deepEqual(
    seen.filter((what) => what.startsWith("-")),
    ["-dead"],
    "once, and nobody else",
  );
  const renewals = seen.filter((what) => what === "quiet=2").length;
  assert.ok(renewals >= 10 && renewals <= (7 * lostMs) / renewMs, `${renewals} renewals`);
  assert.deepEqual([here.counters.expiredKeys, here.counters.droppedKeys], [1, 0]);
});

test("what is published over HTTP, in other rooms or without a key is nobody's and stays", async () => {
  const { bus, here, there } = await pair();
  const other = parseRoom("telemetry.a");
  await here.leases.open(other, here);
  await there.leases.publish({ room: ROOM, key: "desk", data: encode(1) });
  await there.leases.publish({ room: other, key: "sensor", data: encode(1), origin: "s" });
  await there.leases.publish({ room: ROOM, data: encode(1), origin: "s" });
  there.isAlive = false;
  here.take();
  await bus.pass(3 * lostMs);
  assert.deepEqual(here.take(), []);
});

test("a key that two nodes hold comes back when one of them gives it up", async () => {
  const { bus, here, there } = await pair();
  await there.move("ada", 1);
  await here.move("ada", 2);
  await there.release("ada");
  await bus.pass(1_000);
  assert.deepEqual(here.take(), ["ada=1", "ada=2", "-ada", "ada=2"]);
  await here.release("ada");
  await bus.pass(3 * lostMs);
  assert.deepEqual(there.take().slice(-1), ["-ada"]);
  assert.deepEqual(here.take(), ["-ada"]);
});

test("while the broker is away nobody is taken out; what left meanwhile is when it is back", async () => {
  const { bus, here, there } = await pair();
  await there.move("ada", 1);
  await here.move("bob", 2);
  here.isAway = true;
  here.take();
  await assert.rejects(here.release("bob"), (cause) => cause instanceof CodedError);
  await bus.pass(3 * lostMs);
  assert.deepEqual(here.take(), []);
  here.isAway = false;
  await bus.pass(1_000);
  await bus.pass(lostMs);
  const seen = here.take();
  assert.ok(seen.includes("-bob") && !seen.includes("-ada"), seen.join());
  assert.ok(there.take().includes("-bob"));
});

test("a room that is closed is forgotten, and bounds hold", async () => {
  const { bus, here, there } = await pair({ ...DEFAULT_LEASE_LIMITS, keys: 2 });
  for (const key of ["a", "b", "c"]) await there.move(key, 1);
  assert.deepEqual([here.counters.droppedKeys, there.counters.droppedKeys], [1, 1], "held, and heard of");
  there.isAlive = false;
  here.leases.close(ROOM);
  here.take();
  await bus.pass(2 * lostMs);
  assert.deepEqual(here.take(), []);
  assert.equal(here.counters.expiredKeys, 0);
  await here.leases.open(ROOM, here);
  await here.move("d", 1);
  assert.deepEqual(here.take(), ["d=1"]);
});
