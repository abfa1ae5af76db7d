import assert from "node:assert/strict";
import { decode, encode } from "@msgpack/msgpack";
import type {
  Broker,
  HistoryFrom,
  HistoryPage,
  Outgoing,
  RoomList,
  Sink,
  Snapshot,
  Watcher,
} from "../../core/ports.js";
import { DEFAULT_ROOM_SETTINGS, type RoomSettings, type SettingsOf } from "../../core/settings.js";
import { CodedError } from "../../protocol/errors.js";
import type { Position, ResetReason } from "../../protocol/frames.js";
import { dataOf, type Message } from "../../protocol/message.js";
import { namespaceOf, type RoomName } from "../../protocol/room-name.js";
import type { RoomPattern } from "../../protocol/room-pattern.js";

const LONG = { messages: 1_000_000, seconds: 3_600 };
const SHORT = { messages: 5, seconds: 3_600 };
const NONE = { messages: 0, seconds: 0 };
const NAMESPACES: ReadonlyMap<string, RoomSettings> = new Map([
  ["long", { ...DEFAULT_ROOM_SETTINGS, history: LONG }],
  ["short", { ...DEFAULT_ROOM_SETTINGS, history: SHORT, state: true }],
  ["bare", { ...DEFAULT_ROOM_SETTINGS, history: NONE }],
  ["eph", { ...DEFAULT_ROOM_SETTINGS, history: NONE, ephemeral: true }],
]);

/** Rooms that keep everything, little, nothing, and no numbers. */
export const modelSettings: SettingsOf = (room) => {
  const settings = NAMESPACES.get(namespaceOf(room));
  if (settings === undefined) throw new Error(`no namespace of ${room}`);
  return settings;
};

/** What is published: a number of its own, and bytes to fill buffers with. */
export function payload(number: number, bytes: number): Uint8Array {
  return encode([number, new Uint8Array(bytes).fill(number)]);
}

export function numberIn(message: Message): number {
  const value = decode(dataOf(message));
  assert.ok(Array.isArray(value) && value[1] instanceof Uint8Array);
  const [number, filling] = value as [number, Uint8Array];
  assert.ok(filling.every((byte) => byte === (number & 0xff)));
  return number;
}

/** One message. */
export interface Stored {
  readonly number: number;
  /** When it was published, over all rooms. */
  readonly place: number;
  readonly position: Position;
}

/** Everything that was ever stored, by any of the hubs that came one after the other. */
export class Truth {
  readonly #numbers = new Map<string, number>();
  readonly #places = new Map<number, number>();
  readonly #heads = new Map<RoomName, Position>();
  readonly #byRoom = new Map<RoomName, Stored[]>();
  readonly #epochs = new Map<string, number>();

  /** How much is stored. */
  get size(): number {
    return this.#places.size;
  }

