import type { Facts } from "./capacity-facts.js";
import { count, type Finding, findingsOf } from "./capacity-findings.js";
import { connectionLimits, connectionsOfWorker, processesOf } from "./capacity-limits.js";
import type { Config } from "./config-schema.js";

/** What this machine allows of what is configured. */
export interface Capacity {
  readonly workers: number;
  readonly hubs: number;
  /** `limits.connections`: sockets of the whole node. */
  readonly configured: number;
  /** How many of them can be open at once: the lowest bound of all, at most what is configured. */
  readonly reachable: number;
  /** How many sockets one worker takes at the most. */
  readonly worker: number;
  /** What was looked at. */
  readonly findings: readonly Finding[];
}

/** Compares what is configured with what is in force. Pure. */
export function capacityOf(config: Config, facts: Facts): Capacity {
  const { connections: configured, plainConnections } = config.limits;
  const { workers, hubs } = processesOf(config, facts);
  const share = { connections: connectionsOfWorker(configured, workers), plainConnections };
  const findings = findingsOf(config, facts);
  return {
    workers,
    hubs,
    configured,
    reachable: Math.min(configured, ...findings.map(({ connections = configured }) => connections)),
    worker: connectionLimits(share, facts.openFiles).connections,
    findings,
  };
}

/** What to warn of at the start: a line for each reason why the configured connections cannot be reached. */
export function capacityWarnings(config: Config, facts: Facts): readonly string[] {
  const { configured, findings } = capacityOf(config, facts);
  return findings
    .filter(({ level }) => level === "problem")
    .map(
      ({ subject, text, connections = 0, fixes }) =>
        `${count(connections)} of the ${count(configured)} configured connections fit (${subject}: ${text}). ` +
        `Either ${fixes.join(", or ")}. "fanwire doctor" says more`,
    );
}
