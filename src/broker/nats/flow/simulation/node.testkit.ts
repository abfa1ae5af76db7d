import type { Scheduler } from "../../../../core/simulation/scheduler.testkit.js";
import type { Position, ResetReason } from "../../../../protocol/frames.js";
import { parseRoom } from "../../../../protocol/room-name.js";
import type { FlowLimits } from "../flow-limits.js";
import type {
  Ask,
  FlowPort,
  HeadsAsk,
  PageAsk,
  PartitionId,
  RangeAsk,
  RoomSink,
  StreamFacts,
} from "../flow-port.js";
import { FlowRoom } from "../flow-room.js";
import { LiveFlow } from "../live-flow.js";
import type { Partition } from "../partition.js";
import type { Listener, SimulatedMessage, SimulatedStream } from "./stream.testkit.js";

/** What a room was told from one position to the next that it was given. */
export interface Segment {
  readonly stream: SimulatedStream;
  readonly token: string;
  readonly where: string;
  readonly from: Position;
  /** Up to here nothing was promised: a room begins at 0 also where all that it had is gone. */
  readonly base: number;
  readonly got: Got[];
  /** It was told that up to here nothing came after the last. */
  confirmed: number;
  end: { readonly why: ResetReason | "closed"; readonly atMs: number } | undefined;
}

export interface Got {
  readonly sequence: number;
  readonly value: number;
  readonly prev: number;
  readonly atMs: number;
  /** That nothing had come and gone before it was still to be checked. */
  readonly onTrust: boolean;
}

/** How well a node's way to the servers works. */
export interface Weather {
  readonly slow: number;
  readonly lossyReads: number;
  readonly staleReads: number;
}

/** One node: the flow under test, a connection that breaks, and readers that fail, are late, or ask a replica that is behind. */
export class SimulatedNode implements Listener {
  readonly name: string;
  readonly flow: LiveFlow<SimulatedMessage>;
  readonly partitions = new Map<SimulatedStream, Partition<SimulatedMessage>>();
  readonly segments: Segment[] = [];
  readonly faults: string[] = [];
  readonly open = new Map<
    string,
    { readonly room: FlowRoom<SimulatedMessage>; segment: Segment | undefined }
  >();
  readonly #scheduler: Scheduler;
  readonly #weather: Weather;
  readonly #wanted = new Set<FlowRoom<SimulatedMessage> | PartitionId>();
  readonly #inForce = new Set<unknown>();
  #connected = false;
  /** Counts connections: what belongs to an older one does not arrive. */
  #connection = 0;
  #lastArrivalMs = 0;
  /** When all subscriptions that were asked for are in force. */
  #inForceMs = 0;

