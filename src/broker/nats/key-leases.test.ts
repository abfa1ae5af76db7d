import assert from "node:assert/strict";
import { test } from "node:test";
import { encode } from "@msgpack/msgpack";
import type { SettingsOf } from "../../core/settings.js";
import { isRemoval, type Message } from "../../protocol/message.js";
import { parseRoom } from "../../protocol/room-name.js";
import { conformanceSettings } from "../conformance.testkit.js";
import { createBrokerCounters } from "../counters.js";
import { DEFAULT_LEASE_LIMITS, KeyLeases } from "../key-leases.js";
import { freshPrefix, startTestBroker } from "./nats-broker.testkit.js";
import { NatsServer, until } from "./nats-server.testkit.js";

const ROOM = parseRoom("eph.cursors");
const { renewMs, lostMs } = DEFAULT_LEASE_LIMITS;
const settingsOf: SettingsOf = (room) => ({ ...conformanceSettings(room), key: "sender" });

test("keys of a node that died go at the other nodes of a NATS, those of one that lives stay", async (t) => {
  const server = await NatsServer.start();
  t.after(() => server.dispose());
  const prefix = freshPrefix();
  let nowMs = 1_000_000;
  const node = async () => {
    const broker = await startTestBroker(server.url, { prefix, partitions: 1 });
    t.after(() => broker.stop(1_000));
    const counters = createBrokerCounters();
    const leases = new KeyLeases(broker, settingsOf, counters, DEFAULT_LEASE_LIMITS, () => nowMs);
    return { broker, leases, counters };
  };
  const [dies, lives, watches] = [await node(), await node(), await node()];
  const seen: string[] = [];
  const message = (one: Message) => seen.push(`${isRemoval(one) ? "-" : ""}${one.key}`);
  await watches.leases.open(ROOM, { message, reset: () => undefined });
  const take = (leases: KeyLeases, key: string) =>
    leases.publish({ room: ROOM, key, data: encode(1), origin: "s", hold: "take" });
  await take(dies.leases, "dead");
  await take(lives.leases, "quiet");
  await until("both", () => seen.length === 2);
  await dies.broker.stop(0);
  for (let renewals = 2; nowMs < 1_000_000 + lostMs; renewals += 1) {
    nowMs += renewMs;
    lives.leases.sweep(true);
    await until("renewed", () => seen.filter((key) => key === "quiet").length === renewals);
    watches.leases.sweep(true);
  }
  assert.deepEqual(
    seen.filter((key) => key !== "quiet"),
    ["dead", "-dead"],
  );
  assert.equal(watches.counters.expiredKeys, 1);
});
