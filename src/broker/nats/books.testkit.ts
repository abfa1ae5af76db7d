import assert from "node:assert/strict";
import { decode, encode } from "@msgpack/msgpack";
import type { Broker, Sink } from "../../core/ports.js";
import { CodedError } from "../../protocol/errors.js";
import type { Position, ResetReason } from "../../protocol/frames.js";
import { dataOf, type Message } from "../../protocol/message.js";
import type { RoomName } from "../../protocol/room-name.js";
import { pause, until } from "./nats-server.testkit.js";

/** What became of one publish. */
interface Entry {
  readonly value: string;
  /** Undefined: it was rejected, and may or may not be stored. */
  position: Position | undefined;
}

/** Everything that was published to one room, by whichever node. */
export class Ledger {
  readonly room: RoomName;
  readonly entries = new Map<string, Entry>();

  constructor(room: RoomName) {
    this.room = room;
  }

  /** Positions of one epoch, with the value stored at each. */
  stored(epoch: string): Map<number, string> {
    const found = new Map<number, string>();
    for (const { value, position } of this.entries.values())
      if (position?.epoch === epoch) found.set(position.offset, value);
    return found;
  }
}

type Told =
  | { readonly kind: "message"; readonly offset: number; readonly prev: number; readonly value: string }
  | { readonly kind: "reset"; readonly head: Position; readonly reason: ResetReason };

/** One node's view of one room: all that its sink was told, and a check of it against the ledger. */
export class Reader implements Sink {
  readonly name: string;
  readonly ledger: Ledger;
  readonly told: Told[] = [];
  start: Position | undefined;
  /** The longest time between two messages while there was something to come. */
  longestPauseMs = 0;
  #lastMs = Date.now();

  constructor(name: string, ledger: Ledger) {
    this.name = name;
    this.ledger = ledger;
  }

  message(message: Message): void {
    const nowMs = Date.now();
    this.longestPauseMs = Math.max(this.longestPauseMs, nowMs - this.#lastMs);
    this.#lastMs = nowMs;
    const { offset, prev } = message;
    this.told.push({ kind: "message", offset, prev, value: String(decode(dataOf(message))) });
  }

  reset(_room: RoomName, head: Position, reason: ResetReason): void {
    this.told.push({ kind: "reset", head, reason });
  }

  get resets(): readonly string[] {
    return this.told.flatMap((told) => (told.kind === "reset" ? [told.reason] : []));
  }

  get messages(): number {
    return this.told.filter(({ kind }) => kind === "message").length;
  }

  /** What is wrong with what this reader was told, or is still missing; empty: nothing. */
  faults(): string[] {
    const found: string[] = [];
    if (this.start === undefined) return ["never opened"];
    let { epoch, offset: last } = this.start;
    let expected = this.ledger.stored(epoch);
    const seen = new Set<string>();
    const missingUpTo = (to: number): void => {
      for (const [offset, value] of expected)
        if (offset > last && offset < to) found.push(`${value} at ${offset} is missing before ${to}`);
    };
    for (const told of this.told) {
      if (told.kind === "reset") {
        if (told.head.epoch === epoch && told.head.offset < last)
          found.push(`reset back to ${told.head.offset}`);
        if (told.head.epoch !== epoch) expected = this.ledger.stored(told.head.epoch);
        ({ epoch, offset: last } = told.head);
        continue;
      }
      const { offset, prev, value } = told;
      if (offset <= last) found.push(`${value} at ${offset} came after ${last}`);
      if (prev !== last) found.push(`${value} at ${offset} has prev ${prev}, not ${last}`);
      if (seen.has(value)) found.push(`${value} came twice`);
      if (!this.ledger.entries.has(value)) found.push(`${value} was never published`);
      const known = expected.get(offset);
      if (known !== undefined && known !== value)
        found.push(`${value} at ${offset}, where ${known} was stored`);
      missingUpTo(offset);
      seen.add(value);
      last = offset;
    }
    missingUpTo(Number.POSITIVE_INFINITY);
    return found.map((fault) => `${this.name} ${this.ledger.room}: ${fault}`);
  }
}

/** Rooms, those who publish to them, and those who follow them, with books of everything. */
export class Books {
  readonly ledgers: Ledger[];
  readonly readers: Reader[] = [];
  /** Publishes that were rejected. */
  rejected = 0;
  #values = 0;
  #publishing = false;
  readonly #running: Promise<void>[] = [];

  constructor(rooms: readonly RoomName[]) {
    this.ledgers = rooms.map((room) => new Ledger(room));
  }

  get acknowledged(): number {
    let count = 0;
    for (const { entries } of this.ledgers)
      for (const { position } of entries.values()) if (position !== undefined) count += 1;
    return count;
  }

  /** Opens every room on a node. */
  async follow(name: string, node: Broker): Promise<void> {
    await Promise.all(
      this.ledgers.map(async (ledger) => {
        const reader = new Reader(name, ledger);
        this.readers.push(reader);
        reader.start = await node.open(ledger.room, reader);
      }),
    );
  }

  /** Publishes through a node until {@link Books.silence}: each lane one after the other, rooms in turn. */
  publish(node: Broker, lanes: number, pauseMs: number): void {
    this.#publishing = true;
    for (let lane = 0; lane < lanes; lane += 1) this.#running.push(this.#lane(node, lane, pauseMs));
  }

  /** Publishes one message. */
  async put(node: Broker, ledger: Ledger): Promise<void> {
    this.#values += 1;
    const value = `v${this.#values}`;
    const entry: Entry = { value, position: undefined };
    ledger.entries.set(value, entry);
    const key = ledger.room.startsWith("keyed") ? `k${this.#values % 5}` : undefined;
    try {
      entry.position = await node.publish({ room: ledger.room, data: encode(value), key });
    } catch (cause) {
      assert.ok(cause instanceof CodedError && cause.code === "unavailable", String(cause));
      this.rejected += 1;
    }
  }

  /** Resolves when so many more have been stored. */
  async publishedMore(count: number): Promise<void> {
    const goal = this.acknowledged + count;
    await until(`${count} more to be stored`, () => this.acknowledged >= goal, 60_000);
  }

  /** Resolves when nobody publishes any more. */
  async silence(): Promise<void> {
    this.#publishing = false;
    await Promise.all(this.#running.splice(0));
  }

  /** Waits until every reader has everything; fails with all that is wrong at the deadline. */
  async balance(deadlineMs = 60_000): Promise<void> {
    const faults = (): string[] => this.readers.flatMap((reader) => reader.faults());
    await until("the books to balance", () => faults().length === 0, deadlineMs).catch(() => undefined);
    const found = faults();
    assert.deepEqual(found.slice(0, 10), [], `${found.length} faults`);
  }

  /** In one line, for whoever reads the test's output. */
  summary(): string {
    const messages = this.readers.reduce((sum, reader) => sum + reader.messages, 0);
    const resets = this.readers.reduce((sum, reader) => sum + reader.resets.length, 0);
    const longest = Math.max(...this.readers.map((reader) => reader.longestPauseMs));
    return `${this.acknowledged} stored, ${this.rejected} rejected, ${messages} delivered, ${resets} resets, longest pause ${longest} ms`;
  }

  async #lane(node: Broker, lane: number, pauseMs: number): Promise<void> {
    for (let turn = lane; this.#publishing; turn += 1) {
      const ledger = this.ledgers[turn % this.ledgers.length];
      if (ledger !== undefined) await this.put(node, ledger);
      await pause(pauseMs);
    }
  }
}
