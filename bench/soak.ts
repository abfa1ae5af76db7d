/**
 * Soak: a steady load for long, with clients that come and go, and what changes over time: memory, CPU, latency. Each
 * stretch is a row; the notes say how memory grew from the first third to the last, by the hour.
 */
import { ServerProcess, Subscribers } from "./support/contest.js";
import { shippedNodeArgs } from "./support/node-args.js";
import { digits, PartialResult, percent, progress, type Table } from "./support/report.js";
import { BadOption, defineScenario, type OptionValues, splitArgs } from "./support/scenario.js";
import type { PublishPlan } from "./support/schedule.js";
import { summarize } from "./support/statistics.js";

const OPTIONS = {
  minutes: { default: 10, help: "how long, at most 1,440" },
  stretches: { default: 10, help: "parts of that time, a row each" },
  subscribers: { default: 1_000, help: "connections" },
  rooms: { default: 100, help: "rooms in all" },
  "rooms-each": { default: 3, help: "rooms of each of them" },
  rate: { default: 2, help: "messages a second in each room" },
  bytes: { default: 100, help: "bytes of a message's data" },
  churn: { default: 0.1, help: "share of the subscribers that is cut, and comes back, in each stretch" },
  url: { default: "", help: "an engine that runs, such as http://127.0.0.1:9001" },
  pin: { default: true, help: "server on core 0, subscribers on core 1" },
  "node-args": { default: shippedNodeArgs(), help: "arguments of node for the engine" },
} as const;

type Options = OptionValues<typeof OPTIONS>;

export const soak = defineScenario({
  name: "soak",
  summary: "a steady load for long, with clients that come and go: does memory or latency creep",
  options: OPTIONS,
  run: measure,
});

interface Stretch {
  readonly endSeconds: number;
  readonly deliveries: number;
  readonly cpuMicros: number;
  readonly residentBytes: number;
  readonly p50Micros: number;
  readonly p99Micros: number;
  readonly maxMicros: number;
  readonly cut: number;
  readonly clientBusy: number;
}

async function measure(options: Options): Promise<Table[]> {
  const { minutes, stretches, rooms, rate, bytes, churn } = options;
  if (minutes <= 0 || minutes > 1_440) throw new BadOption("--minutes: more than 0, at most 1,440");
  if (!Number.isInteger(stretches) || stretches < 1)
    throw new BadOption("--stretches: an integer of 1 or more");
  if (churn > 1) throw new BadOption("--churn: a share, 0 to 1");
  if (rooms < options["rooms-each"]) throw new BadOption("--rooms must be at least --rooms-each");
  const { pin } = options;
  const [server] = await ServerProcess.startAll("engine", options.url, {
    pin,
    execArgv: splitArgs(options["node-args"]),
  });
  if (server === undefined) throw new Error("no server");
  const subscribers = new Subscribers({ pin });
  const all: Stretch[] = [];
  try {
    const roomsEach = options["rooms-each"];
    await subscribers.connect({ server, connections: options.subscribers, rooms, roomsEach });
    const startedMs = performance.now();
    const plan: PublishPlan = { rooms, rate, burst: 1, bytes, seconds: (minutes * 60) / stretches };
    for (let number = 1; number <= stretches; number++) {
      const cut = await subscribers.renew(Math.round(options.subscribers * churn), options.subscribers);
      const window = await subscribers.window(server, plan);
      if (window.troubles.length > 0) throw new Error(`stretch ${number}: ${window.troubles.join("; ")}`);
      all.push({
        endSeconds: (performance.now() - startedMs) / 1_000,
        deliveries: window.deliveries,
        cpuMicros: window.cpuMicros,
        residentBytes: server.residentBytes() ?? Number.NaN,
        p50Micros: window.latency.quantile(0.5),
        p99Micros: window.latency.quantile(0.99),
        maxMicros: window.latency.max,
        cut,
        clientBusy: window.clientBusy,
      });
      progress(
        `${number}/${stretches}: ${digits(window.deliveries)} deliveries, p99 ${digits(window.latency.quantile(0.99) / 1_000)} ms`,
      );
    }
  } catch (cause) {
    if (all.length === 0) throw cause;
    throw new PartialResult([report(options, all)], cause);
  } finally {
    await Promise.all([subscribers.stop(), server.stop()]);
  }
  return [report(options, all)];
}

function report(options: Options, all: readonly Stretch[]): Table {
  const mib = (bytes: number): string => digits(bytes / 2 ** 20);
  const deliveries = all.reduce((sum, one) => sum + one.deliveries, 0);
  return {
    title: `Soak: ${digits(options.subscribers)} subscribers, ${options.rooms} rooms, ${options.rate} messages/s each`,
    columns: [
      "after min",
      "deliveries",
      "CPU µs/delivery",
      "RSS MiB",
      "p50 ms",
      "p99 ms",
      "max ms",
      "cut and back",
    ],
    rows: all.map((one) => [
      digits(one.endSeconds / 60),
      digits(one.deliveries),
      digits(one.cpuMicros),
      mib(one.residentBytes),
      digits(one.p50Micros / 1_000),
      digits(one.p99Micros / 1_000),
      digits(one.maxMicros / 1_000),
      digits(one.cut),
    ]),
    notes: [
      `${digits(deliveries)} deliveries; none missing, doubled or out of order; every resume was recovered.`,
      growthNote(all),
    ],
    invalid: Subscribers.invalid(all),
    raw: all,
  };
}

/** Medians of the first and the last third, as single readings jump with every collection of garbage. */
function growthNote(all: readonly Stretch[]): string {
  const third = Math.floor(all.length / 3);
  if (third === 0) return "Too few stretches to say how memory grows: at least 3.";
  const of = (part: readonly Stretch[], pick: (one: Stretch) => number): number =>
    summarize(part.map(pick)).median;
  const [first, last] = [all.slice(0, third), all.slice(-third)];
  const before = of(first, (one) => one.residentBytes);
  if (Number.isNaN(before)) return "Memory of an engine at --url is not seen from here.";
  const grown = of(last, (one) => one.residentBytes) - before;
  const hours = (of(last, (one) => one.endSeconds) - of(first, (one) => one.endSeconds)) / 3_600;
  return `RSS from the first to the last third: ${digits(grown / 2 ** 20)} MiB (${percent(grown / before)}), ${digits(grown / 2 ** 20 / hours)} MiB an hour.`;
}
