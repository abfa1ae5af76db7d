import type { ByteBudget } from "../core/byte-budget.js";
import type { HistoryBudget } from "../core/history-budget.js";
import type { HistoryFrom, HistoryPage, Outgoing, Sink, Snapshot } from "../core/ports.js";
import type { RoomSettings } from "../core/settings.js";
import type { Position } from "../protocol/frames.js";
import { createMessage, isNil, type Message } from "../protocol/message.js";
import type { RoomName } from "../protocol/room-name.js";
import type { BrokerCounters } from "./counters.js";
import { KeyedState } from "./keyed-state.js";
import type { Linked } from "./linked-list.js";
import { MemoryLog } from "./memory-log.js";

/** One time that a room is open. What waits for delivery holds this, not the room, so that closing ends it. */
export interface Opening {
  readonly sink: Sink;
  closed: boolean;
}

/** What all rooms of a memory broker share. */
export interface Shared {
  readonly history: HistoryBudget;
  readonly state: ByteBudget;
  readonly keysPerRoom: number;
  readonly counters: BrokerCounters;
}

/** One numbered room: its numbering from 1 without holes, its history and its keyed state. */
export class MemoryRoom implements Linked<MemoryRoom> {
  readonly name: RoomName;
  readonly epoch: string;
  opening: Opening | undefined = undefined;
  before: MemoryRoom | undefined = undefined;
  after: MemoryRoom | undefined = undefined;
  readonly #counters: BrokerCounters;
  readonly #history: HistoryBudget;
  readonly #log: MemoryLog;
  readonly #state: KeyedState | undefined;
  readonly #keyMs: number;
  #head = 0;

  constructor(name: RoomName, epoch: string, settings: RoomSettings, shared: Shared) {
    this.name = name;
    this.epoch = epoch;
    this.#counters = shared.counters;
    this.#history = shared.history;
    this.#log = new MemoryLog(name, settings.history, shared.history);
    this.#keyMs = settings.stateSeconds * 1_000;
    this.#state = settings.state ? new KeyedState(shared.keysPerRoom, shared.state) : undefined;
  }

  get head(): Position {
    return { epoch: this.epoch, offset: this.#head };
  }

  /** Nothing was ever published: forgetting such a room loses nothing, its numbering included. */
  get unused(): boolean {
    return this.#head === 0;
  }

  /** Numbers, encodes and keeps a message. */
  store({ room, data, key, origin }: Outgoing, nowMs: number): Message {
    this.expire(nowMs, Number.POSITIVE_INFINITY);
    const prev = this.#head;
    const fields = { room, offset: prev + 1, prev, time: nowMs, data, key, origin };
    this.#head = fields.offset;
    // A message without a key is an event: it replaces nothing and no snapshot has it.
    if (key === undefined || this.#state === undefined || isNil(data)) {
      if (key !== undefined) this.#state?.remove(key);
      const message = this.#log.append(fields);
      this.#counters.evictedMessages += this.#history.fit();
      return message;
    }
    // State keeps it long after history has dropped it: it must not hold a chunk of that.
    const message = createMessage(fields);
    this.#log.keep(message);
    this.#counters.evictedMessages += this.#history.fit();
    this.#counters.droppedKeys += this.#state.put(key, message);
    return message;
  }

  history(from: HistoryFrom, limit: number, nowMs: number): HistoryPage {
    this.expire(nowMs, Number.POSITIVE_INFINITY);
    return this.#log.page(from, limit, this.head);
  }

  state(nowMs: number): Snapshot {
    this.expire(nowMs, Number.POSITIVE_INFINITY);
    return {
      head: this.head,
      messages: this.#state?.messages() ?? [],
      droppedKeys: this.#state?.droppedKeys ?? 0,
    };
  }

  /** Drops up to `max` messages and keys that are too old; returns how many. */
  expire(nowMs: number, max: number): number {
    const messages = this.#log.expire(nowMs, max);
    if (this.#state === undefined || this.#keyMs === 0) return messages;
    const keys = this.#state.expire(nowMs - this.#keyMs, max - messages);
    this.#counters.expiredKeys += keys;
    return messages + keys;
  }

  /** Gives back all that it holds of the budgets. */
  clear(): void {
    this.#log.clear();
    this.#state?.clear();
  }
}
