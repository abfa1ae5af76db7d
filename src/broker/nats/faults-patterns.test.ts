import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { LostWhere, Sink, Watcher } from "../../core/ports.js";
import { CodedError } from "../../protocol/errors.js";
import type { Message } from "../../protocol/message.js";
import { parseRoom, type RoomName } from "../../protocol/room-name.js";
import { parsePattern } from "../../protocol/room-pattern.js";
import { FaultRig } from "./fault-rig.testkit.js";
import { FAULT_NAMESPACES } from "./fault-settings.testkit.js";
import type { NatsBroker } from "./nats-broker.js";
import { NatsServer, pause, until } from "./nats-server.testkit.js";

let server: NatsServer;

before(async () => {
  server = await NatsServer.start();
});

after(() => server.dispose());

const SETTINGS = {
  ...FAULT_NAMESPACES,
  byName: { ...FAULT_NAMESPACES.byName, eph: { ...FAULT_NAMESPACES.defaults, ephemeral: true } },
};

const PATTERNS = ["log.>", "bare.*", "keyed.*", "eph.>"];

/** All that comes to a node that watches patterns, by room in the order in which it comes, wherever to. */
class Everywhere implements Watcher {
  readonly offsets = new Map<RoomName, number[]>();
  readonly losses: LostWhere[] = [];
  toWatcher = 0;
  toSinks = 0;

  message(message: Message): void {
    this.toWatcher += 1;
    this.#enter(message);
  }

  lost(where: LostWhere): void {
    this.losses.push(where);
  }

  sink(): Sink {
    return {
      message: (message) => {
        this.toSinks += 1;
        this.#enter(message);
      },
      reset: (room, _head, reason) => assert.fail(`${room} was told ${reason}`),
    };
  }

  of(room: RoomName): readonly number[] {
    return this.offsets.get(room) ?? [];
  }

  #enter({ room, offset }: Message): void {
    const known = this.offsets.get(room);
    if (known === undefined) this.offsets.set(room, [offset]);
    else known.push(offset);
  }
}

/** Opens and closes a room until it is stopped, also while NATS is away. */
async function churn(
  node: NatsBroker,
  room: RoomName,
  all: Everywhere,
  isOver: () => boolean,
): Promise<void> {
  for (let turn = 0; !isOver(); turn += 1) {
    try {
      await node.open(room, all.sink());
      await pause((turn % 4) * 12);
    } catch (cause) {
      assert.ok(cause instanceof CodedError && cause.code === "unavailable", String(cause));
    }
    node.close(room);
    await pause(5);
  }
}

test("watched patterns: every message comes once and in order while rooms open and close, over a killed server and cut connections", async (t) => {
  const rig = await FaultRig.start(t, server, { broker: { settings: SETTINGS } });
  const node = await rig.startNode();
  const all = new Everywhere();
  for (const pattern of PATTERNS) await node.watch(parsePattern(pattern), all);
  const epoch = (room: RoomName): string =>
    rig.books.readers.find(({ ledger }) => ledger.room === room)?.start?.epoch ?? "";
  rig.publish();
  let isOver = false;
  t.after(() => {
    isOver = true;
  });
  const churning = Promise.all(
    ["log.a", "bare.a", "keyed.b", "log.quiet1"].map((room) =>
      churn(node, parseRoom(room), all, () => isOver),
    ),
  );
  await rig.books.publishedMore(100);
  rig.whisper();
  await server.kill();
  await until("all nodes to notice", () => rig.nodes.every(({ available }) => !available));
  await server.start();
  await rig.allAvailable();
  await rig.books.publishedMore(100);
  for (let turn = 2; turn <= 3; turn += 1) {
    rig.way(2, "closed");
    rig.whisper();
    await rig.books.publishedMore(60);
    rig.way(2, "open");
    await rig.noticed(2, turn);
  }
  await rig.books.publishedMore(100);
  isOver = true;
  await churning;
  await rig.finish(t);
  const expected = rig.books.ledgers.map((ledger) => ({
    room: ledger.room,
    offsets: ledger.stored(epoch(ledger.room)).map(({ offset }) => offset),
  }));
  await until("everything to come", () =>
    expected.every(({ room, offsets }) => all.of(room).length >= offsets.length),
  ).catch(() => undefined);
  for (const { room, offsets } of expected) assert.deepEqual(all.of(room), offsets, room);
  const ofStored = all.losses.filter(
    (where) => where === "all" || "room" in where || where.patterns.some((pattern) => pattern !== "eph.>"),
  );
  assert.deepEqual(ofStored, [], "nothing stored was lost");
  assert.ok(all.losses.length > 0, "of rooms that keep nothing that is told");
  assert.ok(all.toWatcher > 100 && all.toSinks > 5, `${all.toWatcher} and ${all.toSinks}`);
  t.diagnostic(`${all.toWatcher} to the watcher, ${all.toSinks} to sinks, ${all.losses.length} losses told`);
});
