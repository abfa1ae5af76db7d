import { delay } from "../support/clock.js";
import { Histogram, type HistogramData } from "../support/histogram.js";
import { cpuTime } from "../support/proc.js";
import { digits, progress } from "../support/report.js";
import type { Role } from "../support/served-node.js";
import { type Arena, BEAT_MS } from "./arena.js";
import type { FleetPhase } from "./fleet.js";
import { describeHandshakes, type Handshakes, handshakesOf } from "./handshakes.js";
import { describeMs, millis } from "./latency.js";
import { type Counts, clientBound, troubles } from "./tally.js";

export interface StormPlan {
  /** Messages a second before and during it, to all rooms but everybody's in turn. */
  readonly rate: number;
  readonly quietSeconds: number;
  readonly deadlineMs: number;
  /** Takes connections from clients; how many are to be live again in the end. */
  readonly strike: () => Promise<number>;
}

/** What a storm came to: everything until all were live again and caught up. */
export interface StormSeen {
  readonly counts: Counts;
  readonly handshakes: Handshakes;
  /** From the loss to the last room's `live`, of each who came back. */
  readonly comebackMicros: HistogramData;
  /** Latency of the witnesses, before and during it. */
  readonly quietMicros: HistogramData;
  readonly witnessMicros: HistogramData;
  /** Of all who lost nothing; those share processes with those who come back. */
  readonly othersMicros: HistogramData;
  /** Of those who came back: what they missed arrives late. */
  readonly returningMicros: HistogramData;
  readonly messages: number;
  /** Batches that the publisher had to send again. */
  readonly publishRetries: number;
  /** The longest that a worker's event loop stood still. */
  readonly stallMsBefore: number;
  readonly stallMs: number;
  /** Reads at the broker where rings did not reach back, replacements' empty ones above all; many resumes share one. */
  readonly historyReads: number;
  /** What the server's processes used that live in the end, by role; publishing is in it. */
  readonly cpuMicros: Readonly<Record<Role, number>>;
  /** Of each worker in the end. */
  readonly connections: readonly number[];
  /** Share of the time that the busiest client process was busy, before and during it. */
  readonly clientsBusyBefore: number;
  readonly clientsBusy: number;
  /** Clients that were lost in the quiet before; nobody should be. */
  readonly lostBefore: number;
  readonly troubles: readonly string[];
  /** What makes times say nothing of the server; empty: nothing does. */
  readonly invalid: readonly string[];
}

/** Publishes for a while, strikes while publishing goes on, and waits until all are back and caught up. */
export async function measureStorm(arena: Arena, plan: StormPlan): Promise<StormSeen> {
  const { fleet, publisher } = arena;
  await arena.storm();
  await fleet.phase();
  progress(`publishing ${plan.rate} messages a second for ${plan.quietSeconds} s`);
  const [quiet, stallMsBefore] = await withStalls(arena, quietPhase(arena, plan));
  const readsBefore = await historyReads(arena);
  const cpuBefore = await cpuOf(arena);
  const [storm, stallMs] = await withStalls(arena, stormPhase(arena, plan));
  const cpuMicros = { supervisor: 0, worker: 0, hub: 0 };
  for (const [pid, { role, micros }] of await cpuOf(arena))
    cpuMicros[role] += micros - (cpuBefore.get(pid)?.micros ?? 0);
  const reads = await historyReads(arena);
  const { all, witnesses } = storm.phase;
  const late =
    storm.missing === 0 ? [] : [`${storm.missing} were not back after ${plan.deadlineMs / 1_000} s`];
  return {
    counts: all.counts,
    handshakes: handshakesOf(all),
    comebackMicros: all.comebackMicros.toJSON(),
    quietMicros: quiet.witnesses.steadyMicros.toJSON(),
    witnessMicros: witnesses.steadyMicros.toJSON(),
    othersMicros: all.steadyMicros.toJSON(),
    returningMicros: all.returningMicros.toJSON(),
    messages: storm.messages,
    publishRetries: publisher.retries,
    stallMsBefore,
    stallMs,
    // Workers that are new since then begin at none, those that are gone are not counted before.
    historyReads: [...reads].reduce((sum, [pid, count]) => sum + count - (readsBefore.get(pid) ?? 0), 0),
    cpuMicros,
    connections: await connectionsOf(arena),
    clientsBusyBefore: quiet.all.busiest,
    clientsBusy: all.busiest,
    lostBefore: quiet.all.counts.lost,
    troubles: [...late, ...troubles(quiet.all), ...troubles(all)],
    invalid: [
      ...clientBound(quiet.all).map((what) => `before the storm: ${what}`),
      ...clientBound(all).map((what) => `storm: ${what}`),
    ],
  };
}

