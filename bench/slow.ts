/**
 * Slow consumers: some of many clients stop reading while their rooms go on, and read again later. What that costs the
 * server's memory and the others' latency: before, during and after. The same is published all the time.
 */

import { Audience } from "./audience/audience.js";
import type { AudiencePhase } from "./audience/audience-protocol.js";
import { delay } from "./support/clock.js";
import { EngineProcess } from "./support/engine-process.js";
import { Histogram } from "./support/histogram.js";
import { KeyedStream } from "./support/keyed-stream.js";
import type { Plot } from "./support/plot.js";
import { type CpuTime, cpuSince, cpuTime, residentBytes } from "./support/proc.js";
import { digits, percent, progress, type Table } from "./support/report.js";
import { defineScenario, type OptionValues } from "./support/scenario.js";

const OPTIONS = {
  subscribers: { default: 9_000, help: "clients that read" },
  stalled: { default: 1_000, help: "clients that stop reading" },
  rate: { default: 5, help: "messages a second in the room of all" },
  "bulk-rate": { default: 10, help: "messages a second in the room of those that stall" },
  "bulk-bytes": { default: 12_000, help: "bytes of each of these" },
  bytes: { default: 100, help: "bytes of a message in the room of all" },
  seconds: { default: 8, help: "length of each phase" },
  "slow-ms": {
    default: 120_000,
    help: "limits.slowMs: long enough that who stalls is there when he reads again",
  },
} as const;

type Options = OptionValues<typeof OPTIONS>;

const ALL = "board.all";
const BULK = "board.bulk";
const NAMESPACES = { board: { state: true, history: { messages: 1_000, seconds: 60 } } };
const WARM_UP_MS = 2_000;
const COUNTERS = ["slowedDown", "restored", "dropped", "lagged", "slowCloses"] as const;

interface Measured {
  readonly name: string;
  readonly phase: AudiencePhase;
  readonly stalled: AudiencePhase;
  readonly cpu: CpuTime;
  readonly residentBytes: number;
  readonly counters: Readonly<Record<string, number>>;
}

export const slow = defineScenario({
  name: "slow",
  summary: "clients that stop reading: memory, and the latency of the others, before, during and after",
  options: OPTIONS,
  run: async (options) => {
    const args = [`--namespaces=${JSON.stringify(NAMESPACES)}`, `--limits.slow-ms=${options["slow-ms"]}`];
    const engine = await EngineProcess.start(args, 0);
    const [readers, stallers] = [new Audience(4, 1), new Audience(5, 1)];
    const streams: KeyedStream[] = [];
    try {
      const common = { port: engine.port, options: {}, movesPerSecond: 0, bytes: options.bytes };
      await readers.connect({ ...common, connections: options.subscribers, rooms: [ALL] });
      await stallers.connect({ ...common, connections: options.stalled, rooms: [ALL, BULK] });
      progress("all are connected");
      streams.push(streamOf(engine.port, ALL, options.rate, options.bytes));
      streams.push(streamOf(engine.port, BULK, options["bulk-rate"], options["bulk-bytes"]));
      await delay(WARM_UP_MS);
      const measure = (name: string): Promise<Measured> =>
        measureOnce(name, engine, readers, stallers, options);
      const before = await measure("before");
      await stallers.setReading(false);
      const during = await measure("stalled");
      const still = await measure("still stalled");
      await stallers.setReading(true);
      const back = await measure("they read again");
      return [report(options, [before, during, still, back, await measure("after")])];
    } finally {
      await Promise.allSettled(streams.map((stream) => stream.stop()));
      await Promise.all([engine.stop(), readers.stop(), stallers.stop()]);
    }
  },
});

function streamOf(port: number, room: string, perSecond: number, bytes: number): KeyedStream {
  return new KeyedStream({ port, room, keys: 20, perSecond, bytes });
}

async function measureOnce(
  name: string,
  engine: EngineProcess,
  readers: Audience,
  stallers: Audience,
  { seconds }: Options,
): Promise<Measured> {
  await stallers.phase();
  const before = cpuTime(engine.child.pid);
  const phase = await readers.watch(seconds);
  const stalled = await stallers.phase();
  const resident = residentBytes(engine.child.pid);
  progress(`${name}: measured`);
  return {
    name,
    phase,
    cpu: cpuSince(engine.child.pid, before),
    stalled,
    residentBytes: resident,
    counters: await engine.counters(),
  };
}

function report({ subscribers, stalled }: Options, all: readonly Measured[]): Table {
  const p99 = ({ phase }: Measured): number => Histogram.from(phase.ageMicros).quantile(0.99);
  const [before] = all;
  return {
    title: `Slow consumers: ${digits(stalled)} of ${digits(subscribers + stalled)} clients stop reading`,
    columns: [
      "phase",
      "RSS MB",
      "server CPU",
      "others p50 ms",
      "others p99 ms",
      "÷ before",
      "others lost",
      ...COUNTERS,
    ],
    rows: all.map((measured) => [
      measured.name,
      digits(measured.residentBytes / 1e6),
      percent(measured.cpu.micros / 1_000_000 / measured.phase.seconds),
      digits(Histogram.from(measured.phase.ageMicros).quantile(0.5) / 1_000),
      digits(p99(measured) / 1_000),
      digits(p99(measured) / (before === undefined ? Number.NaN : p99(before))),
      digits(measured.phase.lost),
      ...COUNTERS.map((name) => digits(measured.counters[name] ?? 0)),
    ]),
    notes: [
      "Server CPU is of one core. Counters since the start. No reader had a hole or a duplicate; those that stalled resumed without one or were told.",
    ],
    invalid: foundOf(all),
    raw: all.map(({ phase, stalled: others, ...rest }) => {
      const age = Histogram.from(phase.ageMicros);
      return {
        ...rest,
        p50Micros: age.quantile(0.5),
        p99Micros: age.quantile(0.99),
        stalled: { ...others, ageMicros: 0 },
      };
    }),
    plots: plotsOf(all),
  };
}

/** Where kernels took all that was published, nothing was measured. */
function foundOf(all: readonly Measured[]): string[] {
  const { slowedDown = 0, dropped = 0 } = all.at(-1)?.counters ?? {};
  if (slowedDown + dropped > 0) return [];
  return [
    "INVALID: no socket was found slow, as the kernel's buffers took everything: more --seconds or --bulk-rate.",
  ];
}

function plotsOf(all: readonly Measured[]): Plot[] {
  const common = { kind: "bars", x: "phase", places: all.map(({ name }) => name) } as const;
  const ages = (name: string, share: number) => ({
    name,
    values: all.map(({ phase }) => Histogram.from(phase.ageMicros).quantile(share) / 1_000),
  });
  const resident = { name: "RSS", values: all.map((measured) => measured.residentBytes / 1e6) };
  const cpu = { name: "CPU", values: all.map((one) => one.cpu.micros / 10_000 / one.phase.seconds) };
  const counters = COUNTERS.filter((name) => name !== "slowCloses").map((name) => ({
    name,
    values: all.map(({ counters: now }) => now[name] ?? 0),
  }));
  return [
    {
      ...common,
      title: "How old a message is when it reaches those that read",
      y: "ms",
      series: [ages("p50", 0.5), ages("p99", 0.99)],
    },
    { ...common, title: "Memory of the server", y: "RSS, MB", series: [resident] },
    { ...common, title: "CPU of the server", y: "% of a core", series: [cpu] },
    { ...common, title: "Slow sockets since the start", y: "times", series: counters },
  ];
}
