/**
 * The proof: very many connections on one box. Starts `fanwire serve` with several workers, connects everybody at a
 * pace, holds them, broadcasts to all, and cuts a share that comes back while publishing goes on.
 *
 * Clients and servers share the host. RSS and CPU are the servers' own, from /proc; memory of the kernel is that of
 * both ends of each connection. Every delivery is checked for order, holes and duplicates by the client that gets it.
 */

import {
  type Broadcasts,
  connectionsTable,
  type Held,
  type Opened,
  type Result,
} from "./connections-report.js";
import { Arena } from "./fleet/arena.js";
import { handshakesOf } from "./fleet/handshakes.js";
import { millis } from "./fleet/latency.js";
import { FLEET_OPTIONS } from "./fleet/remote/open-fleet.js";
import { measureScrapes } from "./fleet/scrapes.js";
import { measureStorm, type StormSeen } from "./fleet/storm-phase.js";
import { clientBound, type Tally, troubles } from "./fleet/tally.js";
import { delay } from "./support/clock.js";
import { Histogram } from "./support/histogram.js";
import { kernelMemory } from "./support/kernel.js";
import { Meter } from "./support/meter.js";
import { residentBytes } from "./support/proc.js";
import { digits, PartialResult, progress } from "./support/report.js";
import { BadOption, defineScenario, type OptionValues, splitArgs } from "./support/scenario.js";
import type { Role } from "./support/served-node.js";
import { summarize } from "./support/statistics.js";

const OPTIONS = {
  connections: { default: 100_000, help: "clients" },
  witnesses: { default: 1_000, help: "of them, in a process of their own, whom the storm spares" },
  workers: { default: 0, help: "workers; 0: one for every 15,000 connections, at least 2" },
  "rooms-each": { default: 3, help: "rooms of each client; the first is everybody's" },
  rooms: { default: 1_001, help: "rooms in all" },
  bytes: { default: 100, help: "bytes of a message's data" },
  "connect-rate": { default: 3_000, help: "new connections a second" },
  "answer-seconds": { default: 30, help: "after which a handshake without an answer is looked into" },
  "warm-up": { default: 200, help: "connections a worker that come and go before" },
  "settle-seconds": { default: 5, help: "rest before memory is read" },
  "hold-seconds": { default: 120, help: "how long everybody is held, with pings" },
  scrapes: { default: 20, help: "of /metrics, while everybody is held; 0: none" },
  broadcasts: { default: 10, help: "messages to everybody" },
  "broadcast-seconds": { default: 3, help: "rest between them" },
  "storm-share": { default: 0.1, help: "share of the clients that is cut at once; 0: no storm" },
  "storm-rate": { default: 50, help: "messages a second, to all other rooms in turn, during the storm" },
  "quiet-seconds": { default: 10, help: "the same without a storm, for comparison" },
  serve: { default: "", help: "further arguments of fanwire serve" },
  url: {
    default: "",
    help: "an engine that runs, such as http://127.0.0.1:9001, instead of one of --workers",
  },
  ...FLEET_OPTIONS,
} as const;

type Options = OptionValues<typeof OPTIONS>;

export const connections = defineScenario({
  name: "connections",
  summary: "100,000 connections: memory, CPU, broadcasts to all, a storm of reconnects",
  options: OPTIONS,
  run: async (options) => [connectionsTable(options, await measure(options))],
});

const HOLD_POLL_MS = 1_000;
const STORM_DEADLINE_MS = 90_000;

async function measure(options: Options): Promise<Result> {
  if (options.broadcasts < 1) throw new BadOption("--broadcasts: at least 1");
  const workers = options.workers || Math.max(2, Math.ceil(options.connections / 15_000));
  const arena = await Arena.start({
    node: { workers, flags: splitArgs(options.serve) },
    url: options.url,
    fleet: options,
    connections: options.connections,
    witnesses: options.witnesses,
    rooms: { rooms: options.rooms, roomsEach: options["rooms-each"], shared: true },
    bytes: options.bytes,
    connectRate: options["connect-rate"],
    answerMs: options["answer-seconds"] * 1_000,
  });
  try {
    progress(`warm-up with ${workers * options["warm-up"]} connections`);
    if (options["warm-up"] > 0)
      await arena.warmUp(Math.min(options.connections, workers * options["warm-up"]));
    return await measureParts(arena, arena.isOurs ? workers : undefined, options);
  } finally {
    await arena.stop();
  }
}

/** One part after the other. @throws PartialResult with those that were whole, where one fails that is not the first. */
async function measureParts(arena: Arena, workers: number | undefined, options: Options): Promise<Result> {
  const opened = await open(arena, options);
  let held: Held | undefined;
  let broadcasts: Broadcasts | undefined;
  let storm: StormSeen | undefined;
  const soFar = (): Result => ({
    ...{ workers, opened, held, broadcasts, storm },
    verdicts: Object.fromEntries(arena.verdicts),
    kernelEvents: arena.kernelEvents,
  });
  try {
    held = await hold(arena, options);
    broadcasts = await broadcast(arena, options);
    if (options["storm-share"] > 0) storm = await cutAndComeBack(arena, options);
  } catch (cause) {
    throw new PartialResult([connectionsTable(options, soFar())], cause);
  }
  return soFar();
}

