import { describe } from "node:test";
import { flowTests } from "./conformance-flow.testkit.js";
import { gossipTests } from "./conformance-gossip.testkit.js";
import { historyTests } from "./conformance-history.testkit.js";
import { publishTests, stateTests } from "./conformance-publish.testkit.js";
import { checkWith, type MakeFixture } from "./conformance-rig.testkit.js";
import { roomsTests } from "./conformance-rooms.testkit.js";
import { watchTests } from "./conformance-watch.testkit.js";

export {
  type BrokerFixture,
  conformanceSettings,
  HISTORY_MESSAGES,
  HISTORY_SECONDS,
  type MakeFixture,
} from "./conformance-rig.testkit.js";

export interface ConformanceOptions {
  /** Tests at once, for brokers whose tests wait more than they work. Default: 1. */
  readonly concurrency?: number;
}

/**
 * Registers the tests that every broker passes. Delivery may be asynchronous and offsets may skip numbers. What a
 * fixture cannot do (move time, renew a room, bound its keys) is skipped and shows as such.
 */
export function conformance(
  name: string,
  makeFixture: MakeFixture,
  { concurrency = 1 }: ConformanceOptions = {},
): void {
  describe(`${name} conforms to the broker port`, { concurrency }, () => {
    const check = checkWith(makeFixture);
    flowTests(check);
    historyTests(check);
    publishTests(check);
    stateTests(check);
    gossipTests(check);
    watchTests(check);
    roomsTests(check);
  });
}
