import { CodedError } from "../../protocol/errors.js";
import type { Observe } from "./room-reader.js";
import type { StoredMessage } from "./stored-message.js";
import type { Cursor, StreamReads } from "./stream-reader.js";
import type { Stream, StreamInfo } from "./streams.js";

/** One room of a pass: all after a position, of which so many messages are kept. */
export interface PassRoom {
  readonly token: string;
  readonly filter: string;
  readonly after: number;
  readonly limit: number;
}

/** What a pass met with of one room after its position. */
export interface PassedRoom {
  /** What lies before it was not looked for. */
  readonly after: number;
  /** In order, from the first on; no more than the room's limit. */
  readonly messages: readonly StoredMessage[];
  /** How many there were, kept or not. */
  readonly count: number;
  /** The last of them; 0: none. */
  readonly last: number;
}

export interface Passed {
  /** What the leader said before and after it. */
  readonly before: StreamInfo;
  readonly now: StreamInfo;
  /** Everything kept up to here was met with. */
  readonly upTo: number;
  /** No number above this one is missing: whatever room it would have been of, it is there. */
  readonly unbrokenFrom: number;
  /** By token. Rooms that are not there took too much memory and were let go. */
  readonly rooms: ReadonlyMap<string, PassedRoom>;
}

export interface PassOptions {
  /** Only messages of these rooms are sent; else all, and the others' are dropped here. */
  readonly filtered: boolean;
  /** Bytes of messages held at once. Above it the rooms that hold most are let go. */
  readonly bytes: number;
  /** Nobody waits for it any more: it ends, and rejects. */
  readonly isOver: () => boolean;
}

/** Reads what many rooms of one stream need in one go, from the lowest position on. */
export class StreamPass {
  readonly #reads: StreamReads;
  readonly #observe: Observe;
  readonly #batch: number;

  constructor(reads: StreamReads, observe: Observe, batch: number) {
    this.#reads = reads;
    this.#observe = observe;
    this.#batch = batch;
  }

  /** One try; see `isTransient` about trying again. */
  async read(stream: Stream, rooms: readonly PassRoom[], options: PassOptions): Promise<Passed> {
    const before = await this.#info(stream);
    const collected = new Collected(rooms, options.bytes);
    const start = rooms.reduce((lowest, { after }) => Math.min(lowest, after), before.lastSequence) + 1;
    let upTo = before.lastSequence;
    let unbrokenFrom = start - 1;
    if (start <= upTo) {
      const filter = options.filtered ? rooms.map((room) => room.filter) : undefined;
      const cursor = await this.#reads.cursor(stream, filter, start);
      try {
        const end = await this.#walk(stream, cursor, start, upTo, collected, options);
        upTo = end.upTo;
        unbrokenFrom = options.filtered ? upTo : end.unbrokenFrom;
      } finally {
        cursor.close();
      }
    }
    const now = await this.#info(stream);
    return { before, now, upTo, unbrokenFrom, rooms: collected.rooms };
  }

  async #walk(
    stream: Stream,
    cursor: Cursor,
    start: number,
    goal: number,
    collected: Collected,
    { filtered, isOver }: PassOptions,
  ): Promise<{ upTo: number; unbrokenFrom: number }> {
    let reached = start - 1;
    let unbrokenFrom = reached;
    // Pulled ahead, so that the server sends the next ones while these are looked at.
    let next = cursor.read(this.#batch);
    for (;;) {
      const batch = await next;
      const isLast = batch.length < this.#batch || (batch.at(-1)?.sequence ?? 0) >= goal;
      if (isOver()) throw new CodedError("timeout", "nobody waits for this read any more", 0);
      if (!isLast) {
        next = cursor.read(this.#batch);
        // Looked at when it is its turn, or never where these cannot be used.
        next.catch(() => undefined);
      }
      for (const message of batch) {
        if (message.sequence <= reached) throw behind("messages came out of order");
        if (message.sequence !== reached + 1) unbrokenFrom = message.sequence - 1;
        reached = message.sequence;
        collected.take(message);
      }
      if (isLast) break;
    }
    if (reached >= goal) return { upTo: reached, unbrokenFrom };
    // Either nothing more is kept up to there, or a replica is behind: it had fewer than there were, or the leader knows.
    if (filtered ? await this.#lacks(stream, collected) : await this.#hasAny(stream, reached, goal))
      throw behind("a replica is behind its leader");
    return { upTo: goal, unbrokenFrom: goal };
  }

  async #hasAny(stream: Stream, after: number, upTo: number): Promise<boolean> {
    const next = await this.#reads.first(stream, stream.allSubjects, after + 1);
    return next > 0 && next <= upTo;
  }

  /** Whether the leader has later messages of these rooms than were met with; only a replica can be behind. */
  async #lacks(stream: Stream, collected: Collected): Promise<boolean> {
    if (stream.info.replicas === 1) return false;
    const heads = collected.all.map(async (room) => {
      const last = await this.#reads.last(stream, room.filter);
      return last > Math.max(room.after, room.last);
    });
    return (await Promise.all(heads)).includes(true);
  }

  async #info(stream: Stream): Promise<StreamInfo> {
    const info = await this.#reads.info(stream);
    if (!this.#observe(stream, info)) throw behind("the stream is another one");
    return info;
  }
}

/** What a pass has met with so far. */
class Collected {
  readonly rooms = new Map<string, Room>();
  readonly #bytesMax: number;
  #bytes = 0;

  constructor(rooms: readonly PassRoom[], bytesMax: number) {
    this.#bytesMax = bytesMax;
    for (const room of rooms) this.rooms.set(room.token, new Room(room));
  }

  get all(): readonly Room[] {
    return [...this.rooms.values()];
  }

  take(message: StoredMessage): void {
    const room = this.rooms.get(message.roomToken);
    if (room === undefined || message.sequence <= room.after) return;
    this.#bytes += room.take(message);
    while (this.#bytes > this.#bytesMax && this.rooms.size > 0) this.#letGo();
  }

  /** The largest room is read alone, page by page. */
  #letGo(): void {
    let largest: Room | undefined;
    for (const room of this.rooms.values()) if (room.bytes > (largest?.bytes ?? -1)) largest = room;
    if (largest === undefined) return;
    this.rooms.delete(largest.token);
    this.#bytes -= largest.bytes;
  }
}

class Room implements PassedRoom {
  readonly token: string;
  readonly filter: string;
  readonly after: number;
  readonly messages: StoredMessage[] = [];
  count = 0;
  last = 0;
  bytes = 0;
  readonly #limit: number;

  constructor({ token, filter, after, limit }: PassRoom) {
    this.token = token;
    this.filter = filter;
    this.after = after;
    this.#limit = limit;
  }

  /** Returns the bytes that it holds more now. */
  take(message: StoredMessage): number {
    this.count += 1;
    this.last = message.sequence;
    if (this.messages.length >= this.#limit) return 0;
    this.messages.push(message);
    const bytes = message.data.length + message.headers.length + ENVELOPE_BYTES;
    this.bytes += bytes;
    return bytes;
  }
}

/** Of a message's objects. */
const ENVELOPE_BYTES = 300;

/** Tried again, it may well succeed. */
function behind(reason: string): CodedError {
  return new CodedError("unavailable", `the history could not be read: ${reason}`, 500);
}
