import type { Msg, Subscription } from "@nats-io/transport-node";
import type { NatsLink } from "./connection.js";
import type { FlowRoom } from "./flow/flow-room.js";
import { type LiveMessage, liveOf, liveOfRoom, storedLineOf } from "./live-message.js";
import type { StoredMessage } from "./stored-message.js";
import type { Stream } from "./streams.js";
import type { Subjects } from "./subjects.js";

export type LiveRoom = FlowRoom<StoredMessage>;

export interface LiveSubscriptionsOptions {
  readonly link: NatsLink;
  readonly subjects: Subjects;
  /** A message of a room that is subscribed to by itself, or whose partition is. */
  readonly onRoom: (room: LiveRoom, message: LiveMessage, isRepeated: boolean) => void;
  /** A message of a keyed stream, whether its room is open or not. */
  readonly onStream: (stream: Stream, message: LiveMessage) => void;
  /** One that no server republished, or that was stored for another room than it came for. */
  readonly onStray: (kind: "stray" | "misplaced") => void;
  /** A subscription ended, or a message could not be handled. */
  readonly onTrouble: (what: string) => void;
}

/** What a partition's rooms are subscribed by; between the two both are in force, and what comes twice is dropped. */
type Mode = "each" | "widening" | "wide" | "narrowing";

interface Listened {
  readonly room: LiveRoom;
  single: Subscription | undefined;
  /** The last that came. */
  last: number;
}

/** The rooms of one stream that is not keyed. */
interface Plain {
  readonly stream: Stream;
  readonly rooms: Map<string, Listened>;
  mode: Mode;
  wide: Subscription | undefined;
}

/** Below this many rooms a partition costs little each by itself. */
const WIDE_ROOMS = 32;
/** Of the rooms that the partition has: taken whole from the first share on, and until it is below the second. */
const WIDE_SHARE = 2 / 3;
const NARROW_SHARE = 1 / 3;

/** A server that does not say that a subscription is in force is asked again after so long. */
const FLUSH_RETRY_MS = 500;

/**
 * The subscriptions of the live flow. A keyed stream has one. Rooms of others have one each, or, where most of a partition's
 * rooms are open here, one for the partition: fewer to restore after a reconnect, and to know for every server.
 */
export class LiveSubscriptions {
  readonly #options: LiveSubscriptionsOptions;
  readonly #plain = new Map<Stream, Plain>();
  readonly #keyed = new Map<Stream, Subscription>();
  #stopped = false;

  constructor(options: LiveSubscriptionsOptions) {
    this.#options = options;
  }

