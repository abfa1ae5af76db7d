import type { ResetReason } from "../../protocol/frames.js";
import { Chain, type ChainPort } from "./chain.js";
import type { Gate } from "./gate.js";
import { isTransient, reasonOf } from "./js-api.js";
import type { NatsLimits } from "./limits.js";
import type { LiveMessage } from "./live-message.js";
import type { NatsCounters } from "./nats-counters.js";
import type { OpenRoom } from "./open-room.js";
import type { PartitionReader } from "./partition-reader.js";
import type { RoomPlace, RoomReader } from "./room-reader.js";
import type { StoredMessage } from "./stored-message.js";
import type { Stream } from "./streams.js";

/** What flows work with. Time comes in here, so that a simulation can be its master. */
export interface FlowTools {
  readonly limits: NatsLimits;
  readonly counters: NatsCounters;
  readonly rooms: RoomReader;
  readonly partitions: PartitionReader;
  /** Holds back reads when there are many at once. */
  readonly gate: Gate;
  readonly nowMs: () => number;
  readonly wait: (ms: number) => Promise<void>;
  /** A number came live for the second time: the stream may give its numbers out again. */
  readonly onRepeat: (stream: Stream) => void;
  /** Told of what goes wrong and does not look as if it would pass. */
  readonly onTrouble: (what: string) => void;
}

/** What a chain works on, and how it reads back what is missing. */
abstract class Flow implements ChainPort<LiveMessage, StoredMessage> {
  readonly stream: Stream;
  protected readonly chain: Chain<LiveMessage, StoredMessage>;
  protected readonly tools: FlowTools;
  /** Nothing is read back any more. */
  closed = false;
  #isReading = false;
  #lastLive = 0;

  constructor(stream: Stream, tools: FlowTools, dense: boolean) {
    this.stream = stream;
    this.tools = tools;
    this.chain = new Chain<LiveMessage, StoredMessage>(
      this,
      tools.counters,
      tools.limits.queueMessages,
      dense,
    );
  }

  /** How far the flow is complete. */
  get last(): number {
    return this.chain.last;
  }

  get isLive(): boolean {
    return this.chain.state === "live";
  }

  receive(message: LiveMessage): void {
    if (message.sequence <= this.#lastLive) this.tools.onRepeat(this.stream);
    else this.#lastLive = message.sequence;
    this.stream.see(message.sequence);
    this.stream.anchors.note(message);
    // What waits must not keep all that the socket read with it in memory.
    const kept = this.isLive ? message : { ...message, data: message.data.slice() };
    this.chain.receive(kept);
  }

  /** It is known that there is a message of this number. */
  exists(sequence: number): void {
    this.chain.exists(sequence);
  }

  /** The stream began a new numbering, of which nothing up to here is told one by one. */
  restart(): void {
    this.#lastLive = 0;
    this.chain.restart(this.stream.seen);
  }

  repair(): void {
    if (!this.#isReading) void this.#read();
  }

  abstract deliver(item: StoredMessage, prev: number): void;
  abstract isExpiry(next: LiveMessage): boolean;
  abstract reset(head: number, reason: ResetReason): void;
  /** Reads one page of what is missing up to the goal and hands it to the chain, unless `isStale` by then. */
  protected abstract readBack(goal: number, isStale: () => boolean): Promise<void>;

  async #read(): Promise<void> {
    this.#isReading = true;
    let waitMs = RETRY_FIRST_MS;
    while (!this.closed && this.chain.state === "repairing") {
      const { epoch } = this.stream;
      try {
        this.tools.counters.reads += 1;
        await this.tools.gate.run(async () => {
          // Closed while it waited for its turn.
          if (!this.closed)
            await this.readBack(this.chain.goal, () => this.closed || this.stream.epoch !== epoch);
        });
        waitMs = RETRY_FIRST_MS;
      } catch (cause) {
        this.tools.counters.retriedReads += 1;
        if (!isTransient(cause)) this.tools.onTrouble(`reading ${this.stream.name}: ${reasonOf(cause)}`);
        await this.tools.wait(waitMs);
        waitMs = Math.min(RETRY_MOST_MS, waitMs * 2);
      }
    }
    this.#isReading = false;
  }
}

const RETRY_FIRST_MS = 50;
const RETRY_MOST_MS = 2_000;

/** Clocks differ, and servers expire in rounds. */
const EXPIRY_MARGIN_MS = 10_000;

/** The flow of one room of a set that is not keyed: the chain is that of its subject. */
export class RoomFlow extends Flow {
  readonly room: OpenRoom;
  readonly place: RoomPlace;
  /** The stream's last sequence when nothing was found missing. */
  verified = -1;
  /** When the last delivered message was stored, about. */
  #lastStoredMs = 0;

