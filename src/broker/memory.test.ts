import { parseRoom } from "../protocol/room-name.js";
import { conformance, conformanceSettings } from "./conformance.testkit.js";
import { MemoryBroker } from "./memory.js";

const KEYS = 20;
const ROOMS = 50;

conformance("the memory broker", async () => {
  let nowMs = 1_750_000_000_000;
  const broker = new MemoryBroker({
    settingsOf: conformanceSettings,
    nowMs: () => nowMs,
    limits: { keysPerRoom: KEYS, rooms: ROOMS },
    // The suite has sinks that throw on purpose.
    onSinkError: () => {},
  });
  return {
    broker,
    keysPerRoom: KEYS,
    advanceMs: async (ms) => {
      nowMs += ms;
    },
    renew: async () => {
      for (let index = 0; index < ROOMS; index += 1)
        await broker.publish({ room: parseRoom(`log.filler${index}`), data: Uint8Array.of(0xc0) });
    },
    dispose: () => broker.stop(0),
  };
});
