import { MsgHdrsImpl, type Subscription } from "@nats-io/transport-node";
import type { Sink } from "../../core/ports.js";
import { CodedError } from "../../protocol/errors.js";
import { createMessage } from "../../protocol/message.js";
import type { RoomName } from "../../protocol/room-name.js";
import type { NatsLink } from "./connection.js";
import { ownHeaders } from "./message-headers.js";
import type { Delivery } from "./open-room.js";
import { contentOf } from "./stored-message.js";
import { headersOf } from "./stream-reader.js";
import { encodeRoom, type Subjects } from "./subjects.js";

/** What is published to an ephemeral room. */
export interface EphemeralMessage {
  readonly room: RoomName;
  readonly data: Uint8Array;
  readonly key: string | undefined;
  readonly origin: string | undefined;
}

/**
 * Rooms that nothing is stored of: plain publish and subscribe. Who is there and connected gets a message; where the
 * connection does not take more, these go first.
 */
export class EphemeralRooms {
  readonly #link: NatsLink;
  readonly #subjects: Subjects;
  readonly #delivery: Delivery;
  readonly #headers = new EncodedHeaders();
  readonly #open = new Map<RoomName, Subscription>();
  /** Bytes that were handed to the connection and not yet taken by the server. */
  #underway = 0;
  #isFlushing = false;

  constructor(link: NatsLink, subjects: Subjects, delivery: Delivery) {
    this.#link = link;
    this.#subjects = subjects;
    this.#delivery = delivery;
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
    if (this.#underway > limits.ephemeralBytes)
      throw refuse("unavailable", `${limits.ephemeralBytes} bytes wait for NATS, the limit`);
    this.#headers.bytes = Buffer.from(ownHeaders({ time: nowMs(), origin, key, id: undefined }), "latin1");
    try {
      // The connection copies the bytes only when it writes them.
      this.#link.connection.publish(this.#subjects.ephemeral(room), data.slice(), { headers: this.#headers });
    } catch (cause) {
      throw refuse("too_large", cause instanceof Error ? cause.message : String(cause));
    }
    this.#underway += data.length + this.#headers.bytes.length;
    if (!this.#isFlushing) void this.#flush();
  }

  /** Resolves when the server knows of the subscription. */
  async open(room: RoomName, sink: Sink): Promise<void> {
    const token = encodeRoom(room);
    const { limits, counters, nowMs, onSinkError } = this.#delivery;
    const subscription = this.#link.connection.subscribe(this.#subjects.ephemeral(room), {
      callback: (cause, message) => {
        if (cause !== null) return;
        try {
          const headers = headersOf(message);
          const stored = { sequence: 0, storedMs: undefined, headers, roomToken: token, keyToken: undefined };
          const content = contentOf(room, { ...stored, data: message.data }, limits, counters, nowMs());
          sink.message(createMessage({ ...content, offset: 0, prev: 0 }));
        } catch (fault) {
          counters.sinkErrors += 1;
          onSinkError(fault, room);
        }
      },
    });
    this.#open.set(room, subscription);
    // Without a connection the subscription is made with the next one; nothing is promised of the time until then.
    if (this.#link.connected) await this.#link.connection.flush().catch(() => undefined);
  }

  close(room: RoomName): void {
    this.#open.get(room)?.unsubscribe();
    this.#open.delete(room);
  }

  closeAll(): void {
    for (const room of [...this.#open.keys()]) this.close(room);
  }

  async #flush(): Promise<void> {
    this.#isFlushing = true;
    while (this.#underway > 0) {
      const bytes = this.#underway;
      await this.#link.connection.flush().catch(() => undefined);
      this.#underway -= bytes;
    }
    this.#isFlushing = false;
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
