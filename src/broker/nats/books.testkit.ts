import assert from "node:assert/strict";
import { encode } from "@msgpack/msgpack";
import type { Broker } from "../../core/ports.js";
import { CodedError } from "../../protocol/errors.js";
import type { ResetReason } from "../../protocol/frames.js";
import type { RoomName } from "../../protocol/room-name.js";
import { type Entry, Ledger, padded } from "./ledger.testkit.js";
import { pause, until } from "./nats-server.testkit.js";
import { Reader } from "./reader.testkit.js";

export interface PublishOptions {
  /** How many publish at once, each one message after the other. */
  readonly lanes: number;
  /** Between two messages of a lane. */
  readonly pauseMs: number;
  /** Only to these rooms. */
  readonly rooms?: readonly Ledger[];
}

/** Rooms, those who publish to them, and those who follow them, with books of everything. */
export class Books {
  readonly ledgers: Ledger[];
  readonly readers: Reader[] = [];
  /** Answers to publishes that said that it may not be stored. */
  rejected = 0;
  acknowledged = 0;
  #values = 0;
  #publishing = false;
  readonly #running: Promise<void>[] = [];

  /** @param quiet Rooms that get a message only by {@link Books.whisper}. */
  constructor(rooms: readonly RoomName[], quiet: readonly RoomName[] = []) {
    this.ledgers = [...rooms.map((room) => new Ledger(room)), ...quiet.map((room) => new Ledger(room, true))];
  }

  get busy(): readonly Ledger[] {
    return this.ledgers.filter(({ quiet }) => !quiet);
  }

  /** Opens every room on a node. */
  async follow(name: string, node: Broker): Promise<void> {
    await Promise.all(this.ledgers.map((ledger) => this.open(name, node, ledger)));
  }

  /** Opens one room. */
  async open(name: string, node: Broker, ledger: Ledger): Promise<Reader> {
    const reader = new Reader(name, ledger);
    reader.start = await node.open(ledger.room, reader);
    this.readers.push(reader);
    return reader;
  }

  /** Publishes through a node until {@link Books.silence}, rooms in turn. */
  publish(node: Broker, { lanes, pauseMs, rooms = this.busy }: PublishOptions): void {
    this.#publishing = true;
    for (let lane = 0; lane < lanes; lane += 1) this.#running.push(this.#lane(node, lane, pauseMs, rooms));
  }

  /** One message to every quiet room at once, through the nodes in turn; {@link Books.silence} waits for it. */
  whisper(nodes: readonly Broker[]): void {
    this.#publishing = true;
    const quiet = this.ledgers.filter((ledger) => ledger.quiet);
    for (const [index, ledger] of quiet.entries()) {
      const node = nodes[index % nodes.length];
      if (node !== undefined) this.#running.push(this.put(node, ledger).then(() => undefined));
    }
  }

  /**
   * Publishes one message as backends do: under an id, again and again until it is acknowledged or silence is asked for.
   * Ids are known for two minutes, so whatever is stored twice is a fault.
   * @param length Of the text that is published, at least.
   */
  async put(node: Broker, ledger: Ledger, length = 0): Promise<Entry> {
    this.#values += 1;
    const value = `v${this.#values}`;
    const entry: Entry = { value, position: undefined };
    ledger.entries.set(value, entry);
    const key = ledger.room.startsWith("keyed") ? `k${this.#values % 5}` : undefined;
    const data = encode(padded(value, length));
    do {
      try {
        entry.position = await node.publish({ room: ledger.room, data, key, id: value });
        this.acknowledged += 1;
        return entry;
      } catch (cause) {
        assert.ok(cause instanceof CodedError && RETRYABLE.includes(cause.code), String(cause));
        this.rejected += 1;
        await pause(Math.min(RETRY_MS_MAX, cause.retryMs ?? RETRY_MS_MAX));
      }
    } while (this.#publishing);
    return entry;
  }

  /** As fast as they are stored, so many messages of one length to the busy rooms. */
  async burst(node: Broker, count: number, length: number): Promise<void> {
    let left = count;
    const lane = async (): Promise<void> => {
      for (; left > 0; ) {
        left -= 1;
        const ledger = this.busy[left % this.busy.length];
        if (ledger !== undefined) await this.put(node, ledger, length);
      }
    };
    await Promise.all(Array.from({ length: BURST_LANES }, lane));
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

  /**
   * Waits until every reader has everything that is known to be stored, and nobody was told anything but what is right;
   * fails with all that is wrong at the deadline.
   * @param allowed Reasons of resets that are right, by reader.
   */
  async balance(
    allowed: (reader: Reader) => readonly ResetReason[] = () => [],
    deadlineMs = 60_000,
  ): Promise<void> {
    let found = this.faults(allowed);
    const look = (): boolean => {
      found = this.faults(allowed);
      return found.length === 0;
    };
    await until("the books to balance", look, deadlineMs).catch(() => undefined);
    assert.deepEqual(found.slice(0, 10), [], `${found.length} faults`);
  }

  faults(allowed: (reader: Reader) => readonly ResetReason[]): string[] {
    return [
      ...this.ledgers.flatMap((ledger) => ledger.faults()),
      ...this.readers.flatMap((reader) => reader.faults()),
      ...this.readers.flatMap((reader) => {
        const right = allowed(reader);
        const wrong = reader.resets.filter((reason) => !right.includes(reason));
        return wrong.map((reason) => `${reader.name} ${reader.ledger.room}: was told ${reason}`);
      }),
    ];
  }

  /** In one line, for whoever reads the test's output. */
  summary(): string {
    const messages = this.readers.reduce((sum, reader) => sum + reader.messages, 0);
    const resets = this.readers.reduce((sum, reader) => sum + reader.resets.length, 0);
    const longest = Math.max(...this.readers.map((reader) => reader.longestPauseMs));
    return `${this.acknowledged} stored, ${this.rejected} rejected, ${messages} delivered, ${resets} resets, longest pause ${longest} ms`;
  }

  async #lane(node: Broker, lane: number, pauseMs: number, rooms: readonly Ledger[]): Promise<void> {
    for (let turn = lane; this.#publishing; turn += 1) {
      const ledger = rooms[turn % rooms.length];
      if (ledger !== undefined) await this.put(node, ledger);
      await pause(pauseMs);
    }
  }
}

/** What a publisher is told when the same may well succeed a moment later. */
const RETRYABLE: readonly string[] = ["unavailable", "timeout"];
const RETRY_MS_MAX = 200;
const BURST_LANES = 100;
