/**
 * Delivery classes: what a board of many symbols costs server and network at each rate, and how old what it shows is.
 * The same stream of updates goes to the same number of clients, at one rate after the other.
 */

import { Audience } from "./audience/audience.js";
import { classBars, type MeasuredClass } from "./audience/class-plots.js";
import { rawOf } from "./audience/raw.js";
import { delay } from "./support/clock.js";
import { EngineProcess } from "./support/engine-process.js";
import { Histogram } from "./support/histogram.js";
import { KeyedStream } from "./support/keyed-stream.js";
import type { Plot } from "./support/plot.js";
import { cpuSince, cpuTime } from "./support/proc.js";
import { digits, percent, progress, type Table } from "./support/report.js";
import { defineScenario, type OptionValues } from "./support/scenario.js";

const OPTIONS = {
  subscribers: { default: 200, help: "connections" },
  keys: { default: 100, help: "symbols" },
  rate: { default: 2_000, help: "updates a second, of all symbols together" },
  bytes: { default: 100, help: "bytes of an update's data" },
  seconds: { default: 4, help: "length of a measurement" },
  rates: { default: "all,30,10,4,1", help: "delivery classes to measure" },
} as const;

type Options = OptionValues<typeof OPTIONS>;

const ROOM = "board.fx";
const NAMESPACES = { board: { state: true, history: { messages: 1_000, seconds: 60 } } };
const WARM_UP_MS = 1_500;

export const conflation = defineScenario({
  name: "conflation",
  summary: "a board of many symbols at every delivery class: messages, bytes, age, CPU",
  options: OPTIONS,
  run: async (options) => {
    const engine = await EngineProcess.start([`--namespaces=${JSON.stringify(NAMESPACES)}`], 0);
    const audience = new Audience(0, 1);
    const all: MeasuredClass[] = [];
    try {
      for (const rate of options.rates.split(",")) {
        const measured = await measure(engine, audience, rate, options);
        progress(
          `${rate}: ${digits(measured.phase.messages / measured.phase.seconds / options.subscribers)} messages/s a client`,
        );
        all.push(measured);
      }
    } finally {
      await Promise.all([engine.stop(), audience.stop()]);
    }
    return [report(options, all)];
  },
});

async function measure(
  engine: EngineProcess,
  audience: Audience,
  rate: string,
  options: Options,
): Promise<MeasuredClass> {
  const { subscribers: connections, keys, rate: perSecond, bytes, seconds } = options;
  const stream = new KeyedStream({ port: engine.port, room: ROOM, keys, perSecond, bytes });
  try {
    await audience.connect({
      port: engine.port,
      connections,
      rooms: [ROOM],
      options: { state: true, rate: rate === "all" ? rate : Number(rate) },
      movesPerSecond: 0,
      bytes,
    });
    await delay(WARM_UP_MS);
    const before = cpuTime(engine.child.pid);
    const phase = await audience.watch(seconds);
    const cpu = cpuSince(engine.child.pid, before);
    await audience.disconnect();
    return { rate, phase, cpu };
  } finally {
    await stream.stop();
  }
}

function report(options: Options, all: readonly MeasuredClass[]): Table {
  const { subscribers, keys, rate, bytes } = options;
  const full = all[0]?.phase;
  return {
    title: `Conflation: ${subscribers} clients of a board of ${keys} symbols, ${digits(rate)} updates/s of ${bytes} bytes`,
    columns: [
      "rate",
      "messages/s",
      "frames/s",
      "KB/s",
      "of all bytes",
      "age p50 ms",
      "age p99 ms",
      "server CPU",
    ],
    rows: all.map(({ rate: name, phase, cpu }) => {
      const each = (total: number): string => digits(total / phase.seconds / subscribers);
      const age = Histogram.from(phase.ageMicros);
      const share = full === undefined ? 1 : phase.bytes / phase.seconds / (full.bytes / full.seconds);
      return [
        name,
        each(phase.messages),
        each(phase.frames),
        each(phase.bytes / 1_000),
        percent(share),
        digits(age.quantile(0.5) / 1_000),
        digits(age.quantile(0.99) / 1_000),
        percent(cpu.micros / 1_000_000 / phase.seconds),
      ];
    }),
    notes: [
      "Messages, frames and bytes are a client's. Age: from the time an update was due to be published to its arrival.",
      "Server CPU is of one core, publishing over HTTP included. No hole, no duplicate, every chain checked.",
    ],
    raw: all.map(rawOf),
    plots: plotsOf(all, subscribers),
  };
}

function plotsOf(all: readonly MeasuredClass[], subscribers: number): Plot[] {
  const { common, messages, frames, bytes, cpu, ages } = classBars(all, subscribers);
  return [
    { ...common, title: "What a client is sent", y: "KB a second", series: [bytes] },
    { ...common, title: "Messages that a client is sent", y: "a second", series: [messages] },
    { ...common, title: "Frames that they come in", y: "a second", series: [frames] },
    { ...common, title: "CPU of the server", y: "% of a core", series: [cpu] },
    { ...common, title: "Age of a value when it arrives", y: "ms", series: ages },
  ];
}
