import { encode } from "@msgpack/msgpack";
import { parseRoom } from "../../protocol/room-name.js";
import { conformance } from "../conformance.testkit.js";
import { DEADLINE_MS, HubKit } from "./hub.testkit.js";
import { partitioned } from "./partitioned.js";

const KEYS = 20;
const ROOMS = 50;

/** One hub and a link to it, with everything that can be done to the memory broker behind it. */
async function fixture() {
  let nowMs = 1_700_000_000_000;
  const kit = new HubKit({
    broker: { limits: { keysPerRoom: KEYS, rooms: ROOMS }, nowMs: () => nowMs },
  });
  await kit.start();
  const link = await kit.linked();
  return {
    kit,
    broker: link,
    keysPerRoom: KEYS,
    deadlineMs: DEADLINE_MS,
    advanceMs: async (ms: number) => {
      nowMs += ms;
    },
    // A hub that dies takes its broker's memory along.
    loseContinuity: async () => {
      await kit.stop();
      await kit.start();
      await link.ready(DEADLINE_MS);
    },
    renew: async () => {
      for (let index = 0; index < ROOMS; index += 1)
        await kit.broker.publish({ room: parseRoom(`log.filler${index}`), data: encode(0) });
    },
    dispose: () => kit.dispose(),
  };
}

conformance("a memory broker behind a hub", fixture);

conformance("three hubs by partition", async () => {
  const fixtures = await Promise.all([fixture(), fixture(), fixture()]);
  return {
    broker: partitioned(fixtures.map(({ broker }) => broker)),
    keysPerRoom: KEYS,
    deadlineMs: DEADLINE_MS,
    advanceMs: async (ms) => {
      for (const { advanceMs } of fixtures) await advanceMs(ms);
    },
    loseContinuity: async () => {
      for (const { loseContinuity } of fixtures) await loseContinuity();
    },
    renew: async () => {
      for (const { renew } of fixtures) await renew();
    },
    dispose: async () => {
      for (const { dispose } of fixtures) await dispose();
    },
  };
});
