import { Scheduler } from "../../../../core/simulation/scheduler.testkit.js";
import { DEFAULT_FLOW_LIMITS, type FlowLimits } from "../flow-limits.js";
import type { FlowCounters } from "../flow-port.js";
import { type Segment, SimulatedNode, type Weather } from "./node.testkit.js";
import { type SimulatedMessage, SimulatedStream } from "./stream.testkit.js";

const CHAOS_MS = 3_000;
/** Longer than the deadlines of some reads in a row, and two sweeps. */
const QUIET_MS = 12_000;

/** Small bounds, so that every one of them is met. */
const LIMITS: FlowLimits = {
  ...DEFAULT_FLOW_LIMITS,
  queueMessages: 6,
  pages: 2,
  pageMessages: 3,
  widePageMessages: 400,
  heads: 2,
  headsRooms: 3,
  ranges: 1,
  rangeMessages: 8,
  askMs: 250,
  retryMs: 20,
  retryMsMax: 150,
  sweepMs: 1_500,
  resweepMs: 250,
  graceMs: 30,
  staleMs: 450,
};

const ROOMS = {
  chained: ["chat.a", "chat.b", "chat.c", "chat.d", "chat.e"],
  whole: ["keyed.a", "keyed.b", "keyed.c"],
};

export interface Outcome extends FlowCounters {
  /** Every broken promise, in words; none is what we want. */
  readonly faults: string[];
  readonly epochs: number;
  readonly expired: number;
  readonly purged: number;
}

/** What a run's troubles can do besides losing live messages. */
interface Causes {
  /** Without these two nobody may be told anything. */
  removals: boolean;
  readonly renewals: boolean;
  /** No timer sweeps, and nothing is lost but where a gap says so: then that alone has to find it. */
  readonly timeless: boolean;
}

/** Runs one seed: publishers, streams, nodes, and every trouble between them; then quiet. */
export function simulate(seed: number): Outcome {
  const scheduler = new Scheduler(seed);
  const { random } = scheduler;
  // A store that is put back is known by a message that it no longer has: not where that could be gone anyway.
  const renewals = random.chance(0.3);
  const ageMs = !renewals && random.chance(0.4) ? 700 + random.below(2_500) : 0;
  const perRoom = !renewals && random.chance(0.3) ? 12 : 400;
  const timeless = random.chance(0.3);
  const keeps = { ageMs, perRoom, lags: !timeless, spread: random.chance(0.5) };
  const streams = [
    new SimulatedStream({ ...keeps, name: "FW_0", whole: false }, scheduler),
    new SimulatedStream(
      { ...keeps, name: "FW_KEY_0", whole: true, ageMs: random.chance(0.5) ? ageMs : 0 },
      scheduler,
    ),
  ];
  const causes: Causes = { removals: ageMs > 0 || perRoom < 100, renewals, timeless };
  const limits = causes.timeless ? { ...LIMITS, sweepMs: 1_000_000 } : LIMITS;
  for (let count = random.below(20); count > 0; count -= 1) publish(streams, [], scheduler);
  const weather: Weather = {
    slow: random.chance(0.5) ? 0.1 : 0,
    lossyReads: random.chance(0.5) ? 0.15 : 0,
    staleReads: random.chance(0.5) ? 0.15 : 0,
  };
  const nodes = Array.from({ length: 1 + random.below(2) }, (_, index) => {
    return new SimulatedNode(`n${index}`, streams, scheduler, weather, limits);
  });
  for (const node of nodes)
    for (const stream of streams)
      for (const room of roomsOf(stream)) if (random.chance(0.8)) node.toggle(stream, room);
  chaos(scheduler, streams, nodes, causes);
  if (random.chance(0.3))
    scheduler.after(CHAOS_MS + 500, () => comeLate(random.pick(streams), random.pick(nodes), scheduler));
  scheduler.runSync(CHAOS_MS);
  for (const node of nodes) node.connect();
  scheduler.runSync(CHAOS_MS + QUIET_MS);
  return outcome(nodes, causes);
}

function roomsOf(stream: SimulatedStream): readonly string[] {
  return stream.options.whole ? ROOMS.whole : ROOMS.chained;
}

