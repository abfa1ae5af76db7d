import { cpus } from "node:os";
import { ownVersion } from "../support/environment.js";
import { messagesPerRoom, type PublishPlan } from "../support/schedule.js";
import { summarize } from "../support/statistics.js";
import type { Calibration } from "./calibration.js";
import { designOf, nameOf, type Point } from "./design.js";
import { measureFrontier } from "./frontier.js";
import { measureMemory } from "./memory.js";
import { coldShare, cpuOf, fitPrices, PRICES, relativeError, type Sample, type Work } from "./model.js";
import { MESSAGE_BYTES } from "./plan.js";
import { withoutDrift } from "./polish.js";
import { Stages } from "./stages.js";

export interface CalibrateOptions {
  /** Length of a window. */
  readonly seconds: number;
  /** Windows of each run, spread over the whole time. */
  readonly repetitions: number;
  /** Scales the number of clients, and what takes time besides windows, for tests. Default: 1. */
  readonly scale?: number;
  readonly progress: (text: string) => void;
}

const MEMORY_CONNECTIONS = 4_000;
/** Requests a second, each with so many messages. */
const WARM_UP = [
  { batches: 40, burst: 1 },
  { batches: 20, burst: 50 },
] as const;
const FRONTIER_STEPS = 12;
const SETTLE_MS = 1_000;
const IDLE_MS = 3_000;

/**
 * Measures the design on this machine, engines with one worker each, and fits the prices. Every round measures all of it,
 * so that what drifts (the machine's speed, what its neighbours do) is the round's and not some prices'.
 */
export async function calibrate(options: CalibrateOptions): Promise<Calibration> {
  const { scale = 1, progress } = options;
  const points = designOf(scale);
  const stages = await Stages.start(points.map(({ crowd }) => crowd));
  let samples: readonly Sample[];
  let frontier: Calibration["frontier"];
  try {
    samples = await measureDesign(points, stages, options);
    const stepsMax = Math.max(2, Math.round(FRONTIER_STEPS * Math.min(1, scale)));
    frontier = await measureFrontier(points, stages, { seconds: options.seconds, stepsMax, progress });
  } finally {
    await stages.stop();
  }
  const memory = await measureMemory(
    {
      connections: Math.max(100, Math.round(MEMORY_CONNECTIONS * scale)),
      settleMs: SETTLE_MS * Math.min(1, scale * 10),
      idleMs: IDLE_MS * Math.min(1, scale * 10),
    },
    progress,
  );
  const heldOut = samples.filter((_, index) => points[index]?.heldOut === true);
  const fitted = [...samples.filter((sample) => !heldOut.includes(sample)), memory.idle];
  const prices = fitPrices(fitted);
  const errors = heldOut.map((sample) => relativeError(prices, sample));
  return {
    format: "fanwire-calibration/2",
    at: new Date().toISOString(),
    machine: `${cpus().length} × ${cpus()[0]?.model ?? "unknown"}`,
    fanwire: ownVersion(),
    prices,
    connectMicros: memory.connectMicros,
    memory: memory.memory,
    heldOut: { runs: errors.length, median: summarize(errors).median, worst: Math.max(...errors) },
    runs: [...samples, memory.idle].map((sample) => ({
      name: sample.name,
      heldOut: heldOut.includes(sample),
      measured: sample.cpuMicros,
      predicted: cpuOf(prices, sample.work),
    })),
    frontier,
  };
}

interface Seen {
  readonly cpuMicros: number;
  readonly work: Work;
}

/** Of every point what it took, as the middle of all rounds. */
async function measureDesign(
  points: readonly Point[],
  stages: Stages,
  { seconds, repetitions, progress }: CalibrateOptions,
): Promise<readonly Sample[]> {
  const rounds: Seen[][] = [];
  await warmUp(points, stages, seconds);
  progress("warmed up");
  for (let round = 1; round <= repetitions; round++) {
    const seen: (Seen | undefined)[] = points.map(() => undefined);
    for (const index of orderOf(points.length, round)) {
      const point = points[index];
      if (point !== undefined) seen[index] = await measure(point, stages, seconds);
    }
    progress(`round ${round}/${repetitions}`);
    rounds.push(seen.filter((one) => one !== undefined));
  }
  const cpu = withoutDrift(rounds.map((round) => round.map(({ cpuMicros }) => cpuMicros)));
  return points.map((point, index) => {
    const works = rounds.flatMap((round) => round[index]?.work ?? []);
    const middle = PRICES.map((name) => [name, summarize(works.map((work) => work[name])).median]);
    const cpuMicros = cpu[index] ?? Number.NaN;
    return { name: nameOf(point), cpuMicros, work: Object.fromEntries(middle) as Work };
  });
}

/** All crowds' engines have the same code compiled before anything counts: those of few points would be the colder ones. */
async function warmUp(points: readonly Point[], stages: Stages, seconds: number): Promise<void> {
  for (const crowd of new Set(points.map(({ crowd }) => crowd))) {
    const { rooms } = crowd;
    for (const { batches, burst } of WARM_UP)
      await stages.window(crowd, { rooms, rate: (batches * burst) / rooms, burst, bytes: 100, seconds });
  }
}

async function measure(point: Point, stages: Stages, seconds: number): Promise<Seen> {
  const { crowd, rate, burst, bytes } = point;
  const plan: PublishPlan = { rooms: crowd.rooms, rate, burst, bytes, seconds };
  const startedMs = performance.now();
  const window = await stages.window(crowd, plan);
  if (window.troubles.length > 0) throw new Error(`${nameOf(point)}: ${window.troubles.join("; ")}`);
  const elapsed = (performance.now() - startedMs) / 1_000;
  const published = crowd.rooms * messagesPerRoom(plan);
  // A flush makes a frame of all that a room has, and a write for each; rooms take turns. A client that is late reads several at once.
  const writes = window.deliveries / window.messagesPerFrame;
  return {
    cpuMicros: window.cpuMicros * window.deliveries,
    work: {
      write: writes,
      cold: writes * coldShare(writes / crowd.subscribers / seconds),
      message: window.deliveries,
      byte: window.deliveries * (bytes + MESSAGE_BYTES),
      publish: published,
      batch: published / burst,
      second: crowd.subscribers * elapsed,
    },
  };
}

/** Every index once, each round in another order, so that no point always follows the same one. */
function orderOf(count: number, round: number): number[] {
  const steps = [1, 5, 7, 11, 13, 3];
  const step = steps[round % steps.length] ?? 1;
  const stride = greatestCommonDivisor(step, count) === 1 ? step : 1;
  return Array.from({ length: count }, (_, index) => (index * stride + round) % count);
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
