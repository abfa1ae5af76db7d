import { type Msg, MsgHdrsImpl, type Subscription } from "@nats-io/transport-node";
import type { Sink } from "../../core/ports.js";
import { CodedError } from "../../protocol/errors.js";
import { createMessage, type Message } from "../../protocol/message.js";
import type { RoomName } from "../../protocol/room-name.js";
import type { NatsLink } from "./connection.js";
import { CopyPairs } from "./copy-pairs.js";
import { markOf } from "./live-message.js";
import { ownHeaders } from "./message-headers.js";
import type { Delivery } from "./open-room.js";
import { contentOf } from "./stored-message.js";
import { headersOf } from "./stream-reader.js";
import { decodeRoom, encodeRoom, type Subjects, tokensOf } from "./subjects.js";
import { Underway } from "./underway.js";

/** What is published to an ephemeral room. */
export interface EphemeralMessage {
  readonly room: RoomName;
  readonly data: Uint8Array;
  readonly key: string | undefined;
  readonly origin: string | undefined;
}

/** Who wants what comes for rooms that are not open. */
export interface EphemeralOnlooker {
  matches(room: RoomName): boolean;
  message(message: Message): void;
}

interface OpenEphemeral {
  readonly sink: Sink;
  /** Undefined while what all rooms get is taken whole. */
  single: Subscription | undefined;
}

/** Rooms of which the name is remembered by the subject. */
const KNOWN_ROOMS = 20_000;

/** A server that does not say that a subscription is in force is asked again after so long. */
const FLUSH_RETRY_MS = 500;

/**
 * Rooms that nothing is stored of: plain publish and subscribe. Who is there and connected gets a message; where the
 * connection does not take more, these go first.
 */
export class EphemeralRooms {
  readonly #link: NatsLink;
  readonly #subjects: Subjects;
  readonly #delivery: Delivery;
  readonly #headers = new EncodedHeaders();
  readonly #open = new Map<RoomName, OpenEphemeral>();
  /** Gets what comes for rooms that are not open, as far as it wants it. */
  onlooker: EphemeralOnlooker | undefined;
  /** Of all rooms. */
  #whole: Subscription | undefined;
  #wantsWhole = false;
  /** Open rooms have no subscriptions of their own. */
  #isWhole = false;
  #isNarrowing = false;
  /** While messages come twice. */
  #pairs: Map<RoomName, CopyPairs> | undefined;
  #turning: Promise<void> | undefined;
  /** By subject. */
  readonly #rooms = new Map<string, RoomName>();
  #stopped = false;
  readonly #underway: Underway;

  constructor(link: NatsLink, subjects: Subjects, delivery: Delivery) {
    this.#link = link;
    this.#subjects = subjects;
    this.#delivery = delivery;
    this.#underway = new Underway(link);
  }

  get size(): number {
    return this.#open.size;
  }

  has(room: RoomName): boolean {
    return this.#open.has(room);
  }