function publish(
  streams: readonly SimulatedStream[],
  nodes: readonly SimulatedNode[],
  scheduler: Scheduler,
  silently = false,
): void {
  const { random } = scheduler;
  const stream = random.pick(streams);
  // Some rooms speak much more than others.
  const rooms = roomsOf(stream);
  const room = rooms[Math.min(random.below(rooms.length), random.below(rooms.length))] ?? "";
  stream.store(room, silently);
  if (nodes.length === 0 || !random.chance(ACKNOWLEDGED)) return;
  // A node that published it itself knows that it is there.
  const { last, incarnation, epoch } = stream;
  const node = random.pick(nodes);
  scheduler.after(60, () => {
    if (stream.incarnation === incarnation && stream.epoch === epoch) node.acknowledged(stream, room, last);
  });
}

/** Few, so that the rest has to be found otherwise. */
const ACKNOWLEDGED = 0.05;

function every(scheduler: Scheduler, periodMs: number, run: () => void): void {
  scheduler.after(periodMs * (0.5 + scheduler.random.next()), () => {
    if (scheduler.nowMs >= CHAOS_MS) return;
    run();
    every(scheduler, periodMs, run);
  });
}

/** Each run has its own mixture of troubles, some of them none at all. */
function chaos(
  scheduler: Scheduler,
  streams: readonly SimulatedStream[],
  nodes: readonly SimulatedNode[],
  causes: Causes,
): void {
  const { random } = scheduler;
  const sometimes = (chance: number, periodMs: number, run: () => void): void => {
    if (random.chance(chance)) every(scheduler, periodMs * (0.5 + random.next()), run);
  };
  const loss = causes.timeless ? 0 : random.pick([0, 0.03, 0.3]);
  // Where it falls silent early, nothing but a sweep finds what was lost last.
  const silentMs = random.chance(0.5) ? CHAOS_MS * random.next() : CHAOS_MS;
  every(scheduler, 5 + random.below(40), () => {
    if (scheduler.nowMs > silentMs) return;
    for (let burst = random.chance(0.1) ? random.below(20) : 1; burst > 0; burst -= 1)
      publish(streams, nodes, scheduler, random.chance(loss));
  });
  sometimes(0.5, 400, () => elect(scheduler, random.pick(streams), nodes, causes));
  sometimes(0.5, 500, () => disconnect(scheduler, random.pick(nodes), 10 + random.below(400)));
  sometimes(0.2, 1_500, () => disconnect(scheduler, random.pick(nodes), 1_000));
  sometimes(0.3, 200, () => random.pick(streams).repeat());
  sometimes(0.5, 400, () => burst(random.pick(streams), random.pick(nodes), scheduler));
  sometimes(0.6, 250, () => {
    const stream = random.pick(streams);
    random.pick(nodes).toggle(stream, random.pick(roomsOf(stream)));
  });
  if (!causes.renewals && random.chance(0.4)) {
    causes.removals = true;
    sometimes(0.6, 500, () => random.pick(streams).purge());
    sometimes(0.5, 500, () => sweepAway(random.pick(streams), nodes, scheduler, causes));
    sometimes(0.5, 500, () => ghost(random.pick(streams), scheduler, causes));
    sometimes(0.8, 300, () => {
      const stream = random.pick(streams);
      purgeRoom(stream, random.pick(roomsOf(stream)), nodes);
    });
  }
  if (causes.renewals) scheduler.soon(CHAOS_MS, () => replace(scheduler, random.pick(streams), nodes));
}

function elect(
  scheduler: Scheduler,
  stream: SimulatedStream,
  nodes: readonly SimulatedNode[],
  { timeless }: Causes,
): void {
  stream.elect();
  for (const node of nodes) {
    // Advisories are messages, too, and may be lost. They come when there is a new leader.
    if (timeless || scheduler.random.chance(0.8))
      scheduler.after(150 + 200 * scheduler.random.next(), () => node.leaderChanged(stream));
  }
}

/** A node whose loop is blocked is cut off as well: it is the same thing. */
function disconnect(scheduler: Scheduler, node: SimulatedNode, forMs: number): void {
  node.disconnect();
  scheduler.after(forMs, () => node.connect());
}

