/**
 * Delivery classes: what a board of many symbols costs server and network at each rate, and how old what it shows is.
 * The same stream of updates goes to the same number of clients, at one rate after the other.
 */

import type { Rate } from "../protocol/frames.js";
import { Audience } from "./audience/audience.js";
import { classBars, type MeasuredClass } from "./audience/class-plots.js";
import { allowedRates, parseRates } from "./audience/rates.js";
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
import { coreShare } from "./support/proc.js";
import { digits, percent, progress, type Table } from "./support/report.js";
import { defineScenario, type OptionValues } from "./support/scenario.js";

const OPTIONS = {
  subscribers: { default: 200, help: "connections" },
  keys: { default: 100, help: "symbols" },
  rate: { default: 2_000, help: "updates a second, of all symbols together" },
  bytes: { default: 100, help: "bytes of an update's data" },
  seconds: { default: 4, help: "length of a measurement" },
  rates: { default: "all,30,10,4,1", help: "delivery classes to measure" },
  room: {
    default: "board.fx",
    help: "room of the board; its namespace keeps state and allows these classes",
  },
  ...ENGINE_OPTIONS,
} as const;

type Options = OptionValues<typeof OPTIONS>;

const WARM_UP_MS = 1_500;

export const conflation = defineScenario({
  name: "conflation",
  summary: "a board of many symbols at every delivery class: messages, bytes, age, CPU",
  options: OPTIONS,
  run: async (options) => {
    const rates = parseRates(options.rates);
    const needs = needsOf(options, rates);
    return [report(options, needs, await needing(needs, () => measureAll(options, needs, rates)))];
  },
});

function needsOf({ room }: Options, rates: readonly Rate[]): EngineNeeds {
  const { namespace } = checkRoom("room", room);
  const settings = { state: true, history: { messages: 1_000, seconds: 60 }, rates: allowedRates(rates) };
  return { namespaces: { [namespace]: settings }, flags: [], option: "room" };
}

async function measureAll(
  options: Options,
  needs: EngineNeeds,
  rates: readonly Rate[],
): Promise<MeasuredClass[]> {
  const engine = await MeasuredEngine.open(options.url, needs);
  const audience = new Audience(0, 1);
  const all: MeasuredClass[] = [];
  try {
    for (const rate of rates) {
      const measured = await measure(engine, audience, rate, options);
      progress(
        `${rate}: ${digits(measured.phase.messages / measured.phase.seconds / options.subscribers)} messages/s a client`,
      );
      all.push(measured);
    }
  } finally {
    await Promise.all([engine.stop(), audience.stop()]);
  }
  return all;
}

async function measure(
  engine: MeasuredEngine,
  audience: Audience,
  rate: Rate,
  options: Options,
): Promise<MeasuredClass> {
  const { host, port } = engine;
  const { subscribers: connections, keys, rate: perSecond, bytes, seconds, room } = options;
  const stream = new KeyedStream({ host, port, room, keys, perSecond, bytes });
  try {
    await audience.connect({
      host,
      port,
      connections,
      rooms: [room],
      options: { state: true, rate },
      movesPerSecond: 0,
      bytes,
    });
    await delay(WARM_UP_MS);
    stream.check();
    const usedCpu = engine.watchCpu();
    const phase = await audience.watch(seconds);
    const cpu = usedCpu();
    await audience.disconnect();
    return { rate: String(rate), phase, cpu };
  } finally {
    await stream.stop();
  }
}

function report(options: Options, needs: EngineNeeds, all: readonly MeasuredClass[]): Table {
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
        percent(coreShare(cpu, phase.seconds)),
      ];
    }),
    notes: [
      "Messages, frames and bytes are a client's. Age: from the time an update was due to be published to its arrival.",
      "No hole, no duplicate, every chain checked.",
      ...engineNotes(options.url, needs, "Server CPU is of one core, publishing over HTTP included."),
    ],
    raw: all.map(rawOf),
    plots: seenPlots(plotsOf(all, subscribers)),
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
