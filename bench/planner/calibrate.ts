import { cpus } from "node:os";
import { ownVersion } from "../support/environment.js";
import { messagesPerRoom, shotMicros } from "../support/schedule.js";
import { summarize } from "../support/statistics.js";
import { CALIBRATION_FORMAT, type Calibration } from "./calibration.js";
import { designOf, nameOf, type Point } from "./design.js";
import { measureFrontier } from "./frontier.js";
import { measureMemory } from "./memory.js";
import { fitModel, predict, type Run } from "./model.js";
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
/** As many as a room keeps: one that is still being filled takes memory in, which later messages do not. */
const KEPT_MESSAGES = 1_000;
const FILL_BURST = 250;
/** Of all rooms together, while they are filled. */
const FILL_PER_SECOND = 100_000;
/** Requests of one message that warm up what batches do not. */
const WARM_UP_REQUESTS = 40;
const FRONTIER_STEPS = 12;
const SETTLE_MS = 1_000;
const IDLE_MS = 3_000;

/**
 * Measures the design on this machine, an engine with one worker, and fits the prices. Every round measures all of it,
 * so that what drifts (the machine's speed, what its neighbours do) is the round's and not some prices'.
 */
export async function calibrate(options: CalibrateOptions): Promise<Calibration> {
  const { scale = 1, progress } = options;
  const points = designOf(scale);
  const stages = await Stages.start(points.map(({ crowd }) => crowd));
  let runs: readonly Measured[];
  let frontier: Calibration["frontier"];
  try {
    runs = await measureDesign(points, stages, options);
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
  const all = [...runs, { ...memory.idle, heldOut: false, spread: 0 }];
  const model = fitModel(all.filter(({ heldOut }) => !heldOut));
  const told = all.map((run) => ({
    name: run.name,
    heldOut: run.heldOut,
    measured: run.cpuMicros,
    predicted: predict(model, run),
    spread: run.spread,
  }));
  const errors = told
    .filter(({ heldOut }) => heldOut)
    .map(({ measured, predicted }) => Math.abs(predicted - measured) / measured);
  return {
    format: CALIBRATION_FORMAT,
    at: new Date().toISOString(),
    machine: `${cpus().length} × ${cpus()[0]?.model ?? "unknown"}`,
    fanwire: ownVersion(),
    prices: model.prices,
    restMs: model.restMs,
    connectMicros: memory.connectMicros,
    memory: memory.memory,
    heldOut: { runs: errors.length, median: summarize(errors).median, worst: Math.max(...errors) },
    runs: told,
    frontier,
  };
}

/** A run of the design. */
interface Measured extends Run {
  readonly heldOut: boolean;
  /** Half the quartile distance of its windows, as a share: how far one window is off by itself. */
  readonly spread: number;
}

type Seen = Omit<Run, "name">;

/** Of every point what it took, as the middle of all rounds. */
async function measureDesign(
  points: readonly Point[],
  stages: Stages,
  { seconds, repetitions, progress }: CalibrateOptions,
): Promise<readonly Measured[]> {
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
    const windows = rounds.flatMap((round) => round[index] ?? []);
    return {
      name: nameOf(point),
      heldOut: point.heldOut,
      cpuMicros: cpu[index] ?? Number.NaN,
      spread: summarize(windows.map(({ cpuMicros }) => cpuMicros)).spread,
      ...middleOf(windows),
    };
  });
}

/** What happened in a run: of each thing the middle one of all windows. */
function middleOf(windows: readonly Seen[]): Pick<Run, "work" | "rested"> {
  const middle = (pick: (seen: Seen) => number): number => summarize(windows.map(pick)).median;
  return {
    work: {
      write: middle(({ work }) => work.write),
      message: middle(({ work }) => work.message),
      byte: middle(({ work }) => work.byte),
      publish: middle(({ work }) => work.publish),
      batch: middle(({ work }) => work.batch),
      second: middle(({ work }) => work.second),
    },
    rested: {
      writes: middle(({ rested }) => rested.writes),
      perSecond: middle(({ rested }) => rested.perSecond),
    },
  };
}

/** Code is compiled and every room is as full as it gets before anything counts. */
async function warmUp(points: readonly Point[], stages: Stages, seconds: number): Promise<void> {
  for (const crowd of new Set(points.map(({ crowd }) => crowd))) {
    const { rooms } = crowd;
    // Of a try with short windows it need not be as much.
    const filling = Math.min(Math.max(1, (rooms * KEPT_MESSAGES) / FILL_PER_SECOND), 10 * seconds);
    const rate = Math.min(KEPT_MESSAGES / filling, FILL_PER_SECOND / rooms);
    await stages.window(crowd, { rate, burst: FILL_BURST, bytes: 100, seconds: filling });
    await stages.window(crowd, { rate: WARM_UP_REQUESTS / rooms, burst: 1, bytes: 100, seconds });
  }
}

async function measure(point: Point, stages: Stages, seconds: number): Promise<Seen> {
  const { crowd, rate, burst, bytes } = point;
  const plan = { rooms: crowd.rooms, rate, burst, bytes, seconds };
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
      message: window.deliveries,
      byte: window.deliveries * (bytes + MESSAGE_BYTES),
      publish: published,
      batch: published / burst,
      second: crowd.subscribers * elapsed,
    },
    rested: {
      // Of a burst that takes several writes only the first comes to a socket that rested.
      writes: Math.min(writes, window.deliveries / burst),
      perSecond: (crowd.roomsEach * 1e6) / shotMicros(plan),
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
