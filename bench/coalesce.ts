/**
 * Coalescing: latency and CPU a delivery over offered load, with messages that wait for others under load (as shipped) and
 * without. Two engines with clients of their own, measured in turn at every load.
 */

import { Audience } from "./audience/audience.js";
import type { AudiencePhase } from "./audience/audience-protocol.js";
import { rawOf } from "./audience/raw.js";
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
import { type Plot, seenPlots } from "./support/plot.js";
import { type CpuTime, coreShare } from "./support/proc.js";
import { digits, percent, progress, type Table } from "./support/report.js";
import { defineScenario, type OptionValues } from "./support/scenario.js";

const OPTIONS = {
  subscribers: { default: 100, help: "connections to each engine" },
  rates: { default: "20,100,400,800", help: "messages a second, one load after the other" },
  bytes: { default: 100, help: "bytes of a message's data" },
  seconds: { default: 3, help: "length of a measurement" },
  waits: { default: "0,10", help: "flushMsMax of the engines that this starts; one at --url has its own" },
  room: { default: "bench.load", help: "room of all; any namespace will do" },
  ...ENGINE_OPTIONS,
} as const;

type Options = OptionValues<typeof OPTIONS>;

const WARM_UP_MS = 1_000;

interface Match {
  readonly flushMsMax: string | undefined;
  readonly engine: MeasuredEngine;
  readonly audience: Audience;
}

interface Measured {
  /** undefined: of an engine elsewhere nobody knows, as of what follows it. */
  readonly flushMsMax: string | undefined;
  readonly perSecond: number;
  readonly phase: AudiencePhase;
  readonly cpu: CpuTime | undefined;
  readonly flushWaits: number | undefined;
  /** The publisher's part of the latency. */
  readonly sentLateMicros: number;
}

export const coalesce = defineScenario({
  name: "coalesce",
  summary: "latency and CPU a delivery over offered load, with and without waiting for others",
  options: OPTIONS,
  run: async (options) => {
    checkRoom("room", options.room);
    const needs = needsOf(undefined);
    return [report(options, needs, await needing(needs, () => measureAll(options)))];
  },
});

function needsOf(flushMsMax: string | undefined): EngineNeeds {
  const flags = flushMsMax === undefined ? [] : [`--limits.flush-ms-max=${flushMsMax}`];
  return { namespaces: {}, flags, option: "room" };
}

async function measureAll(options: Options): Promise<Measured[]> {
  const waits = options.url === "" ? options.waits.split(",") : [undefined];
  const matches: Match[] = [];
  const all: Measured[] = [];
  try {
    for (const [number, flushMsMax] of waits.entries()) {
      const engine = await MeasuredEngine.open(options.url, needsOf(flushMsMax));
      const { host, port } = engine;
      const audience = new Audience(2 + number, 1);
      matches.push({ flushMsMax, engine, audience });
      const { subscribers: connections, bytes, room } = options;
      const plan = { host, port, connections, rooms: [room], options: {}, movesPerSecond: 0, bytes };
      await audience.connect(plan);
    }
    for (const perSecond of options.rates.split(",").map(Number)) {
      for (const match of matches) {
        all.push(await measure(match, perSecond, options));
        progress(`${perSecond}/s, ${seriesName(match.flushMsMax)}: measured`);
      }
    }
  } finally {
    await Promise.all(matches.flatMap(({ engine, audience }) => [engine.stop(), audience.stop()]));
  }
  return all;
}

async function measure(
  { flushMsMax, engine, audience }: Match,
  perSecond: number,
  { bytes, seconds, room }: Options,
): Promise<Measured> {
  const { host, port } = engine;
  const stream = new KeyedStream({ host, port, room, keys: 0, perSecond, bytes, everyMs: 1 });
  try {
    await delay(WARM_UP_MS);
    stream.check();
    const before = await engine.counters();
    stream.takeLate();
    const usedCpu = engine.watchCpu();
    const phase = await audience.watch(seconds);
    const cpu = usedCpu();
    const sentLateMicros = stream.takeLate().quantile(0.99);
    const flushWaits = waitsSince(before, await engine.counters());
    return { flushMsMax, perSecond, phase, cpu, flushWaits, sentLateMicros };
  } finally {
    await stream.stop();
  }
}