  stored(room: RoomName, position: Position, data: Uint8Array): void {
    const [number] = decode(data) as [number];
    if (!this.#epochs.has(position.epoch)) this.#epochs.set(position.epoch, this.#epochs.size);
    const list = this.#byRoom.get(room) ?? [];
    list.push({ number, place: this.#places.size, position });
    this.#byRoom.set(room, list);
    this.#places.set(number, this.#places.size);
    this.#numbers.set(`${room} ${position.epoch} ${position.offset}`, number);
    const head = this.#heads.get(room);
    // Answers of several publishes may come in any order.
    if (head?.epoch !== position.epoch || head.offset < position.offset) this.#heads.set(room, position);
  }

  /** The number in the message that is stored there; undefined where none is. */
  numberAt(room: RoomName, epoch: string, offset: number): number | undefined {
    return this.#numbers.get(`${room} ${epoch} ${offset}`);
  }

  /** In which order a number was published, over all rooms; -1: never. */
  placeOf(number: number): number {
    return this.#places.get(number) ?? -1;
  }

  headOf(room: RoomName): Position | undefined {
    return this.#heads.get(room);
  }

  /** All of a room, of one hub after the other. */
  inOrder(room: RoomName): readonly Stored[] {
    return (this.#byRoom.get(room) ?? []).toSorted(
      (one, other) => this.#compare(one.position, other.position) || one.place - other.place,
    );
  }

  /** Of the last that was stored in the room up to this position, its index in {@link Truth.inOrder}; -1: none. */
  indexUpTo(room: RoomName, position: Position): number {
    return this.inOrder(room).findLastIndex((one) => this.#compare(one.position, position) <= 0);
  }

  /** Where nothing is stored of an epoch it is the latest. */
  #compare(one: Position, other: Position): number {
    const [first, second] = [one, other].map(({ epoch }) => this.#epochs.get(epoch) ?? this.#epochs.size);
    return (first ?? 0) - (second ?? 0) || one.offset - other.offset;
  }
}

/** What a broker is troubled with; none of it once `calm` is true. */
export interface Trouble {
  calm: boolean;
  /** 0 to below 1. */
  readonly random: () => number;
}

/**
 * Writes down what the broker behind a hub has stored. Answers come late, those of `open` after messages that came
 * meanwhile, and now and then it is unavailable.
 */
export class TruthBroker implements Broker {
  readonly #inner: Broker;
  readonly #truth: Truth;
  readonly #trouble: Trouble;
  /** Another hub has the broker: what this one still asks for, or gives up, is not for it. */
  isRetired = false;
  /** Rooms of which messages were left out, and no `reset` has followed. */
  readonly #owed = new Set<RoomName>();
  #watcher: Watcher | undefined;

  constructor(inner: Broker, truth: Truth, trouble: Trouble) {
    this.#inner = inner;
    this.#truth = truth;
    this.#trouble = trouble;
  }

  async publish(outgoing: Outgoing): Promise<Position> {
    this.#fail();
    const data = outgoing.data.slice();
    const position = await this.#inner.publish(outgoing);
    this.#truth.stored(outgoing.room, position, data);
    return position;
  }

  async open(room: RoomName, sink: Sink): Promise<Position> {
    await this.#linger();
    this.#fail();
    let epoch: string | undefined;
    const position = await this.#inner.open(
      room,
      this.#purging(sink, () => epoch),
    );
    epoch = position.epoch;
    await this.#linger();
    return position;
  }

  close(room: RoomName): void {
    this.#inner.close(room);
    if (this.#owed.delete(room)) this.#watcher?.lost({ room });
  }

  async watch(pattern: RoomPattern, watcher: Watcher): Promise<void> {
    await this.#linger();
    this.#fail();
    if (this.isRetired) throw new CodedError("unavailable", "of a hub that is gone", 20);
    this.#watcher = watcher;
    await this.#inner.watch(pattern, this.#losing(watcher));
    await this.#linger();
  }

  unwatch(pattern: RoomPattern): void {
    if (!this.isRetired) this.#inner.unwatch(pattern);
  }

  rooms(prefix: string, after: string, limit: number): Promise<RoomList> {
    return this.#inner.rooms(prefix, after, limit);
  }

  async history(room: RoomName, from: HistoryFrom, limit: number): Promise<HistoryPage> {
    await this.#linger();
    this.#fail(0.25);
    const page = await this.#inner.history(room, from, limit);
    await this.#linger();
    return page;
  }

  async state(room: RoomName): Promise<Snapshot> {
    await this.#linger();
    this.#fail();
    return this.#inner.state(room);
  }

  stop(deadlineMs: number): Promise<void> {
    return this.#inner.stop(deadlineMs);
  }

  /** Now and then some messages never come, and `reset` takes their place. */
  #purging(sink: Sink, epochOf: () => string | undefined): Sink {
    let lost = 0;
    return {
      message: (message) => {
        const { room, offset } = message;
        const epoch = epochOf();
        if (epoch === undefined) return sink.message(message);
        if (lost === 0 && (this.#trouble.calm || offset === 0 || this.#trouble.random() > 0.005))
          return sink.message(message);
        lost += 1;
        this.#owed.add(room);
        if (lost < 4 && !this.#trouble.calm) return;
        lost = 0;
        this.#owed.delete(room);
        sink.reset(room, { epoch, offset }, "purged");
      },
      reset: (...args) => sink.reset(...args),
    };
  }

  /** Now and then a message never comes, and `lost` takes its place. */
  #losing(watcher: Watcher): Watcher {
    return {
      message: (message) => {
        if (this.#trouble.calm || this.#trouble.random() > 0.003) {
          watcher.message(message);
          return;
        }
        watcher.lost(this.#trouble.random() < 0.5 ? { room: message.room } : "all");
      },
      lost: (where) => watcher.lost(where),
    };
  }

  #fail(share = 0.05): void {
    if (!this.#trouble.calm && this.#trouble.random() < share)
      throw new CodedError("unavailable", "unavailable, on purpose", 20);
  }

  async #linger(): Promise<void> {
    if (this.#trouble.calm || this.#trouble.random() < 0.5) return;
    for (let turns = 5 * this.#trouble.random(); turns > 0; turns -= 1)
      await new Promise((resolve) => setImmediate(resolve));
  }
}

type FlowEvent = { readonly message: Message } | { readonly head: Position; readonly reason: ResetReason };

/** Hears what followers are handed, as it comes. */
export interface FlowLog {
  received(message: Message): void;
  reset(room: RoomName): void;
}

/** One time that a worker has a room open: everything that its sink was handed, checked against the truth. */
export class Follower implements Sink {
  readonly room: RoomName;
  readonly #truth: Truth;
  readonly #log: FlowLog;
  readonly #events: FlowEvent[] = [];
  /** Where the flow stands, once the room is open. */
  position: Position | undefined;
  messages = 0;
  /** Resets by reason. */
  readonly resets = { expired: 0, epoch: 0, purged: 0 };
  #isClosed = false;

  constructor(room: RoomName, truth: Truth, log: FlowLog) {
    this.room = room;
    this.#truth = truth;
    this.#log = log;
  }

  message(message: Message): void {
    this.#log.received(message);
    this.#take({ message });
  }

  reset(room: RoomName, head: Position, reason: ResetReason): void {
    assert.equal(room, this.room);
    this.#log.reset(room);
    this.#take({ head, reason });
  }

  /** The promise of `open` was seen: what came before belongs behind its position. */
  opened(position: Position): void {
    this.position = position;
    for (const event of this.#events) this.#check(event);
    this.#events.length = 0;
  }

  closed(): void {
    this.#isClosed = true;
  }

  #take(event: FlowEvent): void {
    assert.ok(!this.#isClosed, `${this.room}: the flow goes on after close`);
    if (this.position === undefined) this.#events.push(event);
    else this.#check(event);
  }

  #check(event: FlowEvent): void {
    assert.ok(this.position !== undefined);
    const { epoch, offset } = this.position;
    if ("message" in event) {
      this.#checkMessage(event.message, epoch, offset);
      return;
    }
    const { head, reason } = event;
    this.resets[reason] += 1;
    const told = `${this.room}: reset ${reason} from ${epoch}:${offset} to ${head.epoch}:${head.offset}`;
    assert.notEqual(epoch, "", told);
    if (reason === "epoch") assert.notEqual(head.epoch, epoch, told);
    else {
      assert.equal(head.epoch, epoch, told);
      assert.ok(head.offset > offset, told);
      if (reason === "expired") assert.notEqual(namespaceOf(this.room), "long", told);
    }
    this.position = head;
  }

  #checkMessage(message: Message, epoch: string, offset: number): void {
    assert.equal(message.room, this.room);
    this.messages += 1;
    const number = numberIn(message);
    if (epoch === "") {
      assert.equal(message.offset, 0);
      this.#sent.push(["", 0, number]);
      return;
    }
    // This broker counts one by one.
    assert.equal(message.offset, offset + 1, `${this.room} ${epoch}: after ${offset}`);
    assert.equal(message.prev, offset, `${this.room} ${epoch}: prev of ${message.offset}`);
    this.#sent.push([epoch, message.offset, number]);
    this.position = { epoch, offset: message.offset };
  }

  /** Compares with what was stored: at the end, as answers of the broker come after the flow. */
  compare(): void {
    let last = -1;
    for (const [epoch, offset, number] of this.#sent) {
      if (epoch !== "") {
        assert.equal(
          this.#truth.numberAt(this.room, epoch, offset),
          number,
          `${this.room} ${epoch}:${offset}`,
        );
        continue;
      }
      const place = this.#truth.placeOf(number);
      assert.ok(place > last, `${this.room}: number ${number}, published as ${place}, after ${last}`);
      last = place;
    }
  }

  readonly #sent: (readonly [epoch: string, offset: number, number: number])[] = [];
}
