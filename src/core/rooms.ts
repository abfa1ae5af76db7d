import { CodedError } from "../protocol/errors.js";
import type { Position, ResetReason } from "../protocol/frames.js";
import type { Message } from "../protocol/message.js";
import type { RoomName } from "../protocol/room-name.js";
import type { Counters } from "./counters.js";
import { HistoryBudget } from "./history-budget.js";
import type { Lanes } from "./lanes.js";
import type { Limits } from "./limits.js";
import type { Broker, Sink } from "./ports.js";
import { Room } from "./room.js";
import type { RoomSettings, SettingsOf } from "./settings.js";

/** Who is told what all open rooms get, besides the rooms. */
export interface Tap {
  /** It begins at what came last: all of that counts as taken in. */
  opened(room: RoomName): void;
  received(message: Message): void;
  /** Continuity is lost before whatever follows. */
  reset(room: RoomName, reason: ResetReason): void;
}

/** A room that is open or being opened, and how many have a place in it. */
export interface OpenRoom {
  readonly room: Room | undefined;
  readonly members: number;
}

interface Slot extends OpenRoom {
  readonly opened: Promise<Room>;
  room: Room | undefined;
  members: number;
  /** When the last member left. */
  emptySinceMs: number;
}

/**
 * The rooms that are open in this process: opened at the broker for the first member, closed some time after the
 * last. Also the broker's sink, and the list of rooms that wait to be taken in.
 */
export class Rooms implements Sink {
  readonly #broker: Broker;
  readonly #settingsOf: SettingsOf;
  readonly #limits: Limits;
  readonly #counters: Counters;
  readonly #requestFlush: () => void;
  readonly #tap: Tap;
  readonly #budget: HistoryBudget;
  readonly #slots = new Map<RoomName, Slot>();
  /** Open rooms without members, the longest empty first. */
  readonly #empty = new Map<RoomName, Slot>();
  #waiting: Room[] = [];
  /** Messages that came while the open call was still on its way back. */
  readonly #early = new Map<RoomName, ((room: Room) => void)[]>();

  constructor(
    broker: Broker,
    settingsOf: SettingsOf,
    limits: Limits,
    counters: Counters,
    requestFlush: () => void,
    tap: Tap,
  ) {
    this.#broker = broker;
    this.#settingsOf = settingsOf;
    this.#limits = limits;
    this.#counters = counters;
    this.#requestFlush = requestFlush;
    this.#tap = tap;
    this.#budget = new HistoryBudget(limits.ringBytes);
  }

  get size(): number {
    return this.#slots.size;
  }

  /** Goes on over rooms that are opened or closed meanwhile. */
  all(): Iterator<OpenRoom> {
    return this.#slots.values();
  }

  find(name: RoomName): OpenRoom | undefined {
    return this.#slots.get(name);
  }

  settingsOf(name: RoomName): RoomSettings {
    return this.#settingsOf(name);
  }

  /**
   * Takes a place in the room, to be given back with {@link Rooms.release}. The room itself where it is open
   * already. A rejected promise has given the place back. @throws CodedError `unavailable` at the bound of open rooms.
   */
  acquire(name: RoomName): Room | Promise<Room> {
    const slot = this.#slots.get(name) ?? this.#open(name);
    slot.members += 1;
    this.#empty.delete(name);
    return slot.room ?? slot.opened;
  }

  release(name: RoomName, nowMs: number): void {
    const slot = this.#slots.get(name);
    if (slot === undefined) return;
    slot.members -= 1;
    if (slot.members > 0) return;
    slot.emptySinceMs = nowMs;
    this.#empty.set(name, slot);
  }

  message(message: Message): void {
    this.#counters.received += 1;
    this.#deliver(message.room, (room) => this.#receive(room, message));
  }

  reset(name: RoomName, head: Position, reason: ResetReason): void {
    this.#deliver(name, (room) => {
      this.#tap.reset(name, reason);
      return room.reset(head, reason);
    });
  }

  checkpoint(name: RoomName, offset: number): void {
    this.#deliver(name, (room) => room.checkpoint(offset));
  }

  /** Whether a room has something to take in. */
  get isWaiting(): boolean {
    return this.#waiting.length > 0;
  }

  /** Takes in all that the broker handed over, and queues it at the lanes. Nothing is sent. */
  takeIn(lanes: Lanes, nowMs: number): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const room of waiting) room.takeIn(lanes, nowMs);
  }

  /** Closes rooms that have been empty for long enough, and drops what has expired from the rings: messages have the time since 1970. */
  sweep(nowMs: number, wallMs: number): void {
    for (const [name, slot] of this.#empty) {
      if (nowMs - slot.emptySinceMs < this.#limits.roomLingerMs) break;
      this.#close(name, slot);
    }
    for (const { room } of this.#slots.values()) {
      if (room === undefined) continue;
      this.#counters.ringEvictions += room.ring.expire(wallMs - room.settings.history.seconds * 1_000);
    }
  }

  /** Closes an empty room, unless it is still being opened. */
  #close(name: RoomName, { room }: Slot): boolean {
    if (room === undefined) return false;
    this.#empty.delete(name);
    this.#slots.delete(name);
    room.close();
    this.#broker.close(name);
    return true;
  }

  /** At the bound, makes place: rooms that nobody is in must not keep others out. */
  #closeLongestEmpty(): boolean {
    for (const [name, slot] of this.#empty) if (this.#close(name, slot)) return true;
    return false;
  }

  #open(name: RoomName): Slot {
    if (this.#slots.size >= this.#limits.openRooms && !this.#closeLongestEmpty()) {
      this.#counters.tooManyRooms += 1;
      throw new CodedError(
        "unavailable",
        `this server has ${this.#limits.openRooms} rooms open, its limit`,
        this.#limits.roomLingerMs,
      );
    }
    this.#early.set(name, []);
    const opened = this.#broker.open(name, this).then(
      (head) => this.#opened(name, slot, head),
      (cause: unknown) => {
        this.#early.delete(name);
        this.#slots.delete(name);
        this.#empty.delete(name);
        throw cause;
      },
    );
    const slot: Slot = { opened, room: undefined, members: 0, emptySinceMs: 0 };
    this.#slots.set(name, slot);
    return slot;
  }

  #opened(name: RoomName, slot: Slot, head: Position): Room {
    const room = new Room(
      name,
      this.#settingsOf(name),
      head,
      this.#budget,
      this.#limits.ringMessages,
      this.#counters,
    );
    slot.room = room;
    this.#tap.opened(name);
    for (const deliver of this.#early.get(name) ?? []) deliver(room);
    this.#early.delete(name);
    return room;
  }

  /** The room and the tap have both what waits to be taken in, or neither has it. */
  #receive(room: Room, message: Message): boolean {
    if (!room.settings.ephemeral) {
      // The room tells of either as of a broken promise.
      if (message.offset <= room.received) return room.receive(message);
      if (message.prev > room.received) this.#tap.reset(message.room, "expired");
    }
    this.#tap.received(message);
    return room.receive(message);
  }

  #deliver(name: RoomName, deliver: (room: Room) => boolean): void {
    const room = this.#slots.get(name)?.room;
    if (room === undefined) {
      this.#early.get(name)?.push((opened) => this.#wait(opened, deliver(opened)));
      return;
    }
    this.#wait(room, deliver(room));
  }

  #wait(room: Room, first: boolean): void {
    if (!first) return;
    this.#waiting.push(room);
    this.#requestFlush();
  }
}
