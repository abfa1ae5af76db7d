import type { HistoryFrom, HistoryPage, Snapshot } from "../../core/ports.js";
import { CodedError } from "../../protocol/errors.js";
import type { RoomName } from "../../protocol/room-name.js";
import { PASS_ROOMS_MIN, planRead } from "./read-cost.js";
import { type DeskTools, RoomRead } from "./room-read.js";
import type { HistoryBounds, RoomPlace } from "./room-reader.js";
import type { Stream } from "./streams.js";
import { encodeRoom } from "./subjects.js";
import { WaitingRoom } from "./waiting-room.js";

/** Which room is asked for, and what of it may be given. */
export interface Inquiry {
  readonly room: RoomName;
  readonly place: RoomPlace;
  readonly bounds: HistoryBounds;
}

/** Passes at once: each may hold `passBytes`. */
const PASSES_MAX = 4;
/** How often deadlines are looked at. */
const TICK_MS = 250;

/**
 * All reads of rooms at NATS. However many ask, a room is read by one at a time, from the lowest position that is asked
 * for; and where many rooms of a stream are asked for at once, one pass over the stream serves them all, if that costs
 * less. So a storm of resumes makes some few consumers, never one a client.
 *
 * Only what is asked in the same turn of the loop or waits for its turn can be read together: ask for everything at once.
 * A rejection may pass: see `isTransient`.
 */
export class ReadDesk {
  readonly #tools: DeskTools;
  /** Rooms that wait for a read, by stream; those with the oldest first. */
  readonly #waiting = new Map<Stream, Set<WaitingRoom>>();
  readonly #rooms = new Map<RoomName, WaitingRoom>();
  readonly #running = new Set<WaitingRoom>();
  #jobs = 0;
  #passes = 0;
  #isWoken = false;
  #ticker: NodeJS.Timeout | undefined;

  constructor(tools: DeskTools) {
    this.#tools = tools;
  }

  /** Rooms that wait, or are being read. */
  get size(): number {
    return this.#rooms.size;
  }

  /** A page of a room; a position must be of the stream's present epoch. */
  page(inquiry: Inquiry, from: HistoryFrom, limit: number): Promise<HistoryPage> {
    const { open, cache, counters } = this.#tools;
    const opened = open(inquiry.room);
    if (opened !== undefined) {
      const known = cache.page(opened, from, limit);
      if (known !== undefined) {
        counters.tailReads += 1;
        return Promise.resolve(known);
      }
    }
    const room = this.#room(inquiry);
    return new Promise((resolve, reject) => {
      const asked = { limit, ...this.#asked(room), resolve, reject };
      if (from === "oldest") room.last.add({ last: inquiry.bounds.messages, ...asked });
      else if ("last" in from) room.last.add({ last: from.last, ...asked });
      else room.after.add({ after: from.after.offset, ...asked });
    });
  }

  /** The state of a room of a keyed set. */
  state(inquiry: Inquiry): Promise<Snapshot> {
    const room = this.#room(inquiry);
    return new Promise((resolve, reject) => {
      room.states.push({ ...this.#asked(room), resolve, reject });
    });
  }

  /** Rejects all who wait. */
  stop(): void {
    clearInterval(this.#ticker);
    this.#ticker = undefined;
    const cause = new CodedError("unavailable", "the broker has stopped", 1_000);
    for (const room of this.#rooms.values()) room.fail(cause);
  }

  #asked(room: WaitingRoom): { version: number; dueMs: number } {
    const { limits, nowMs } = this.#tools;
    return { version: this.#tools.version(room), dueMs: nowMs() + limits.readMs };
  }

  #room({ room: name, place, bounds }: Inquiry): WaitingRoom {
    const known = this.#rooms.get(name);
    if (known !== undefined) return known;
    const room = new WaitingRoom(name, encodeRoom(name), place, bounds);
    this.#rooms.set(name, room);
    this.#wait(room);
    this.#ticker ??= setInterval(() => this.#tick(), TICK_MS);
    return room;
  }

  #wait(room: WaitingRoom): void {
    const { stream } = room.place;
    const rooms = this.#waiting.get(stream);
    if (rooms === undefined) this.#waiting.set(stream, new Set([room]));
    else rooms.add(room);
    this.#wake();
  }

  /** What is asked in this turn of the loop is read together. */
  #wake(): void {
    if (this.#isWoken) return;
    this.#isWoken = true;
    setImmediate(() => {
      this.#isWoken = false;
      this.#begin();
    });
  }

  #begin(): void {
    while (this.#jobs < this.#tools.limits.cursors) {
      const [stream] = this.#waiting.keys();
      if (stream === undefined) return;
      const rooms = this.#waiting.get(stream) ?? new Set();
      const chosen = this.#choose(stream, rooms);
      for (const room of chosen.rooms) {
        rooms.delete(room);
        this.#running.add(room);
      }
      // Behind the others: each stream in turn.
      this.#waiting.delete(stream);
      if (rooms.size > 0) this.#waiting.set(stream, rooms);
      void this.#run(chosen);
    }
  }

  #choose(stream: Stream, waiting: ReadonlySet<WaitingRoom>): RoomRead {
    const tools = this.#tools;
    const all = [...waiting];
    if (all.length >= PASS_ROOMS_MIN && this.#passes < PASSES_MAX) {
      const states = all.filter((room) => room.states.length > 0 && !room.isAlone);
      const { subjects, firstSequence, lastSequence, messages } = stream.info;
      if (states.length >= PASS_ROOMS_MIN && subjects <= states.length * KEYS_A_ROOM)
        return RoomRead.states(tools, stream, states);
      const asked = all
        .filter((room) => room.after.size > 0 && !room.isAlone)
        .map((room) => ({ room, after: room.after.lowest }));
      const plan = planRead(asked, {
        last: stream.seen,
        density: Math.min(1, messages / Math.max(1, lastSequence - firstSequence + 1)),
        share: Math.min(1, asked.length / Math.max(1, subjects)),
        manyFilters: tools.manyFilters(),
      });
      if (plan.kind === "pass") {
        const rooms = plan.rooms.map(({ room }) => room);
        return RoomRead.pass(tools, stream, rooms, plan.filtered);
      }
    }
    const [first] = all;
    if (first === undefined) throw new Error(`nobody waits for ${stream.name}`);
    return RoomRead.alone(tools, stream, first);
  }

  async #run(read: RoomRead): Promise<void> {
    this.#jobs += 1;
    if (read.isPass) this.#passes += 1;
    await read.run();
    this.#jobs -= 1;
    if (read.isPass) this.#passes -= 1;
    for (const room of read.rooms) {
      this.#running.delete(room);
      if (room.size > 0) this.#wait(room);
      else this.#rooms.delete(room.name);
    }
    this.#begin();
  }

  #tick(): void {
    const { nowMs, limits, cache } = this.#tools;
    const cause = new CodedError("timeout", `NATS was not read within ${limits.readMs} ms`, 500);
    for (const room of this.#rooms.values()) {
      room.expire(nowMs(), cause);
      if (room.size > 0 || this.#running.has(room)) continue;
      this.#rooms.delete(room.name);
      const rooms = this.#waiting.get(room.place.stream);
      rooms?.delete(room);
      if (rooms?.size === 0) this.#waiting.delete(room.place.stream);
    }
    cache.sweep();
    if (this.#rooms.size > 0 || cache.size > 0) return;
    clearInterval(this.#ticker);
    this.#ticker = undefined;
  }
}

/** Reading the keys of all rooms of a stream costs as much as asking for some by themselves at this many a room. */
const KEYS_A_ROOM = 100;
