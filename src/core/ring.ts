import type { Message } from "../protocol/message.js";
import type { RoomName } from "../protocol/room-name.js";
import type { HistoryBudget, HistoryOwner } from "./history-budget.js";
import { keptBytes } from "./log-chunk.js";
import { LOG_MESSAGE_OVERHEAD_BYTES, LOG_OVERHEAD_BYTES, LogChunks } from "./log-chunks.js";

/** Its offset and position. */
const ENTRY_OVERHEAD_BYTES = LOG_MESSAGE_OVERHEAD_BYTES + 16;

/** So many free slots are cut away, where they are half of all. */
const SLACK = 32;

/**
 * The recent messages of one room, bounded by count and by the process's byte budget. Everything after `floor` up to the newest is
 * here; a position at or above it resumes without asking the broker. Kept as bytes: as objects, those of thousands of rooms are what
 * the garbage collector would be busy with (`npm run bench -- board`). Whoever reads gets messages whose frames are parts of what is
 * kept, good for as long as somebody has them.
 */
export class Ring implements HistoryOwner {
  readonly #room: RoomName;
  readonly #budget: HistoryBudget;
  readonly #messagesMax: number;
  readonly #chunks = new LogChunks();
  /** Where each message is, and its offset: oldest first from `#start` on; slots before it are free and cut away now and then. */
  #positions: number[] = [];
  #offsets: number[] = [];
  #start = 0;
  #floor: number;
  /** Messages read since the last change, by offset: in a storm of resumes thousands read the same. */
  #read: Map<number, Message> | undefined;

  constructor(room: RoomName, budget: HistoryBudget, messagesMax: number, floor: number) {
    this.#room = room;
    this.#budget = budget;
    this.#messagesMax = messagesMax;
    this.#floor = floor;
  }

  get size(): number {
    return this.#offsets.length - this.#start;
  }

  /** Whether every message after this offset is still here. */
  covers(offset: number): boolean {
    return offset >= this.#floor;
  }

  /** Appends the newest message. Returns how many messages, of any room, had to go for it. */
  append(message: Message): number {
    this.#read = undefined;
    const isFull = this.size >= this.#messagesMax;
    if (isFull) this.evict();
    const { frame, offset, origin } = message;
    const chunk = this.#chunks.chunkFor(keptBytes(frame.length, origin), offset);
    this.#positions.push(chunk.end);
    chunk.copy(message, this.#budget.add(this, entryBytes(frame.length, this.size)));
    this.#offsets.push(offset);
    return this.#budget.fit() + (isFull ? 1 : 0);
  }

  /** The place of the first message after this offset, for {@link Ring.at}; `size` where there is none. */
  indexAfter(offset: number): number {
    let low = this.#start;
    let high = this.#offsets.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#offsets[middle] ?? 0) <= offset) low = middle + 1;
      else high = middle;
    }
    return low - this.#start;
  }

  /** The n-th kept message, 0 the oldest. Places shift with every eviction: use them at once. */
  at(index: number): Message | undefined {
    const offset = this.offsetAt(index);
    const position = this.#positionAt(index);
    if (position === undefined || offset === undefined) return undefined;
    const known = this.#read?.get(offset);
    if (known !== undefined) return known;
    const message = this.#chunkOf(position)?.messageAt(position, this.#room, offset);
    this.#read ??= new Map();
    if (message !== undefined) this.#read.set(offset, message);
    return message;
  }

  /** The n-th kept message's offset. */
  offsetAt(index: number): number | undefined {
    return index < 0 ? undefined : this.#offsets[this.#start + index];
  }

  /** The n-th kept message's key: less work than {@link Ring.at}. */
  keyAt(index: number): string | undefined {
    const position = this.#positionAt(index);
    return position === undefined ? undefined : this.#chunkOf(position)?.keyAt(position);
  }

  /** Drops what the broker took before this time. Returns how many. */
  expire(beforeMs: number): number {
    this.#read = undefined;
    let dropped = 0;
    for (; (this.#chunks.oldest?.oldestTime ?? beforeMs) < beforeMs; dropped += 1) this.evict();
    return dropped;
  }

  /** Forgets everything; what comes next follows `floor`. */
  clear(floor: number): void {
    this.#read = undefined;
    while (this.size > 0) this.evict();
    this.#positions = [];
    this.#offsets = [];
    this.#start = 0;
    this.#floor = floor;
  }

  /** Drops the oldest message. */
  evict(): void {
    const chunk = this.#chunks.oldest;
    const offset = this.#offsets[this.#start];
    if (chunk === undefined || offset === undefined) return;
    this.#floor = offset;
    this.#start += 1;
    this.#budget.release(chunk.oldestPlace, entryBytes(chunk.oldestFrameBytes, this.size));
    this.#chunks.dropOldest();
    if (this.#start >= SLACK && this.#start * 2 >= this.#offsets.length) {
      this.#positions = this.#positions.slice(this.#start);
      this.#offsets = this.#offsets.slice(this.#start);
      this.#start = 0;
    }
  }

  #positionAt(index: number): number | undefined {
    return index < 0 ? undefined : this.#positions[this.#start + index];
  }

  #chunkOf(position: number) {
    return this.#chunks.at(this.#chunks.lastFrom(position, ({ base }) => base));
  }
}

/** What a message costs in a ring of so many others. */
function entryBytes(frameBytes: number, others: number): number {
  return frameBytes + ENTRY_OVERHEAD_BYTES + (others === 0 ? LOG_OVERHEAD_BYTES : 0);
}
