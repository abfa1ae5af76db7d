/**
 * The hub between processes: one that publishes into its memory broker, and workers that have all rooms open through their
 * links. Every message is checked for order at every worker. Rates in turn, each beside the same rate without any worker, so
 * that the hub's CPU a message and worker is that of handing over alone. Then workers publish through the hub.
 *
 * Latency is from `publish` to the sink, by the host's clock. CPU is user plus system, all threads, from /proc.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { HostReply, HostRequest } from "./hub-host.js";
import type { WorkerReply, WorkerRequest } from "./hub-worker.js";
import { Child } from "./support/child.js";
import { delay } from "./support/clock.js";
import { Histogram, type HistogramData } from "./support/histogram.js";
import { shippedNodeArgs } from "./support/node-args.js";
import { type CpuTime, cpuSince, cpuTime, residentBytes, wantedMicros } from "./support/proc.js";
import { digits, PartialResult, percent, progress, type Table } from "./support/report.js";
import { BadOption, defineScenario, type OptionValues, splitArgs } from "./support/scenario.js";
import { busyClient } from "./support/validity.js";

const OPTIONS = {
  workers: { default: 4, help: "worker processes, each with all rooms open" },
  rooms: { default: 1_000, help: "rooms, published to in turn" },
  bytes: { default: 100, help: "bytes of a message's data, 8 to 255" },
  rates: { default: "50000,100000,300000", help: "messages a second into the hub, one run each" },
  seconds: { default: 5, help: "length of a run" },
  publishers: { default: 2, help: "workers that publish through the hub at last; 0: none" },
  "in-flight": { default: 256, help: "publishes that each of them has under way" },
  "node-args": {
    default: shippedNodeArgs(),
    help: "arguments of node for all processes; default: those of the fanwire command",
  },
} as const;

type Options = OptionValues<typeof OPTIONS>;
type Host = Child<HostRequest, HostReply>;
type Worker = Child<WorkerRequest, WorkerReply>;
type Received = Extract<WorkerReply, { kind: "received" }>;
type Published = Extract<HostReply, { kind: "published" }>;

export const hub = defineScenario({
  name: "hub",
  summary: "messages from one hub to several workers: rate, hub CPU a message and worker, latency",
  options: OPTIONS,
  run: measure,
});

const START_MS = 10_000;
/** After the last publish, for what workers lag behind. */
const DRAIN_MS = 30_000;
/** Runs before the first that counts, so that code is compiled. */
const WARM_UP = { rate: 20_000, seconds: 1 } as const;
/** Above this rate only one in 16 messages is timed, as the clock would cost the worker more than the message. */
const TIME_ALL_BELOW = 60_000;

interface Run {
  readonly rate: number;
  readonly published: Published;
  readonly hubMicros: number;
  readonly hubRss: number;
  readonly workerMicros: readonly number[];
  /** Share of the time that the busiest worker ran, or was kept from its core. */
  readonly workerBusy: number;
  readonly received: readonly Received[];
}

async function measure(options: Options): Promise<Table[]> {
  const { bytes, workers, publishers } = options;
  if (bytes < 8 || bytes > 255) throw new BadOption(`--bytes ${bytes}: 8 to 255 are possible`);
  if (publishers > workers) throw new BadOption("--publishers may not be above --workers");
  const rates = options.rates.split(",").map(Number);
  if (!rates.every((rate) => rate > 0)) throw new BadOption(`--rates ${options.rates}: numbers above 0`);
  // Publishing alone first, in a hub of its own.
  const alone = await withProcesses(options, 0, (host) => runAll(host, [], rates, options));
  const tables: Table[] = [];
  try {
    await withProcesses(options, workers, async (host, links) => {
      const runs = await runAll(host, links, rates, options);
      tables.push(deliveryTable(options, runs, alone));
      if (publishers > 0) tables.push(await publishThrough(host, links.slice(0, publishers), options));
    });
  } catch (cause) {
    if (tables.length === 0) throw cause;
    throw new PartialResult(tables, cause);
  }
  return tables;
}

