import { createInbox, type Msg, MsgImpl, nuid } from "@nats-io/transport-node";
import { CodedError } from "../../protocol/errors.js";
import type { NatsLink } from "./connection.js";
import type { NatsLimits } from "./limits.js";
import type { HeaderText } from "./message-headers.js";
import type { NatsCounters } from "./nats-counters.js";
import { type Entry, Outbox } from "./outbox.js";
import { headersOf } from "./stream-reader.js";

/** What a stream is to store. */
export interface Publish {
  readonly subject: string;
  readonly headers: HeaderText;
  /** Copied. */
  readonly data: Uint8Array;
  readonly stream: string;
}

/** Where a publish was stored. */
export interface Stored {
  readonly sequence: number;
  /** It was published before under the same id; the sequence is that of the first. */
  readonly isDuplicate: boolean;
}

interface Waiter {
  resolve(stored: Stored): void;
  reject(cause: unknown): void;
}

/**
 * Where fewer wait for their answers, a publish is sent within the turn of the loop that it came in. Else it waits for
 * others, so that acknowledgements do not come, and free the next publishes, in ever smaller bits: each is a write.
 */
const QUIET = 256;
const PACE_MS = 1;

/** How often what waits too long is looked at. */
const TICK_MS = 100;

/**
 * Publishes to streams: many on their way at once, all answers in one inbox, each sent again with the same id until it
 * is acknowledged or its deadline has passed. `JetStreamClient.publish` does one at a time for ten times the CPU.
 */
export class Publisher {
  readonly #link: NatsLink;
  readonly #nowMs: () => number;
  readonly #outbox: Outbox<Waiter>;
  readonly #inbox: string;
  readonly #ticker: NodeJS.Timeout;
  /** Begins the ids of publishes that have none of their own; another one for every start. */
  readonly #name = nuid.next();
  #ids = 0;
  #stopped = false;
  #scheduled = false;

