/** A hub with a memory broker as a process of its own: `node hub-program.testkit.js SOCKET LIMITS`. */
import { readFileSync } from "node:fs";
import { MemoryBroker } from "../memory.js";
import { startHub } from "./hub.js";
import type { HubCounters } from "./hub-counters.js";
import { DEFAULT_HUB_LIMITS, type HubLimits } from "./hub-limits.js";
import { modelSettings } from "./hub-model.testkit.js";

/** Its answer to any message. */
export interface HubReport {
  readonly counters: HubCounters;
  readonly residentBytes: number;
  readonly waitingBytes: number;
  readonly faults: readonly string[];
}

const [socketPath = "", limits = "{}"] = process.argv.slice(2);
const faults: string[] = [];
const hub = await startHub({
  broker: new MemoryBroker({ settingsOf: modelSettings }),
  socketPath,
  limits: { ...DEFAULT_HUB_LIMITS, ...(JSON.parse(limits) as Partial<HubLimits>) },
  onError: (cause) => faults.push(String(cause)),
});

function report(): HubReport {
  const resident = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "latin1"));
  const { counters, waitingBytes } = hub;
  return { counters, waitingBytes, residentBytes: Number(resident?.[1]) * 1_024, faults };
}

process.on("message", () => process.send?.(report()));
process.once("disconnect", () => process.exit());
process.send?.(report());
