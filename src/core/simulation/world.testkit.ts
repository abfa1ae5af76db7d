import { decode } from "@msgpack/msgpack";
import type { Rate } from "../../protocol/frames.js";
import { dataOf, isRemoval, type Message } from "../../protocol/message.js";
import { parseRoom, type RoomName } from "../../protocol/room-name.js";
import { DEFAULT_ROOM_SETTINGS, type RoomSettings } from "../settings.js";
import type { SimulatedBroker } from "./broker.testkit.js";
import { type Segment, SimulatedClient, type Wish } from "./client.testkit.js";
import { SimulatedDeployment } from "./deployment.testkit.js";
import type { Scheduler } from "./scheduler.testkit.js";

const CHAOS_MS = 2_000;

const RATES: readonly Rate[] = ["all", 20, 4];
const FLOW: RoomSettings = { ...DEFAULT_ROOM_SETTINGS, rates: RATES };

const SETTINGS: Record<string, RoomSettings> = {
  plain: { ...FLOW, slow: "conflate", history: { messages: 40, seconds: 3_600 }, publish: "client" },
  keyed: { ...FLOW, history: { messages: 8, seconds: 3_600 }, state: true },
};

/** So little that classes are flushed before their time, and so much that they never are. */
const CONFLATION_BYTES = [500, 1_000_000, 1_000_000];

const ROOMS = ["plain.a", "plain.b", "plain.c", "plain.d", "keyed.a", "keyed.b"].map(parseRoom);
const settingsOf = (room: RoomName): RoomSettings =>
  SETTINGS[room.split(".")[0] ?? ""] ?? DEFAULT_ROOM_SETTINGS;

export interface Outcome {
  /** Every broken promise, in words; none is what we want. */
  readonly faults: string[];
  readonly delivered: number;
  readonly resets: number;
  readonly lags: number;
  readonly gaps: number;
  readonly drops: number;
  readonly historyReads: number;
  readonly laneWaits: number;
  readonly conflated: number;
  readonly conflationOverflows: number;
  readonly moves: number;
  readonly restored: number;
}

/** Runs one seed: publishers, workers, a broker that restarts, torn links, slow and broken sockets; then quiet. */
export async function simulate(seed: number): Promise<Outcome> {
  const deployment = new SimulatedDeployment(seed, {
    settingsOf,
    limits: (random) => ({ roomLingerMs: 500, conflationBytes: random.pick(CONFLATION_BYTES) }),
    workersMax: 3,
    chaosMs: CHAOS_MS,
    quietMs: 8_000,
    sweepMs: 250,
  });
  const { scheduler, broker, workers } = deployment;
  const { random } = scheduler;
  for (let count = random.below(10); count > 0; count -= 1) publish(broker, scheduler);
  const clients = Array.from({ length: 2 + random.below(6) }, (_, index) => {
    return new SimulatedClient(`c${index}`, scheduler, workers, wishes(scheduler));
  });
  await deployment.run(clients, () => chaos(deployment, clients));
  return outcome(deployment, clients);
}

/** Most of the rooms, or just one: then its topic is the socket's last. */
function wishes(scheduler: Scheduler): Wish[] {
  const { random } = scheduler;
  const rooms = random.chance(0.2) ? [random.pick(ROOMS)] : ROOMS.filter(() => random.chance(0.8));
  return rooms.map((room) => wish(room, scheduler));
}

function wish(room: RoomName, { random }: Scheduler): Wish {
  const rate = random.chance(0.4) ? { rate: random.pick(RATES) } : {};
  if (settingsOf(room).state && random.chance(0.6)) return { room, start: { state: true, ...rate } };
  if (random.chance(0.3)) return { room, start: { last: random.below(6), ...rate } };
  if (settingsOf(room).publish === "client" && random.chance(0.5))
    return { room, start: { echo: false, ...rate } };
  return { room, start: rate };
}

function publish(broker: SimulatedBroker, { random }: Scheduler, room = random.pick(ROOMS), bytes = 0): void {
  broker.store({ room, key: settingsOf(room).state ? `k${random.below(4)}` : undefined }, bytes);
}

