/**
 * A storm: some workers of a box are killed with SIGKILL at once, and everybody they served comes back to the others and
 * to the replacements, honouring refusals, while publishing goes on. Measured from the kill: until all are live again and
 * caught up, and what those see meanwhile who lost nothing.
 *
 * A process here holds less than 20,000 sockets, so 50,000 clients that lose their worker at once are those of
 * several workers.
 */

import { Arena } from "./fleet/arena.js";
import { describeHandshakes, type Handshakes, handshakesOf } from "./fleet/handshakes.js";
import { describeMs, millis } from "./fleet/latency.js";
import { type Counts, type Tally, troubles } from "./fleet/tally.js";
import { delay } from "./support/clock.js";
import { Histogram, type HistogramData } from "./support/histogram.js";
import { digits, progress, type Table } from "./support/report.js";
import { defineScenario, type OptionValues, splitArgs } from "./support/scenario.js";

const OPTIONS = {
  connections: { default: 75_000, help: "clients" },
  workers: { default: 9, help: "workers" },
  kill: { default: 6, help: "workers that are killed at once" },
  "rooms-each": { default: 3, help: "rooms of each client; the first is everybody's" },
  rooms: { default: 1_001, help: "rooms in all" },
  rate: { default: 50, help: "messages a second, to all rooms but everybody's in turn" },
  bytes: { default: 100, help: "bytes of a message's data" },
  "connect-rate": { default: 4_000, help: "new connections a second, before the storm" },
  "answer-seconds": { default: 30, help: "after which a handshake without an answer is looked into" },
  "quiet-seconds": { default: 10, help: "publishing without a storm, for comparison" },
  "deadline-seconds": { default: 120, help: "in which all must be back" },
  serve: { default: "", help: "further arguments of fanwire serve" },
} as const;

type Options = OptionValues<typeof OPTIONS>;

export const storm = defineScenario({
  name: "storm",
  summary: "workers with 50,000 clients die at once: how fast all are back, what others notice",
  options: OPTIONS,
  run: async (options) => [report(options, await measure(options))],
});

/** Workers report every second or more often. */
const BEAT_MS = 1_500;

interface Result {
  readonly killed: readonly number[];
  readonly lost: number;
  readonly messages: number;
  /** Reads at the broker where a ring did not reach back, replacements' empty rings above all; many resumes share one. */
  readonly historyReads: number;
  /** Batches that the publisher had to send again. */
  readonly publishRetries: number;
  readonly counts: Counts;
  readonly handshakes: Handshakes;
  readonly comebackMicros: HistogramData;
  readonly quietMicros: HistogramData;
  readonly othersMicros: HistogramData;
  /** Deliveries to those who came back: what they missed arrives late. */
  readonly returningMicros: HistogramData;
  readonly verdicts: Readonly<Record<string, number>>;
  readonly kernelEvents: string;
  readonly troubles: readonly string[];
}

async function measure(options: Options): Promise<Result> {
  if (options.kill < 1 || options.kill >= options.workers)
    throw new Error(`--kill ${options.kill}: at least one and not all of the ${options.workers} workers`);
  const arena = await Arena.start({
    node: {
      workers: options.workers,
      flags: splitArgs(options.serve),
    },
    connections: options.connections,
    rooms: { rooms: options.rooms, roomsEach: options["rooms-each"], shared: true },
    bytes: options.bytes,
    connectRate: options["connect-rate"],
    answerMs: options["answer-seconds"] * 1_000,
  });
  try {
    progress(`connecting ${options.connections}`);
    await arena.connectAll();
    await arena.storm();
    const quiet = await quietPhase(arena, options);
    const killed = (await arena.node.processes())
      .filter(({ role }) => role === "worker")
      .slice(0, options.kill)
      .map(({ pid }) => pid);
    const readsBefore = await historyReads(arena, killed);
    const stream = arena.background(options.rate);
    for (const pid of killed) process.kill(pid, "SIGKILL");
    progress(`${killed.length} workers killed`);
    await arena.someLost();
    await arena.allLive(options.connections, options["deadline-seconds"] * 1_000);
    const messages = await stream.stop();
    await arena.caughtUp();
    const tally = await arena.fleet.phase();
    await delay(BEAT_MS);
    const reads = (await historyReads(arena, killed)) - readsBefore;
    return resultOf(arena, { killed, messages, historyReads: reads }, quiet, tally);
  } finally {
    await arena.stop();
  }
}

