import { AskDesk } from "./ask-desk.js";
import { ChainedPartition } from "./chained-partition.js";
import { DEFAULT_FLOW_LIMITS, type FlowLimits } from "./flow-limits.js";
import {
  createFlowCounters,
  type FlowCounters,
  type FlowMessage,
  type FlowPort,
  type HeadsAnswer,
  type PageAnswer,
  type PartitionSpec,
  type RangeAnswer,
  type RoomOpening,
} from "./flow-port.js";
import type { FlowRoom } from "./flow-room.js";
import type { FlowShared } from "./flow-shared.js";
import type { Partition } from "./partition.js";
import { WholePartition } from "./whole-partition.js";

export interface LiveFlowOptions {
  readonly limits?: Partial<FlowLimits>;
  readonly counters?: FlowCounters;
}

/**
 * The flow of all open rooms of one node, from what a server republishes and what can be read back: every message of
 * a room after the one it was opened at, in order, none twice, and where one is gone, a reset before anything later.
 * A message that never came live is found by the next one of its room, or by a sweep.
 *
 * Pure: no clock, no timer, no socket. `nowMs` is any clock that only goes forward; call {@link LiveFlow.tick} every 50 to 100 ms.
 * Everything else goes through the port. Nothing is asked before the first {@link LiveFlow.connected}.
 */
export class LiveFlow<M extends FlowMessage> {
  readonly counters: FlowCounters;
  readonly #shared: FlowShared<M>;
  readonly #partitions: Partition<M>[] = [];
  #asks = 0;

  constructor(port: FlowPort<M>, options: LiveFlowOptions = {}) {
    const limits: FlowLimits = Object.freeze({ ...DEFAULT_FLOW_LIMITS, ...options.limits });
    this.counters = options.counters ?? createFlowCounters();
    const nextId = (): number => {
      this.#asks += 1;
      return this.#asks;
    };
    const heads = new AskDesk<Partition<M>>(limits.heads, limits, nextId, (id, partition, nowMs) =>
      send(partition.headsAsk(id, nowMs)),
    );
    const pages = new AskDesk<FlowRoom<M>>(limits.pages, limits, nextId, (id, room) =>
      send(room.partition instanceof ChainedPartition ? room.partition.pageAsk(id, room) : undefined),
    );
    const ranges = new AskDesk<WholePartition<M>["reader"]>(limits.ranges, limits, nextId, (id, reader) =>
      send(reader.partition.rangeAsk(id)),
    );
    const send = (ask: Parameters<FlowPort<M>["ask"]>[0] | undefined): boolean => {
      if (ask !== undefined) port.ask(ask);
      return ask !== undefined;
    };
    this.#shared = { port, limits, counters: this.counters, queue: { bytes: 0 }, heads, pages, ranges };
    this.#hold(true);
  }

  /** Live messages that are held back, in bytes. */
  get queuedBytes(): number {
    return this.#shared.queue.bytes;
  }

