import assert from "node:assert/strict";
import { test } from "node:test";
import { encode } from "@msgpack/msgpack";
import type { SettingsOf } from "../core/settings.js";
import { parseRoom, type RoomName } from "../protocol/room-name.js";
import { conformance, conformanceSettings } from "./conformance.testkit.js";
import { createBrokerCounters } from "./counters.js";
import { KeyAge } from "./key-age.js";
import { MemoryBroker } from "./memory.js";
import { STATE_OVERHEAD_BYTES } from "./memory-limits.js";

const KEY_SECONDS = 10;
const aged: SettingsOf = (room) => ({ ...conformanceSettings(room), stateSeconds: KEY_SECONDS });

conformance("a broker with the age of keys on top", async () => {
  const broker = new KeyAge(
    new MemoryBroker({ settingsOf: conformanceSettings, onSinkError: () => {} }),
    aged,
  );
  return { broker, dispose: () => broker.stop(0) };
});

test("the memory broker, and any other with it on top, forget keys that nobody publishes", async () => {
  let nowMs = 1_000_000;
  const now = () => nowMs;
  const counters = createBrokerCounters();
  const memory = new MemoryBroker({ settingsOf: aged, nowMs: now, counters });
  const lasting = new MemoryBroker({ settingsOf: conformanceSettings, nowMs: now });
  const onTop = new KeyAge(lasting, aged, now);
  const room = parseRoom("keyed.a");
  for (const broker of [memory, onTop]) {
    await put(broker, room, "quiet");
    nowMs += 6_000;
    await put(broker, room, "busy");
    nowMs += 4_000;
    assert.deepEqual(await keysIn(broker, room), ["quiet", "busy"]);
    nowMs += 1;
    assert.deepEqual(await keysIn(broker, room), ["busy"]);
    nowMs += 6_000;
    assert.deepEqual(await keysIn(broker, room), []);
    assert.equal((await broker.state(room)).droppedKeys, 0);
    await put(broker, room, "quiet");
    assert.deepEqual(await keysIn(broker, room), ["quiet"]);
  }
  assert.equal(counters.expiredKeys, 2);
});

test("a sweep gives the memory of old keys back", async () => {
  let nowMs = 1_000_000;
  const counters = createBrokerCounters();
  const broker = new MemoryBroker({ settingsOf: aged, nowMs: () => nowMs, counters });
  for (let count = 0; count < 100; count += 1) await put(broker, parseRoom(`keyed.r${count}`), "k");
  const { bytes } = broker.usage;
  const { messages } = await broker.state(parseRoom("keyed.r99"));
  const frame = messages[0]?.frame.length ?? 0;
  nowMs += KEY_SECONDS * 1_000 + 1;
  broker.sweep();
  assert.equal(counters.expiredKeys, 100);
  // From r10 on the names are as long.
  assert.equal(
    bytes - broker.usage.bytes,
    100 * (frame + STATE_OVERHEAD_BYTES) - 10,
    "history is still there",
  );
});

function put(broker: Pick<MemoryBroker, "publish">, room: RoomName, key: string): Promise<unknown> {
  return broker.publish({ room, key, data: encode(1) });
}

async function keysIn(broker: Pick<MemoryBroker, "state">, room: RoomName): Promise<(string | undefined)[]> {
  return (await broker.state(room)).messages.map(({ key }) => key);
}