  constructor(link: NatsLink, limits: NatsLimits, counters: NatsCounters, nowMs: () => number) {
    this.#link = link;
    this.#nowMs = nowMs;
    this.#outbox = new Outbox(limits, counters);
    this.#inbox = createInbox(link.inboxPrefix);
    link.connection.subscribe(`${this.#inbox}.*`, { callback: (cause, reply) => this.#answer(cause, reply) });
    this.#ticker = setInterval(() => this.#tick(), TICK_MS);
  }

  /** An id that no other publish has. */
  nextId(): string {
    this.#ids += 1;
    return `${this.#name}.${this.#ids.toString(36)}`;
  }

  /** Publishes that are not settled. */
  get pending(): number {
    return this.#outbox.size;
  }

  /** @throws CodedError `unavailable`: not stored, or not known; `too_large`: the server takes no such message. */
  publish({ subject, headers, data, stream }: Publish): Promise<Stored> {
    return new Promise((resolve, reject) => {
      if (this.#stopped) throw new CodedError("unavailable", "the broker has stopped", 1_000);
      const reply = `${this.#inbox}.${this.#outbox.nextToken.toString(36)}`;
      const command = commandOf(subject, reply, headers, data);
      const payloadBytes = headers.length + data.length;
      this.#outbox.add({ command, payloadBytes, stream }, { resolve, reject }, this.#nowMs());
      this.#pumpSoon();
    });
  }

  disconnected(): void {
    this.#outbox.disconnected(this.#nowMs());
  }

  reconnected(): void {
    this.#outbox.reconnected();
    this.#pump();
  }

  /** The stream has another leader. */
  leaderChanged(stream: string): void {
    this.#outbox.leaderChanged(stream);
  }

  /** Waits for what is on its way, until the deadline; what is left is rejected. */
  async stop(deadlineMs: number): Promise<void> {
    this.#stopped = true;
    const end = this.#nowMs() + deadlineMs;
    while (this.#outbox.size > 0 && this.#nowMs() < end)
      await new Promise((resolve) => setTimeout(resolve, 10));
    clearInterval(this.#ticker);
    for (const { entry, error } of this.#outbox.clear()) entry.waiter.reject(error);
  }

  #pumpSoon(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    if (this.#outbox.underway < QUIET) queueMicrotask(this.#pumpNow);
    else setTimeout(this.#pumpNow, PACE_MS);
  }

  readonly #pumpNow = (): void => {
    this.#scheduled = false;
    this.#pump();
  };

  #pump(): void {
    const nowMs = this.#nowMs();
    for (let entry = this.#outbox.next(nowMs); entry !== undefined; entry = this.#outbox.next(nowMs))
      this.#send(entry);
  }

  #send({ token, parcel: { command, payloadBytes } }: Entry<Waiter>): void {
    const { payloadBytesMax } = this.#link;
    if (payloadBytes <= payloadBytesMax) this.#link.send(command);
    else {
      const text = `${payloadBytes} bytes; its max_payload is ${payloadBytesMax}`;
      this.#refuse(token, new CodedError("too_large", `NATS does not take this message of ${text}`));
    }
  }

  #answer(cause: Error | null, reply: Msg): void {
    if (cause !== null) return;
    if (!(reply instanceof MsgImpl)) throw new TypeError("not a message of this client");
    const token = tokenIn(reply._msg.subject);
    // Its getters would decode the subject and make a view, for every publish.
    const data = reply._msg.hdr > 0 ? reply.data : reply._rdata;
    const { sequence, isKnown } = acknowledgement(data);
    if (sequence > 0) {
      const entry = this.#outbox.acknowledged(token, isKnown);
      // Sent twice, it may be its own duplicate.
      entry?.waiter.resolve({ sequence, isDuplicate: isKnown && entry.attempts === 1 });
      if (this.#outbox.size > this.#outbox.underway) this.#pumpSoon();
      return;
    }
    // Nobody is there (no responders), or an error of the server.
    const status = data.length === 0 ? headersOf(reply) : textOf(data);
    if (TOO_LARGE.test(status))
      this.#refuse(
        token,
        new CodedError("too_large", "NATS does not take this message: it is above max_msg_size"),
      );
    else this.#outbox.failed(token, this.#nowMs());
  }

  #refuse(token: number, error: CodedError): void {
    this.#outbox.refused(token)?.waiter.reject(error);
  }

  #tick(): void {
    for (const { entry, error } of this.#outbox.tick(this.#nowMs())) entry.waiter.reject(error);
    this.#pump();
  }
}

/** The protocol's command to publish, in one piece of Node's pool: arrays of their own would cost the collector more. */
function commandOf(subject: string, reply: string, headers: HeaderText, data: Uint8Array): Uint8Array {
  const { length } = headers;
  const begin = `HPUB ${subject} ${reply} ${length} ${length + data.length}\r\n${headers}`;
  const command = Buffer.allocUnsafe(begin.length + data.length + 2);
  command.write(begin, 0, "latin1");
  command.set(data, begin.length);
  command[command.length - 2] = CARRIAGE_RETURN;
  command[command.length - 1] = LINE_FEED;
  return command;
}

/** The number behind a subject's last dot, in base 36; NaN where there is none. */
function tokenIn(subject: Uint8Array): number {
  let token = 0;
  let scale = 1;
  for (let index = subject.length - 1; index >= 0; index -= 1) {
    const byte = subject[index] ?? 0;
    if (byte === DOT) return token;
    const digit = byte >= LETTER_A ? byte - LETTER_A + 10 : byte - ZERO;
    if (!(digit >= 0 && digit < 36)) return Number.NaN;
    token += digit * scale;
    scale *= 36;
  }
  return Number.NaN;
}

/**
 * What `{"stream":"FW_1", "seq":12,"duplicate": true}` says, sequence 0 where it is no acknowledgement. Its bytes are
 * searched: parsing JSON, or only making a text of it, would cost more than all else that is done for an answer.
 */
function acknowledgement(data: Uint8Array): { readonly sequence: number; readonly isKnown: boolean } {
  const last = data.length - SEQUENCE.length;
  let at = 0;
  while (at <= last && !isAt(data, at)) at += 1;
  let index = at + SEQUENCE.length;
  if (data[index] === SPACE) index += 1;
  let sequence = 0;
  for (; ; index += 1) {
    const digit = (data[index] ?? 0) - ZERO;
    if (!(digit >= 0 && digit <= 9)) break;
    sequence = sequence * 10 + digit;
  }
  if (at > last || !Number.isSafeInteger(sequence)) return NONE;
  return { sequence, isKnown: data[index] !== CLOSING_BRACE && DUPLICATE.test(textOf(data)) };
}

function isAt(data: Uint8Array, at: number): boolean {
  for (let index = 0; index < SEQUENCE.length; index += 1)
    if (data[at + index] !== SEQUENCE[index]) return false;
  return true;
}

function textOf({ buffer, byteOffset, byteLength }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString("latin1");
}

const SEQUENCE = Buffer.from('"seq":');
const NONE = Object.freeze({ sequence: 0, isKnown: false });
const CARRIAGE_RETURN = 0x0d;
const LINE_FEED = 0x0a;
const DOT = 0x2e;
const SPACE = 0x20;
const ZERO = 0x30;
const LETTER_A = 0x61;
const CLOSING_BRACE = 0x7d;

const DUPLICATE = /"duplicate": ?true/;

/** "message size exceeds maximum allowed" */
const TOO_LARGE = /"err_code": ?10054\b/;
