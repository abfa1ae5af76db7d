/**
 * Memory of idle subscribers: the server's RSS (VmRSS) before and after they connected, divided by their number, for
 * the engine and a bare uWebSockets.js server, each in a fresh process. Rooms are few and shared, so that the number
 * is that of a connection and its subscriptions. The kernel's socket buffers are not in RSS and not in the number.
 *
 * "after GC" is with collection forced on both sides of the difference: what is really kept. Without it, RSS also
 * holds whatever garbage the connecting left behind. "young" is the part of the growth that V8 set aside for new
 * objects: up to 48 MB a process (`--max-semi-space-size` lowers it), however many connections there are.
 */

import { delay } from "./support/clock.js";
import {
  type KnownServer,
  parseServers,
  type ServerName,
  ServerProcess,
  Subscribers,
} from "./support/contest.js";
import { shippedNodeArgs } from "./support/node-args.js";
import { residentBytes } from "./support/proc.js";
import { digits, PartialResult, progress, type Table } from "./support/report.js";
import { BadOption, defineScenario, type OptionValues, splitArgs } from "./support/scenario.js";
import type { ServerReply } from "./support/server-control.js";
import { type Summary, summarize } from "./support/statistics.js";

const OPTIONS = {
  subscribers: { default: 10_000, help: "connections" },
  "rooms-each": { default: 3, help: "rooms that each of them subscribes to" },
  rooms: { default: 30, help: "rooms in all, at least rooms-each" },
  repetitions: { default: 3, help: "fresh processes of each server" },
  "settle-seconds": { default: 1, help: "rest before RSS is read" },
  servers: { default: "engine,bare", help: "who takes part, in this order" },
  "node-args": {
    default: shippedNodeArgs(),
    help: "arguments of node for all servers; default: those of the fanwire command",
  },
} as const;

type Options = OptionValues<typeof OPTIONS>;

export const idle = defineScenario({
  name: "idle",
  summary: "RSS per idle subscriber, against a bare uWebSockets.js server",
  options: OPTIONS,
  run: measure,
});

/** These connect and leave first, so that code, pools and hash tables that any connection needs are there before. */
const WARM_UP_CONNECTIONS = 500;

interface Growth {
  readonly server: ServerName;
  readonly emptyBytes: number;
  /** Bytes a subscriber, with garbage and without. */
  readonly asIs: number;
  readonly afterGc: number;
  readonly young: number;
  readonly heapAfterGc: number;
}

async function measure(options: Options): Promise<Table[]> {
  if (options.rooms < options["rooms-each"]) throw new BadOption("--rooms must be at least --rooms-each");
  const names = parseServers(options.servers);
  const growths: Growth[] = [];
  try {
    for (let round = 1; round <= options.repetitions; round++) {
      for (const name of names) {
        const growth = await grow(name, options);
        growths.push(growth);
        progress(`${round}/${options.repetitions} ${name}: ${kib(growth.afterGc)} KiB a subscriber after GC`);
      }
    }
  } catch (cause) {
    // Of a round that was not finished nothing counts.
    const whole = growths.slice(0, growths.length - (growths.length % names.length));
    if (whole.length === 0) throw cause;
    throw new PartialResult([report(options, names, whole)], cause);
  }
  return [report(options, names, growths)];
}

async function grow(name: KnownServer, options: Options): Promise<Growth> {
  const subscribers = new Subscribers({ pin: false });
  const server = await ServerProcess.start(name, {
    pin: false,
    execArgv: ["--expose-gc", ...splitArgs(options["node-args"])],
  });
  const connect = (connections: number): Promise<void> =>
    subscribers.connect({
      server,
      connections,
      rooms: options.rooms,
      roomsEach: options["rooms-each"],
    });
  try {
    await connect(WARM_UP_CONNECTIONS);
    await subscribers.disconnect();
    await delay(options["settle-seconds"] * 1_000);
    const heapBefore = await collect(server);
    const before = residentBytes(server.child.pid);
    await connect(options.subscribers);
    await delay(options["settle-seconds"] * 1_000);
    const asIs = residentBytes(server.child.pid) - before;
    const heap = await collect(server);
    const afterGc = residentBytes(server.child.pid) - before;
    const each = (bytes: number): number => bytes / options.subscribers;
    return {
      server: name,
      emptyBytes: before,
      asIs: each(asIs),
      afterGc: each(afterGc),
      young: each(heap.youngBytes - heapBefore.youngBytes),
      heapAfterGc: each(heap.heapUsedBytes - heapBefore.heapUsedBytes),
    };
  } finally {
    await Promise.all([subscribers.stop(), server.stop()]);
  }
}

async function collect(server: ServerProcess): Promise<Extract<ServerReply, { kind: "collected" }>> {
  const reply = await server.child.ask({ kind: "collect" }, 10_000);
  if (reply.kind !== "collected") throw new Error(`${server.name} did not collect`);
  return reply;
}

function report(options: Options, names: readonly ServerName[], growths: readonly Growth[]): Table {
  const of = (name: ServerName, pick: (growth: Growth) => number): Summary =>
    summarize(growths.filter((growth) => growth.server === name).map(pick));
  return {
    title: `Idle: ${options.subscribers} subscribers with ${options["rooms-each"]} rooms each`,
    columns: [
      "server",
      "KiB each",
      "KiB each after GC",
      "min to max",
      "of it young",
      "of it JS objects",
      "empty server MiB",
    ],
    rows: names.map((name) => {
      const afterGc = of(name, (growth) => growth.afterGc);
      return [
        name,
        kib(of(name, (growth) => growth.asIs).median),
        kib(afterGc.median),
        `${kib(afterGc.min)} to ${kib(afterGc.max)}`,
        kib(of(name, (growth) => growth.young).median),
        kib(of(name, (growth) => growth.heapAfterGc).median),
        digits(of(name, (growth) => growth.emptyBytes).median / 2 ** 20),
      ];
    }),
    notes: [
      `Medians of ${options.repetitions} fresh processes. RSS only: the kernel's part of a socket is not in it.`,
    ],
    raw: growths,
  };
}

function kib(bytes: number): string {
  return digits(bytes / 1_024);
}