async function quietPhase(arena: Arena, options: Options): Promise<Tally> {
  progress(`publishing ${options.rate} messages a second for ${options["quiet-seconds"]} s`);
  await arena.fleet.phase();
  const stream = arena.background(options.rate);
  await delay(options["quiet-seconds"] * 1_000);
  await stream.stop();
  await arena.caughtUp();
  return await arena.fleet.phase();
}

/** Reads at the broker that resumes made necessary, of all workers but those. */
async function historyReads(arena: Arena, killed: readonly number[]): Promise<number> {
  const { workers } = await arena.node.status();
  const others = workers.filter(({ pid }) => pid !== undefined && !killed.includes(pid));
  return others.reduce((sum, { report }) => sum + (report?.counters.engine.historyReads ?? 0), 0);
}

function resultOf(
  arena: Arena,
  facts: Pick<Result, "killed" | "messages" | "historyReads">,
  quiet: Tally,
  tally: Tally,
): Result {
  return {
    ...facts,
    lost: tally.counts.lost,
    publishRetries: arena.publisher.retries,
    counts: tally.counts,
    handshakes: handshakesOf(tally),
    comebackMicros: tally.comebackMicros.toJSON(),
    quietMicros: quiet.steadyMicros.toJSON(),
    othersMicros: tally.steadyMicros.toJSON(),
    returningMicros: tally.returningMicros.toJSON(),
    verdicts: Object.fromEntries(arena.verdicts),
    kernelEvents: arena.kernelEvents,
    troubles: [
      ...(quiet.counts.lost > 0 ? [`${quiet.counts.lost} connections were lost before`] : []),
      ...troubles(quiet),
      ...troubles(tally),
    ],
  };
}

function report(options: Options, result: Result): Table {
  const comeback = Histogram.from(result.comebackMicros);
  const seconds = (share: number): string => digits(comeback.quantile(share) / 1_000_000);
  const ratio =
    Histogram.from(result.othersMicros).quantile(0.99) / Histogram.from(result.quietMicros).quantile(0.99);
  const { counts } = result;
  return {
    title: `Storm: ${options.kill} of ${options.workers} workers killed, ${digits(options.connections)} connections with ${options["rooms-each"]} rooms each`,
    columns: ["what", "measured"],
    rows: [
      ["lost their worker", digits(result.lost)],
      [
        "all back and caught up after",
        `${digits(comeback.max / 1_000_000)} s (half after ${seconds(0.5)} s, 99 % after ${seconds(0.99)} s)`,
      ],
      ["handshakes", describeHandshakes(result.handshakes)],
      [
        "resumed",
        `${digits(counts.recovered)} subscriptions, ${digits(counts.replayed)} messages replayed; ${digits(result.historyReads)} reads of history, the rest from rings`,
      ],
      ["others' latency p50 / p99 / p99.9, before", describeMs(result.quietMicros)],
      ["– during", describeMs(result.othersMicros)],
      ["– p99 during ÷ before", digits(ratio)],
      [
        "latency of those who came back, p50 / max",
        `${millis(Histogram.from(result.returningMicros).quantile(0.5))} / ${millis(result.returningMicros.max)} ms`,
      ],
      ["published meanwhile", `${result.messages} messages, ${result.publishRetries} batches sent again`],
    ],
    notes: [
      result.troubles.length === 0
        ? "Every subscription recovered; every message delivered to every client exactly once and in order."
        : `TROUBLE: ${result.troubles.join(" | ")}`,
      `Ends of attempts and connections: ${JSON.stringify(result.handshakes.reasons)}.`,
      `Kernel events: ${result.kernelEvents}. Overdue handshakes: ${JSON.stringify(result.verdicts)}.`,
    ],
    raw: result,
  };
}
