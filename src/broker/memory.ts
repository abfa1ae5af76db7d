import { randomBytes } from "node:crypto";
import { ByteBudget } from "../core/byte-budget.js";
import { Deque } from "../core/deque.js";
import { HistoryBudget } from "../core/history-budget.js";
import { PatternIndex } from "../core/pattern-index.js";
import type {
  Broker,
  HistoryFrom,
  HistoryPage,
  ListedRoom,
  Outgoing,
  RoomList,
  Sink,
  Snapshot,
  Watcher,
} from "../core/ports.js";
import type { SettingsOf } from "../core/settings.js";
import { CodedError } from "../protocol/errors.js";
import type { Position } from "../protocol/frames.js";
import { createMessage, type Message } from "../protocol/message.js";
import type { RoomName } from "../protocol/room-name.js";
import type { RoomPattern } from "../protocol/room-pattern.js";
import { type BrokerCounters, createBrokerCounters } from "./counters.js";
import { IdWindow } from "./id-window.js";
import { LinkedList } from "./linked-list.js";
import { MemoryGossip } from "./memory-gossip.js";
import {
  DEFAULT_MEMORY_LIMITS,
  HISTORY_SHARE,
  ID_WINDOW_MS,
  type MemoryLimits,
  NESTED_PUBLISHES_MAX,
  SWEEP_STEPS,
} from "./memory-limits.js";
import { emptyPage } from "./memory-log.js";
import { MemoryRoom, type Opening, type Shared } from "./memory-room.js";
import { RoomLists } from "./room-lists.js";

export interface MemoryBrokerOptions {
  readonly settingsOf: SettingsOf;
  /** Begins every epoch; must differ from that of every earlier run. Letters and digits. Default: random. */
  readonly id?: string;
  /** Milliseconds since 1970. Default: the clock. */
  readonly nowMs?: () => number;
  /** Milliseconds that never jump, by which ids are remembered. Default: those of `nowMs`, where that is given, else the process's. */
  readonly elapsedMs?: () => number;
  readonly limits?: Partial<MemoryLimits>;
  readonly counters?: BrokerCounters;
  /** Told what a sink threw; must not throw. Default: a process warning. */
  readonly onSinkError?: (cause: unknown, room: RoomName) => void;
}

/**
 * The embedded broker: everything in this process's memory, nothing to install, nothing kept over a restart.
 *
 * - Offsets of a room are 1, 2, 3…; every restart is a new epoch, and so is a room that was forgotten.
 * - `publish` stores and hands to the open sink before it returns; its promise resolves after that. A publish that
 *   a sink makes meanwhile is stored at once and handed over when the sinks before it are done, never inside them.
 * - The sink may get messages before the promise of `open` is seen to have resolved.
 * - A message without a key has no part in `state`; nil data under a key takes the key out. A key that nobody publishes
 *   for `stateSeconds` goes too.
 * - In an ephemeral room a message goes to the open sink or nowhere; ids are not looked at.
 * - Above a bound the oldest goes first: messages over all rooms by bytes, keys, ids, and rooms that are not open.
 *   All of it is counted, and readers are told by `lost`, a new epoch or `droppedKeys`. Where every room is open, a
 *   further one is refused as `unavailable`.
 *
 * - `rooms` lists all that it has not forgotten, and ephemeral ones while they are open.
 *
 * What nobody has open goes to the watcher in the same way, where a watched pattern means its room.
 *
 * One sink a room: opening an open room rejects. Call {@link MemoryBroker.sweep} about once a second.
 */
