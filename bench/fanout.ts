/**
 * Fan-out: what one delivery costs the server and how late it arrives, the engine beside a bare uWebSockets.js server.
 *
 * Both servers run all the time, each with a client process of its own (raw sockets, see fleet/);
 * short windows of publishing go to one and the other in turn, so that drift of the machine cancels. The schedule is
 * an open loop and latency counts from the time a message was due. The publisher is the bench's own process and uses
 * `POST /v1/messages` on both sides, a burst a request; what the request costs the server (some 50 µs) is in both
 * numbers, divided by all deliveries of the burst. CPU is the process's own from /proc, system calls included.
 */

import { fanoutTables, type Watched } from "./fanout-report.js";
import { FLEET_OPTIONS, openFleet } from "./fleet/remote/open-fleet.js";
import { ServerProcess, Subscribers, type Window } from "./support/contest.js";
import { shippedNodeArgs } from "./support/node-args.js";
import { digits, PartialResult, progress, type Table } from "./support/report.js";
import { BadOption, defineScenario, type OptionValues, splitArgs } from "./support/scenario.js";
import type { PublishPlan } from "./support/schedule.js";

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
  watch: { default: true, help: "one more window each, for stalls of the event loop and for garbage" },
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
    const { subscribers, "rooms-each": roomsEach } = options;
    const tables = (windows: readonly Window[], watched: readonly Watched[]): Table[] =>
      fanoutTables({ title, subscribers, roomsEach, plan }, names, windows, watched);
    const windows: Window[] = [];
    const watched: Watched[] = [];
    try {
      await alternate(matches, plan, options.repetitions, windows);
      // An engine that is not ours shows neither.
      if (options.watch && options.url === "")
        for (const match of matches) watched.push(await watch(match, plan));
    } catch (cause) {
      // Of a round that was not finished nothing counts, so that all servers have as many windows.
      const whole = windows.slice(0, windows.length - (windows.length % names.length));
      if (whole.length === 0) throw cause;
      throw new PartialResult(tables(whole, watched), cause);
    }
    return tables(windows, watched);
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

const ASK_MS = 10_000;

/** A window in which the server watches its event loop and its collector. */
async function watch({ server, subscribers }: Match, plan: PublishPlan): Promise<Watched> {
  await server.child.ask({ kind: "watch-stalls" }, ASK_MS);
  const startedMs = performance.now();
  const { troubles } = await subscribers.window(server, plan);
  const seconds = (performance.now() - startedMs) / 1_000;
  const stalls = await server.child.ask({ kind: "tell-stalls" }, ASK_MS);
  if (stalls.kind !== "stalls") throw new Error(`${server.name} did not tell its stalls`);
  if (troubles.length > 0) throw new Error(`${server.name}: ${troubles.join("; ")}`);
  return { server: server.name, seconds, stalls };
}
