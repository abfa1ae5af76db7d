/**
 * Coalescing: latency and CPU a delivery over offered load, with messages that wait for others under load (as shipped) and
 * without. Two engines with clients of their own, measured in turn at every load.
 */

import { Audience } from "./audience/audience.js";
import type { AudiencePhase } from "./audience/audience-protocol.js";
import { rawOf } from "./audience/raw.js";
import { delay } from "./support/clock.js";
import { EngineProcess } from "./support/engine-process.js";
import { Histogram } from "./support/histogram.js";
import { KeyedStream } from "./support/keyed-stream.js";
import type { Plot } from "./support/plot.js";
import { type CpuTime, cpuSince, cpuTime } from "./support/proc.js";
import { digits, percent, progress, type Table } from "./support/report.js";
import { defineScenario, type OptionValues } from "./support/scenario.js";

const OPTIONS = {
  subscribers: { default: 100, help: "connections to each engine" },
  rates: { default: "20,100,400,800", help: "messages a second, one load after the other" },
  bytes: { default: 100, help: "bytes of a message's data" },
  seconds: { default: 3, help: "length of a measurement" },
  waits: { default: "0,10", help: "flushMsMax of the engines" },
} as const;

type Options = OptionValues<typeof OPTIONS>;

const ROOM = "bench.load";
const WARM_UP_MS = 1_000;

interface Match {
  readonly flushMsMax: string;
  readonly engine: EngineProcess;
  readonly audience: Audience;
}

interface Measured {
  readonly flushMsMax: string;
  readonly perSecond: number;
  readonly phase: AudiencePhase;
  readonly cpu: CpuTime;
  readonly flushWaits: number;
  /** The publisher's part of the latency. */
  readonly sentLateMicros: number;
}

export const coalesce = defineScenario({
  name: "coalesce",
  summary: "latency and CPU a delivery over offered load, with and without waiting for others",
  options: OPTIONS,
  run: async (options) => {
    const matches: Match[] = [];
    const all: Measured[] = [];
    try {
      for (const [number, flushMsMax] of options.waits.split(",").entries()) {
        const engine = await EngineProcess.start([`--limits.flush-ms-max=${flushMsMax}`], 0);
        const audience = new Audience(2 + number, 1);
        matches.push({ flushMsMax, engine, audience });
        const { subscribers: connections, bytes } = options;
        await audience.connect({
          port: engine.port,
          connections,
          rooms: [ROOM],
          options: {},
          movesPerSecond: 0,
          bytes,
        });
      }
      for (const perSecond of options.rates.split(",").map(Number)) {
        for (const match of matches) {
          all.push(await measure(match, perSecond, options));
          progress(`${perSecond}/s, flushMsMax ${match.flushMsMax}: measured`);
        }
      }
    } finally {
      await Promise.all(matches.flatMap(({ engine, audience }) => [engine.stop(), audience.stop()]));
    }
    return [report(options, all)];
  },
});

async function measure(
  { flushMsMax, engine, audience }: Match,
  perSecond: number,
  { bytes, seconds }: Options,
): Promise<Measured> {
  const stream = new KeyedStream({ port: engine.port, room: ROOM, keys: 0, perSecond, bytes, everyMs: 1 });
  try {
    await delay(WARM_UP_MS);
    const waits = async (): Promise<number> => (await engine.counters()).flushWaits ?? 0;
    const waitsBefore = await waits();
    stream.takeLate();
    const before = cpuTime(engine.child.pid);
    const phase = await audience.watch(seconds);
    const cpu = cpuSince(engine.child.pid, before);
    const sentLateMicros = stream.takeLate().quantile(0.99);
    return { flushMsMax, perSecond, phase, cpu, flushWaits: (await waits()) - waitsBefore, sentLateMicros };
  } finally {
    await stream.stop();
  }
}

function report({ subscribers, bytes }: Options, all: readonly Measured[]): Table {
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
    rows: all.map(({ flushMsMax, perSecond, phase, cpu, flushWaits, sentLateMicros }) => {
      const age = Histogram.from(phase.ageMicros);
      return [
        String(perSecond),
        flushMsMax,
        digits(age.quantile(0.5) / 1_000),
        digits(age.quantile(0.99) / 1_000),
        digits(sentLateMicros / 1_000),
        digits(phase.loopLateMicros / 1_000),
        digits(cpu.micros / phase.messages),
        percent(cpu.micros / 1_000_000 / phase.seconds),
        digits(phase.messages / phase.frames),
        digits(flushWaits / phase.seconds),
      ];
    }),
    notes: [
      "Latency from the time a message was due; the publisher sends what is due every millisecond, over HTTP.",
      "Of that the bench's own: how late it sent, and how late the loop was that reads. Where they are as large, it is the machine that is late.",
      "Waits: flushes that waited for more. Where there are none, no message waited for others.",
      "CPU is the server's, publishing included, divided by deliveries. Both engines share a core, measured in turn.",
    ],
    raw: all.map(rawOf),
    plots: plotsOf(all),
  };
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
  const series = (value: (measured: Measured) => number) =>
    waits.map((wait) => ({
      name: wait === "0" ? "sent at once" : `flushMsMax ${wait}`,
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
      series: series(({ cpu, phase }) => cpu.micros / phase.messages),
    },
    {
      ...common,
      title: "Messages that share a frame",
      y: "messages a frame",
      series: series(({ phase }) => phase.messages / phase.frames),
    },
  ];
}