async function withProcesses<T>(
  options: Options,
  workers: number,
  use: (host: Host, links: Worker[]) => Promise<T>,
): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "fanwire-bench-"));
  const socketPath = join(folder, "hub.sock");
  const execArgv = splitArgs(options["node-args"]);
  const host: Host = new Child("hub-host.js", { execArgv });
  const links: Worker[] = Array.from({ length: workers }, () => new Child("hub-worker.js", { execArgv }));
  try {
    await host.ask({ kind: "listen", socketPath }, START_MS);
    await Promise.all(
      links.map((link) => link.ask({ kind: "open", socketPath, rooms: options.rooms }, START_MS)),
    );
    return await use(host, links);
  } finally {
    await Promise.all([host.stop(), ...links.map((link) => link.stop())]);
    rmSync(folder, { recursive: true, force: true });
  }
}

async function runAll(host: Host, links: Worker[], rates: number[], options: Options): Promise<Run[]> {
  await runOnce(host, links, WARM_UP.rate, { ...options, seconds: WARM_UP.seconds });
  const runs: Run[] = [];
  for (const rate of rates) {
    await delay(500);
    const run = await runOnce(host, links, rate, options);
    runs.push(run);
    progress(
      `${links.length} workers, ${rate}/s: ${digits(run.hubMicros / run.published.messages)} µs of hub a message`,
    );
  }
  return runs;
}

async function runOnce(host: Host, links: Worker[], rate: number, options: Options): Promise<Run> {
  const { rooms, bytes, seconds } = options;
  const sample = rate < TIME_ALL_BELOW ? 1 : 16;
  await Promise.all(links.map((link) => link.ask({ kind: "count", sample }, START_MS)));
  const before = cpuTime(host.pid);
  const workersBefore = links.map((link): CpuTime => cpuTime(link.pid));
  const wantedBefore = links.map((link) => wantedMicros(link.pid));
  const startedMs = performance.now();
  const published = await host.ask(
    { kind: "publish", rooms, rate, seconds, bytes },
    seconds * 10_000 + DRAIN_MS,
  );
  if (published.kind !== "published") throw new Error("the hub did not publish");
  const { messages } = published;
  const finish: WorkerRequest = { kind: "finish", messages, deadlineMs: DRAIN_MS };
  const received = await Promise.all(links.map((link) => link.ask(finish, 2 * DRAIN_MS)));
  const elapsedMicros = (performance.now() - startedMs) * 1_000;
  const wanted = links.map((link, index) => wantedMicros(link.pid) - (wantedBefore[index] ?? Number.NaN));
  return {
    rate,
    published,
    hubMicros: cpuSince(host.pid, before).micros,
    hubRss: residentBytes(host.pid),
    workerMicros: links.map(
      (link, index) => cpuSince(link.pid, workersBefore[index] ?? cpuTime(link.pid)).micros,
    ),
    workerBusy: Math.max(0, ...wanted) / elapsedMicros,
    received: received.map((reply) => {
      if (reply.kind !== "received") throw new Error("a worker did not count");
      if (reply.disordered > 0) throw new Error(`${reply.disordered} messages out of order at a worker`);
      if (reply.messages !== messages && reply.resets === 0)
        throw new Error(`${reply.messages} of ${messages} messages at a worker, and no reset told`);
      return reply;
    }),
  };
}