type Counters = Awaited<ReturnType<MeasuredEngine["counters"]>>;

function waitsSince(before: Counters, now: Counters): number | undefined {
  return before === undefined || now === undefined
    ? undefined
    : (now.flushWaits ?? 0) - (before.flushWaits ?? 0);
}

/** Each is undefined where it was not seen. */
function derived({ cpu, flushWaits, phase }: Measured): {
  readonly cpuMicrosEach: number | undefined;
  readonly waitsPerSecond: number | undefined;
} {
  return {
    cpuMicrosEach: cpu === undefined ? undefined : cpu.micros / phase.messages,
    waitsPerSecond: flushWaits === undefined ? undefined : flushWaits / phase.seconds,
  };
}

function report(options: Options, needs: EngineNeeds, all: readonly Measured[]): Table {
  const { subscribers, bytes, url } = options;
  return {
    title: `Coalescing: ${subscribers} clients of one room, messages of ${bytes} bytes`,
    columns: [
      "messages/s",
      "flushMsMax",
      "p50 ms",
      "p99 ms",
      "sent late p99 ms",
      "read late p99 ms",
      "CPU µs/delivery",
      "server CPU",
      "messages/frame",
      "waits/s",
    ],
    rows: all.map((measured) => {
      const { flushMsMax, perSecond, phase, cpu, sentLateMicros } = measured;
      const { cpuMicrosEach, waitsPerSecond } = derived(measured);
      const age = Histogram.from(phase.ageMicros);
      return [
        String(perSecond),
        flushMsMax ?? digits(undefined),
        digits(age.quantile(0.5) / 1_000),
        digits(age.quantile(0.99) / 1_000),
        digits(sentLateMicros / 1_000),
        digits(phase.loopLateMicros / 1_000),
        digits(cpuMicrosEach),
        percent(coreShare(cpu, phase.seconds)),
        digits(phase.messages / phase.frames),
        digits(waitsPerSecond),
      ];
    }),
    notes: [
      "Latency from the time a message was due; the publisher sends what is due every millisecond, over HTTP.",
      "Of that the bench's own: how late it sent, and how late the loop was that reads. Where they are as large, it is the machine that is late.",
      ...(url === ""
        ? ["Waits: flushes that waited for more. Where there are none, no message waited for others."]
        : []),
      ...engineNotes(
        url,
        needs,
        "CPU is the server's, publishing included, divided by deliveries. Both engines share a core, measured in turn.",
      ),
    ],
    raw: all.map(rawOf),
    plots: seenPlots(plotsOf(all)),
  };
}

function seriesName(flushMsMax: string | undefined): string {
  if (flushMsMax === undefined) return "engine at --url";
  return flushMsMax === "0" ? "sent at once" : `flushMsMax ${flushMsMax}`;
}

function plotsOf(all: readonly Measured[]): Plot[] {
  const loads = [...new Set(all.map(({ perSecond }) => perSecond))];
  const common = {
    kind: "lines",
    x: "offered load, messages a second",
    places: loads.map(String),
    isLogarithmic: true,
  } as const;
  const waits = [...new Set(all.map(({ flushMsMax }) => flushMsMax))];
  const series = (value: (measured: Measured) => number | undefined) =>
    waits.map((wait) => ({
      name: seriesName(wait),
      values: loads.map((load) => {
        const found = all.find(({ perSecond, flushMsMax }) => perSecond === load && flushMsMax === wait);
        return found === undefined ? undefined : value(found);
      }),
    }));
  const ages = (share: number) =>
    series(({ phase }) => Histogram.from(phase.ageMicros).quantile(share) / 1_000);
  return [
    { ...common, title: "Latency, p50", y: "ms", series: ages(0.5) },
    { ...common, title: "Latency, p99", y: "ms", series: ages(0.99) },
    {
      ...common,
      title: "Of that: how late the bench itself sent, p99",
      y: "ms",
      series: series(({ sentLateMicros }) => sentLateMicros / 1_000),
    },
    {
      ...common,
      title: "CPU a delivery",
      y: "µs",
      series: series((measured) => derived(measured).cpuMicrosEach),
    },
    {
      ...common,
      title: "Messages that share a frame",
      y: "messages a frame",
      series: series(({ phase }) => phase.messages / phase.frames),
    },
  ];
}
