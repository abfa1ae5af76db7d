import type { Window } from "../support/contest.js";
import { CLIENT_BUSY_MAX } from "../support/validity.js";
import type { Calibration } from "./calibration.js";
import type { Crowd, Point } from "./design.js";
import type { Stages } from "./stages.js";

/** Latency above this is not live any more. */
export const LATENCY_MICROS_MAX = 50_000;
/** A client whose own timers come that late adds to what it sees of a worker. */
const CLIENT_DELAY_MICROS_MAX = LATENCY_MICROS_MAX / 4;
/** Messages of one request; as a feed hands them over. */
export const FRONTIER_BATCH = 10;
export const FRONTIER_BYTES = 100;
/** Windows of a step, until one is as wished. */
const TRIES = 3;
/** Between two steps of the search. */
const STEP = 1.6;
/** Deliveries a second to begin with: what everybody manages. */
const FIRST_PER_SECOND = 50_000;
/** A window has some of them at the least. */
const BATCHES_MIN = 4;

type Found = Calibration["frontier"][number];

export interface FrontierOptions {
  /** Length of a window. */
  readonly seconds: number;
  readonly stepsMax: number;
  readonly progress: (text: string) => void;
}

/**
 * How many deliveries a second one worker makes here to crowds of one room, while 99 % of them come within 50 ms: the rate
 * of batches goes up until they do not, the subscribers' own core is full, or nothing more is to be tried.
 */
export async function measureFrontier(
  points: readonly Point[],
  stages: Stages,
  { seconds, stepsMax, progress }: FrontierOptions,
): Promise<Found[]> {
  const crowds = [...new Set(points.map(({ crowd }) => crowd))].filter(({ rooms }) => rooms === 1);
  const found: Found[] = [];
  for (const crowd of crowds.sort((a, b) => a.subscribers - b.subscribers)) {
    const one = await climb(crowd, stages, seconds, stepsMax);
    found.push(one);
    progress(
      `${one.connections} clients: ${Math.round(one.deliveriesPerSecond)} deliveries/s at p99 ${Math.round(one.p99Micros / 1_000)} ms; bound by ${one.bound}`,
    );
  }
  return found;
}

/** The last step that held; nothing a second where not even the first did. */
async function climb(crowd: Crowd, stages: Stages, seconds: number, stepsMax: number): Promise<Found> {
  let best: Found = { connections: crowd.subscribers, deliveriesPerSecond: 0, p99Micros: 0, bound: "steps" };
  for (let step = 0, rate = firstRate(crowd); step < stepsMax; step++, rate *= STEP) {
    const plan = {
      rate,
      burst: FRONTIER_BATCH,
      bytes: FRONTIER_BYTES,
      seconds: Math.max(seconds, (BATCHES_MIN * FRONTIER_BATCH) / rate),
    };
    let window = await stages.window(crowd, plan);
    // Again: something else may have gone on.
    for (let more = 1; more < TRIES && boundOf(window) !== undefined; more++)
      window = await stages.window(crowd, plan);
    const bound = boundOf(window);
    if (bound !== undefined) return { ...best, bound };
    best = {
      ...best,
      deliveriesPerSecond: rate * crowd.subscribers,
      p99Micros: window.latency.quantile(0.99),
    };
  }
  return best;
}

function firstRate({ subscribers }: Crowd): number {
  return FIRST_PER_SECOND / subscribers;
}

/** What kept the window from being as wished; undefined: it was. */
export function boundOf({
  clientBusy,
  clientDelay,
  latency,
  troubles,
}: Pick<Window, "clientBusy" | "clientDelay" | "latency" | "troubles">): Found["bound"] | undefined {
  if (troubles.length === 0 && !isLate(latency.quantile(0.99)) && clientBusy <= CLIENT_BUSY_MAX)
    return undefined;
  // Of late clients latency says nothing: they share the machine, and have what the worker sends to read.
  const late = clientDelay.quantile(0.99) > CLIENT_DELAY_MICROS_MAX;
  return late || clientBusy > CLIENT_BUSY_MAX ? "clients" : "latency";
}

function isLate(p99Micros: number): boolean {
  return p99Micros > LATENCY_MICROS_MAX;
}