  constructor(
    name: string,
    streams: readonly SimulatedStream[],
    scheduler: Scheduler,
    weather: Weather,
    limits: FlowLimits,
  ) {
    this.name = name;
    this.#scheduler = scheduler;
    this.#weather = weather;
    this.flow = new LiveFlow<SimulatedMessage>(this.#port(), { limits });
    for (const stream of streams) {
      const { name: id, whole, spread, ageMs, perRoom } = stream.options;
      const spec = { stream: id, whole, spread, ageMs, trims: false, messages: perRoom };
      this.partitions.set(stream, this.flow.partition(spec, 0));
      stream.listeners.push(this);
    }
    this.connect();
    this.#tick();
  }

  toggle(stream: SimulatedStream, token: string): void {
    const opened = this.open.get(token);
    const partition = this.partitions.get(stream);
    if (opened !== undefined) {
      if (opened.segment !== undefined) opened.segment.end = { why: "closed", atMs: this.#now };
      this.open.delete(token);
      this.flow.close(opened.room);
    } else if (partition !== undefined) {
      const sink: RoomSink<SimulatedMessage> = {
        opened: (head) => this.#begin(room, head, undefined),
        deliver: (message, prev) => this.#deliver(room, message, prev),
        reset: (head, reason) => this.#begin(room, head, reason),
        checkpoint: (sequence) => this.#confirm(room, sequence),
      };
      const room = this.flow.open(partition, { name: parseRoom(token), token, sink }, this.#now);
      this.open.set(token, { room, segment: undefined });
    }
  }

  disconnect(): void {
    if (!this.#connected) return;
    this.#connected = false;
    this.#connection += 1;
    this.#inForce.clear();
    this.flow.disconnected();
  }

  connect(): void {
    if (this.#connected) return;
    this.#connected = true;
    this.#lastArrivalMs = this.#now;
    for (const target of this.#wanted) this.#enforce(target);
    this.flow.connected(this.#now);
  }

  /** It published a message itself, which was stored under this number in the present epoch. */
  acknowledged(stream: SimulatedStream, token: string, sequence: number): void {
    const room = this.open.get(token)?.room;
    // Else what this node knows of the room is of another numbering.
    if (room?.partition.epoch === stream.epoch) this.flow.exists(room, sequence, this.#now);
  }

  leaderChanged(stream: SimulatedStream): void {
    const partition = this.partitions.get(stream);
    if (partition !== undefined && this.#connected) this.flow.leaderChanged(partition, this.#now);
  }

  republished(stream: SimulatedStream, message: SimulatedMessage, previous: number): void {
    const partition = this.partitions.get(stream);
    const target = stream.options.whole ? partition : this.open.get(message.token)?.room;
    if (!this.#inForce.has(target)) return;
    const connection = this.#connection;
    const lateMs = this.#scheduler.random.next() * (this.#scheduler.random.chance(0.1) ? 80 : 5);
    this.#lastArrivalMs = Math.max(this.#lastArrivalMs, this.#now + lateMs);
    this.#scheduler.after(this.#lastArrivalMs - this.#now, () => {
      if (connection !== this.#connection || partition === undefined || !this.#inForce.has(target)) return;
      const view = { ...message, gone: false };
      if (stream.options.whole) this.flow.liveWhole(partition, view.token, view, this.#now);
      else {
        const room = this.open.get(view.token)?.room;
        if (room === target && room !== undefined) this.flow.live(room, view, previous, this.#now);
      }
      view.gone = true;
    });
  }

  get #now(): number {
    return this.#scheduler.nowMs;
  }

  #tick(): void {
    this.#scheduler.after(40 + 20 * this.#scheduler.random.next(), () => {
      this.flow.tick(this.#now);
      this.#tick();
    });
  }

  /** A subscription reaches the server a little later, and in a cluster the others, later still. */
  #enforce(target: FlowRoom<SimulatedMessage> | PartitionId): void {
    const { spec } = target instanceof FlowRoom ? target.partition : target;
    const connection = this.#connection;
    const inForceMs = Math.max(this.#inForceMs, this.#now + this.#scheduler.random.next() * 20);
    this.#inForceMs = inForceMs;
    const everywhereMs = inForceMs + (spec.spread ? 30 * this.#scheduler.random.next() : 0);
    this.#scheduler.after(everywhereMs - this.#now, () => {
      if (connection === this.#connection && this.#connected && this.#wanted.has(target))
        this.#inForce.add(target);
    });
  }

  #port(): FlowPort<SimulatedMessage> {
    return {
      subscribe: (target) => {
        this.#wanted.add(target);
        if (this.#connected) this.#enforce(target);
      },
      unsubscribe: (target) => {
        this.#wanted.delete(target);
        this.#inForce.delete(target);
      },
      ask: (ask) => this.#ask(ask),
      keep: (message) => {
        if (message.gone) this.faults.push(`${this.name}: kept too late`);
        return { ...message };
      },
      size: () => 100,
      mark: (message) => message.value,
      suspect: (partition, facts) => this.#suspect(partition, facts),
      purged: (room, upTo) => this.#purged(room, upTo),
    };
  }

  #deliver(room: FlowRoom<SimulatedMessage>, message: SimulatedMessage, prev: number): void {
    const opened = this.open.get(room.token);
    if (
      opened?.segment === undefined ||
      opened.room !== room ||
      message.token !== room.token ||
      message.gone
    ) {
      this.faults.push(`${this.name}: ${message.sequence} delivered where it must not be`);
      return;
    }
    const { sequence, value } = message;
    if (sequence <= opened.segment.confirmed)
      this.faults.push(`${this.name}: ${sequence} was told not to be`);
    opened.segment.got.push({ sequence, value, prev, atMs: this.#now, onTrust: room.unproven !== undefined });
  }

  #confirm(room: FlowRoom<SimulatedMessage>, sequence: number): void {
    const segment = this.open.get(room.token)?.segment;
    if (segment === undefined || sequence <= segment.from.offset)
      this.faults.push(`${this.name}: confirmed ${sequence} where it must not be`);
    else segment.confirmed = sequence;
  }

  #begin(room: FlowRoom<SimulatedMessage>, head: Position, reason: ResetReason | undefined): void {
    const opened = this.open.get(room.token);
    const stream = [...this.partitions].find(([, partition]) => partition === room.partition)?.[0];
    if (
      opened?.room !== room ||
      stream === undefined ||
      (opened.segment === undefined) !== (reason === undefined)
    ) {
      this.faults.push(`${this.name}: ${room.token} ${reason ?? "opened"} where it must not be`);
      return;
    }
    if (opened.segment !== undefined && reason !== undefined)
      opened.segment.end = { why: reason, atMs: this.#now };
    const where = `${this.name} in ${room.token} from ${head.epoch}:${head.offset} (${reason ?? "opened"}, ${Math.round(this.#now)} ms)`;
    const base = head.offset === 0 ? stream.lastRemoved(room.token) : head.offset;
    opened.segment = {
      stream,
      token: room.token,
      where,
      from: head,
      base,
      got: [],
      confirmed: 0,
      end: undefined,
    };
    this.segments.push(opened.segment);
  }

  #ask(ask: Ask<SimulatedMessage>): void {
    const partition = ask.kind === "page" ? ask.room.partition : ask.partition;
    const stream = [...this.partitions].find(([, known]) => known === partition)?.[0];
    if (stream === undefined) throw new Error("asked for a stream that is not there");
    const { random } = this.#scheduler;
    const step = (): number => random.next() * (random.chance(this.#weather.slow) ? 150 : 6);
    // The answer to a ping comes behind all that was sent before.
    const flushedMs = Math.max(this.#inForceMs, this.#lastArrivalMs);
    const flushMs = ask.kind === "heads" && ask.flush ? Math.max(0, flushedMs - this.#now) : 0;
    if (random.chance(this.#weather.lossyReads)) {
      if (random.chance(0.5)) this.#scheduler.after(step(), () => this.flow.failed(ask.id, this.#now));
      return;
    }
    const connection = this.#connection;
    this.#scheduler.after(flushMs + step(), () => {
      if (flushMs > 0 && connection !== this.#connection) return;
      // Heads are asked of the leader, which knows all but for a moment after its election.
      const stale = ask.kind !== "heads" && random.chance(this.#weather.staleReads);
      const behind = stale || this.#now < stream.laggingUntilMs;
      const upTo = behind ? stream.lastBefore(BEHIND_MS) : stream.last;
      const epoch = stream.epoch;
      this.#scheduler.after(step(), () => this.#read(ask, stream, { epoch, upTo, first: 0 }, behind, step));
    });
  }

  #read(
    ask: Ask<SimulatedMessage>,
    stream: SimulatedStream,
    facts: StreamFacts,
    behind: boolean,
    step: () => number,
  ): void {
    // The reader notices what changes under it.
    if (stream.epoch !== facts.epoch || stream.last < facts.upTo) return;
    const log = behind ? stream.logBefore(BEHIND_MS) : stream.log;
    const answer = answerOf(ask, log, facts);
    this.#scheduler.after(step(), () => {
      const first = stream.first;
      if (stream.epoch !== facts.epoch) return;
      this.#scheduler.after(step(), () => answer(this.flow, first, this.#now));
    });
  }

  /** What is said of a purge must be so, unless the store is another one and nobody knows yet. */
  #purged({ partition, token, name }: FlowRoom<SimulatedMessage>, upTo: number): void {
    const [stream] = [...this.partitions].find(([, known]) => known === partition) ?? [];
    if (stream?.epoch !== partition.epoch || (stream.epochs.get(stream.epoch)?.size ?? 0) > 1) return;
    if (stream.log.some((message) => message.token === token && message.sequence <= upTo))
      this.faults.push(`${this.name}: ${name} was said to be purged up to ${upTo}, and is not`);
  }

  #suspect(partition: PartitionId, { epoch }: StreamFacts): void {
    const entry = [...this.partitions].find(([, known]) => known === partition);
    if (entry === undefined) return;
    const [stream, own] = entry;
    this.#scheduler.soon(50, () => {
      // Whoever is first finds another epoch; the others learn it.
      if (stream.epoch === epoch) {
        if (!stream.epochs.get(epoch)?.has(stream.incarnation) || (stream.epochs.get(epoch)?.size ?? 0) < 2)
          this.faults.push(`${this.name}: suspected ${epoch} without a reason`);
        stream.renew();
      }
      this.flow.renew(own, stream.epoch, this.#now);
    });
  }
}

/** How far a server can be behind. */
const BEHIND_MS = 300;

type Answer = (flow: LiveFlow<SimulatedMessage>, first: number, nowMs: number) => void;

function answerOf(ask: Ask<SimulatedMessage>, log: readonly SimulatedMessage[], facts: StreamFacts): Answer {
  switch (ask.kind) {
    case "heads":
      return headsOf(ask, log, facts);
    case "page":
      return pageOf(ask, log, facts);
    case "range":
      return rangeOf(ask, log, facts);
  }
}

function headsOf(
  ask: HeadsAsk<SimulatedMessage>,
  log: readonly SimulatedMessage[],
  facts: StreamFacts,
): Answer {
  const heads = new Map<string, number>();
  for (const { token } of ask.rooms) {
    const last = log.findLast((message) => message.token === token);
    if (last !== undefined) heads.set(token, last.sequence);
  }
  const anchors = log.filter(({ sequence }) => ask.anchors.includes(sequence));
  const last = log.find(({ sequence }) => sequence === facts.upTo);
  return (flow, first, nowMs) => flow.heads(ask.id, { ...facts, first, heads, anchors, last }, nowMs);
}

function pageOf(
  ask: PageAsk<SimulatedMessage>,
  log: readonly SimulatedMessage[],
  facts: StreamFacts,
): Answer {
  const own = log.filter(({ token }) => token === ask.room.token);
  const anchor = own.find(({ sequence }) => sequence === ask.anchor);
  const after = own.filter(({ sequence }) => sequence > ask.after);
  const messages = after.slice(0, ask.limit).map((message) => ({ ...message }));
  const more = after.length > messages.length;
  const upTo = more ? (messages.at(-1)?.sequence ?? 0) : facts.upTo;
  return (flow, first, nowMs) => flow.page(ask.id, { ...facts, upTo, first, anchor, messages, more }, nowMs);
}

function rangeOf(ask: RangeAsk, log: readonly SimulatedMessage[], facts: StreamFacts): Answer {
  const after = log.filter(({ sequence }) => sequence > ask.after);
  const messages = after
    .slice(0, ask.limit)
    .map((message) => ({ token: message.token, message: { ...message } }));
  const more = after.length > messages.length;
  const upTo = more ? (messages.at(-1)?.message.sequence ?? 0) : facts.upTo;
  return (flow, first, nowMs) => flow.range(ask.id, { ...facts, upTo, first, messages, more }, nowMs);
}