function chaos(deployment: SimulatedDeployment, clients: readonly SimulatedClient[]): void {
  const { scheduler, broker } = deployment;
  const { random } = scheduler;
  deployment.often(5 + random.below(40), () => {
    for (let burst = random.chance(0.1) ? random.below(30) : 1; burst > 0; burst -= 1)
      publish(broker, scheduler);
  });
  // Long ones do not pack, so that a tick has several chunks for a room, of which a socket may lose any.
  deployment.sometimes(200, () => {
    const room = random.pick(ROOMS);
    for (let burst = random.below(10); burst > 0; burst -= 1) publish(broker, scheduler, room, 9_000);
  });
  deployment.sometimes(100, () => random.pick(clients).publish(random.pick(ROOMS)));
  deployment.sometimes(300, () => {
    const client = random.pick(clients);
    client.setSlow(!client.isSlow);
  });
  deployment.sometimes(600, () => random.pick(clients).cut());
  deployment.sometimes(400, () => random.pick(clients).resubscribe(random.pick(ROOMS), random.chance(0.3)));
  deployment.sometimes(200, () => random.pick(clients).setRate(random.pick(ROOMS), random.pick(RATES)));
  deployment.sometimes(500, () => random.pick(broker.links).tear());
  deployment.sometimes(150, () => {
    broker.away = !broker.away;
  });
  if (random.chance(0.2)) scheduler.soon(CHAOS_MS, () => broker.restart());
  // So often that lanes stand on both sides of a reset, and of several.
  if (random.chance(0.2)) deployment.often(20 + random.below(200), () => broker.restart());
}

function outcome(deployment: SimulatedDeployment, clients: readonly SimulatedClient[]): Outcome {
  const { broker, workers } = deployment;
  const faults = clients.flatMap((client) => [
    ...client.wireFaults,
    ...client.pace.faults,
    ...client.segments.flatMap((segment, index) =>
      checkSegment(broker, client, segment, laterOf(client, segment, index)),
    ),
    ...checkEnd(broker, client),
  ]);
  for (const { counters, faults: broken } of workers) {
    faults.push(...broken);
    if (counters.chainBroken > 0) faults.push("a worker saw a broken chain");
    if (counters.protocolErrors > 0) faults.push("a client's frame was refused as broken");
  }
  const sum = (of: (client: SimulatedClient) => number): number =>
    clients.reduce((total, client) => total + of(client), 0);
  return {
    faults,
    delivered: sum(({ segments }) => segments.reduce((total, { delivered }) => total + delivered.length, 0)),
    resets: sum(({ resets }) => resets),
    lags: sum(({ lags }) => lags),
    gaps: sum(({ gaps }) => gaps),
    drops: deployment.count(({ counters }) => counters.dropped),
    historyReads: deployment.count(({ counters }) => counters.historyReads),
    laneWaits: deployment.count(({ counters }) => counters.laneWaits),
    conflated: deployment.count(({ counters }) => counters.conflated),
    conflationOverflows: deployment.count(({ counters }) => counters.conflationOverflows),
    moves: sum(({ moves }) => moves),
    restored: deployment.count(({ counters }) => counters.restored),
  };
}

/** Where a segment's promise ended: the last position that the client took as its own within it. */
function laterOf(client: SimulatedClient, segment: Segment, index: number): number {
  const last = segment.delivered.at(-1)?.offset ?? segment.from;
  const current = client.rooms.get(segment.room);
  const isCurrent = current?.segment === segment && index >= 0;
  return isCurrent ? Math.max(last, current.position?.offset ?? 0) : last;
}

