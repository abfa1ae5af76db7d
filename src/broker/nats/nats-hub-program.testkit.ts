/** A hub with a NATS broker as a process of its own: `node nats-hub-program.testkit.js SOCKET PREFIX URL…`. */
import { existsSync } from "node:fs";
import { startHub } from "../hub/hub.js";
import { DEFAULT_HUB_LIMITS } from "../hub/hub-limits.js";
import { FAULT_NAMESPACES } from "./fault-settings.testkit.js";
import { startTestBroker } from "./nats-broker.testkit.js";
import type { NatsCounters } from "./nats-counters.js";

/** Its answer to any message. */
export interface NatsHubReport {
  readonly available: boolean;
  readonly counters: NatsCounters;
  readonly faults: readonly string[];
}

/** What it can be told to do before it answers. */
interface Ask {
  /** Does nothing else until this file is there. */
  readonly blockUntil?: string;
}

const [socketPath = "", prefix = "", ...urls] = process.argv.slice(2);
const faults: string[] = [];
const broker = await startTestBroker(urls, {
  settings: FAULT_NAMESPACES,
  prefix,
  partitions: 1,
  provision: false,
  name: "hub",
});
await startHub({
  broker,
  socketPath,
  limits: DEFAULT_HUB_LIMITS,
  onError: (cause) => faults.push(String(cause)),
});

function report(): NatsHubReport {
  return { available: broker.available, counters: broker.counters, faults };
}

process.on("message", ({ blockUntil }: Ask) => {
  const never = new Int32Array(new SharedArrayBuffer(4));
  while (blockUntil !== undefined && !existsSync(blockUntil)) Atomics.wait(never, 0, 0, 20);
  process.send?.(report());
});
process.once("disconnect", () => process.exit());
process.send?.(report());