function deliveryTable(options: Options, runs: readonly Run[], alone: readonly Run[]): Table {
  const rows = runs.map((run, index) => {
    const { messages, micros, late } = run.published;
    const publishing = alone[index]?.hubMicros ?? Number.NaN;
    const latency = merge(run.received.map((reply) => reply.latency));
    const slowest = Math.max(...run.received.map((reply) => reply.micros), micros);
    const workerMicros = run.workerMicros.reduce((sum, each) => sum + each, 0) / options.workers;
    return [
      digits(run.rate),
      digits((messages / slowest) * 1_000_000),
      digits(run.hubMicros / messages),
      digits(run.hubMicros / messages / options.workers),
      digits((run.hubMicros - publishing) / messages / options.workers),
      percent(run.hubMicros / slowest),
      digits(workerMicros / messages),
      percent(run.workerBusy),
      millis(latency.quantile(0.5)),
      millis(latency.quantile(0.99)),
      millis(latency.quantile(0.999)),
      millis(Histogram.from(late).quantile(0.99)),
      String(run.received.reduce((sum, reply) => sum + reply.lagged, 0)),
      digits(run.hubRss / 2 ** 20),
    ];
  });
  return {
    title: `Hub: ${options.bytes} bytes to each of ${options.workers} workers, ${options.rooms} rooms`,
    columns: [
      "rate asked",
      "each worker/s",
      "hub µs/message",
      "hub µs/message/worker",
      "without publishing",
      "hub core",
      "worker µs/message",
      "busiest worker",
      "p50 ms",
      "p99 ms",
      "p99.9 ms",
      "publisher late p99 ms",
      "lagged",
      "hub MiB",
    ],
    rows,
    notes: [
      "Every message checked for order at every worker.",
      "Busiest worker: share of the time that one ran or waited for a core. lagged: times that any worker had lost its flow and was replayed, so far.",
    ],
    invalid: invalidOf(runs),
    raw: { runs, alone },
  };
}

/** Runs whose workers could not keep up: latency and what lagged say nothing of the hub then. */
export function invalidOf(runs: readonly Pick<Run, "rate" | "workerBusy">[]): string[] {
  return runs.flatMap(({ rate, workerBusy }) =>
    busyClient(workerBusy).map((what) => `${digits(rate)}/s: ${what}`),
  );
}

async function publishThrough(host: Host, links: Worker[], options: Options): Promise<Table> {
  const plan: WorkerRequest = {
    kind: "publish",
    seconds: options.seconds,
    inFlight: options["in-flight"],
    bytes: options.bytes,
    rooms: options.rooms,
  };
  const before = cpuTime(host.pid);
  const workersBefore = links.map((link) => cpuTime(link.pid));
  const replies = await Promise.all(links.map((link) => link.ask(plan, options.seconds * 1_000 + DRAIN_MS)));
  const published = replies.map((reply) => {
    if (reply.kind !== "published") throw new Error("a worker did not publish");
    return reply;
  });
  const messages = published.reduce((sum, reply) => sum + reply.messages, 0);
  const micros = Math.max(...published.map((reply) => reply.micros));
  const latency = merge(published.map((reply) => reply.latency));
  const workerMicros = links.reduce(
    (sum, link, index) => sum + cpuSince(link.pid, workersBefore[index] ?? cpuTime(link.pid)).micros,
    0,
  );
  return {
    title: `Publishing through the hub: ${links.length} of ${options.workers} workers, ${options["in-flight"]} under way each`,
    columns: ["publishes/s", "hub µs/publish", "publisher µs/publish", "p50 ms", "p99 ms", "p99.9 ms"],
    rows: [
      [
        digits((messages / micros) * 1_000_000),
        digits(cpuSince(host.pid, before).micros / messages),
        digits(workerMicros / messages),
        millis(latency.quantile(0.5)),
        millis(latency.quantile(0.99)),
        millis(latency.quantile(0.999)),
      ],
    ],
    notes: [
      `All ${options.workers} workers have all rooms open, so that both CPU times hold their flow as well.`,
    ],
    raw: published,
  };
}

function merge(parts: readonly HistogramData[]): Histogram {
  const counts = new Map<number, number>();
  for (const { buckets } of parts)
    for (const [index, count] of buckets) counts.set(index, (counts.get(index) ?? 0) + count);
  return Histogram.from({ max: Math.max(...parts.map(({ max }) => max)), buckets: [...counts] });
}

function millis(micros: number): string {
  return digits(micros / 1_000);
}
