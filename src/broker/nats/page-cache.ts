import { type BudgetEntry, ByteBudget } from "../../core/byte-budget.js";
import type { HistoryFrom, HistoryPage } from "../../core/ports.js";
import { indexAfter } from "../../core/recent-pages.js";
import type { Position } from "../../protocol/frames.js";
import { createMessage, dataOf, type Message } from "../../protocol/message.js";
import type { FoundPage } from "../room-asks.js";
import type { OpenRoom } from "./open-room.js";

/** What a kept message costs besides its frame. */
const MESSAGE_BYTES = 250;
const ENTRY_BYTES = 500;

class Entry implements BudgetEntry {
  readonly room: OpenRoom;
  /** Of the room when the read began: of another numbering or before a reset, all is void. */
  readonly epoch: string;
  readonly resets: number;
  readonly from: number;
  readonly messages: readonly Message[];
  /** Complete up to here. */
  readonly upTo: number;
  readonly bytes: number;
  readonly putMs: number;
  older: BudgetEntry | undefined;
  newer: BudgetEntry | undefined;
  readonly #forget: (entry: Entry) => void;

  constructor(
    mark: RoomMark,
    { from, messages, upTo }: FoundPage,
    putMs: number,
    forget: (entry: Entry) => void,
  ) {
    this.room = mark.room;
    this.epoch = mark.epoch;
    this.resets = mark.resets;
    this.from = from;
    this.messages = messages;
    this.upTo = upTo;
    this.bytes = messages.reduce((sum, { frame }) => sum + frame.length + MESSAGE_BYTES, ENTRY_BYTES);
    this.putMs = putMs;
    this.#forget = forget;
  }

  evict(): void {
    this.#forget(this);
  }
}

/** A room as it was when a read began. */
export interface RoomMark {
  readonly room: OpenRoom;
  readonly epoch: string;
  readonly resets: number;
  /** What it had come to was stored by then. */
  readonly last: number;
}

export function markOf(room: OpenRoom): RoomMark {
  return { room, epoch: room.stream.epoch, resets: room.resets, last: room.last };
}

/**
 * What was read back of open rooms a short while ago. Together with the room's own recent messages, which go on where it
 * ends, it answers those who come back a moment later: in a storm a room is read once, and not once for everybody.
 *
 * Nothing is answered from here that was not complete when it was asked: what goes on behind a page is the room's live flow.
 */
export class PageCache {
  readonly #budget: ByteBudget;
  readonly #keepMs: number;
  readonly #nowMs: () => number;
  readonly #entries = new Map<OpenRoom, Entry>();

  /** @param keepMs How long a page is kept. */
  constructor(bytes: number, keepMs: number, nowMs: () => number) {
    this.#budget = new ByteBudget(bytes);
    this.#keepMs = keepMs;
    this.#nowMs = nowMs;
  }

  get size(): number {
    return this.#entries.size;
  }

  get bytes(): number {
    return this.#budget.used;
  }

  /** Keeps what was read, unless more is kept already. */
  put(mark: RoomMark, found: FoundPage): void {
    const { room } = mark;
    if (!isValid(mark)) return;
    const known = this.#entries.get(room);
    if (known !== undefined && isValid(known) && known.from <= found.from && joins(known)) return;
    if (known !== undefined) this.#drop(known);
    const entry = new Entry(mark, found, this.#nowMs(), (evicted) => this.#entries.delete(evicted.room));
    this.#entries.set(room, entry);
    this.#budget.add(entry);
  }

  /** A page that is complete as of now; undefined where it has to be read. `from` is of the stream's present epoch. */
  page(room: OpenRoom, from: HistoryFrom, limit: number): HistoryPage | undefined {
    const own = room.page(from, limit);
    if (own !== undefined) return own;
    const entry = this.#entries.get(room);
    if (entry === undefined || from === "oldest") return undefined;
    if (!isValid(entry) || entry.putMs + this.#keepMs < this.#nowMs()) {
      this.#drop(entry);
      return undefined;
    }
    const joined = join(entry);
    if (joined === undefined) return undefined;
    const { messages, head } = joined;
    const { history } = room;
    let index: number;
    if ("last" in from) {
      index = messages.length - Math.min(from.last, history.messages);
      if (index < 0) return undefined;
    } else {
      const { offset } = from.after;
      if (offset < entry.from || offset > head.offset) return undefined;
      index = indexAfter(messages, offset);
      if (messages.length - index > history.messages) return undefined;
    }
    const first = messages[index];
    // Whether it is too old to be given is for the read to say, which knows when it was stored.
    if (first === undefined || first.time < this.#nowMs() - history.seconds * 1_000) return undefined;
    const part = messages.slice(index, index + limit);
    return { kind: "page", messages: part, more: index + part.length < messages.length, head };
  }

  /** Forgets what is too old. Call it now and then. */
  sweep(): void {
    const before = this.#nowMs() - this.#keepMs;
    for (const entry of this.#entries.values()) {
      if (entry.putMs >= before && isValid(entry)) continue;
      this.#drop(entry);
    }
  }

  #drop(entry: Entry): void {
    this.#entries.delete(entry.room);
    this.#budget.remove(entry);
  }
}

function isValid({ room, epoch, resets }: Omit<RoomMark, "last">): boolean {
  return !room.closed && room.stream.epoch === epoch && room.resets === resets;
}

/** Whether the room goes on where the entry ends. */
function joins({ room, epoch, upTo }: Entry): boolean {
  return upTo >= room.last || room.page({ after: { epoch, offset: upTo } }, 1) !== undefined;
}

/** The entry's messages and all that followed; undefined where something is missing between, or may be. */
function join({
  room,
  epoch,
  messages,
  upTo,
}: Entry): { messages: readonly Message[]; head: Position } | undefined {
  // Read back before it came live, which it will: nothing can be behind it that was acknowledged.
  if (upTo > room.last) {
    if (room.acknowledged > upTo) return undefined;
    return { messages, head: room.stream.position(upTo) };
  }
  const rest = room.page({ after: { epoch, offset: upTo } }, EVERYTHING);
  if (rest?.kind !== "page") return undefined;
  const [next, ...others] = rest.messages;
  const { head } = rest;
  if (next === undefined) return { messages, head };
  return { messages: [...messages, follow(next, messages.at(-1)?.offset ?? upTo), ...others], head };
}

/** The first that came after a room was opened says that it follows the place where that was. */
function follow(message: Message, prev: number): Message {
  return message.prev <= prev ? message : createMessage({ ...message, prev, data: dataOf(message) });
}

const EVERYTHING = Number.MAX_SAFE_INTEGER;
