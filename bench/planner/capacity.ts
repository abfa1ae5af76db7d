import type { Calibration } from "./calibration.js";
import { coldShare, type Model, writesFor } from "./model.js";
import { MESSAGE_BYTES } from "./plan.js";

/** Who gets messages from one worker, and how. */
export interface CapacityWish {
  /** Of the worker. */
  readonly connections: number;
  readonly roomsPerClient: number;
  readonly rooms: number;
  /** Delivery class. */
  readonly rate: number | "all";
  /** Messages taken in a second where they are conflated; where all are sent it follows from what clients get. */
  readonly updates: number;
  readonly batch: number;
  readonly bytes: number;
  /** Share of the worker's core that may be used. */
  readonly utilization: number;
  /** How often a message is taken in for this worker: its own work, and its share of the hub's. */
  readonly takenIn: number;
  /** Share of all requests that come to this worker. */
  readonly requests: number;
}

const PER_CLIENT_MAX = 1e6;
const PER_CLIENT_MIN = 1e-3;
const STEPS = 60;

/**
 * The most deliveries a second that one worker makes while 99 % of them come within `latencyMicros`. Either each batch is
 * written to all before the next one comes, within that time; or batches wait for the flush that is under way and go with
 * the next one, all in one write: then two flushes lie within that time. Of a class, what a window brings is written within
 * that time after it. 0: not one message now and then gets to all in time.
 */
export function deliveriesPerSecond(wish: CapacityWish, model: Model, latencyMicros: number): number {
  let [low, high] = [PER_CLIENT_MIN, PER_CLIENT_MAX];
  if (!isInTime(low, wish, model, latencyMicros)) return 0;
  for (let step = 0; step < STEPS; step++) {
    const middle = Math.sqrt(low * high);
    if (isInTime(middle, wish, model, latencyMicros)) low = middle;
    else high = middle;
  }
  return low * wish.connections;
}

/** Whether so many messages a second for every client come in time. */
function isInTime(perClient: number, wish: CapacityWish, model: Model, latencyMicros: number): boolean {
  const { prices, restMs } = model;
  const { connections, roomsPerClient, rooms, batch, rate, utilization } = wish;
  const updates = rate === "all" ? (perClient * rooms) / roomsPerClient : wish.updates;
  const delivery = prices.message + prices.byte * (wish.bytes + MESSAGE_BYTES);
  const intake = prices.publish * wish.takenIn + (prices.batch / batch) * wish.requests;
  /** µs that it takes to write what came in so many µs. */
  const flush = (micros: number): number => {
    const messages = (perClient * micros) / 1e6;
    const turns = 1 - Math.exp(-messages);
    const writes = writesFor(turns, messages * (wish.bytes + MESSAGE_BYTES));
    const cold = turns * coldShare((turns * 1e6) / micros, restMs);
    const written = writes * prices.write + cold * prices.cold;
    return connections * (written + messages * delivery) + (updates * micros * intake) / 1e6;
  };
  const spare = utilization - (connections * prices.second) / 1e6;
  if (rate !== "all") {
    const window = 1e6 / rate;
    return flush(window) <= Math.min(latencyMicros, spare * window);
  }
  const everyMicros = (1e6 * batch) / updates;
  const single = flush(everyMicros);
  if (single <= latencyMicros && single <= spare * everyMicros) return true;
  const period = latencyMicros / 2;
  return period >= everyMicros && flush(period) <= spare * period;
}

/** Costs that are higher or lower than those measured by that factor. */
export function scaled(calibration: Calibration, factor: number): Calibration {
  const prices = Object.fromEntries(
    Object.entries(calibration.prices).map(([name, price]) => [name, price * factor]),
  );
  return {
    ...calibration,
    prices: { ...calibration.prices, ...prices },
    connectMicros: calibration.connectMicros * factor,
  };
}
