import type { HistoryFrom, HistoryPage } from "../core/ports.js";
import type { RoomSettings } from "../core/settings.js";
import type { Position } from "../protocol/frames.js";
import { createMessage, type Message, type MessageFields, messageBytes } from "../protocol/message.js";
import type { RoomName } from "../protocol/room-name.js";
import { Deque } from "./deque.js";
import type { HistoryBudget, HistoryOwner } from "./history-budget.js";
import { keptBytes, LogChunk } from "./log-chunk.js";
import { LOG_CHUNK_BYTES, LOG_MESSAGE_OVERHEAD_BYTES, LOG_OVERHEAD_BYTES } from "./memory-limits.js";

/**
 * One room's history: contiguous, bounded by count, age and a budget of bytes that all rooms share. Kept as bytes in chunks; who
 * reads gets messages whose frames are parts of them.
 */
export class MemoryLog implements HistoryOwner {
  readonly #room: RoomName;
  readonly #messagesMax: number;
  readonly #ageMs: number;
  readonly #budget: HistoryBudget;
  /** The oldest first, none of them empty. */
  readonly #chunks = new Deque<LogChunk>();
  #length = 0;
  /** Offset of the newest; those before it count down by one. */
  #newest = 0;

  constructor(room: RoomName, settings: RoomSettings["history"], budget: HistoryBudget) {
    this.#room = room;
    this.#messagesMax = settings.messages;
    this.#ageMs = settings.seconds * 1_000;
    this.#budget = budget;
  }

  get length(): number {
    return this.#length;
  }

  /** Encodes the newest message and keeps it. Its frame is a part of what is kept, and good for as long as somebody has it. */
  append(fields: MessageFields): Message {
    if (this.#messagesMax === 0) return createMessage(fields);
    const bytes = messageBytes(fields);
    const chunk = this.#chunkFor(bytes, fields.origin, fields.offset);
    const message = createMessage(fields, chunk.frame(bytes));
    this.#push(chunk, message);
    return message;
  }

  /** Keeps a copy of the newest message, for one that outlives its history. */
  keep(message: Message): void {
    if (this.#messagesMax === 0) return;
    const { frame, origin, offset } = message;
    const chunk = this.#chunkFor(frame.length, origin, offset);
    chunk.frame(frame.length).set(frame);
    this.#push(chunk, message);
  }

  /** Drops up to `max` messages that are too old; returns how many. */
  expire(nowMs: number, max: number): number {
    let expired = 0;
    for (; this.#length > 0 && expired < max; expired += 1) {
      const oldest = this.#chunks.at(0);
      if (oldest === undefined || nowMs - oldest.oldestTime < this.#ageMs) break;
      this.evict();
    }
    return expired;
  }

  clear(): void {
    while (this.#length > 0) this.evict();
  }

  /** One page, given where the room's numbering stands. Expire first. */
  page(from: HistoryFrom, limit: number, head: Position): HistoryPage {
    const length = this.#length;
    let start = 0;
    if (from !== "oldest" && "last" in from) start = Math.max(0, length - from.last);
    else if (from !== "oldest") {
      const lost = lostAfter(from.after, length, head);
      if (lost !== undefined) return lost;
      // Offsets of this broker grow by one, so an offset is an index.
      start = length - (head.offset - from.after.offset);
    }
    const end = Math.min(length, start + limit);
    return { kind: "page", messages: this.#read(start, end), more: end < length, head };
  }

  /** Drops the oldest message. */
  evict(): void {
    const chunk = this.#chunks.at(0);
    if (chunk === undefined) return;
    this.#length -= 1;
    const bytes = chunk.oldestFrameBytes + LOG_MESSAGE_OVERHEAD_BYTES;
    this.#budget.release(chunk.oldestPlace, this.#length === 0 ? bytes + LOG_OVERHEAD_BYTES : bytes);
    chunk.dropOldest();
    if (chunk.count === 0) this.#chunks.shift();
  }

  #push(chunk: LogChunk, message: Message): void {
    const bytes = message.frame.length + LOG_MESSAGE_OVERHEAD_BYTES;
    chunk.push(message, this.#budget.add(this, this.#length === 0 ? bytes + LOG_OVERHEAD_BYTES : bytes));
    this.#length += 1;
    this.#newest = message.offset;
  }

  /** The chunk that the next message goes to; the oldest message goes where there are as many as may be. */
  #chunkFor(frameBytes: number, origin: string | undefined, offset: number): LogChunk {
    if (this.#length === this.#messagesMax) this.evict();
    const bytes = keptBytes(frameBytes, origin);
    const last = this.#chunks.at(this.#chunks.length - 1);
    if (last?.hasPlaceFor(bytes) === true) return last;
    // A quiet room has exactly what it needs; one that gets more doubles it, up to a whole chunk.
    const held = (last?.bytes ?? 0) + bytes;
    if (last !== undefined && this.#chunks.length === 1 && 2 * held <= LOG_CHUNK_BYTES) {
      const grown = last.grown(2 * held);
      this.#chunks.shift();
      this.#chunks.push(grown);
      return grown;
    }
    const chunk = new LogChunk(last === undefined ? bytes : Math.max(bytes, LOG_CHUNK_BYTES), offset);
    this.#chunks.push(chunk);
    return chunk;
  }

  #read(start: number, end: number): Message[] {
    const messages: Message[] = [];
    if (start >= end) return messages;
    const from = this.#newest - this.#length + 1 + start;
    for (let index = this.#chunkOf(from); messages.length < end - start; index += 1) {
      const chunk = this.#chunks.at(index);
      if (chunk === undefined) break;
      chunk.read(this.#room, from, end - start - messages.length, messages);
    }
    return messages;
  }

  /** The last chunk that begins at or before an offset. */
  #chunkOf(offset: number): number {
    let low = 0;
    let high = this.#chunks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((this.#chunks.at(middle)?.firstOffset ?? offset) <= offset) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

/** The page of a room that keeps nothing. */
export function emptyPage(from: HistoryFrom, head: Position): HistoryPage {
  const lost = from !== "oldest" && "after" in from ? lostAfter(from.after, 0, head) : undefined;
  return lost ?? { kind: "page", messages: [], more: false, head };
}

/** What is told of a position that the newest `length` messages before `head` do not cover. */
function lostAfter({ epoch, offset }: Position, length: number, head: Position): HistoryPage | undefined {
  if (epoch !== head.epoch || offset > head.offset) return { kind: "lost", reason: "epoch", head };
  return offset < head.offset - length ? { kind: "lost", reason: "expired", head } : undefined;
}