  constructor(room: OpenRoom, place: RoomPlace, tools: FlowTools) {
    super(room.stream, tools, false);
    this.room = room;
    this.place = place;
  }

  /** @param head The room's last message. 0: none is kept, and all up to `seen` is known. */
  open(head: number, seen: number): void {
    const last = head > 0 ? head : seen;
    this.room.start(last);
    this.chain.open(last, head > 0);
  }

  override deliver(item: StoredMessage): void {
    this.#lastStoredMs = item.storedMs ?? this.tools.nowMs();
    this.room.deliver(item);
  }

  /** The last one has expired; within the least age of a stream there are so many sweeps that nothing else was missed. */
  override isExpiry(): boolean {
    const { maxAgeMs } = this.stream.info;
    return maxAgeMs > 0 && this.tools.nowMs() - this.#lastStoredMs >= maxAgeMs - EXPIRY_MARGIN_MS;
  }

  override reset(head: number, reason: ResetReason): void {
    this.room.reset(head, reason);
  }

  /** A sweep found `head` to be the room's last message, 0 for none, when the flow had come to `last`. */
  check(head: number, last: number): void {
    if (head > this.last) {
      this.tools.counters.sweptHoles += 1;
      this.exists(head);
    } else if (head < last && last === this.last && !this.isExpiry()) this.chain.purged();
  }

  protected override async readBack(goal: number, isStale: () => boolean): Promise<void> {
    const { limits, rooms, nowMs, counters } = this.tools;
    const page = await rooms.after(this.place, this.last, limits.readBatch, undefined, nowMs());
    if (isStale()) return;
    if (page.kind === "page") {
      counters.repairedMessages += page.messages.length;
      const upTo = page.more ? (page.messages.at(-1)?.sequence ?? this.last) : Math.max(page.head, goal);
      this.chain.repaired(page.messages, upTo);
    } else this.chain.lost(Math.max(page.head, goal), page.reason);
  }
}

/** The flow of a stream that is taken whole, for all its rooms that are open: the chain is that of its own numbers. */
export class PartitionFlow extends Flow {
  readonly #rooms = new Map<string, OpenRoom>();
  /** Something was delivered, which is kept until a newer one of its key comes: such streams do not expire. */
  #isKept = false;

  constructor(stream: Stream, tools: FlowTools) {
    super(stream, tools, true);
  }

  get size(): number {
    return this.#rooms.size;
  }

  /** @param last What the stream had come to after the flow was subscribed to. */
  open(last: number): void {
    this.chain.open(last, false);
  }

  /** From here on the room gets what comes; only once the flow is open. */
  add(room: OpenRoom): void {
    room.start(this.last);
    this.#rooms.set(room.token, room);
  }

  remove(room: OpenRoom): void {
    if (this.#rooms.get(room.token) === room) this.#rooms.delete(room.token);
  }

  override deliver(item: StoredMessage): void {
    this.#isKept = true;
    this.#rooms.get(item.roomToken)?.deliver(item);
  }

  override isExpiry(): boolean {
    return true;
  }

  override reset(head: number, reason: ResetReason): void {
    this.#isKept = false;
    for (const room of [...this.#rooms.values()]) room.reset(head, reason);
  }

  /** A sweep found that the stream keeps what is from `first` to `last`. */
  check(first: number, last: number): void {
    if (this.#isKept && this.isLive && first > this.last) this.reset(this.last, "purged");
    if (last <= this.last) return;
    this.tools.counters.sweptHoles += 1;
    this.exists(last);
  }

  protected override async readBack(goal: number, isStale: () => boolean): Promise<void> {
    const page = await this.tools.partitions.between(this.stream, this.last, goal);
    if (isStale()) return;
    this.tools.counters.repairedMessages += page.messages.length;
    if (page.isMissing) this.chain.lost(page.upTo, "expired");
    else this.chain.repaired(page.messages, page.upTo);
  }
}
