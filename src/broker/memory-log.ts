import type { HistoryBudget, HistoryOwner } from "../core/history-budget.js";
import { keptBytes, type LogChunk } from "../core/log-chunk.js";
import { LOG_MESSAGE_OVERHEAD_BYTES, LOG_OVERHEAD_BYTES, LogChunks } from "../core/log-chunks.js";
import type { HistoryFrom, HistoryPage } from "../core/ports.js";
import type { RoomSettings } from "../core/settings.js";
import type { Position } from "../protocol/frames.js";
import { createMessage, type Message, type MessageFields, messageBytes } from "../protocol/message.js";
import type { RoomName } from "../protocol/room-name.js";

/**
 * One room's history: contiguous, bounded by count, age and a budget of bytes that all rooms share. Kept as bytes in chunks; who
 * reads gets messages whose frames are parts of them.
 */
export class MemoryLog implements HistoryOwner {
  readonly #room: RoomName;
  readonly #messagesMax: number;
  readonly #ageMs: number;
  readonly #budget: HistoryBudget;
  readonly #chunks = new LogChunks();
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
      const { oldest } = this.#chunks;
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
    const chunk = this.#chunks.oldest;
    if (chunk === undefined) return;
    this.#length -= 1;
    const bytes = chunk.oldestFrameBytes + LOG_MESSAGE_OVERHEAD_BYTES;
    this.#budget.release(chunk.oldestPlace, this.#length === 0 ? bytes + LOG_OVERHEAD_BYTES : bytes);
    this.#chunks.dropOldest();
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
    return this.#chunks.chunkFor(keptBytes(frameBytes, origin), offset);
  }

  #read(start: number, end: number): Message[] {
    const messages: Message[] = [];
    if (start >= end) return messages;
    const from = this.#newest - this.#length + 1 + start;
    const first = this.#chunks.lastFrom(from, ({ firstOffset }) => firstOffset);
    for (let index = first; messages.length < end - start; index += 1) {
      const chunk = this.#chunks.at(index);
      if (chunk === undefined) break;
      chunk.read(this.#room, from, end - start - messages.length, messages);
    }
    return messages;
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