/** A room is opened, and its last message stored while the subscription is on its way. */
function comeLate(stream: SimulatedStream, node: SimulatedNode, scheduler: Scheduler): void {
  const room = scheduler.random.pick(roomsOf(stream));
  if (node.open.has(room)) node.toggle(stream, room);
  node.toggle(stream, room);
  scheduler.after(10 + 40 * scheduler.random.next(), () => stream.store(room));
}

/** A room misses a message, then gets more than fits while that is read, then none for a while. */
function burst(stream: SimulatedStream, node: SimulatedNode, scheduler: Scheduler): void {
  const room = scheduler.random.pick(roomsOf(stream));
  node.disconnect();
  stream.store(room);
  node.connect();
  for (let count = 4 + scheduler.random.below(8); count > 0; count -= 1)
    scheduler.after(25 + count, () => stream.store(room));
}

/** A room is purged while a node reads what it missed of it, and of more than that. */
function sweepAway(
  stream: SimulatedStream,
  nodes: readonly SimulatedNode[],
  scheduler: Scheduler,
  { timeless }: Causes,
): void {
  const { random } = scheduler;
  const room = random.pick(roomsOf(stream));
  const node = random.pick(nodes);
  node.disconnect();
  stream.store(room);
  node.connect();
  scheduler.soon(80, () => {
    stream.store(room, !timeless);
    purgeRoom(stream, room, nodes);
  });
}

/** A message comes and goes unseen in a stream that has nothing else, and then comes one that is seen. */
function ghost(stream: SimulatedStream, scheduler: Scheduler, { timeless }: Causes): void {
  if (timeless) return;
  const room = scheduler.random.pick(roomsOf(stream));
  stream.purge();
  scheduler.after(200, () => {
    stream.store(room, true);
    stream.purge();
  });
  scheduler.after(210, () => stream.store(room));
}

/** But not where nobody could see it: see chain.ts. */
function purgeRoom(stream: SimulatedStream, token: string, nodes: readonly SimulatedNode[]): void {
  const stored = new Set(stream.of(token).map(({ sequence }) => sequence));
  const unseen = nodes.some((node) => {
    const room = node.open.get(token)?.room;
    return room !== undefined && !stream.options.whole && !(room.anchored && stored.has(room.head));
  });
  if (!unseen && stream.options.ageMs === 0) stream.purge(token);
}

/** Another stream, or an older store of it, while the servers are restarted. */
function replace(scheduler: Scheduler, stream: SimulatedStream, nodes: readonly SimulatedNode[]): void {
  const { random } = scheduler;
  if (random.chance(0.5)) {
    stream.recreate();
    for (const node of nodes) scheduler.soon(300, () => node.leaderChanged(stream));
    return;
  }
  stream.save();
  const atMs = 25 + random.next() * 600;
  // What is read when the servers go may come from the store as it was.
  if (random.chance(0.5))
    scheduler.after(atMs - 25 * random.next(), () => {
      stream.save();
      for (let count = 0; count < 3; count += 1) stream.store(random.pick(roomsOf(stream)), true);
      for (const node of nodes) node.leaderChanged(stream);
    });
  scheduler.after(atMs, () => {
    for (const node of nodes) node.disconnect();
    stream.restore();
    // Publishers may be back before this node is.
    for (let count = random.below(12); count > 0; count -= 1) stream.store(random.pick(roomsOf(stream)));
    for (const node of nodes) scheduler.soon(300, () => node.connect());
  });
}

function outcome(nodes: readonly SimulatedNode[], causes: Causes): Outcome {
  const faults = nodes.flatMap((node) => [
    ...node.faults,
    ...node.segments.flatMap(checkSegment),
    ...checkEnd(node),
    ...(node.flow.queuedBytes === 0 ? [] : [`${node.name} still holds ${node.flow.queuedBytes} bytes`]),
  ]);
  const total = { epochs: 0, expired: 0, purged: 0 };
  for (const { end, where } of nodes.flatMap(({ segments }) => segments)) {
    if (end === undefined || end.why === "closed") continue;
    total[end.why === "epoch" ? "epochs" : end.why] += 1;
    const cause = causes.renewals || (end.why !== "epoch" && causes.removals);
    if (!cause) faults.push(`${where}: told ${end.why} without a cause`);
  }
  const counters = { ...nodes[0]?.flow.counters } as FlowCounters;
  for (const { flow } of nodes.slice(1))
    for (const name of Object.keys(counters) as (keyof FlowCounters)[]) counters[name] += flow.counters[name];
  return { faults, ...total, ...counters };
}

