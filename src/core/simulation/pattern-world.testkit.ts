import type { SubscribeOptions } from "../../protocol/frames.js";
import { parseRoom, type RoomName } from "../../protocol/room-name.js";
import { parsePattern } from "../../protocol/room-pattern.js";
import { DEFAULT_LIMITS, type Limits } from "../limits.js";
import { DEFAULT_ROOM_SETTINGS, type RoomSettings } from "../settings.js";
import { SimulatedBroker } from "./broker.testkit.js";
import { PatternClient } from "./pattern-client.testkit.js";
import { Scheduler } from "./scheduler.testkit.js";
import { SimulatedWorker } from "./worker.testkit.js";

const CHAOS_MS = 1_200;
const QUIET_MS = 3_000;

const LIMITS: Limits = {
  ...DEFAULT_LIMITS,
  bufferBytes: 18_000,
  lowWatermarkBytes: 500,
  ringMessages: 6,
  ringBytes: 60_000,
  historyMessages: 5,
  roomLingerMs: 100,
  replayBytesPerTick: 20_000,
  softWatermarkBytes: 4_000,
  slowMs: 2_000,
};

const FLOW: RoomSettings = {
  ...DEFAULT_ROOM_SETTINGS,
  rates: ["all", 20],
  history: { messages: 40, seconds: 3_600 },
  publish: "client",
};
/** In one namespace rooms of slow sockets are moved to a slower class, in the other they stay. */
const settingsOf = (room: RoomName): RoomSettings => ({
  ...FLOW,
  slow: room.startsWith("a.") ? "keep" : "conflate",
});

const ROOMS = ["a.x", "a.y", "a.x.p", "a.y.p", "b.x", "b.x.p"].map(parseRoom);
const PATTERNS = [">", "a.>", "*.x", "a.*", "*.x.p", "a.x.*", "b.*"].map(parsePattern);
const LANE_SOCKETS = [1, 2, 3, 1_000];
const TURN_MS = [2, 2, 30];
const OPEN_PATTERNS = [3, 10_000, 10_000];

export interface PatternOutcome {
  /** Every broken promise, in words. */
  readonly faults: string[];
  readonly delivered: number;
  readonly resets: number;
  readonly lags: number;
  readonly changes: number;
  readonly refused: number;
  readonly gaps: number;
  readonly laneWaits: number;
}

/** Runs one seed: patterns and rooms that overlap come and go, with slow and broken sockets and links; then quiet. */
export async function simulatePatterns(seed: number): Promise<PatternOutcome> {
  const scheduler = new Scheduler(seed);
  const { random } = scheduler;
  const broker = new SimulatedBroker(scheduler, settingsOf);
  const limits = {
    ...LIMITS,
    laneSockets: random.pick(LANE_SOCKETS),
    openPatterns: random.pick(OPEN_PATTERNS),
  };
  const turnMs = random.pick(TURN_MS);
  const workers = Array.from({ length: 1 + random.below(2) }, (_, index) => {
    return new SimulatedWorker(`w${index}`, scheduler, broker.link(), settingsOf, limits, turnMs);
  });
  const clients = Array.from({ length: 2 + random.below(4) }, (_, index) => {
    return new PatternClient(`c${index}`, broker, workers, ROOMS);
  });
  every(scheduler, 100, Number.POSITIVE_INFINITY, () => {
    for (const worker of workers) worker.engine.sweep(scheduler.nowMs);
  });
  chaos(scheduler, broker, clients);
  await scheduler.runUntil(CHAOS_MS);
  for (const client of clients) client.setSlow(false);
  broker.away = false;
  await scheduler.runUntil(CHAOS_MS + QUIET_MS);
  for (const client of clients) client.checkEnd();
  const sum = (of: (client: PatternClient) => number): number =>
    clients.reduce((total, client) => total + of(client), 0);
  const count = (of: (worker: SimulatedWorker) => number): number =>
    workers.reduce((total, worker) => total + of(worker), 0);
  const faults = [
    ...clients.flatMap((client) => client.faults),
    ...workers.flatMap((worker) => worker.faults),
  ];
  if (count(({ counters }) => counters.chainBroken + counters.protocolErrors) > 0)
    faults.push("a worker saw a broken chain or frame");
  return {
    faults,
    delivered: sum(({ delivered }) => delivered),
    resets: sum(({ resets }) => resets),
    lags: sum(({ lags }) => lags),
    changes: sum(({ changes }) => changes),
    refused: sum(({ refused }) => refused),
    gaps: count(({ counters }) => counters.patternGaps),
    laneWaits: count(({ counters }) => counters.laneWaits),
  };
}

function chaos(scheduler: Scheduler, broker: SimulatedBroker, clients: readonly PatternClient[]): void {
  const { random } = scheduler;
  const sometimes = (periodMs: number, run: () => void): void => {
    if (random.chance(0.7)) every(scheduler, periodMs * (0.5 + random.next()), CHAOS_MS, run);
  };
  const publish = (bytes = 0, room = random.pick(ROOMS)): unknown => broker.store({ room }, bytes);
  every(scheduler, 3 + random.below(20), CHAOS_MS, () => {
    for (let burst = random.chance(0.1) ? random.below(20) : 1; burst > 0; burst -= 1) publish();
  });
  sometimes(250, () => {
    const room = random.pick(ROOMS);
    for (let burst = random.below(8); burst > 0; burst -= 1) publish(9_000, room);
  });
  every(scheduler, 20 + random.below(40), CHAOS_MS, () =>
    random.pick(clients).togglePattern(random.pick(PATTERNS)),
  );
  every(scheduler, 10 + random.below(30), CHAOS_MS, () =>
    random.pick(clients).toggleRoom(random.pick(ROOMS), startOf(scheduler)),
  );
  sometimes(100, () => random.pick(clients).publish(random.pick(ROOMS)));
  sometimes(300, () => {
    const client = random.pick(clients);
    client.setSlow(!client.isSlow);
  });
  sometimes(500, () => random.pick(clients).cut());
  sometimes(150, () => random.pick(broker.links).tear());
  sometimes(150, () => {
    broker.away = !broker.away;
  });
  if (random.chance(0.3)) every(scheduler, 50 + random.below(400), CHAOS_MS, () => broker.restart());
}

function startOf({ random }: Scheduler): SubscribeOptions {
  if (random.chance(0.7)) return {};
  return random.chance(0.5) ? { last: random.below(4) } : { rate: 20 };
}

function every(scheduler: Scheduler, periodMs: number, untilMs: number, run: () => void): void {
  scheduler.after(periodMs * (0.5 + scheduler.random.next()), () => {
    if (scheduler.nowMs >= untilMs) return;
    run();
    every(scheduler, periodMs, untilMs, run);
  });
}
