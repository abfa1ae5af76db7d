/**
 * A big room: how long a broadcast to all sockets of one process keeps its event loop from everything else, with the
 * room's sockets written to in lanes (as shipped) and all in one turn. Both servers run all the time, each with its own
 * subscribers; short windows of publishing go to one and the other in turn, so that drift of the machine cancels.
 */

import { parseServers, type ServerName, ServerProcess, Subscribers, type Window } from "./support/contest.js";
import { shippedNodeArgs } from "./support/node-args.js";
import { digits, PartialResult, progress, type Table } from "./support/report.js";
import { defineScenario, type OptionValues, splitArgs } from "./support/scenario.js";
import type { PublishPlan } from "./support/schedule.js";
import type { ServerReply } from "./support/server-control.js";
import { summarize } from "./support/statistics.js";

const OPTIONS = {
  subscribers: { default: 15_000, help: "connections to each server, all in one room" },
  rate: { default: 10, help: "messages a second" },
  bytes: { default: 100, help: "bytes of a message's data" },
  seconds: { default: 5, help: "length of a window" },
  repetitions: { default: 3, help: "windows for each server, after one to warm up" },
  servers: { default: "engine,one-lane", help: "who takes part, in this order" },
  pin: { default: true, help: "servers on core 0, subscribers on core 1" },
  "node-args": {
    default: shippedNodeArgs(),
    help: "arguments of node; default: those of the fanwire command",
  },
} as const;

type Options = OptionValues<typeof OPTIONS>;

export const bigroom = defineScenario({
  name: "bigroom",
  summary: "event-loop stalls while broadcasting to 15,000 sockets of one process, in lanes and at once",
  options: OPTIONS,
  run: measure,
});

type Stalls = Extract<ServerReply, { kind: "stalls" }>;

interface Measured {
  readonly server: ServerName;
  readonly stalls: Stalls;
  readonly window: Window;
}

interface Match {
  readonly server: ServerProcess;
  readonly subscribers: Subscribers;
}

const ASK_MS = 10_000;

async function measure(options: Options): Promise<Table[]> {
  const names = parseServers(options.servers);
  const { pin } = options;
  const execArgv = splitArgs(options["node-args"]);
  const matches: Match[] = [];
  const children: { stop(): Promise<void> }[] = [];
  try {
    for (const [group, name] of names.entries()) {
      const server = await ServerProcess.start(name, { pin, execArgv });
      children.push(server);
      const subscribers = new Subscribers({ pin, group });
      children.push(subscribers);
      await subscribers.connect({
        server,
        connections: options.subscribers,
        rooms: 1,
        roomsEach: 1,
      });
      progress(`${options.subscribers} subscribers at ${name}`);
      matches.push({ server, subscribers });
    }
    const all: Measured[] = [];
    try {
      await alternate(matches, options, all);
    } catch (cause) {
      // Of a round that was not finished nothing counts.
      const whole = all.slice(0, all.length - (all.length % names.length));
      if (whole.length === 0) throw cause;
      throw new PartialResult([report(options, names, whole)], cause);
    }
    return [report(options, names, all)];
  } finally {
    await Promise.all(children.map((child) => child.stop()));
  }
}

/** A window for each server in turn, again and again, added to `all`; the first round only warms up. */
async function alternate(matches: readonly Match[], options: Options, all: Measured[]): Promise<void> {
  for (let round = 0; round <= options.repetitions; round++) {
    for (const match of matches) {
      const measured = await measureOnce(match, options);
      const { p99Ms, maxMs } = measured.stalls;
      progress(
        `${round}/${options.repetitions} ${measured.server}: p99 ${digits(p99Ms)} ms, most ${digits(maxMs)} ms`,
      );
      if (round > 0) all.push(measured);
    }
  }
}

async function measureOnce({ server, subscribers }: Match, options: Options): Promise<Measured> {
  const { rate, bytes, seconds } = options;
  const plan: PublishPlan = { rooms: 1, rate, burst: 1, bytes, seconds };
  await server.child.ask({ kind: "watch-stalls" }, ASK_MS);
  const window = await subscribers.window(server, plan);
  const stalls = await server.child.ask({ kind: "tell-stalls" }, ASK_MS);
  if (stalls.kind !== "stalls") throw new Error(`${server.name} did not tell its stalls`);
  if (window.troubles.length > 0) throw new Error(`${server.name}: ${window.troubles.join("; ")}`);
  return { server: server.name, stalls, window };
}

function report(options: Options, names: readonly ServerName[], all: readonly Measured[]): Table {
  const deliveries = all.reduce((sum, { window }) => sum + window.deliveries, 0);
  return {
    title: `Big room: ${digits(options.subscribers)} sockets of one process, ${options.rate} messages/s of ${options.bytes} bytes`,
    columns: [
      "server",
      "stall p50 ms",
      "stall p99 ms",
      "longest ms",
      "CPU µs/delivery",
      "latency p50 ms",
      "p99 ms",
      "client CPU",
    ],
    rows: names.map((name) => {
      const of = all.filter(({ server }) => server === name);
      const middle = (pick: (measured: Measured) => number): number => summarize(of.map(pick)).median;
      const latencyMs = (share: number): string =>
        digits(middle(({ window }) => window.latency.quantile(share)) / 1_000);
      return [
        name,
        digits(middle(({ stalls }) => stalls.p50Ms)),
        digits(middle(({ stalls }) => stalls.p99Ms)),
        digits(Math.max(...of.map(({ stalls }) => stalls.maxMs))),
        digits(middle(({ window }) => window.cpuMicros)),
        latencyMs(0.5),
        latencyMs(0.99),
        digits(middle(({ window }) => window.clientCpuShare)),
      ];
    }),
    notes: [
      `Stalls: times between two turns of the event loop, seen by a timer of 1 ms inside the server (an idle loop: 1 ms). Medians of ${options.repetitions} windows of ${options.seconds} s, the servers in turn; "longest" of all windows.`,
      `${digits(deliveries)} deliveries; none missing, doubled or out of order.`,
    ],
    invalid: Subscribers.invalid(all.map(({ window }) => window)),
    raw: all.map(({ stalls, window: { latency, last: _, clientDelay: __, ...window } }) => ({
      stalls,
      ...window,
      latencyMicros: { p50: latency.quantile(0.5), p99: latency.quantile(0.99), max: latency.max },
    })),
  };
}
