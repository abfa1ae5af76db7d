import type { Position, ResetReason } from "../../../protocol/frames.js";
import type { RoomName } from "../../../protocol/room-name.js";
import type { Keeps } from "./chain.js";
import type { FlowRoom } from "./flow-room.js";

/** All that the flow looks at in a message itself. */
export interface FlowMessage {
  /** Its number in the stream: the room's offset. */
  readonly sequence: number;
}

/** One stream: the rooms of one partition. */
export interface PartitionSpec extends Keeps {
  readonly stream: string;
  /** True: one wildcard subscription, checked by the stream's unbroken sequence. False: one a room, checked by its chain. */
  readonly whole: boolean;
  /** Several servers have it: a subscription that the own one has confirmed may still be unknown to the one that sends. */
  readonly spread: boolean;
}

/** A stream as the flow knows it. Who asks needs its name only. */
export interface PartitionId {
  readonly spec: PartitionSpec;
}

/**
 * What the flow wants to know. Each is answered once by its id, with the answer or `failed`, or is given up after
 * {@link FlowLimits.askMs}; then it is asked anew, under another id.
 */
export type Ask<M extends FlowMessage> = HeadsAsk<M> | PageAsk<M> | RangeAsk;

/** The last message of each of these rooms; of none: only the facts. */
export interface HeadsAsk<M extends FlowMessage> {
  readonly kind: "heads";
  readonly id: number;
  readonly partition: PartitionId;
  readonly rooms: readonly FlowRoom<M>[];
  /** Sequences of which the message is wanted, whatever its room; eight at the most. */
  readonly anchors: readonly number[];
  /** A round trip on the live connection comes first, so that its subscriptions are in force. */
  readonly flush: boolean;
}

/** Messages of one room after a sequence, and the one at `anchor` (0: none). */
export interface PageAsk<M extends FlowMessage> {
  readonly kind: "page";
  readonly id: number;
  readonly room: FlowRoom<M>;
  readonly anchor: number;
  readonly after: number;
  readonly limit: number;
}

/** Messages of the stream after a sequence, whatever their room. */
export interface RangeAsk {
  readonly kind: "range";
  readonly id: number;
  readonly partition: PartitionId;
  readonly after: number;
  readonly limit: number;
}

/** What every answer says of the stream. */
export interface StreamFacts {
  readonly epoch: string;
  /** Lowest sequence that is still stored, or the next one where nothing is. As of after the messages were read. */
  readonly first: number;
  /** The answer lacks nothing that is stored up to here; with `more`, the last message's sequence. As of before they were read. */
  readonly upTo: number;
}

export interface HeadsAnswer<M extends FlowMessage> extends StreamFacts {
  /** By the room's token; a room without messages is absent. */
  readonly heads: ReadonlyMap<string, number>;
  /** Those of the sequences asked for that are there. */
  readonly anchors: readonly M[];
  /** The message at `upTo`, if it is there. */
  readonly last: M | undefined;
}

export interface PageAnswer<M extends FlowMessage> extends StreamFacts {
  /** Undefined where it is gone, or of another room. */
  readonly anchor: M | undefined;
  /** In ascending order. */
  readonly messages: readonly M[];
  readonly more: boolean;
}

export interface RangeAnswer<M extends FlowMessage> extends StreamFacts {
  /** In ascending order, what is not stored any more left out. */
  readonly messages: readonly { readonly token: string; readonly message: M }[];
  readonly more: boolean;
}

/** The flow's surroundings. Nothing here throws or calls the flow before it returns. */
export interface FlowPort<M extends FlowMessage> {
  /** Live messages are wanted, over reconnects, until they are not. */
  subscribe(target: FlowRoom<M> | PartitionId): void;
  unsubscribe(target: FlowRoom<M> | PartitionId): void;
  ask(ask: Ask<M>): void;
  /** A copy that stays valid; what live messages come with need not. */
  keep(message: M): M;
  /** Bytes that a kept message takes. */
  size(message: M): number;
  /** A number that tells a message from another of the same sequence: the same live and read back. Cheap. */
  mark(message: M): number;
  /**
   * The stream is not what it was: older than what was seen of it. Wants {@link LiveFlow.renew} with another epoch.
   * @param isProven It has another message where one was seen; else it only seems to have fewer than were seen.
   */
  suspect(partition: PartitionId, facts: StreamFacts, isProven: boolean): void;
  /** The room had messages up to this number that are gone, while the stream has older ones: it was purged by itself. */
  purged(room: FlowRoom<M>, upTo: number): void;
}

/** What a room is opened with. */
export interface RoomOpening<M extends FlowMessage> {
  readonly name: RoomName;
  /** The room in subjects. */
  readonly token: string;
  readonly sink: RoomSink<M>;
}

/** Where an open room's flow goes. Nothing here throws; of the flow it may call open and close. */
export interface RoomSink<M extends FlowMessage> {
  /** The room is open: everything after `head` follows. Once, before anything else. */
  opened(head: Position): void;
  /** The next message, whose offset before was `prev`. */
  deliver(message: M, prev: number): void;
  /** Continuity is lost: numbering goes on after `head`. */
  reset(head: Position, reason: ResetReason): void;
  /** Nothing lies between what was told last and this number. */
  checkpoint(sequence: number): void;
}

/** Running totals, plain numbers that metrics read. */
export interface FlowCounters {
  delivered: number;
  /** Live messages that were known already. */
  knownMessages: number;
  /** Live messages that showed that others before them had not come. */
  holes: number;
  /** Live messages whose predecessor was gone. */
  cuts: number;
  /** Messages that only a read brought. */
  repairedMessages: number;
  /** Rooms or streams found by a sweep to have stored what never came live. */
  sweptHoles: number;
  /** Answers that were older than what had come live. */
  staleReads: number;
  /** Reads that failed or were given up. */
  failedReads: number;
  /** Queues that were dropped because of a bound; the room is read instead. */
  queueOverflows: number;
  /** Rooms told that continuity is lost. */
  resets: number;
  /** Quiet rooms told how far nothing came. */
  checkpoints: number;
}

export function createFlowCounters(): FlowCounters {
  return {
    delivered: 0,
    knownMessages: 0,
    holes: 0,
    cuts: 0,
    repairedMessages: 0,
    sweptHoles: 0,
    staleReads: 0,
    failedReads: 0,
    queueOverflows: 0,
    resets: 0,
    checkpoints: 0,
  };
}