  /** @throws CodedError `unavailable` while there is no connection, or it takes no more; `too_large` */
  publish({ room, data, key, origin }: EphemeralMessage): void {
    const { limits, counters, nowMs } = this.#delivery;
    const refuse = (code: "unavailable" | "too_large", reason: string): CodedError => {
      counters.droppedEphemerals += 1;
      return new CodedError(code, `not sent: ${reason}`, code === "unavailable" ? RETRY_MS : undefined);
    };
    if (!this.#link.connected) throw refuse("unavailable", "NATS is away");
    if (this.#underway.bytes > limits.ephemeralBytes)
      throw refuse("unavailable", `${limits.ephemeralBytes} bytes wait for NATS, the limit`);
    this.#headers.bytes = Buffer.from(ownHeaders({ time: nowMs(), origin, key, id: undefined }), "latin1");
    try {
      // The connection copies the bytes only when it writes them.
      this.#link.connection.publish(this.#subjects.ephemeral(room), data.slice(), { headers: this.#headers });
    } catch (cause) {
      throw refuse("too_large", cause instanceof Error ? cause.message : String(cause));
    }
    this.#underway.add(data.length + this.#headers.bytes.length);
  }

  /** Resolves when the server knows of the subscription. */
  async open(room: RoomName, sink: Sink): Promise<void> {
    const opened: OpenEphemeral = { sink, single: undefined };
    this.#open.set(room, opened);
    // What comes whole comes for it already.
    if (this.#isWhole && !this.#isNarrowing) return;
    this.#listen(room, opened);
    this.#pairs?.set(room, this.#pairs.get(room) ?? new CopyPairs());
    // Without a connection the subscription is made with the next one; nothing is promised of the time until then.
    if (this.#link.connected) await this.#link.connection.flush().catch(() => undefined);
  }

  close(room: RoomName): void {
    this.#open.get(room)?.single?.unsubscribe();
    this.#open.delete(room);
  }

  closeAll(): void {
    this.#stopped = true;
    for (const room of [...this.#open.keys()]) this.close(room);
    this.#whole?.unsubscribe();
    this.#whole = undefined;
  }

  /** Takes what all rooms get. Resolves when that is in force; messages of open rooms go on to their sinks, each once. */
  async takeWhole(): Promise<void> {
    this.#wantsWhole = true;
    while (this.#wantsWhole && !this.#isWhole && !this.#stopped) await this.#turn();
  }

  /** Only what open rooms get, from now on or soon. */
  takeEach(): void {
    this.#wantsWhole = false;
    // The connection is closed for good.
    this.#turn().catch(() => undefined);
  }

  #turn(): Promise<void> {
    const run = async (): Promise<void> => {
      while (this.#wantsWhole !== this.#isWhole && !this.#stopped)
        await (this.#wantsWhole ? this.#widen() : this.#narrow());
    };
    this.#turning ??= run().finally(() => {
      this.#turning = undefined;
    });
    return this.#turning;
  }

  /**
   * While both kinds of subscription are in force each message of a room comes twice, and its first copy counts. The copies of one
   * room come in the same order by either way.
   */
  async #widen(): Promise<void> {
    const pairs = this.#pairAll();
    this.#whole = this.#link.connection.subscribe(this.#subjects.ephemeralIn, {
      callback: (cause, message) => {
        if (cause !== null) return;
        const room = this.#roomOf(message.subject);
        if (room !== undefined) this.#take(room, message, "whole");
      },
    });
    await this.#inForce();
    for (const pair of pairs.values()) pair.forget();
    await this.#inForce();
    if (this.#stopped) return;
    for (const opened of this.#open.values()) {
      opened.single?.unsubscribe();
      opened.single = undefined;
    }
    this.#isWhole = true;
    // Copies of what came by a room's own subscription last.
    await this.#inForce();
    this.#pairs = undefined;
  }

  async #narrow(): Promise<void> {
    this.#isNarrowing = true;
    const pairs = this.#pairAll();
    for (const [room, opened] of this.#open) this.#listen(room, opened);
    await this.#inForce();
    for (const pair of pairs.values()) pair.forget();
    await this.#inForce();
    this.#whole?.unsubscribe();
    this.#whole = undefined;
    this.#isWhole = false;
    this.#isNarrowing = false;
    await this.#inForce();
    this.#pairs = undefined;
  }

  #pairAll(): Map<RoomName, CopyPairs> {
    this.#pairs = new Map([...this.#open.keys()].map((room) => [room, new CopyPairs()]));
    return this.#pairs;
  }

  #listen(room: RoomName, opened: OpenEphemeral): void {
    opened.single = this.#link.connection.subscribe(this.#subjects.ephemeral(room), {
      callback: (cause, message) => {
        if (cause === null) this.#take(room, message, "single");
      },
    });
  }

  #take(room: RoomName, message: Msg, way: "single" | "whole"): void {
    const opened = this.#open.get(room);
    const pair = this.#pairs?.get(room);
    const { onlooker } = this;
    if (opened === undefined && pair === undefined && !onlooker?.matches(room)) return;
    const { limits, counters, nowMs, onSinkError } = this.#delivery;
    try {
      const headers = headersOf(message);
      const place = { roomToken: encodeRoom(room), keyToken: undefined, sequence: 0, storedMs: undefined };
      const stored = { ...place, headers, data: message.data };
      if (pair !== undefined && !pair.isFirst(way, markOf(stored))) return;
      if (opened === undefined && !onlooker?.matches(room)) return;
      const content = contentOf(room, stored, limits, counters, nowMs());
      const made = createMessage({ ...content, offset: 0, prev: 0 });
      if (opened !== undefined) opened.sink.message(made);
      else onlooker?.message(made);
    } catch (fault) {
      counters.sinkErrors += 1;
      onSinkError(fault, room);
    }
  }

  /** The room of a subject; undefined where none has it. */
  #roomOf(subject: string): RoomName | undefined {
    const known = this.#rooms.get(subject);
    if (known !== undefined) return known;
    const room = decodeRoom(tokensOf(subject).room);
    if (room === undefined || this.#subjects.ephemeral(room) !== subject) return undefined;
    if (this.#rooms.size >= KNOWN_ROOMS) this.#rooms.clear();
    this.#rooms.set(subject, room);
    return room;
  }

  /** Resolves when all that was subscribed to is in force at the server. */
  async #inForce(): Promise<void> {
    while (!this.#stopped) {
      try {
        if (this.#link.connected) {
          await this.#link.connection.flush();
          return;
        }
      } catch {
        // The connection was lost; the next one restores all subscriptions.
      }
      await new Promise((resolve) => setTimeout(resolve, FLUSH_RETRY_MS));
    }
  }
}

const RETRY_MS = 500;

/** Headers that are bytes already. The client encodes them while it publishes, so one object serves all. */
class EncodedHeaders extends MsgHdrsImpl {
  bytes: Uint8Array = new Uint8Array();

  override encode(): Uint8Array {
    return this.bytes;
  }
}
