import type { BudgetEntry, ByteBudget } from "../core/byte-budget.js";
import type { HistoryFrom, HistoryPage } from "../core/ports.js";
import type { RoomSettings } from "../core/settings.js";
import type { Position } from "../protocol/frames.js";
import type { Message } from "../protocol/message.js";
import { Deque } from "./deque.js";
import { MESSAGE_OVERHEAD_BYTES } from "./memory-limits.js";

/** One room's history: contiguous, bounded by count, age and a budget of bytes that all rooms share. */
export class MemoryLog {
  readonly #messagesMax: number;
  readonly #ageMs: number;
  readonly #budget: ByteBudget;
  readonly #entries = new Deque<LogEntry>();

  constructor(settings: RoomSettings["history"], budget: ByteBudget) {
    this.#messagesMax = settings.messages;
    this.#ageMs = settings.seconds * 1_000;
    this.#budget = budget;
  }

  get length(): number {
    return this.#entries.length;
  }

  /** Keeps the newest message. Returns how many messages, of any room, the byte budget evicted for it. */
  push(message: Message): number {
    if (this.#messagesMax === 0) return 0;
    if (this.#entries.length === this.#messagesMax) this.#dropOldest();
    const entry = new LogEntry(message, this.#entries);
    this.#entries.push(entry);
    return this.#budget.add(entry);
  }

  /** Drops up to `max` messages that are too old; returns how many. */
  expire(nowMs: number, max: number): number {
    let expired = 0;
    for (let first = this.#entries.at(0); first !== undefined && expired < max; first = this.#entries.at(0)) {
      if (nowMs - first.message.time < this.#ageMs) break;
      this.#dropOldest();
      expired += 1;
    }
    return expired;
  }

  clear(): void {
    while (this.#entries.length > 0) this.#dropOldest();
  }

  /** One page, given where the room's numbering stands. Expire first. */
  page(from: HistoryFrom, limit: number, head: Position): HistoryPage {
    const length = this.#entries.length;
    let start = 0;
    if (from !== "oldest" && "last" in from) start = Math.max(0, length - from.last);
    else if (from !== "oldest") {
      const { epoch, offset } = from.after;
      if (epoch !== head.epoch || offset > head.offset) return { kind: "lost", reason: "epoch", head };
      const first = this.#entries.at(0)?.message;
      if (offset < (first?.prev ?? head.offset)) return { kind: "lost", reason: "expired", head };
      // Offsets of this broker grow by one, so an offset is an index.
      start = first === undefined ? 0 : offset - first.prev;
    }
    const end = Math.min(length, start + limit);
    const messages: Message[] = [];
    for (let index = start; index < end; index += 1) {
      const entry = this.#entries.at(index);
      if (entry !== undefined) messages.push(entry.message);
    }
    return { kind: "page", messages, more: end < length, head };
  }

  #dropOldest(): void {
    const oldest = this.#entries.shift();
    if (oldest !== undefined) this.#budget.remove(oldest);
  }
}

class LogEntry implements BudgetEntry {
  readonly message: Message;
  readonly bytes: number;
  older: BudgetEntry | undefined;
  newer: BudgetEntry | undefined;
  readonly #entries: Deque<LogEntry>;

  constructor(message: Message, entries: Deque<LogEntry>) {
    this.message = message;
    this.bytes = message.frame.byteLength + MESSAGE_OVERHEAD_BYTES;
    this.older = undefined;
    this.newer = undefined;
    this.#entries = entries;
  }

  /** The oldest entry of the budget is the oldest of its room too. */
  evict(): void {
    this.#entries.shift();
  }
}
