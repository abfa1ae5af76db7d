/**
 * Fan-out: what one delivery costs the server and how late it arrives, the engine beside a bare uWebSockets.js server.
 *
 * Both servers run all the time, each with a client process of its own (raw sockets, see fleet/);
 * short windows of publishing go to one and the other in turn, so that drift of the machine cancels. The schedule is
 * an open loop and latency counts from the time a message was due. The publisher is the bench's own process and uses
 * `POST /v1/messages` on both sides, a burst a request; what the request costs the server (some 50 µs) is in both
 * numbers, divided by all deliveries of the burst. CPU is the process's own from /proc, system calls included.
 */

import { FLEET_OPTIONS, openFleet } from "./fleet/remote/open-fleet.js";
import { type ServerName, ServerProcess, Subscribers, type Window } from "./support/contest.js";
import type { Histogram } from "./support/histogram.js";
import { shippedNodeArgs } from "./support/node-args.js";
import { digits, PartialResult, percent, progress, type Table } from "./support/report.js";
import { BadOption, defineScenario, type OptionValues, splitArgs } from "./support/scenario.js";
import { messagesPerRoom, type PublishPlan } from "./support/schedule.js";
import { pairedRatio, type Summary, summarize } from "./support/statistics.js";

const OPTIONS = {
  subscribers: { default: 2_000, help: "connections to each server" },
  "rooms-each": { default: 1, help: "rooms that each of them subscribes to" },
  rooms: { default: 1, help: "rooms in all, at least rooms-each" },
  rate: { default: 20, help: "messages a second in each room" },
  burst: { default: 1, help: "how many of them are published at once" },
  bytes: { default: 100, help: "bytes of a message's data" },
  seconds: { default: 1.5, help: "length of a window" },
  repetitions: { default: 5, help: "windows for each server, after one to warm up" },
  servers: {
    default: "engine,bare",
    help: "who takes part, in this order: engine, bare, handler (bare, from a handler)",
  },
  url: { default: "", help: "an engine that runs, such as http://127.0.0.1:9001, instead of --servers" },
  pin: { default: true, help: "servers on core 0, subscribers on core 1" },
  ...FLEET_OPTIONS,
  starve: { default: 0, help: "share of the time that subscribers are kept from running, 0 to 1" },
  "node-args": {
    default: shippedNodeArgs(),
    help: "arguments of node for all servers; default: those of the fanwire command",
  },
} as const;

type Options = OptionValues<typeof OPTIONS>;

export const fanout = defineScenario({
  name: "fanout",
  summary: "CPU a delivery and latency, a message at a time, against a bare uWebSockets.js server",
  options: OPTIONS,
  run: (options) => measure("Fan-out", options),
});

const BURST_OPTIONS = {
  ...OPTIONS,
  rate: { ...OPTIONS.rate, default: 64 },
  burst: { ...OPTIONS.burst, default: 64 },
  seconds: { ...OPTIONS.seconds, default: 2 },
} as const;

export const burst = defineScenario({
  name: "burst",
  summary: "the same in bursts: 64 messages in a room at once, a second apart",
  options: BURST_OPTIONS,
  run: (options) => measure("Bursts", options),
});

async function measure(title: string, options: Options): Promise<Table[]> {
  if (options.rooms < options["rooms-each"]) throw new BadOption("--rooms must be at least --rooms-each");
  if (options.starve > 0 && options.fleet !== "")
    throw new BadOption("--starve is of clients here, not of a --fleet");
  const { rooms, rate, bytes, seconds } = options;
  const plan: PublishPlan = { rooms, rate, burst: options.burst, bytes, seconds };
  const execArgv = splitArgs(options["node-args"]);
  const { pin } = options;
  const matches: Match[] = [];
  const children: Stoppable[] = [];
  try {
    const servers = await ServerProcess.startAll(options.servers, options.url, { pin, execArgv });
    children.push(...servers);
    for (const [group, server] of servers.entries()) {
      const remote = await openFleet(options, server.host, options.subscribers, { group });
      const subscribers = new Subscribers({ pin, group, starve: options.starve, remote });
      children.push(subscribers);
      const roomsEach = options["rooms-each"];
      await subscribers.connect({ server, connections: options.subscribers, rooms, roomsEach });
      progress(`${options.subscribers} subscribers at ${server.name}`);
      matches.push({ server, subscribers });
    }
    const names = servers.map(({ name }) => name);
    const windows: Window[] = [];
    try {
      await alternate(matches, plan, options.repetitions, windows);
    } catch (cause) {
      // Of a round that was not finished nothing counts, so that all servers have as many windows.
      const whole = windows.slice(0, windows.length - (windows.length % names.length));
      if (whole.length === 0) throw cause;
      throw new PartialResult([report(title, options, plan, names, whole)], cause);
    }
    return [report(title, options, plan, names, windows)];
  } finally {
    await Promise.all(children.map((child) => child.stop()));
  }
}

