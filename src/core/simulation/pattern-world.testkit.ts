import type { SubscribeOptions } from "../../protocol/frames.js";
import { parseRoom, type RoomName } from "../../protocol/room-name.js";
import { parsePattern } from "../../protocol/room-pattern.js";
import { DEFAULT_ROOM_SETTINGS, type RoomSettings } from "../settings.js";
import { SimulatedDeployment } from "./deployment.testkit.js";
import { PatternClient } from "./pattern-client.testkit.js";
import type { Random } from "./scheduler.testkit.js";

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
  const deployment = new SimulatedDeployment(seed, {
    settingsOf,
    limits: (random) => ({ roomLingerMs: 100, openPatterns: random.pick(OPEN_PATTERNS) }),
    workersMax: 2,
    chaosMs: 1_200,
    quietMs: 3_000,
    sweepMs: 100,
  });
  const { scheduler, broker, workers } = deployment;
  const clients = Array.from({ length: 2 + scheduler.random.below(4) }, (_, index) => {
    return new PatternClient(`c${index}`, broker, workers, ROOMS);
  });
  await deployment.run(clients, () => chaos(deployment, clients));
  for (const client of clients) client.checkEnd();
  return outcome(deployment, clients);
}

function outcome(deployment: SimulatedDeployment, clients: readonly PatternClient[]): PatternOutcome {
  const faults = [
    ...clients.flatMap((client) => client.faults),
    ...deployment.workers.flatMap((worker) => worker.faults),
  ];
  if (deployment.count(({ counters }) => counters.chainBroken + counters.protocolErrors) > 0)
    faults.push("a worker saw a broken chain or frame");
  const sum = (of: (client: PatternClient) => number): number =>
    clients.reduce((total, client) => total + of(client), 0);
  return {
    faults,
    delivered: sum(({ delivered }) => delivered),
    resets: sum(({ resets }) => resets),
    lags: sum(({ lags }) => lags),
    changes: sum(({ changes }) => changes),
    refused: sum(({ refused }) => refused),
    gaps: deployment.count(({ counters }) => counters.patternGaps),
    laneWaits: deployment.count(({ counters }) => counters.laneWaits),
  };
}

function chaos(deployment: SimulatedDeployment, clients: readonly PatternClient[]): void {
  const { scheduler, broker } = deployment;
  const { random } = scheduler;
  const publish = (bytes = 0, room = random.pick(ROOMS)): unknown => broker.store({ room }, bytes);
  deployment.often(3 + random.below(20), () => {
    for (let burst = random.chance(0.1) ? random.below(20) : 1; burst > 0; burst -= 1) publish();
  });
  deployment.sometimes(250, () => {
    const room = random.pick(ROOMS);
    for (let burst = random.below(8); burst > 0; burst -= 1) publish(9_000, room);
  });
  deployment.often(20 + random.below(40), () => random.pick(clients).togglePattern(random.pick(PATTERNS)));
  deployment.often(10 + random.below(30), () =>
    random.pick(clients).toggleRoom(random.pick(ROOMS), startOf(random)),
  );
  deployment.sometimes(100, () => random.pick(clients).publish(random.pick(ROOMS)));
  deployment.sometimes(300, () => {
    const client = random.pick(clients);
    client.setSlow(!client.isSlow);
  });
  deployment.sometimes(500, () => random.pick(clients).cut());
  deployment.sometimes(150, () => random.pick(broker.links).tear());
  deployment.sometimes(150, () => {
    broker.away = !broker.away;
  });
  if (random.chance(0.3)) deployment.often(50 + random.below(400), () => broker.restart());
}

function startOf(random: Random): SubscribeOptions {
  if (random.chance(0.7)) return {};
  return random.chance(0.5) ? { last: random.below(4) } : { rate: 20 };
}