export class MemoryBroker implements Broker {
  readonly counters: BrokerCounters;
  readonly gossip = new MemoryGossip();
  readonly #settingsOf: SettingsOf;
  readonly #id: string;
  readonly #nowMs: () => number;
  readonly #elapsedMs: () => number;
  readonly #limits: MemoryLimits;
  readonly #onSinkError: (cause: unknown, room: RoomName) => void;
  readonly #shared: Shared;
  readonly #ids: IdWindow;
  readonly #rooms = new Map<RoomName, MemoryRoom>();
  /** Rooms that are not open, the least recently used first. */
  readonly #idle = new LinkedList<MemoryRoom>();
  /** Ephemeral rooms exist only while they are open. */
  readonly #ephemeral = new Map<RoomName, Opening>();
  /** Messages that wait because a sink is at work. */
  readonly #waiting = new Deque<{ readonly opening: Opening | undefined; readonly message: Message }>();
  readonly #watched = new PatternIndex<true>();
  /** Of all patterns. */
  #watcher: Watcher | undefined;
  readonly #lists = new RoomLists(
    () => this.#names(),
    (room) => this.#listed(room),
    () => {
      this.counters.refusedLists += 1;
    },
  );
  #delivering = false;
  /** Part of the epoch of rooms that appear from now on; grows with every room that is forgotten. */
  #generation = 0;
  #swept: MapIterator<MemoryRoom> | undefined;
  #stopped = false;

  constructor(options: MemoryBrokerOptions) {
    this.#settingsOf = options.settingsOf;
    this.#id = options.id ?? randomBytes(5).toString("hex");
    this.#nowMs = options.nowMs ?? Date.now;
    this.#elapsedMs = options.elapsedMs ?? options.nowMs ?? (() => performance.now());
    this.#limits = Object.freeze({ ...DEFAULT_MEMORY_LIMITS, ...options.limits });
    this.counters = options.counters ?? createBrokerCounters();
    this.#onSinkError = options.onSinkError ?? warn;
    const historyBytes = Math.floor(this.#limits.bytes * HISTORY_SHARE);
    this.#shared = {
      history: new HistoryBudget(historyBytes),
      state: new ByteBudget(this.#limits.bytes - historyBytes),
      keysPerRoom: this.#limits.keysPerRoom,
      counters: this.counters,
    };
    this.#ids = new IdWindow(ID_WINDOW_MS, this.#limits.ids);
  }

  /** What is held now, for metrics. */
  get usage(): { readonly rooms: number; readonly ids: number; readonly bytes: number } {
    const { history, state } = this.#shared;
    return {
      rooms: this.#rooms.size + this.#ephemeral.size,
      ids: this.#ids.size,
      bytes: history.used + state.used,
    };
  }

  async publish(outgoing: Outgoing): Promise<Position> {
    this.#refuseIfStopped();
    if (this.#waiting.length >= NESTED_PUBLISHES_MAX)
      throw new CodedError("unavailable", `over ${NESTED_PUBLISHES_MAX} publishes wait for a sink`, 1_000);
    const nowMs = this.#nowMs();
    const known = this.#rooms.get(outgoing.room);
    if (known === undefined && this.#settingsOf(outgoing.room).ephemeral)
      return this.#publishEphemeral(outgoing, nowMs);
    if (outgoing.id !== undefined) {
      const position = this.#ids.find(outgoing.room, outgoing.id, this.#elapsedMs());
      if (position !== undefined) {
        this.counters.duplicates += 1;
        return position;
      }
    }
    const room = known ?? this.#create(outgoing.room);
    this.#touch(room);
    const message = room.store(outgoing, nowMs);
    const position: Position = { epoch: room.epoch, offset: message.offset };
    if (outgoing.id !== undefined)
      this.counters.droppedIds += this.#ids.add(outgoing.room, outgoing.id, position, this.#elapsedMs());
    this.counters.published += 1;
    if (room.opening !== undefined || this.#watched.size > 0) this.#deliver(room.opening, message);
    return position;
  }

  async open(name: RoomName, sink: Sink): Promise<Position> {
    this.#refuseIfStopped();
    const opening: Opening = { sink, closed: false };
    if (this.#settingsOf(name).ephemeral) {
      if (this.#ephemeral.has(name)) throw new Error(`room ${name} is open already`);
      this.#makeRoom();
      this.#ephemeral.set(name, opening);
      return EPHEMERAL;
    }
    const room = this.#rooms.get(name) ?? this.#create(name);
    if (room.opening !== undefined) throw new Error(`room ${name} is open already`);
    this.#idle.remove(room);
    room.opening = opening;
    return room.head;
  }

  /** Nothing goes to the room's sink from here on. A room that is not open stays as it is. */
  close(name: RoomName): void {
    const ephemeral = this.#ephemeral.get(name);
    if (ephemeral !== undefined) {
      ephemeral.closed = true;
      this.#ephemeral.delete(name);
      return;
    }
    const room = this.#rooms.get(name);
    if (room?.opening === undefined) return;
    room.opening.closed = true;
    room.opening = undefined;
    // Whoever subscribes to names that nobody publishes to must not push out rooms with a past.
    if (room.unused) this.#rooms.delete(name);
    else this.#idle.push(room);
  }

  async watch(pattern: RoomPattern, watcher: Watcher): Promise<void> {
    this.#refuseIfStopped();
    const { patterns } = this.#limits;
    if (this.#watched.size >= patterns && !this.#watched.has(pattern)) {
      this.counters.refusedPatterns += 1;
      throw new CodedError(
        "unavailable",
        `${patterns} patterns are watched at this broker, its limit`,
        5_000,
      );
    }
    this.#watcher = watcher;
    this.#watched.set(pattern, true);
    this.counters.watchedPatterns = this.#watched.size;
  }

  unwatch(pattern: RoomPattern): void {
    this.#watched.delete(pattern);
    this.counters.watchedPatterns = this.#watched.size;
  }

  async history(name: RoomName, from: HistoryFrom, limit: number): Promise<HistoryPage> {
    this.#refuseIfStopped();
    const room = this.#rooms.get(name);
    if (room === undefined) return emptyPage(from, this.#headOfUnknown(name));
    this.#touch(room);
    return room.history(from, limit, this.#nowMs());
  }

  async state(name: RoomName): Promise<Snapshot> {
    this.#refuseIfStopped();
    const room = this.#rooms.get(name);
    if (room === undefined) return { head: this.#headOfUnknown(name), messages: [], droppedKeys: 0 };
    this.#touch(room);
    return room.state(this.#nowMs());
  }

  /** A look at a room here is no use of it. */
  async rooms(prefix: string, after: string, limit: number): Promise<RoomList> {
    this.#refuseIfStopped();
    return this.#lists.list({ prefix, after, limit });
  }

  /**
   * Drops what is too old, so that quiet rooms give their memory back. Bounded work: a large broker takes several
   * calls for one round. Readers never see what is too old, swept or not.
   */
  sweep(): void {
    const nowMs = this.#nowMs();
    let steps = SWEEP_STEPS - this.#ids.expire(this.#elapsedMs(), SWEEP_STEPS / 2);
    // One more than there are rooms, as the end of a round takes a turn.
    for (let turns = this.#rooms.size + 1; turns > 0 && steps > 0; turns -= 1) {
      this.#swept ??= this.#rooms.values();
      const next = this.#swept.next();
      if (next.done === true) this.#swept = undefined;
      else steps -= 1 + next.value.expire(nowMs, steps);
    }
  }

  /** At once: there is nothing to wait for. All that was kept is gone. */
  async stop(_deadlineMs: number): Promise<void> {
    this.#stopped = true;
    for (const pattern of [...this.#watched.patterns()]) this.unwatch(pattern);
    for (const name of [...this.#rooms.keys(), ...this.#ephemeral.keys()]) this.close(name);
    for (const room of this.#rooms.values()) this.#forget(room);
    this.#ids.expire(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY);
  }

  *#names(): Iterable<RoomName> {
    yield* this.#rooms.keys();
    yield* this.#ephemeral.keys();
  }

  #listed(room: RoomName): ListedRoom {
    return { room, head: this.#rooms.get(room)?.head ?? EPHEMERAL };
  }

  #publishEphemeral({ room, data, key, origin }: Outgoing, nowMs: number): Position {
    const opening = this.#ephemeral.get(room);
    if (opening !== undefined || this.#watched.matches(room))
      this.#deliver(opening, createMessage({ room, offset: 0, prev: 0, time: nowMs, data, key, origin }));
    this.counters.published += 1;
    return EPHEMERAL;
  }

  #deliver(opening: Opening | undefined, message: Message): void {
    if (this.#delivering) {
      this.#waiting.push({ opening, message });
      return;
    }
    this.#delivering = true;
    this.#hand(opening, message);
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift())
      this.#hand(next.opening, next.message);
    this.#delivering = false;
  }

  /** To the sink of when it was stored, or to the watcher: the room may have been closed while the message waited. */
  #hand(opening: Opening | undefined, message: Message): void {
    const isOpen = opening !== undefined && !opening.closed;
    if (!isOpen && !this.#watched.matches(message.room)) return;
    if (!isOpen) this.counters.watchedMessages += 1;
    const receiver = isOpen ? opening.sink : this.#watcher;
    try {
      receiver?.message(message);
    } catch (cause) {
      this.counters.sinkErrors += 1;
      this.#onSinkError(cause, message.room);
    }
  }

  /** A new room, idle. */
  #create(name: RoomName): MemoryRoom {
    this.#makeRoom();
    const room = new MemoryRoom(name, this.#epoch(), this.#settingsOf(name), this.#shared);
    this.#rooms.set(name, room);
    this.#idle.push(room);
    return room;
  }

  #makeRoom(): void {
    if (this.#rooms.size + this.#ephemeral.size < this.#limits.rooms) return;
    const oldest = this.#idle.first;
    if (oldest === undefined)
      throw new CodedError("unavailable", `all ${this.#limits.rooms} rooms of this broker are open`, 5_000);
    this.#forget(oldest);
    this.#generation += 1;
    this.counters.forgottenRooms += 1;
  }

  /** Only a room that is not open. */
  #forget(room: MemoryRoom): void {
    this.#idle.remove(room);
    this.#rooms.delete(room.name);
    room.clear();
  }

  #touch(room: MemoryRoom): void {
    if (room.opening !== undefined) return;
    this.#idle.remove(room);
    this.#idle.push(room);
  }

  #epoch(): string {
    return `${this.#id}${this.#generation === 0 ? "" : `.${this.#generation.toString(36)}`}`;
  }

  /** Where the room would begin if it appeared now, so that a reader of nothing can go on from there. */
  #headOfUnknown(name: RoomName): Position {
    return this.#settingsOf(name).ephemeral ? EPHEMERAL : { epoch: this.#epoch(), offset: 0 };
  }

  #refuseIfStopped(): void {
    if (this.#stopped) throw new CodedError("unavailable", "the broker has stopped", 1_000);
  }
}

const EPHEMERAL: Position = Object.freeze({ epoch: "", offset: 0 });

function warn(cause: unknown, room: RoomName): void {
  process.emitWarning(
    `the sink of room ${room} threw: ${cause instanceof Error ? cause.stack : String(cause)}`,
  );
}