/** Received = published, in order, none twice, from where the segment began to where it ended. */
function checkSegment(
  broker: SimulatedBroker,
  client: SimulatedClient,
  segment: Segment,
  end: number,
): string[] {
  const log = broker.truth.get(`${segment.room} ${segment.epoch}`) ?? [];
  const where = `${segment.client} in ${segment.room} from ${segment.epoch}:${segment.from}`;
  const got = segment.delivered.map(({ offset }) => offset);
  const byOffset = new Map(log.map((message) => [message.offset, message]));
  const faults: string[] = [];
  for (const { offset, data } of segment.delivered) {
    const message = byOffset.get(offset);
    if (message === undefined) faults.push(`${where}: ${offset} was never published`);
    else if (decode(dataOf(message)) !== data) faults.push(`${where}: ${offset} came with other data`);
  }
  const isCurrent = client.rooms.get(segment.room)?.segment === segment;
  const expected = expectedOffsets(log, segment, end, isCurrent).filter((offset) => {
    const origin = byOffset.get(offset)?.origin;
    return segment.echo || origin === undefined || !client.sessions.has(origin) || got.includes(offset);
  });
  if (expected.join() !== got.join())
    faults.push(`${where} to ${end}: expected ${expected.join()}, got ${got.join()}`);
  return faults;
}

function expectedOffsets(
  log: readonly Message[],
  segment: Segment,
  end: number,
  isCurrent: boolean,
): number[] {
  const after = log.filter(({ offset }) => offset > segment.from && offset <= end);
  if (segment.conflated)
    return expectedConflated(log, after, segment, isCurrent ? end : Number.POSITIVE_INFINITY);
  if (!segment.snapshot) return after.map(({ offset }) => offset);
  const { liveAt } = segment;
  const got = new Set(segment.delivered.map(({ offset }) => offset));
  // One that was cut off before it was live may lack anything that it did not deliver yet.
  if (liveAt === undefined) return after.map(({ offset }) => offset).filter((offset) => got.has(offset));
  const newest = new Map<string, number>();
  for (const { key, offset } of log) {
    if (key !== undefined && offset <= liveAt && got.has(offset)) newest.set(key, offset);
  }
  // Up to `live`, only what a later message of the same key stands for may be missing, or a key that was gone by then.
  const superseded = ({ key, offset }: Message): boolean => offset < (newest.get(key ?? "") ?? 0);
  const gone = goneKeys(log, segment);
  return after
    .filter((message) => got.has(message.offset) || !superseded(message))
    .filter(({ key, offset }) => got.has(offset) || !gone.has(key) || offset > liveAt)
    .map(({ offset }) => offset);
}

/** Keys that a snapshot need not have, because they were taken out before it was live, and of which it had nothing. */
function goneKeys(
  log: readonly Message[],
  { snapshot, liveAt = 0, delivered }: Segment,
): Set<string | undefined> {
  const got = new Set(delivered.map(({ offset }) => offset));
  const gone = new Set<string | undefined>();
  for (const message of log) {
    if (!snapshot || message.offset > liveAt) break;
    if (isRemoval(message) && !got.has(message.offset)) gone.add(message.key);
    else gone.delete(message.key);
  }
  for (const { key, offset } of log) if (offset <= liveAt && got.has(offset)) gone.delete(key);
  return gone;
}

/**
 * The latest message of every key, and of the others what it got. One that was cut off in between may have been about
 * to get a later one.
 */
function expectedConflated(
  log: readonly Message[],
  after: readonly Message[],
  segment: Segment,
  end: number,
): number[] {
  const { delivered, snapshot, liveAt } = segment;
  const got = new Set(delivered.map(({ offset }) => offset));
  const newest = new Map<string | undefined, number>();
  for (const { key, offset } of log) if (offset <= end) newest.set(key, offset);
  const gone = goneKeys(log, segment);
  return after
    .filter(({ key, offset }) => got.has(offset) || newest.get(key) === offset)
    .filter(({ key, offset }) => got.has(offset) || !gone.has(key) || offset > (liveAt ?? 0))
    .filter(({ offset }) => got.has(offset) || !snapshot || liveAt !== undefined)
    .map(({ offset }) => offset);
}

/** After the quiet everybody who is connected stands at the head, or was told otherwise. */
function checkEnd(broker: SimulatedBroker, client: SimulatedClient): string[] {
  const faults: string[] = [];
  for (const [room, { position }] of client.rooms) {
    const head = broker.head(room);
    if (position?.epoch === head.epoch && position.offset === head.offset) continue;
    faults.push(
      `${client.name} ends in ${room} at ${position?.epoch}:${position?.offset}, the head is ${head.epoch}:${head.offset}`,
    );
  }
  return faults;
}
