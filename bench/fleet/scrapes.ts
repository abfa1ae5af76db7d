import type { Meter } from "../support/meter.js";
import type { NodeProcess, ServedNode } from "../support/served-node.js";
import { summarize } from "../support/statistics.js";

/** What it costs a node to be asked for its metrics, of so many times one after the other. */
export interface Scrapes {
  readonly count: number;
  /** Of one answer. */
  readonly bytes: number;
  /** Median and longest time until it had come. */
  readonly medianMs: number;
  readonly longestMs: number;
  /** CPU of one, beyond what the process uses in the same time when nobody asks. */
  readonly supervisorMicros: number;
  /** Of all workers and hubs together, beyond the same. It may be below 0: those who are connected do not go by this clock. */
  readonly othersMicros: number;
}

/**
 * @param idle of these processes, begun a while ago, since when nobody asked
 * @param begin another one, from now on
 */
export async function measureScrapes(
  node: ServedNode,
  processes: readonly NodeProcess[],
  count: number,
  idle: Meter,
  begin: () => Meter,
): Promise<Scrapes> {
  const supervisor = processes.filter(({ role }) => role === "supervisor").map(({ pid }) => pid);
  const others = processes.filter(({ role }) => role !== "supervisor").map(({ pid }) => pid);
  const idleSeconds = idle.seconds;
  const perSecond = (pids: readonly number[]): number => idle.cpuMicros(pids) / idleSeconds;
  const [idleSupervisor, idleOthers] = [perSecond(supervisor), perSecond(others)];
  // The first compiles what the others use.
  let { length: bytes } = await node.metrics();
  const meter = begin();
  const times: number[] = [];
  for (let scrape = 0; scrape < count; scrape += 1) {
    const startMs = performance.now();
    bytes = (await node.metrics()).length;
    times.push(performance.now() - startMs);
  }
  const { seconds } = meter;
  const { median, max } = summarize(times);
  return {
    count,
    bytes,
    medianMs: median,
    longestMs: max,
    supervisorMicros: (meter.cpuMicros(supervisor) - idleSupervisor * seconds) / count,
    othersMicros: (meter.cpuMicros(others) - idleOthers * seconds) / count,
  };
}