  /** A stream whose rooms may be opened; once each. */
  partition(spec: PartitionSpec, nowMs: number): Partition<M> {
    const Kind = spec.whole ? WholePartition<M> : ChainedPartition<M>;
    const partition = new Kind(spec, this.#shared, this.#partitions.length, nowMs);
    this.#partitions.push(partition);
    return partition;
  }

  /** Opens a room of a partition of this flow; the port hears of it. One that cannot be read stays opening until it is closed. */
  open(partition: Partition<M>, opening: RoomOpening<M>, nowMs: number): FlowRoom<M> {
    const room = partition.open(opening);
    this.#pump(nowMs);
    return room;
  }

  /** Nothing goes to the room from here on. */
  close(room: FlowRoom<M>): void {
    room.partition.close(room);
  }

  /** A live message of a room with a subscription of its own. `previous`: that of the room before it, 0 where there is none. */
  live(room: FlowRoom<M>, message: M, previous: number, nowMs: number): void {
    if (!(room.partition instanceof ChainedPartition)) throw new Error(`room ${room.name} has no chain`);
    room.partition.live(room, message, previous, nowMs);
    this.#pump(nowMs);
  }

  /** A live message of a partition with one subscription, whether its room is open or not. */
  liveWhole(partition: Partition<M>, token: string, message: M, nowMs: number): void {
    if (!(partition instanceof WholePartition))
      throw new Error(`${partition.spec.stream} is not taken whole`);
    partition.live(token, message, nowMs);
    this.#pump(nowMs);
  }

  /** It is known from elsewhere, as by an acknowledgement, that the room has a message of this number in the present epoch. */
  exists(room: FlowRoom<M>, sequence: number, nowMs: number): void {
    if (!room.isClosed) room.partition.exists(room, sequence);
    this.#pump(nowMs);
  }

  heads(id: number, answer: HeadsAnswer<M>, nowMs: number): void {
    this.#shared.heads.take(id)?.heads(answer, nowMs);
    this.#pump(nowMs);
  }

  page(id: number, answer: PageAnswer<M>, nowMs: number): void {
    const room = this.#shared.pages.take(id);
    if (room?.partition instanceof ChainedPartition) room.partition.page(room, answer, nowMs);
    this.#pump(nowMs);
  }

  range(id: number, answer: RangeAnswer<M>, nowMs: number): void {
    this.#shared.ranges.take(id)?.partition.range(answer, nowMs);
    this.#pump(nowMs);
  }

  /** A read of any kind came to nothing. It is tried again after a while. */
  failed(id: number, nowMs: number): void {
    const { heads, pages, ranges } = this.#shared;
    if (heads.failed(id, nowMs) || pages.failed(id, nowMs) || ranges.failed(id, nowMs)) this.#countFailures();
    this.#pump(nowMs);
  }

  /**
   * The live connection was lost. Count every one, however short: whatever was sent meanwhile is lost. A loop that was
   * blocked shows as nothing else.
   */
  disconnected(): void {
    this.#hold(true);
    for (const partition of this.#partitions) partition.gap();
  }

  /** The live connection is there, again or for the first time; subscriptions may still be on their way. */
  connected(nowMs: number): void {
    this.#hold(false);
    for (const partition of this.#partitions) {
      partition.gap();
      this.#sweepNow(partition, nowMs);
    }
    this.#pump(nowMs);
  }

  /** The stream has another leader, or was otherwise changed: what it stored meanwhile may not have been republished. */
  leaderChanged(partition: Partition<M>, nowMs: number): void {
    partition.gap();
    this.#sweepNow(partition, nowMs);
    this.#pump(nowMs);
  }

  /** From now on the partition's positions are of this epoch; open rooms are told. The same epoch again changes nothing. */
  renew(partition: Partition<M>, epoch: string, nowMs: number): void {
    partition.renew(epoch);
    this.#pump(nowMs);
  }

  /** An operator has taken away what a room of the partition had up to a number: it is told, if it is open. */
  purged(partition: Partition<M>, token: string, upTo: number): void {
    partition.purged(token, upTo);
  }

  tick(nowMs: number): void {
    const { heads, pages, ranges } = this.#shared;
    for (const desk of [heads, pages, ranges]) desk.tick(nowMs);
    this.#countFailures();
    for (const partition of this.#partitions) partition.tick(nowMs);
    this.#pump(nowMs);
  }

  /** Without a connection nothing is read: what is read then could not be told from another store's. */
  #hold(held: boolean): void {
    const { heads, pages, ranges } = this.#shared;
    for (const desk of [heads, pages, ranges]) desk.held = held;
  }

  #sweepNow(partition: Partition<M>, nowMs: number): void {
    if (partition.size === 0) return;
    partition.errand.failures = 0;
    this.#shared.heads.wantNow(partition);
    partition.tick(nowMs);
  }

  #countFailures(): void {
    const { heads, pages, ranges } = this.#shared;
    this.counters.failedReads = heads.failures + pages.failures + ranges.failures;
  }

  #pump(nowMs: number): void {
    const { heads, pages, ranges } = this.#shared;
    heads.pump(nowMs);
    pages.pump(nowMs);
    ranges.pump(nowMs);
  }
}
