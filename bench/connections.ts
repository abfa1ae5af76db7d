/**
 * The proof: very many connections on one box. Starts `fanwire serve` with several workers, connects everybody at a
 * pace, holds them, broadcasts to all, and cuts a share that comes back while publishing goes on.
 *
 * Clients and servers share the host. RSS and CPU are the servers' own, from /proc; memory of the kernel is that of
 * both ends of each connection. Every delivery is checked for order, holes and duplicates by the client that gets it.
 */

import { Arena } from "./fleet/arena.js";
import { describeHandshakes, type Handshakes, handshakesOf } from "./fleet/handshakes.js";
import { describeMs, millis } from "./fleet/latency.js";
import { measureStorm, type StormSeen, stormRows, WITNESS_NOTE } from "./fleet/storm-phase.js";
import { type Tally, troubles } from "./fleet/tally.js";
import { delay } from "./support/clock.js";
import { Histogram, type HistogramData } from "./support/histogram.js";
import { kernelMemory } from "./support/kernel.js";
import { Meter } from "./support/meter.js";
import { residentBytes } from "./support/proc.js";
import { digits, progress, type Table } from "./support/report.js";
import { BadOption, defineScenario, type OptionValues, splitArgs } from "./support/scenario.js";
import type { Role, ServedNode } from "./support/served-node.js";
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
  broadcasts: { default: 10, help: "messages to everybody" },
  "broadcast-seconds": { default: 3, help: "rest between them" },
  "storm-share": { default: 0.1, help: "share of the clients that is cut at once; 0: no storm" },
  "storm-rate": { default: 50, help: "messages a second, to all other rooms in turn, during the storm" },
  "quiet-seconds": { default: 10, help: "the same without a storm, for comparison" },
  serve: { default: "", help: "further arguments of fanwire serve" },
} as const;

type Options = OptionValues<typeof OPTIONS>;

export const connections = defineScenario({
  name: "connections",
  summary: "100,000 connections: memory, CPU, broadcasts to all, a storm of reconnects",
  options: OPTIONS,
  run: async (options) => [report(options, await measure(options))],
});

const STORM_DEADLINE_MS = 90_000;

