import type { Message } from "../protocol/message.js";
import type { BudgetEntry, ByteBudget } from "./byte-budget.js";

/** What a kept message costs besides its frame: objects, array slot, the frame's own header. */
const ENTRY_OVERHEAD_BYTES = 250;

class RingEntry implements BudgetEntry {
  readonly message: Message;
  readonly bytes: number;
  older: BudgetEntry | undefined;
  newer: BudgetEntry | undefined;
  readonly #ring: Ring;

  constructor(ring: Ring, message: Message) {
    this.#ring = ring;
    this.message = message;
    this.bytes = message.frame.length + ENTRY_OVERHEAD_BYTES;
  }

  evict(): void {
    this.#ring.forgetOldest();
  }
}

/**
 * The recent messages of one room, contiguous, bounded by count and by the process's byte budget. Everything after
 * `floor` up to the newest is here; a position at or above it resumes without asking the broker.
 */
export class Ring {
  readonly #budget: ByteBudget;
  readonly #messagesMax: number;
  /** Oldest first from `#start` on; slots before it are free and cut away now and then. */
  #entries: (RingEntry | undefined)[] = [];
  #start = 0;
  #floor: number;

  constructor(budget: ByteBudget, messagesMax: number, floor: number) {
    this.#budget = budget;
    this.#messagesMax = messagesMax;
    this.#floor = floor;
  }

  get size(): number {
    return this.#entries.length - this.#start;
  }

  /** Whether every message after this offset is still here. */
  covers(offset: number): boolean {
    return offset >= this.#floor;
  }

  /** Appends the newest message. Returns how many messages, of any room, had to go for it. */
  append(message: Message): number {
    let evicted = 0;
    if (this.size >= this.#messagesMax) {
      this.#dropOldest();
      evicted = 1;
    }
    const entry = new RingEntry(this, message);
    this.#entries.push(entry);
    return evicted + this.#budget.add(entry);
  }

  /** The place of the first message after this offset, for {@link Ring.at}; `size` where there is none. */
  indexAfter(offset: number): number {
    let low = this.#start;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const entry = this.#entries[middle];
      if (entry !== undefined && entry.message.offset <= offset) low = middle + 1;
      else high = middle;
    }
    return low - this.#start;
  }

  /** The n-th kept message, 0 the oldest. Places shift with every eviction: use them at once. */
  at(index: number): Message | undefined {
    return this.#entries[this.#start + index]?.message;
  }

  /** Drops what the broker took before this time. Returns how many. */
  expire(beforeMs: number): number {
    let dropped = 0;
    for (let oldest = this.at(0); oldest !== undefined && oldest.time < beforeMs; oldest = this.at(0)) {
      this.#dropOldest();
      dropped += 1;
    }
    return dropped;
  }

  /** Forgets everything; what comes next follows `floor`. */
  clear(floor: number): void {
    for (let index = this.#start; index < this.#entries.length; index += 1) {
      const entry = this.#entries[index];
      if (entry !== undefined) this.#budget.remove(entry);
    }
    this.#entries = [];
    this.#start = 0;
    this.#floor = floor;
  }

  /** The budget took the oldest entry away. */
  forgetOldest(): void {
    const entry = this.#entries[this.#start];
    if (entry === undefined) return;
    this.#floor = entry.message.offset;
    this.#entries[this.#start] = undefined;
    this.#start += 1;
    if (this.#start >= 32 && this.#start * 2 >= this.#entries.length) {
      this.#entries = this.#entries.slice(this.#start);
      this.#start = 0;
    }
  }

  #dropOldest(): void {
    const entry = this.#entries[this.#start];
    if (entry === undefined) return;
    this.#budget.remove(entry);
    this.forgetOldest();
  }
}