  /** Partitions that are taken whole though they are not keyed. */
  get wide(): number {
    let count = 0;
    for (const { mode } of this.#plain.values()) if (mode === "wide") count += 1;
    return count;
  }

  addStream(stream: Stream): void {
    const { subjects, onStream } = this.#options;
    const begin = subjects.storedBegin(stream.set, stream.partition);
    const subscription = this.#subscribe(subjects.liveIn(stream.set, stream.partition), (message) => {
      const live = this.#own(liveOf(message, begin));
      if (live !== undefined) onStream(stream, live);
    });
    this.#keyed.set(stream, subscription);
  }

  removeStream(stream: Stream): void {
    this.#keyed.get(stream)?.unsubscribe();
    this.#keyed.delete(stream);
  }

  addRoom(stream: Stream, room: LiveRoom): void {
    const plain: Plain = this.#plain.get(stream) ?? {
      stream,
      rooms: new Map(),
      mode: "each",
      wide: undefined,
    };
    this.#plain.set(stream, plain);
    const listened: Listened = { room, single: undefined, last: 0 };
    plain.rooms.set(room.token, listened);
    // Also while it is widening: the wildcard may not be in force yet.
    if (plain.mode !== "wide") this.#listen(plain, listened);
  }

  removeRoom(stream: Stream, room: LiveRoom): void {
    const plain = this.#plain.get(stream);
    const listened = plain?.rooms.get(room.token);
    if (plain === undefined || listened?.room !== room) return;
    listened.single?.unsubscribe();
    plain.rooms.delete(room.token);
    if (plain.rooms.size > 0) return;
    plain.wide?.unsubscribe();
    this.#plain.delete(stream);
  }

  /** The stream counts anew. */
  restart(stream: Stream): void {
    for (const listened of this.#plain.get(stream)?.rooms.values() ?? []) listened.last = 0;
  }

  /** Looks whether the partition is better taken whole, or each room by itself. Resolves when that is in force. */
  async consider(stream: Stream): Promise<void> {
    const plain = this.#plain.get(stream);
    if (plain === undefined) return;
    const open = plain.rooms.size;
    const share = open / Math.max(open, stream.info.subjects);
    if (plain.mode === "each" && open >= WIDE_ROOMS && share >= WIDE_SHARE) await this.#widen(plain);
    else if (plain.mode === "wide" && (open < WIDE_ROOMS / 2 || share < NARROW_SHARE))
      await this.#narrow(plain);
  }

  stop(): void {
    this.#stopped = true;
  }

  async #widen(plain: Plain): Promise<void> {
    const { subjects } = this.#options;
    const { stream, rooms } = plain;
    plain.mode = "widening";
    const begin = subjects.storedBegin(stream.set, stream.partition);
    plain.wide = this.#subscribe(subjects.liveIn(stream.set, stream.partition), (message) => {
      const live = this.#own(liveOf(message, begin));
      const listened = live === undefined ? undefined : rooms.get(live.roomToken);
      if (live !== undefined && listened !== undefined) this.#take(plain, listened, live);
    });
    await this.#inForce();
    if (this.#plain.get(stream) !== plain || this.#stopped) return;
    for (const listened of rooms.values()) {
      listened.single?.unsubscribe();
      listened.single = undefined;
    }
    plain.mode = "wide";
  }

  async #narrow(plain: Plain): Promise<void> {
    plain.mode = "narrowing";
    for (const listened of plain.rooms.values()) this.#listen(plain, listened);
    await this.#inForce();
    if (this.#plain.get(plain.stream) !== plain || this.#stopped) return;
    plain.wide?.unsubscribe();
    plain.wide = undefined;
    plain.mode = "each";
  }

  #listen(plain: Plain, listened: Listened): void {
    const { subjects } = this.#options;
    const { set, partition } = plain.stream;
    const { token } = listened.room;
    const stored = storedLineOf(subjects.storedOf(set, partition, token, undefined));
    listened.single = this.#subscribe(subjects.live(set, partition, token), (message) => {
      const live = this.#own(liveOfRoom(message, token, stored));
      if (live !== undefined) this.#take(plain, listened, live);
    });
  }

  /** Only what the server republished for the room that it came for; what is left out, the chain shows. */
  #own(live: LiveMessage | "misplaced" | undefined): LiveMessage | undefined {
    if (live !== undefined && live !== "misplaced") return live;
    this.#options.onStray(live ?? "stray");
    return undefined;
  }

  #take(plain: Plain, listened: Listened, message: LiveMessage): void {
    const { sequence } = message;
    const isRepeated = sequence <= listened.last;
    if (!isRepeated) listened.last = sequence;
    else if (plain.mode === "widening" || plain.mode === "narrowing") return;
    this.#options.onRoom(listened.room, message, isRepeated);
  }

  /** Resolves when all that was subscribed to is in force at the server. */
  async #inForce(): Promise<void> {
    const { link } = this.#options;
    while (!this.#stopped) {
      try {
        if (link.connected) {
          await link.connection.flush();
          return;
        }
      } catch {
        // The connection was lost; the next one restores all subscriptions.
      }
      await new Promise((resolve) => setTimeout(resolve, FLUSH_RETRY_MS));
    }
  }

  /** Whatever throws in a callback would end the client's reading for good. */
  #subscribe(subject: string, take: (message: Msg) => void): Subscription {
    const { link, onTrouble } = this.#options;
    return link.connection.subscribe(subject, {
      callback: (cause, message) => {
        try {
          if (cause !== null) onTrouble(`a subscription ended: ${cause.message}`);
          else take(message);
        } catch (fault) {
          onTrouble(`a live message could not be handled: ${String(fault)}`);
        }
      },
    });
  }
}