async function measure(options: Options): Promise<Result> {
  if (options.broadcasts < 1) throw new BadOption("--broadcasts: at least 1");
  const workers = options.workers || Math.max(2, Math.ceil(options.connections / 15_000));
  const arena = await Arena.start({
    node: {
      workers,
      flags: splitArgs(options.serve),
    },
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
    const opened = await open(arena, options);
    const held = await hold(arena, options);
    const broadcasts = await broadcast(arena, options);
    const storm = options["storm-share"] > 0 ? await cutAndComeBack(arena, options) : undefined;
    return {
      workers,
      opened,
      held,
      broadcasts,
      storm,
      verdicts: Object.fromEntries(arena.verdicts),
      kernelEvents: arena.kernelEvents,
    };
  } finally {
    await arena.stop();
  }
}

interface Result {
  readonly workers: number;
  readonly opened: Opened;
  readonly held: Held;
  readonly broadcasts: Broadcasts;
  readonly storm: StormSeen | undefined;
  readonly verdicts: Readonly<Record<string, number>>;
  readonly kernelEvents: string;
}

interface Opened {
  readonly seconds: number;
  readonly handshakes: Handshakes;
  readonly handshakeMicros: HistogramData;
  readonly cpuMicrosEach: number;
  /** Growth of each worker since before the first connection. */
  readonly workerBytes: readonly number[];
  readonly hubBytes: readonly number[];
  /** All of the server's processes, with what they had before. */
  readonly totalBytes: number;
  readonly slabBytes: number;
  readonly tcpBytes: number;
  readonly troubles: readonly string[];
}

async function open(arena: Arena, options: Options): Promise<Opened> {
  const { node, fleet } = arena;
  await delay(options["settle-seconds"] * 1_000);
  const meter = await meterOf(node);
  const kernelBefore = kernelMemory();
  progress(`connecting ${options.connections}, ${options["connect-rate"]} a second`);
  const seconds = await arena.connectAll();
  const cpuMicros = meter.cpuMicros();
  await delay(options["settle-seconds"] * 1_000);
  const kernel = kernelMemory();
  const { all: tally } = await fleet.phase();
  const workerBytes = await grownBytes(node, "worker", meter);
  progress(
    `connected in ${digits(seconds)} s, ${kib(sum(workerBytes) / options.connections)} KiB of RSS each`,
  );
  return {
    seconds,
    handshakes: handshakesOf(tally),
    handshakeMicros: tally.handshakeMicros.toJSON(),
    cpuMicrosEach: cpuMicros / options.connections,
    workerBytes,
    hubBytes: await grownBytes(node, "hub", meter),
    totalBytes: meter.pids.reduce((total, pid) => total + residentBytes(pid), 0),
    slabBytes: kernel.slabBytes - kernelBefore.slabBytes,
    tcpBytes: kernel.tcpBytes - kernelBefore.tcpBytes,
    troubles: troublesOf(tally),
  };
}

async function meterOf(node: ServedNode): Promise<Meter> {
  return new Meter((await node.processes()).map(({ pid }) => pid));
}

async function grownBytes(node: ServedNode, role: Role, meter: Meter): Promise<number[]> {
  const processes = await node.processes();
  return processes.filter((process) => process.role === role).map(({ pid }) => meter.grownBytes(pid));
}

interface Held {
  readonly seconds: number;
  readonly pings: number;
  readonly cpuMicrosEachSecond: number;
  readonly lost: number;
  readonly troubles: readonly string[];
}

async function hold(arena: Arena, options: Options): Promise<Held> {
  const { fleet, node } = arena;
  progress(`holding for ${options["hold-seconds"]} s`);
  await fleet.phase();
  const meter = await meterOf(node);
  await delay(options["hold-seconds"] * 1_000);
  const cpuMicros = meter.cpuMicros();
  const { seconds } = meter;
  const { all: tally } = await fleet.phase();
  return {
    seconds,
    pings: tally.counts.pings,
    cpuMicrosEachSecond: cpuMicros / seconds / options.connections,
    lost: tally.counts.lost,
    troubles: troublesOf(tally),
  };
}

interface Broadcasts {
  /** Of each broadcast. */
  readonly deliveries: readonly number[];
  readonly lastMicros: readonly number[];
  readonly cpuMicros: readonly number[];
  readonly latencyMicros: HistogramData;
  readonly troubles: readonly string[];
}

async function broadcast(arena: Arena, options: Options): Promise<Broadcasts> {
  const latency = new Histogram();
  const deliveries: number[] = [];
  const lastMicros: number[] = [];
  const cpuMicros: number[] = [];
  const found: string[] = [];
  for (let number = 1; number <= options.broadcasts; number++) {
    const meter = await meterOf(arena.node);
    const { all: tally } = await arena.broadcast();
    deliveries.push(tally.counts.steady);
    lastMicros.push(tally.steadyMicros.max);
    cpuMicros.push(meter.cpuMicros() / Math.max(1, tally.counts.steady));
    latency.add(tally.steadyMicros.toJSON());
    found.push(...troublesOf(tally));
    if (tally.counts.steady !== options.connections)
      found.push(`broadcast ${number} was delivered ${tally.counts.steady} times`);
    progress(
      `broadcast ${number}/${options.broadcasts}: ${tally.counts.steady} deliveries, the last after ${millis(tally.steadyMicros.max)} ms`,
    );
    await delay(options["broadcast-seconds"] * 1_000);
  }
  return { deliveries, lastMicros, cpuMicros, latencyMicros: latency.toJSON(), troubles: found };
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

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function kib(bytes: number): string {
  return digits(bytes / 1_024);
}

function report(options: Options, result: Result): Table {
  const { opened, held, broadcasts, storm, workers } = result;
  const each = (bytes: number): number => bytes / options.connections;
  const { workerBytes, hubBytes } = opened;
  const sizes = summarize(workerBytes);
  const last = summarize(broadcasts.lastMicros);
  const found = [opened, held, broadcasts].flatMap((part) => part.troubles);
  if (storm !== undefined) {
    found.push(...storm.troubles);
    const lost = storm.lostBefore + storm.counts.lost;
    if (lost > 0) found.push(`${lost} connections were lost in the storm that were not cut`);
  }
  const rows: string[][] = [
    [
      "connected",
      `${digits(options.connections)} in ${digits(opened.seconds)} s, ${digits(options.connections / opened.seconds)}/s`,
    ],
    ["handshakes", describeHandshakes(opened.handshakes)],
    ["handshake p50 / p99 / p99.9", describeMs(opened.handshakeMicros)],
    ["server CPU a connect", `${digits(opened.cpuMicrosEach)} µs`],
    ["user RSS a connection, all workers", `${kib(each(sum(workerBytes)))} KiB`],
    [
      "– growth of a worker",
      `${digits(sizes.min / 2 ** 20)} to ${digits(sizes.max / 2 ** 20)} MiB; hubs ${digits(sum(hubBytes) / 2 ** 20)} MiB`,
    ],
    ["– all processes, empty ones' memory included", `${digits(opened.totalBytes / 2 ** 20)} MiB`],
    [
      "kernel memory a connection, both ends",
      `${kib(each(opened.slabBytes + opened.tcpBytes))} KiB (buffers ${kib(each(opened.tcpBytes))})`,
    ],
    [`held for ${digits(held.seconds)} s`, `${held.lost} lost, ${digits(held.pings)} pings`],
    ["server CPU, idle", `${digits(held.cpuMicrosEachSecond)} µs a connection and second`],
    [`${options.broadcasts} broadcasts, deliveries`, digits(sum(broadcasts.deliveries))],
    ["– last delivery after", `${millis(last.median)} ms (${millis(last.min)} to ${millis(last.max)})`],
    ["– latency p50 / p99 / p99.9", describeMs(broadcasts.latencyMicros)],
    ["– server CPU a delivery", `${digits(summarize(broadcasts.cpuMicros).median)} µs`],
  ];
  if (storm !== undefined) rows.push([`storm: ${digits(storm.counts.cut)} cut`, ""], ...stormRows(storm));
  return {
    title: `Connections: ${digits(options.connections)} with ${options["rooms-each"]} of ${digits(options.rooms)} rooms each, ${workers} workers`,
    columns: ["what", "measured"],
    rows,
    notes: [
      found.length === 0
        ? "No connection lost, every message delivered to every client exactly once and in order."
        : `TROUBLE: ${found.join(" | ")}`,
      `Kernel events: ${result.kernelEvents}. Overdue handshakes: ${JSON.stringify(result.verdicts)}.`,
      `Server: supervisor, workers and hubs together. ${WITNESS_NOTE}`,
    ],
    raw: result,
  };
}