async function open(arena: Arena, options: Options): Promise<Opened> {
  const { fleet } = arena;
  await delay(options["settle-seconds"] * 1_000);
  const meter = await meterOf(arena);
  const kernelBefore = kernelMemory();
  progress(`connecting ${options.connections}, ${options["connect-rate"]} a second`);
  const seconds = await arena.connectAll();
  const cpuMicros = cpuOf(meter);
  await delay(options["settle-seconds"] * 1_000);
  const kernel = kernelMemory();
  const { all: tally } = await fleet.phase();
  const workerBytes = await grownBytes(arena, "worker", meter);
  progress(`connected in ${digits(seconds)} s`);
  return {
    seconds,
    handshakes: handshakesOf(tally),
    handshakeMicros: tally.handshakeMicros.toJSON(),
    cpuMicrosEach: cpuMicros / options.connections,
    workerBytes,
    hubBytes: await grownBytes(arena, "hub", meter),
    totalBytes: meter.pids.reduce((total, pid) => total + residentBytes(pid), 0),
    slabBytes: kernel.slabBytes - kernelBefore.slabBytes,
    tcpBytes: kernel.tcpBytes - kernelBefore.tcpBytes,
    troubles: troublesOf(tally),
    invalid: invalidOf("connecting", tally),
  };
}

/** Of the engine's processes; of none where it is not ours. */
async function meterOf(arena: Arena): Promise<Meter> {
  return new Meter(arena.isOurs ? (await arena.node.processes()).map(({ pid }) => pid) : []);
}

/** µs of CPU since; NaN where the engine is not ours. */
function cpuOf(meter: Meter): number {
  return meter.pids.length === 0 ? Number.NaN : meter.cpuMicros();
}

async function grownBytes(arena: Arena, role: Role, meter: Meter): Promise<number[]> {
  if (!arena.isOurs) return [];
  const processes = await arena.node.processes();
  return processes.filter((process) => process.role === role).map(({ pid }) => meter.grownBytes(pid));
}

/** Where the clients could not keep up in a part. */
function invalidOf(part: string, tally: Pick<Tally, "busiest">): string[] {
  return clientBound(tally).map((what) => `${part}: ${what}`);
}

async function hold(arena: Arena, options: Options): Promise<Held> {
  const { fleet } = arena;
  progress(`holding for ${options["hold-seconds"]} s`);
  await fleet.phase();
  const meter = await meterOf(arena);
  // Not just a rest: an agent that is gone is noticed.
  await fleet.until(() => false, options["hold-seconds"] * 1_000, {
    pollMs: Math.min(HOLD_POLL_MS, options["hold-seconds"] * 1_000),
  });
  const cpuMicros = cpuOf(meter);
  const { seconds } = meter;
  const { all: tally } = await fleet.phase();
  const begin = (): Meter => new Meter(meter.pids);
  const scrapes =
    arena.isOurs && options.scrapes > 0
      ? await measureScrapes(arena.node, await arena.node.processes(), options.scrapes, meter, begin)
      : undefined;
  return {
    seconds,
    pings: tally.counts.pings,
    cpuMicrosEachSecond: cpuMicros / seconds / options.connections,
    scrapes,
    lost: tally.counts.lost,
    troubles: troublesOf(tally),
    invalid: invalidOf("holding", tally),
  };
}

async function broadcast(arena: Arena, options: Options): Promise<Broadcasts> {
  const latency = new Histogram();
  const deliveries: number[] = [];
  const lastMicros: number[] = [];
  const cpuMicros: number[] = [];
  const clientsBusy: number[] = [];
  const found: string[] = [];
  for (let number = 1; number <= options.broadcasts; number++) {
    const meter = await meterOf(arena);
    const { all: tally } = await arena.broadcast();
    deliveries.push(tally.counts.steady);
    lastMicros.push(tally.steadyMicros.max);
    cpuMicros.push(cpuOf(meter) / Math.max(1, tally.counts.steady));
    clientsBusy.push(tally.busiest);
    latency.add(tally.steadyMicros.toJSON());
    found.push(...troublesOf(tally));
    if (tally.counts.steady !== options.connections)
      found.push(`broadcast ${number} was delivered ${tally.counts.steady} times`);
    progress(
      `broadcast ${number}/${options.broadcasts}: ${tally.counts.steady} deliveries, the last after ${millis(tally.steadyMicros.max)} ms`,
    );
    await delay(options["broadcast-seconds"] * 1_000);
  }
  return {
    ...{ deliveries, lastMicros, cpuMicros, clientsBusy },
    latencyMicros: latency.toJSON(),
    troubles: found,
    invalid: invalidOf("broadcasts", { busiest: summarize(clientsBusy).median }),
  };
}

/** A share of the clients loses its connections at once. */
async function cutAndComeBack(arena: Arena, options: Options): Promise<StormSeen> {
  return await measureStorm(arena, {
    rate: options["storm-rate"],
    quietSeconds: options["quiet-seconds"],
    deadlineMs: STORM_DEADLINE_MS,
    strike: async () => {
      const cut = await arena.fleet.cut(Math.round(options.connections * options["storm-share"]));
      progress(`${cut} connections cut`);
      return options.connections;
    },
  });
}

/** Besides what never may be: here nobody cuts a connection but we. */
function troublesOf(tally: Tally): string[] {
  const { lost } = tally.counts;
  return lost === 0 ? troubles(tally) : [`${lost} connections were lost`, ...troubles(tally)];
}