async function quietPhase(arena: Arena, { rate, quietSeconds }: StormPlan): Promise<FleetPhase> {
  const stream = arena.background(rate);
  await delay(quietSeconds * 1_000);
  await stream.stop();
  await arena.caughtUp();
  return await arena.fleet.phase();
}

async function stormPhase(
  arena: Arena,
  { rate, deadlineMs, strike }: StormPlan,
): Promise<{ phase: FleetPhase; messages: number; missing: number }> {
  const stream = arena.background(rate);
  const missing = await arena.allLive(await strike(), deadlineMs);
  const messages = await stream.stop();
  if (missing === 0) await arena.caughtUp();
  return { phase: await arena.fleet.phase(), messages, missing };
}

async function withStalls<T>(arena: Arena, during: Promise<T>): Promise<[T, number]> {
  const longest = arena.longestStall(during);
  const result = await during;
  return [result, await longest];
}

/** Of each worker; none where the engine is not ours. */
async function connectionsOf(arena: Arena): Promise<number[]> {
  if (!arena.isOurs) return [];
  return (await arena.node.status()).workers.map(({ report }) => report?.connections ?? 0);
}

/** Of each worker; none where the engine is not ours. */
async function historyReads(arena: Arena): Promise<Map<number, number>> {
  if (!arena.isOurs) return new Map();
  await delay(BEAT_MS);
  const { workers } = await arena.node.status();
  return new Map(workers.map(({ pid, report }) => [pid ?? 0, report?.counters.engine.historyReads ?? 0]));
}

/** CPU that each process has used since its start; none where the engine is not ours. */
async function cpuOf(arena: Arena): Promise<Map<number, { readonly role: Role; readonly micros: number }>> {
  if (!arena.isOurs) return new Map();
  const processes = await arena.node.processes();
  return new Map(processes.map(({ pid, role }) => [pid, { role, micros: cpuTime(pid).micros }]));
}

/** For the report of a scenario. */
export function stormRows(seen: StormSeen): string[][] {
  const comeback = Histogram.from(seen.comebackMicros);
  const seconds = (share: number): string => digits(comeback.quantile(share) / 1_000_000);
  const p99 = (data: HistogramData): number => Histogram.from(data).quantile(0.99);
  const { counts } = seen;
  // Of an engine that is not ours there is only what clients see.
  const isOurs = seen.connections.length > 0;
  return [
    [
      "all back and caught up after",
      `${digits(comeback.max / 1_000_000)} s (half after ${seconds(0.5)} s, 99 % after ${seconds(0.99)} s)`,
    ],
    ["– handshakes", describeHandshakes(seen.handshakes)],
    [
      "– resumed",
      `${digits(counts.recovered)} subscriptions, ${digits(counts.replayed)} messages replayed; ` +
        `${isOurs ? digits(seen.historyReads) : "–"} reads of history, the rest from rings`,
    ],
    ...(isOurs
      ? [
          [
            "– server CPU a comeback, workers / hubs",
            `${digits(seen.cpuMicros.worker / counts.comebacks)} / ${digits(seen.cpuMicros.hub / counts.comebacks)} µs`,
          ],
        ]
      : []),
    ["– witnesses' latency p50 / p99 / p99.9, before", describeMs(seen.quietMicros)],
    ["– during", describeMs(seen.witnessMicros)],
    ["– p99 during ÷ before", digits(p99(seen.witnessMicros) / p99(seen.quietMicros))],
    ["– latency of all others during", describeMs(seen.othersMicros)],
    [
      "– longest event-loop delay of a worker, before / during",
      `${digits(seen.stallMsBefore)} / ${digits(seen.stallMs)} ms`,
    ],
    [
      "– latency of those who came back, p50 / max",
      `${millis(Histogram.from(seen.returningMicros).quantile(0.5))} / ${millis(seen.returningMicros.max)} ms`,
    ],
    [
      "– connections of a worker then",
      `${digits(Math.min(...seen.connections))} to ${digits(Math.max(...seen.connections))}`,
    ],
    [
      "– busiest client process, before / during",
      `${digits(seen.clientsBusyBefore * 100)} / ${digits(seen.clientsBusy * 100)} % of the time`,
    ],
    ["– published meanwhile", `${seen.messages} messages, ${seen.publishRetries} batches sent again`],
  ];
}

export const WITNESS_NOTE =
  "Witnesses lost nothing and live in a process without anybody who did; all clients share the host with the servers.";
