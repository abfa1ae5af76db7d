/**
 * Slow consumers: some of many clients stop reading while their rooms go on, and read again later. What that costs the
 * server's memory and the others' latency: before, during and after. The same is published all the time.
 */

import { Audience } from "./audience/audience.js";
import type { AudiencePhase } from "./audience/audience-protocol.js";
import { delay } from "./support/clock.js";
import { Histogram } from "./support/histogram.js";
import { KeyedStream } from "./support/keyed-stream.js";
import {
  checkRoom,
  ENGINE_OPTIONS,
  type EngineNeeds,
  engineNotes,
  MeasuredEngine,
  needing,
} from "./support/measured-engine.js";
import { type Plot, type Series, seenPlots } from "./support/plot.js";
import { type CpuTime, coreShare } from "./support/proc.js";
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
    help: "limits.slowMs of the engine that this starts: long enough that who stalls is there when he reads again",
  },
  namespace: {
    default: "board",
    help: "of the rooms; any will do, and clients that stall are moved to its slowest class where it keeps state",
  },
  ...ENGINE_OPTIONS,
} as const;

type Options = OptionValues<typeof OPTIONS>;

const WARM_UP_MS = 2_000;
const COUNTERS = ["slowedDown", "restored", "dropped", "lagged", "slowCloses"] as const;
/** What clients that stall are told themselves, in their phases. */
const TOLD = ["moved", "lagged", "lost"] as const;

interface Measured {
  readonly name: string;
  readonly phase: AudiencePhase;
  readonly stalled: AudiencePhase;
  /** These three are undefined of an engine elsewhere. */
  readonly cpu: CpuTime | undefined;
  readonly residentBytes: number | undefined;
  readonly counters: Readonly<Record<string, number>> | undefined;
}

export const slow = defineScenario({
  name: "slow",
  summary: "clients that stop reading: memory, and the latency of the others, before, during and after",
  options: OPTIONS,
  run: async (options) => {
    const needs = needsOf(options);
    return [report(options, needs, await needing(needs, () => measureAll(options, needs)))];
  },
});

function needsOf(options: Options): EngineNeeds {
  const { namespace } = checkRoom("namespace", options.namespace);
  const settings = { state: true, history: { messages: 1_000, seconds: 60 } };
  const flags = [`--limits.slow-ms=${options["slow-ms"]}`];
  return { namespaces: { [namespace]: settings }, flags, option: "namespace" };
}

async function measureAll(options: Options, needs: EngineNeeds): Promise<Measured[]> {
  const engine = await MeasuredEngine.open(options.url, needs);
  const { host, port } = engine;
  const [allRoom, bulkRoom] = [`${options.namespace}.all`, `${options.namespace}.bulk`];
  const [readers, stallers] = [new Audience(4, 1), new Audience(5, 1)];
  const streams: KeyedStream[] = [];
  const begin = (room: string, perSecond: number, bytes: number): void => {
    streams.push(new KeyedStream({ host, port, room, keys: 20, perSecond, bytes }));
  };
  try {
    const common = { host, port, options: {}, movesPerSecond: 0, bytes: options.bytes };
    await readers.connect({ ...common, connections: options.subscribers, rooms: [allRoom] });
    await stallers.connect({ ...common, connections: options.stalled, rooms: [allRoom, bulkRoom] });
    progress("all are connected");
    begin(allRoom, options.rate, options.bytes);
    begin(bulkRoom, options["bulk-rate"], options["bulk-bytes"]);
    await delay(WARM_UP_MS);
    const measure = async (name: string): Promise<Measured> => {
      for (const stream of streams) stream.check();
      return await measureOnce(name, engine, readers, stallers, options);
    };
    // Once: what they read in the moment that they read again belongs to the phase that follows.
    await stallers.phase();
    const before = await measure("before");
    await stallers.setReading(false);
    const during = await measure("stalled");
    const still = await measure("still stalled");
    await stallers.setReading(true);
    const back = await measure("they read again");
    const all = [before, during, still, back, await measure("after")];
    await Promise.all(streams.map((stream) => stream.stop()));
    return all;
  } finally {
    await Promise.allSettled(streams.map((stream) => stream.stop()));
    await Promise.all([engine.stop(), readers.stop(), stallers.stop()]);
  }
}