/** Received = stored, in order, none twice, from where the segment began to the last that was received. */
function checkSegment(segment: Segment): string[] {
  const { stream, got, from, end } = segment;
  const faults: string[] = [];
  let last = from.offset;
  for (const { sequence, prev } of got) {
    if (prev !== last || sequence <= prev)
      faults.push(`${segment.where}: ${sequence} after ${last} says prev ${prev}`);
    last = sequence;
  }
  const candidates = [...(stream.epochs.get(from.epoch) ?? [])];
  const wrongs = candidates.map((incarnation) => wrongIn(segment, incarnation, got.length));
  if (wrongs.length === 0) return [...faults, `${segment.where}: no such epoch`];
  if (wrongs.includes(undefined)) return faults;
  // From when the stream became another until that is told, nobody can know better.
  const excused = candidates.some((incarnation) => {
    const untilMs = stream.incarnations[incarnation + 1]?.fromMs;
    if (end === undefined || untilMs === undefined || end.atMs < untilMs) return false;
    return wrongIn(segment, incarnation, got.filter(({ atMs }) => atMs < untilMs).length) === undefined;
  });
  return excused ? faults : [...faults, `${segment.where}: ${wrongs.join(" or ")}`];
}

/** How the first `count` messages differ from what was stored. */
function wrongIn(segment: Segment, incarnation: number, count: number): string | undefined {
  const got = segment.got.slice(0, count);
  const confirmed = count === segment.got.length ? segment.confirmed : 0;
  const last = Math.max(got.at(-1)?.sequence ?? segment.base, confirmed);
  const received = new Set(got.map(({ sequence }) => sequence));
  // What was missing before a message that was delivered on trust is told after it.
  const trusted = segment.end === undefined ? [] : got.filter(({ onTrust }) => onTrust);
  const isTold = (missing: number): boolean =>
    trusted.some(({ sequence, prev }) => missing > prev && missing < sequence);
  const stored = storedIn(segment, incarnation).filter(
    ({ sequence }) =>
      received.has(sequence) || (sequence > segment.base && sequence <= last && !isTold(sequence)),
  );
  const text = ({ sequence, value }: { sequence: number; value: number }): string => `${sequence}=${value}`;
  const [expected, actual] = [stored.map(text), got.map(text)];
  if (expected.join() === actual.join()) return undefined;
  const missing = expected.filter((item) => !actual.includes(item));
  const wrong = actual.filter((item) => !expected.includes(item));
  return `of ${expected.length} missing ${missing.join()}; wrong ${wrong.join()}`;
}

function storedIn({ stream, token, from }: Segment, incarnation: number): SimulatedMessage[] {
  const { truth = [] } = stream.incarnations[incarnation] ?? {};
  return truth.filter((message) => message.token === token && message.sequence > from.offset);
}

/** After the quiet every room that is open has all there is, of the stream that is there. */
function checkEnd(node: SimulatedNode): string[] {
  const faults: string[] = [];
  for (const [token, { segment }] of node.open) {
    if (segment === undefined) {
      faults.push(`${node.name}: ${token} was never opened`);
      continue;
    }
    const { stream, from, base, got, where } = segment;
    if (!stream.epochs.get(from.epoch)?.has(stream.incarnation))
      faults.push(`${where}: ends in epoch ${from.epoch}`);
    const end = Math.max(base, storedIn(segment, stream.incarnation).at(-1)?.sequence ?? 0);
    const reached = Math.max(base, got.at(-1)?.sequence ?? 0);
    if (reached !== end) faults.push(`${where}: ends at ${reached}, the last is ${end}`);
  }
  return faults;
}
