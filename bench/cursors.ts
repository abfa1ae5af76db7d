/**
 * Cursors: everybody in a room moves, and everybody sees all others. Each move as a message of its own, and conflated:
 * frames, bytes and CPU.
 */

import { Audience } from "./audience/audience.js";
import { classBars, type MeasuredClass } from "./audience/class-plots.js";
import { rawOf } from "./audience/raw.js";
import { delay } from "./support/clock.js";
import { EngineProcess } from "./support/engine-process.js";
import { Histogram } from "./support/histogram.js";
import type { Plot } from "./support/plot.js";
import { cpuSince, cpuTime } from "./support/proc.js";
import { digits, percent, progress, type Table } from "./support/report.js";
import { defineScenario, type OptionValues } from "./support/scenario.js";

const OPTIONS = {
  people: { default: 50, help: "connections in the room" },
  moves: { default: 60, help: "what each publishes a second" },
  bytes: { default: 24, help: "bytes of a move" },
  seconds: { default: 4, help: "length of a measurement" },
  rates: { default: "all,20", help: "delivery classes to measure" },
} as const;

type Options = OptionValues<typeof OPTIONS>;

const NAMESPACES = {
  cursors: { ephemeral: true, publish: "client", key: "sender", rates: ["all", 30, 20, 10] },
};
const WARM_UP_MS = 1_000;

export const cursors = defineScenario({
  name: "cursors",
  summary: "a room where everybody moves: frames, bytes and CPU, conflated and not",
  options: OPTIONS,
  run: async (options) => {
    const args = [`--namespaces=${JSON.stringify(NAMESPACES)}`, "--limits.requests-per-second=1000"];
    const engine = await EngineProcess.start(args, 0);
    const audience = new Audience(1, 1);
    const all: MeasuredClass[] = [];
    try {
      for (const rate of options.rates.split(",")) {
        all.push(await measure(engine, audience, rate, options));
        progress(`${rate}: measured`);
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
  { people, moves, bytes, seconds }: Options,
): Promise<MeasuredClass> {
  await audience.connect({
    port: engine.port,
    connections: people,
    rooms: [`cursors.${rate}`],
    options: { echo: false, rate: rate === "all" ? rate : Number(rate) },
    movesPerSecond: moves,
    bytes,
  });
  await delay(WARM_UP_MS);
  const before = cpuTime(engine.child.pid);
  const phase = await audience.watch(seconds);
  const cpu = cpuSince(engine.child.pid, before);
  await audience.disconnect();
  return { rate, phase, cpu };
}

function report({ people, moves, bytes }: Options, all: readonly MeasuredClass[]): Table {
  return {
    title: `Cursors: ${people} people, ${moves} moves a second each, ${bytes} bytes`,
    columns: ["rate", "frames/s", "messages/s", "KB/s", "age p50 ms", "age p99 ms", "server CPU"],
    rows: all.map(({ rate, phase, cpu }) => {
      const each = (total: number): string => digits(total / phase.seconds / people);
      const age = Histogram.from(phase.ageMicros);
      return [
        rate,
        each(phase.frames),
        each(phase.messages),
        each(phase.bytes / 1_000),
        digits(age.quantile(0.5) / 1_000),
        digits(age.quantile(0.99) / 1_000),
        percent(cpu.micros / 1_000_000 / phase.seconds),
      ];
    }),
    notes: [
      "Frames, messages and bytes are a client's, own moves left out. Age: from the sending of a move to its arrival.",
      "Server CPU is of one core, taking the moves included.",
    ],
    raw: all.map(rawOf),
    plots: plotsOf(all, people),
  };
}

function plotsOf(all: readonly MeasuredClass[], people: number): Plot[] {
  const { common, messages, frames, bytes, cpu, ages } = classBars(all, people);
  return [
    { ...common, title: "Frames that a client is sent", y: "a second", series: [frames] },
    { ...common, title: "Messages in them", y: "a second", series: [messages] },
    { ...common, title: "What a client is sent", y: "KB a second", series: [bytes] },
    { ...common, title: "CPU of the server", y: "% of a core", series: [cpu] },
    { ...common, title: "From the sending of a move to its arrival", y: "ms", series: ages },
  ];
}