interface Stoppable {
  stop(): Promise<void>;
}

/** A server and its own subscribers. */
interface Match {
  readonly server: ServerProcess;
  readonly subscribers: Subscribers;
}

/** A window for each server in turn, again and again, added to `windows`; the first round only warms up. */
async function alternate(
  matches: readonly Match[],
  plan: PublishPlan,
  repetitions: number,
  windows: Window[],
): Promise<void> {
  for (let round = 0; round <= repetitions; round++) {
    for (const { server, subscribers } of matches) {
      const window = await subscribers.window(server, plan);
      const label = round === 0 ? "warm-up" : `${round}/${repetitions}`;
      progress(
        `${label} ${server.name}: ${digits(window.cpuMicros)} µs a delivery, p99 ${digits(window.latency.quantile(0.99) / 1_000)} ms`,
      );
      if (window.troubles.length > 0) throw new Error(`${server.name}: ${window.troubles.join("; ")}`);
      if (round > 0) windows.push(window);
    }
  }
}

function report(
  title: string,
  options: Options,
  plan: PublishPlan,
  names: readonly ServerName[],
  windows: readonly Window[],
): Table {
  const of = (name: ServerName): Window[] => windows.filter((window) => window.server === name);
  const cpu = (name: ServerName): number[] => of(name).map((window) => window.cpuMicros);
  const first = names[0];
  const ratios = names
    .slice(1)
    .flatMap((name) =>
      first === undefined ? [] : [{ of: first, to: name, ...pairedRatio(cpu(first), cpu(name)) }],
    );
  return {
    title: `${title}: ${options.subscribers} subscribers with ${count(options["rooms-each"], "room")} of ${plan.rooms}, ${plan.rate} messages/s a room in bursts of ${plan.burst}, ${plan.bytes} bytes`,
    columns: [
      "server",
      "CPU µs/delivery",
      "±",
      "system",
      "p50 ms",
      "p99 ms",
      "p99.9 ms",
      "messages/frame",
      "client CPU",
    ],
    rows: names.map((name) => row(name, of(name), summarize(cpu(name)))),
    notes: notes(plan, windows.length / names.length, ratios, windows),
    invalid: Subscribers.invalid(windows),
    raw: {
      ratios,
      windows: windows.map(({ latency, ...window }) => ({ ...window, latencyMicros: quantiles(latency) })),
    },
  };
}

function row(name: ServerName, windows: readonly Window[], cpu: Summary): string[] {
  const middle = (pick: (window: Window) => number): number => summarize(windows.map(pick)).median;
  const ms = (share: number): string => digits(middle((window) => window.latency.quantile(share)) / 1_000);
  return [
    name,
    digits(cpu.median),
    percent(cpu.spread),
    percent(middle(({ systemShare }) => systemShare)),
    ms(0.5),
    ms(0.99),
    ms(0.999),
    digits(middle((window) => window.messagesPerFrame)),
    percent(middle((window) => window.clientCpuShare)),
  ];
}

interface Ratio extends Summary {
  readonly of: ServerName;
  readonly to: ServerName;
}

function notes(
  plan: PublishPlan,
  repetitions: number,
  ratios: readonly Ratio[],
  windows: readonly Window[],
): string[] {
  const deliveries = windows.reduce((sum, window) => sum + window.deliveries, 0);
  return [
    `${digits(deliveries)} deliveries in ${windows.length} windows of ${messagesPerRoom(plan)} messages a room; none missing, doubled or out of order.`,
    `Medians of ${repetitions} windows, the servers in turn, latency too; ± is half the quartile distance.`,
    ...ratios.map(
      (ratio) =>
        `${ratio.of} ÷ ${ratio.to}: ${digits(ratio.median)} (median of ${ratio.runs} pairs, ${digits(ratio.min)} to ${digits(ratio.max)}).`,
    ),
  ];
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

function quantiles(latency: Histogram): Record<string, number> {
  return {
    p50: latency.quantile(0.5),
    p99: latency.quantile(0.99),
    "p99.9": latency.quantile(0.999),
    max: latency.max,
  };
}
