import { decode } from "@msgpack/msgpack";
import type { Rate } from "../../protocol/frames.js";
import { dataOf, isRemoval, type Message } from "../../protocol/message.js";
import { parseRoom, type RoomName } from "../../protocol/room-name.js";
import { DEFAULT_LIMITS, type Limits } from "../limits.js";
import { DEFAULT_ROOM_SETTINGS, type RoomSettings } from "../settings.js";
import { SimulatedBroker } from "./broker.testkit.js";
import { type Segment, SimulatedClient, type Wish } from "./client.testkit.js";
import { Scheduler } from "./scheduler.testkit.js";
import { SimulatedWorker } from "./worker.testkit.js";

const CHAOS_MS = 2_000;
const QUIET_MS = 8_000;

/** Small bounds, so that every one of them is met. */
const LIMITS: Limits = {
  ...DEFAULT_LIMITS,
  // Above the watermark plus one chunk, as every configuration must be.
  bufferBytes: 18_000,
  lowWatermarkBytes: 500,
  ringMessages: 6,
  ringBytes: 60_000,
  historyMessages: 5,
  roomLingerMs: 500,
  replayBytesPerTick: 20_000,
  softWatermarkBytes: 4_000,
  slowMs: 2_000,
};

const RATES: readonly Rate[] = ["all", 20, 4];
const FLOW: RoomSettings = { ...DEFAULT_ROOM_SETTINGS, rates: RATES };

const SETTINGS: Record<string, RoomSettings> = {
  plain: { ...FLOW, slow: "conflate", history: { messages: 40, seconds: 3_600 }, publish: "client" },
  keyed: { ...FLOW, history: { messages: 8, seconds: 3_600 }, state: true },
};

/** So little that classes are flushed before their time, and so much that they never are. */
const CONFLATION_BYTES = [500, 1_000_000, 1_000_000];

/** A lane a socket, a few, and one for all. */
const LANE_SOCKETS = [1, 2, 3, 1_000];
const TURN_MS = [2, 2, 30];

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
  const scheduler = new Scheduler(seed);
  const { random } = scheduler;
  const broker = new SimulatedBroker(scheduler, settingsOf);
  const limits = {
    ...LIMITS,
    laneSockets: random.pick(LANE_SOCKETS),
    conflationBytes: random.pick(CONFLATION_BYTES),
  };
  // How long a turn of the loop takes: in long ones much comes in while lanes wait.
  const turnMs = random.pick(TURN_MS);
  const workers = Array.from({ length: 1 + random.below(3) }, (_, index) => {
    return new SimulatedWorker(`w${index}`, scheduler, broker.link(), settingsOf, limits, turnMs);
  });
  for (let count = random.below(10); count > 0; count -= 1) publish(broker, scheduler);
  const clients = Array.from({ length: 2 + random.below(6) }, (_, index) => {
    return new SimulatedClient(`c${index}`, scheduler, workers, wishes(scheduler));
  });
  every(scheduler, 250, Number.POSITIVE_INFINITY, () => {
    for (const worker of workers) worker.engine.sweep(scheduler.nowMs);
  });
  chaos(scheduler, broker, clients);
  await scheduler.runUntil(CHAOS_MS);
  for (const client of clients) client.setSlow(false);
  broker.away = false;
  await scheduler.runUntil(CHAOS_MS + QUIET_MS);
  return outcome(broker, workers, clients);
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

function every(scheduler: Scheduler, periodMs: number, untilMs: number, run: () => void): void {
  scheduler.after(periodMs * (0.5 + scheduler.random.next()), () => {
    if (scheduler.nowMs >= untilMs) return;
    run();
    every(scheduler, periodMs, untilMs, run);
  });
}

/** Each run has its own mixture of troubles, some of them none at all. */
function chaos(scheduler: Scheduler, broker: SimulatedBroker, clients: readonly SimulatedClient[]): void {
  const { random } = scheduler;
  const sometimes = (periodMs: number, run: () => void): void => {
    if (random.chance(0.7)) every(scheduler, periodMs * (0.5 + random.next()), CHAOS_MS, run);
  };
  every(scheduler, 5 + random.below(40), CHAOS_MS, () => {
    for (let burst = random.chance(0.1) ? random.below(30) : 1; burst > 0; burst -= 1)
      publish(broker, scheduler);
  });
  // Long ones do not pack, so that a tick has several chunks for a room, of which a socket may lose any.
  sometimes(200, () => {
    const room = random.pick(ROOMS);
    for (let burst = random.below(10); burst > 0; burst -= 1) publish(broker, scheduler, room, 9_000);
  });
  sometimes(100, () => random.pick(clients).publish(random.pick(ROOMS)));
  sometimes(300, () => {
    const client = random.pick(clients);
    client.setSlow(!client.slow);
  });
  sometimes(600, () => random.pick(clients).cut());
  sometimes(400, () => random.pick(clients).resubscribe(random.pick(ROOMS), random.chance(0.3)));
  sometimes(200, () => random.pick(clients).setRate(random.pick(ROOMS), random.pick(RATES)));
  sometimes(500, () => random.pick(broker.links).tear());
  sometimes(150, () => {
    broker.away = !broker.away;
  });
  if (random.chance(0.2)) scheduler.soon(CHAOS_MS, () => broker.restart());
  // So often that lanes stand on both sides of a reset, and of several.
  if (random.chance(0.2)) every(scheduler, 20 + random.below(200), CHAOS_MS, () => broker.restart());
}

function outcome(
  broker: SimulatedBroker,
  workers: readonly SimulatedWorker[],
  clients: readonly SimulatedClient[],
): Outcome {
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
  const count = (of: (worker: SimulatedWorker) => number): number =>
    workers.reduce((total, worker) => total + of(worker), 0);
  return {
    faults,
    delivered: sum(({ segments }) => segments.reduce((total, { delivered }) => total + delivered.length, 0)),
    resets: sum(({ resets }) => resets),
    lags: sum(({ lags }) => lags),
    gaps: sum(({ gaps }) => gaps),
    drops: count(({ counters }) => counters.dropped),
    historyReads: count(({ counters }) => counters.historyReads),
    laneWaits: count(({ counters }) => counters.laneWaits),
    conflated: count(({ counters }) => counters.conflated),
    conflationOverflows: count(({ counters }) => counters.conflationOverflows),
    moves: sum(({ moves }) => moves),
    restored: count(({ counters }) => counters.restored),
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