async function measureOnce(
  name: string,
  engine: MeasuredEngine,
  readers: Audience,
  stallers: Audience,
  { seconds }: Options,
): Promise<Measured> {
  const usedCpu = engine.watchCpu();
  const phase = await readers.watch(seconds);
  const stalled = await stallers.phase();
  const resident = engine.residentBytes();
  progress(`${name}: measured`);
  return {
    name,
    phase,
    cpu: usedCpu(),
    stalled,
    residentBytes: resident,
    counters: await engine.counters(),
  };
}

/** What there is of the server: of one elsewhere nothing, so that its columns tell what its clients were told. */
interface Side {
  readonly columns: readonly string[];
  readonly after: readonly string[];
  before(measured: Measured): string[];
  behind(measured: Measured): string[];
}

const OWN_SIDE: Side = {
  columns: ["RSS MB", "server CPU"],
  after: COUNTERS,
  before: ({ residentBytes, cpu, phase }) => [
    digits(residentBytes === undefined ? undefined : residentBytes / 1e6),
    percent(coreShare(cpu, phase.seconds)),
  ],
  behind: ({ counters = {} }) => COUNTERS.map((name) => digits(counters[name] ?? 0)),
};

const CLIENTS_SIDE: Side = {
  columns: [],
  after: TOLD.map((name) => `stalled: ${name}`),
  before: () => [],
  behind: ({ stalled }) => TOLD.map((name) => digits(stalled[name])),
};

function report(options: Options, needs: EngineNeeds, all: readonly Measured[]): Table {
  const { subscribers, stalled, url } = options;
  const side = url === "" ? OWN_SIDE : CLIENTS_SIDE;
  const p99 = ({ phase }: Measured): number => Histogram.from(phase.ageMicros).quantile(0.99);
  const [before] = all;
  return {
    title: `Slow consumers: ${digits(stalled)} of ${digits(subscribers + stalled)} clients stop reading`,
    columns: [
      "phase",
      ...side.columns,
      "others p50 ms",
      "others p99 ms",
      "÷ before",
      "others lost",
      ...side.after,
    ],
    rows: all.map((measured) => [
      measured.name,
      ...side.before(measured),
      digits(Histogram.from(measured.phase.ageMicros).quantile(0.5) / 1_000),
      digits(p99(measured) / 1_000),
      digits(p99(measured) / (before === undefined ? Number.NaN : p99(before))),
      digits(measured.phase.lost),
      ...side.behind(measured),
    ]),
    notes: [
      "No reader had a hole or a duplicate; those that stalled resumed without one or were told.",
      ...(url === ""
        ? []
        : [
            "Stalled: how often in this phase they read that they were moved to another class, or lagged, and how many connections were lost. Who does not read learns of it when he reads again.",
          ]),
      ...engineNotes(url, needs, "Server CPU is of one core. Counters since the start."),
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
    plots: seenPlots(plotsOf(all)),
  };
}

/** Where kernels took all that was published, nothing was measured. */
function foundOf(all: readonly Measured[]): string[] {
  if (all.some(wasFound)) return [];
  return [
    "INVALID: no socket was found slow, as the kernel's buffers took everything: more --seconds or --bulk-rate.",
  ];
}

function wasFound({ counters, stalled }: Measured): boolean {
  if (counters === undefined) return TOLD.some((name) => stalled[name] > 0);
  const { slowedDown = 0, dropped = 0 } = counters;
  return slowedDown + dropped > 0;
}

function plotsOf(all: readonly Measured[]): Plot[] {
  const common = { kind: "bars", x: "phase", places: all.map(({ name }) => name) } as const;
  const ages = (name: string, share: number) => ({
    name,
    values: all.map(({ phase }) => Histogram.from(phase.ageMicros).quantile(share) / 1_000),
  });
  const seen = (name: string, value: (measured: Measured) => number | undefined): Series => ({
    name,
    values: all.map(value),
  });
  const times = (value: number | undefined, factor: number): number | undefined =>
    value === undefined ? undefined : value * factor;
  const resident = seen("RSS", (one) => times(one.residentBytes, 1e-6));
  const cpu = seen("CPU", (one) => times(coreShare(one.cpu, one.phase.seconds), 100));
  const counters = COUNTERS.filter((name) => name !== "slowCloses").map((name) =>
    seen(name, ({ counters: now }) => (now === undefined ? undefined : (now[name] ?? 0))),
  );
  const isOwn = all.some(({ counters: now }) => now !== undefined);
  const told = TOLD.map((name) => seen(name, ({ stalled }) => (isOwn ? undefined : stalled[name])));
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
    { ...common, title: "What clients that stall are told", y: "times", series: told },
  ];
}
