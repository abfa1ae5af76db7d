import { createInbox, type Msg, MsgImpl, nuid, type Subscription } from "@nats-io/transport-node";
import { CodedError } from "../../protocol/errors.js";
import type { NatsLink } from "./connection.js";
import { ApiError, CALL_MS, ERR_CODE, JsApi, type Json, numberOf, objectOf } from "./js-api.js";
import { headerText, lastNumber, SEQUENCE } from "./message-headers.js";
import type { StoredMessage } from "./stored-message.js";
import type { Stream, StreamInfo } from "./streams.js";
import { tokensOf } from "./subjects.js";

/** Reading of streams, each call once: who calls decides about trying again (see `isTransient`). */
export interface StreamReads {
  /** From the stream's leader. */
  info(stream: Stream, timeoutMs?: number): Promise<StreamInfo>;
  /** The number of the last message that a filter matches, from the leader; 0: none is kept. */
  last(stream: Stream, filter: string, timeoutMs?: number): Promise<number>;
  /** The number of the first one kept from a number on (default 1), from the leader; 0: none. */
  first(stream: Stream, filter: string, from?: number): Promise<number>;
  /** The message of one number, from the leader; undefined: it is not kept. */
  at(stream: Stream, sequence: number): Promise<KeptMessage | undefined>;
  /**
   * Reads many in order. From any replica, which may be behind: whoever needs to have read up to somewhere must check.
   * @param filter Undefined: all. Several: only where the server can (`ServerFeatures.manyFilters`).
   */
  cursor(stream: Stream, filter: CursorFilter, from: CursorStart): Promise<Cursor>;
}

export type CursorFilter = string | readonly string[] | undefined;

export interface KeptMessage extends StoredMessage {
  /** When it was stored, as the server writes it. */
  readonly time: string;
}

/** A sequence, a time (milliseconds since 1970) since which it was stored, or the last message of every subject. */
export type CursorStart = number | { readonly sinceMs: number } | "lastOfEach";

/** A read under way. Close it. */
export interface Cursor {
  /** How many messages there were to read when it was opened. */
  readonly pending: number;
  /** The next ones, at most so many; fewer, or none, only at the end. */
  read(count: number): Promise<readonly StoredMessage[]>;
  close(): void;
}

/** {@link StreamReads} over a connection of its own: large reads must not stand in the way of the live flow. */
export class StreamReader implements StreamReads {
  readonly #link: NatsLink;
  readonly #api: JsApi;

  constructor(link: NatsLink) {
    this.#link = link;
    this.#api = new JsApi(link);
  }

  async info(
    stream: { readonly name: string; readonly seen?: number },
    timeoutMs?: number,
  ): Promise<StreamInfo> {
    const { name, seen: seenBefore = 0 } = stream;
    const { created, state, config } = await this.#api.call(`STREAM.INFO.${name}`, undefined, timeoutMs);
    const { first_seq, last_seq, messages, num_subjects } = objectOf(state);
    const { max_msgs_per_subject, max_age, max_bytes, max_msgs, num_replicas } = objectOf(config);
    return {
      created: String(created),
      seenBefore,
      firstSequence: numberOf(first_seq),
      lastSequence: numberOf(last_seq),
      messages: numberOf(messages),
      perSubject: numberOf(max_msgs_per_subject),
      maxAgeMs: numberOf(max_age) / 1_000_000,
      isBounded: numberOf(max_bytes) > 0 || numberOf(max_msgs) > 0,
      subjects: numberOf(num_subjects),
      replicas: numberOf(num_replicas),
    };
  }

  last(stream: Stream, filter: string, timeoutMs?: number): Promise<number> {
    return this.#find(stream, { last_by_subj: filter }, timeoutMs);
  }

  first(stream: Stream, filter: string, from = 1): Promise<number> {
    return this.#find(stream, { next_by_subj: filter, seq: from });
  }

  async cursor(
    stream: Pick<Stream, "name" | "allSubjects">,
    filter: CursorFilter,
    from: CursorStart,
  ): Promise<Cursor> {
    const name = nuid.next();
    const subjects = filter ?? stream.allSubjects;
    const isOne = typeof subjects === "string";
    const config = {
      ...CONSUMER,
      ...startOf(from),
      name,
      ...(isOne ? { filter_subject: subjects } : { filter_subjects: subjects }),
    };
    const path = `${stream.name}.${name}${isOne ? `.${subjects}` : ""}`;
    const made = await this.#api.call(`CONSUMER.CREATE.${path}`, {
      stream_name: stream.name,
      config,
    });
    return new PullCursor(this.#link, stream.name, name, numberOf(made.num_pending));
  }

  async at(stream: Stream, sequence: number): Promise<KeptMessage | undefined> {
    const message = await this.#getAtLeader(stream.name, { seq: sequence });
    if (message === undefined) return undefined;
    const { room, key } = tokensOf(String(message.subject));
    const time = String(message.time);
    return {
      sequence,
      time,
      storedMs: Date.parse(time),
      headers: Buffer.from(String(message.hdrs ?? ""), "base64").toString("latin1"),
      data: Buffer.from(String(message.data ?? ""), "base64"),
      roomToken: room,
      keyToken: key,
    };
  }

  /** A direct read costs the server half, but comes from any replica: only where there is one. */
  async #find(stream: Stream, what: Json, timeoutMs = CALL_MS): Promise<number> {
    if (stream.info.replicas === 1) return this.#findDirect(stream.name, what, timeoutMs);
    return numberOf((await this.#getAtLeader(stream.name, what, timeoutMs))?.seq);
  }

  async #findDirect(stream: string, what: Json, timeoutMs: number): Promise<number> {
    const reply = await this.#link.request(`$JS.API.DIRECT.GET.${stream}`, JSON.stringify(what), timeoutMs);
    const headers = headersOf(reply);
    const found = lastNumber(headers, SEQUENCE);
    if (found !== undefined) return found;
    if (headers.startsWith("NATS/1.0 404")) return 0;
    throw new ApiError(500, 0, headers.slice(0, 100));
  }

  async #getAtLeader(stream: string, what: Json, timeoutMs?: number): Promise<Json | undefined> {
    try {
      return objectOf((await this.#api.call(`STREAM.MSG.GET.${stream}`, what, timeoutMs)).message);
    } catch (cause) {
      if (cause instanceof ApiError && cause.errCode === ERR_CODE.messageNotFound) return undefined;
      throw cause;
    }
  }
}

