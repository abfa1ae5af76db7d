/**
 * Cursors: everybody in a room moves, and everybody sees all others. Each move as a message of its own, and conflated:
 * frames, bytes and CPU.
 */

import type { Rate } from "../protocol/frames.js";
import { Audience } from "./audience/audience.js";
import { classBars, type MeasuredClass } from "./audience/class-plots.js";
import { allowedRates, parseRates } from "./audience/rates.js";
import { rawOf } from "./audience/raw.js";
import { delay } from "./support/clock.js";
import { Histogram } from "./support/histogram.js";
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
  people: { default: 50, help: "connections in the room" },
  moves: { default: 60, help: "what each publishes a second" },
  bytes: { default: 24, help: "bytes of a move" },
  seconds: { default: 4, help: "length of a measurement" },
  rates: { default: "all,20", help: "delivery classes to measure" },
  namespace: {
    default: "cursors",
    help: "of the rooms; it is ephemeral, clients publish, key is sender, and it allows these classes",
  },
  ...ENGINE_OPTIONS,
} as const;

type Options = OptionValues<typeof OPTIONS>;

const RATES = ["all", 30, 20, 10] as const;
/** Of one connection, beside its moves: room for what comes late and together, and what a server takes anyway. */
const REQUESTS_PER_MOVE = 2;
const REQUESTS_MIN = 1_000;
const WARM_UP_MS = 1_000;

export const cursors = defineScenario({
  name: "cursors",
  summary: "a room where everybody moves: frames, bytes and CPU, conflated and not",
  options: OPTIONS,
  run: async (options) => {
    const rates = parseRates(options.rates);
    const needs = needsOf(options, rates);
    return [report(options, needs, await needing(needs, () => measureAll(options, needs, rates)))];
  },
});

function needsOf({ namespace: name, moves }: Options, rates: readonly Rate[]): EngineNeeds {
  const { namespace } = checkRoom("namespace", name);
  const settings = {
    ...{ ephemeral: true, publish: "client", key: "sender" },
    rates: allowedRates(rates, RATES),
  };
  const requests = Math.ceil(Math.max(REQUESTS_MIN, REQUESTS_PER_MOVE * moves));
  const flags = [`--limits.requests-per-second=${requests}`];
  return { namespaces: { [namespace]: settings }, flags, option: "namespace" };
}

async function measureAll(
  options: Options,
  needs: EngineNeeds,
  rates: readonly Rate[],
): Promise<MeasuredClass[]> {
  const engine = await MeasuredEngine.open(options.url, needs);
  const audience = new Audience(1, 1);
  const all: MeasuredClass[] = [];
  try {
    for (const rate of rates) {
      all.push(await measure(engine, audience, rate, options));
      progress(`${rate}: measured`);
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
  { people, moves, bytes, seconds, namespace }: Options,
): Promise<MeasuredClass> {
  await audience.connect({
    host: engine.host,
    port: engine.port,
    connections: people,
    // A dot parts tokens, also in 0.5.
    rooms: [`${namespace}.${String(rate).replace(".", "-")}`],
    options: { echo: false, rate },
    movesPerSecond: moves,
    bytes,
  });
  await delay(WARM_UP_MS);
  const usedCpu = engine.watchCpu();
  const phase = await audience.watch(seconds);
  const cpu = usedCpu();
  await audience.disconnect();
  return { rate: String(rate), phase, cpu };
}

function report(options: Options, needs: EngineNeeds, all: readonly MeasuredClass[]): Table {
  const { people, moves, bytes } = options;
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
        percent(coreShare(cpu, phase.seconds)),
      ];
    }),
    notes: [
      "Frames, messages and bytes are a client's, own moves left out. Age: from the sending of a move to its arrival.",
      ...engineNotes(options.url, needs, "Server CPU is of one core, taking the moves included."),
    ],
    raw: all.map(rawOf),
    plots: seenPlots(plotsOf(all, people)),
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