/** Consumers are of no use to anybody but the read that made them: in memory, and gone soon where that died. */
const CONSUMER = {
  ack_policy: "none",
  mem_storage: true,
  num_replicas: 1,
  inactive_threshold: 10_000_000_000,
  replay_policy: "instant",
  max_waiting: 2,
} as const;

function startOf(from: CursorStart): Json {
  if (from === "lastOfEach") return { deliver_policy: "last_per_subject" };
  if (typeof from === "number")
    return { deliver_policy: "by_start_sequence", opt_start_seq: Math.max(1, from) };
  return { deliver_policy: "by_start_time", opt_start_time: new Date(from.sinceMs).toISOString() };
}

class PullCursor implements Cursor {
  readonly pending: number;
  readonly #link: NatsLink;
  readonly #path: string;
  readonly #inbox: string;
  readonly #subscription: Subscription;
  #batch: Batch | undefined;

  constructor(link: NatsLink, stream: string, consumer: string, pending: number) {
    this.pending = pending;
    this.#link = link;
    this.#path = `${stream}.${consumer}`;
    this.#inbox = createInbox(link.inboxPrefix);
    this.#subscription = link.connection.subscribe(this.#inbox, {
      // What comes under the subject of the inbox itself is a status of the server; stored messages have their own.
      callback: (cause, message) => this.#batch?.take(cause, message, message.subject === this.#inbox),
    });
  }

  read(count: number): Promise<readonly StoredMessage[]> {
    return new Promise((resolve, reject) => {
      this.#batch = new Batch(count, resolve, reject);
      const request = JSON.stringify({ batch: count, no_wait: true });
      this.#link.connection.publish(`$JS.API.CONSUMER.MSG.NEXT.${this.#path}`, request, {
        reply: this.#inbox,
      });
    });
  }

  close(): void {
    this.#subscription.unsubscribe();
    if (this.#link.connected) this.#link.connection.publish(`$JS.API.CONSUMER.DELETE.${this.#path}`);
  }
}

/** The answers to one pull: messages until there are enough, or a status that says that there are no more. */
class Batch {
  readonly #count: number;
  readonly #messages: StoredMessage[] = [];
  readonly #resolve: (messages: readonly StoredMessage[]) => void;
  readonly #reject: (cause: unknown) => void;
  readonly #watch: NodeJS.Timeout;
  #seen = 0;

  constructor(
    count: number,
    resolve: (messages: readonly StoredMessage[]) => void,
    reject: (cause: unknown) => void,
  ) {
    this.#count = count;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#watch = setInterval(() => this.#check(), CALL_MS);
  }

  take(cause: Error | null, message: Msg, isStatus: boolean): void {
    if (cause !== null) this.#fail(cause);
    else if (isStatus) this.#endBy(headersOf(message));
    else {
      const stored = storedByConsumer(message);
      if (stored !== undefined) this.#messages.push(stored);
      if (this.#messages.length >= this.#count) this.#end();
    }
  }

  #endBy(headers: string): void {
    // No (more) messages, or less than asked for within no time at all. All else: the consumer is gone, its leader, ….
    if (/^NATS\/1\.0 (404|408)/.test(headers)) this.#end();
    else this.#fail(new ApiError(500, 0, headers.slice(0, 100)));
  }

  #check(): void {
    if (this.#messages.length === this.#seen)
      this.#fail(new CodedError("timeout", "NATS stopped amid a read", 500));
    this.#seen = this.#messages.length;
  }

  #end(): void {
    clearInterval(this.#watch);
    this.#resolve(this.#messages);
  }

  #fail(cause: unknown): void {
    clearInterval(this.#watch);
    this.#reject(cause);
  }
}

/** A message as a consumer delivers it: its place is in the reply subject. */
function storedByConsumer(message: Msg): StoredMessage | undefined {
  const place = message.reply?.split(".") ?? [];
  // $JS.ACK.STREAM.CONSUMER.deliveries.sequence.delivered.time.pending, or with domain and account before the stream.
  const shift = place.length >= 11 ? 2 : 0;
  const sequence = Number(place[5 + shift]);
  if (!Number.isSafeInteger(sequence)) return undefined;
  const { room, key } = tokensOf(message.subject);
  return {
    sequence,
    storedMs: Number(place[7 + shift]?.slice(0, -6)),
    headers: headersOf(message),
    // A view of what the socket read would keep all of that in memory.
    data: message.data.slice(),
    roomToken: room,
    keyToken: key,
  };
}

/** The block of headers as text, which the client would parse into a map. */
export function headersOf(message: Msg): string {
  if (!(message instanceof MsgImpl)) throw new TypeError("not a message of this client");
  const length = message._msg.hdr;
  return length > 0 ? headerText(message._rdata.subarray(0, length)) : "";
}
