import { Deque } from "../../core/deque.js";
import type { HistoryFrom, HistoryPage, Outgoing, RoomList, Snapshot } from "../../core/ports.js";
import type { RoomQuery } from "../../core/room-list.js";
import { CodedError } from "../../protocol/errors.js";
import type { Position } from "../../protocol/frames.js";
import type { Message } from "../../protocol/message.js";
import type { RoomName } from "../../protocol/room-name.js";
import { FrameArena } from "./frame-arena.js";
import type { HubLinkCounters } from "./hub-counters.js";
import { AWAY_RETRY_MS, type HubLimits } from "./hub-limits.js";
import { numberOf, readMessage, writePublish } from "./message-record.js";
import { type HubRecord, MalformedRecord, type RecordTarget, type WorkerRecord } from "./record.js";
import { writeRecord } from "./record-codec.js";

export interface LinkRequestsOptions {
  readonly limits: HubLimits;
  readonly counters: HubLinkCounters;
  readonly nextRef: () => number;
}

interface Publish {
  readonly bytes: number;
  readonly dueMs: number;
  readonly resolve: (position: Position) => void;
  readonly reject: (cause: CodedError) => void;
}

type ReadAnswer = Extract<HubRecord, { type: "page" | "snapshot" | "roomList" }>;

/** A history page, a snapshot or a list of rooms that is asked for. */
interface Read {
  readonly record: Extract<WorkerRecord, { type: "history" | "state" | "rooms" }>;
  readonly dueMs: number;
  readonly messages: Message[];
  readonly frames: FrameArena;
  /** Called with the record that ends the messages. */
  readonly resolve: (answer: ReadAnswer) => void;
  readonly reject: (cause: CodedError) => void;
}

/**
 * The requests of one link that wait for their answer: bounded by windows, each with a deadline. All are given up when the
 * link is lost.
 */
export class LinkRequests {
  readonly #options: LinkRequestsOptions;
  /** In the order of their deadlines. */
  readonly #publishes = new Map<number, Publish>();
  #publishBytes = 0;
  readonly #reads = new Map<number, Read>();
  /** Reads that are not yet sent. */
  readonly #waiting = new Deque<Read>();
  #whenIdle: (() => void) | undefined;

  constructor(options: LinkRequestsOptions) {
    this.#options = options;
  }

  /** Sends a publish, if the windows let it. Data is copied. */
  publish(target: RecordTarget, outgoing: Outgoing, dueMs: number): Promise<Position> {
    const { limits, counters, nextRef } = this.#options;
    const bytes = outgoing.data.length;
    // One alone may be as large as it likes.
    const tooMany =
      this.#publishes.size >= limits.publishes ||
      (this.#publishBytes > 0 && this.#publishBytes + bytes > limits.publishBytes);
    if (tooMany) {
      counters.refused += 1;
      const text = `${this.#publishes.size} publishes of ${this.#publishBytes} bytes wait for the hub; up to ${limits.publishes} of ${limits.publishBytes} may`;
      return Promise.reject(new CodedError("unavailable", text, AWAY_RETRY_MS));
    }
    return new Promise((resolve, reject) => {
      const ref = nextRef();
      writePublish(target, ref, outgoing);
      this.#publishBytes += bytes;
      this.#publishes.set(ref, { bytes, dueMs, resolve, reject });
    });
  }

  history(
    target: RecordTarget,
    room: RoomName,
    from: HistoryFrom,
    limit: number,
    dueMs: number,
  ): Promise<HistoryPage> {
    const ref = this.#options.nextRef();
    return new Promise((resolve, reject) => {
      const messages: Message[] = [];
      this.#read(target, {
        record: { type: "history", ref, room, from, limit },
        dueMs,
        messages,
        frames: new FrameArena(),
        resolve: (answer) => {
          if (answer.type !== "page") return reject(wrongAnswer());
          const { head, lost, more } = answer;
          resolve(
            lost === undefined
              ? { kind: "page", messages, more, head }
              : { kind: "lost", reason: lost, head },
          );
        },
        reject,
      });
    });
  }

  state(target: RecordTarget, room: RoomName, dueMs: number): Promise<Snapshot> {
    const ref = this.#options.nextRef();
    return new Promise((resolve, reject) => {
      const messages: Message[] = [];
      this.#read(target, {
        record: { type: "state", ref, room },
        dueMs,
        messages,
        frames: new FrameArena(),
        resolve: (answer) => {
          if (answer.type !== "snapshot") reject(wrongAnswer());
          else resolve({ head: answer.head, messages, droppedKeys: answer.droppedKeys });
        },
        reject,
      });
    });
  }

  rooms(target: RecordTarget, query: RoomQuery, dueMs: number): Promise<RoomList> {
    const ref = this.#options.nextRef();
    return new Promise((resolve, reject) => {
      this.#read(target, {
        record: { type: "rooms", ref, ...query },
        dueMs,
        messages: [],
        frames: new FrameArena(),
        resolve: (answer) => {
          if (answer.type !== "roomList") reject(wrongAnswer());
          else resolve({ rooms: answer.rooms, more: answer.more });
        },
        reject,
      });
    });
  }

  published(ref: number, position: Position): void {
    const publish = this.#takePublish(ref);
    if (publish === undefined) return;
    this.#options.counters.published += 1;
    publish.resolve(position);
  }

  /** A message of a page or snapshot. @throws MalformedRecord */
  pageMessage(bytes: Uint8Array, view: DataView, start: number, end: number): void {
    const read = this.#reads.get(numberOf(view, start, end));
    // Given up meanwhile.
    if (read === undefined) return;
    if (read.record.type === "rooms") throw new MalformedRecord("a message in a list of rooms");
    read.messages.push(readMessage(bytes, view, start, end, read.record.room, read.frames));
  }

  answered(target: RecordTarget, answer: ReadAnswer): void {
    const read = this.#reads.get(answer.ref);
    if (read === undefined) return;
    this.#reads.delete(answer.ref);
    read.resolve(answer);
    this.#sendWaiting(target);
    this.#checkIdle();
  }

  failed(target: RecordTarget, ref: number, error: CodedError): void {
    const publish = this.#takePublish(ref);
    if (publish !== undefined) {
      this.#options.counters.publishErrors += 1;
      publish.reject(error);
      return;
    }
    const read = this.#reads.get(ref);
    if (read === undefined) return;
    this.#reads.delete(ref);
    read.reject(error);
    this.#sendWaiting(target);
    this.#checkIdle();
  }

  /** Gives up what has waited long enough. The hub may answer still; nobody listens then. */
  expire(target: RecordTarget, nowMs: number): void {
    const { counters, limits } = this.#options;
    const late = (): CodedError => {
      counters.timeouts += 1;
      const text = `the hub did not answer within ${limits.requestMs} ms; a message may be stored or not`;
      return new CodedError("timeout", text);
    };
    for (const [ref, publish] of this.#publishes) {
      if (publish.dueMs > nowMs) break;
      this.#takePublish(ref);
      publish.reject(late());
    }
    for (const [ref, read] of this.#reads) {
      if (read.dueMs > nowMs) break;
      this.#reads.delete(ref);
      read.reject(late());
    }
    for (
      let read = this.#waiting.at(0);
      read !== undefined && read.dueMs <= nowMs;
      read = this.#waiting.at(0)
    ) {
      this.#waiting.shift();
      read.reject(late());
    }
    this.#sendWaiting(target);
    this.#checkIdle();
  }

  /** The link is lost: nothing is answered any more. */
  down(publishes: CodedError, reads: CodedError): void {
    for (const publish of this.#publishes.values()) publish.reject(publishes);
    this.#publishes.clear();
    this.#publishBytes = 0;
    for (const read of this.#reads.values()) read.reject(reads);
    this.#reads.clear();
    for (let read = this.#waiting.shift(); read !== undefined; read = this.#waiting.shift())
      read.reject(reads);
    this.#checkIdle();
  }

  /** Resolves when nothing waits for an answer. */
  idle(): Promise<void> {
    return new Promise((resolve) => {
      this.#whenIdle = resolve;
      this.#checkIdle();
    });
  }

  #read(target: RecordTarget, read: Read): void {
    const { limits, counters } = this.#options;
    if (this.#waiting.length >= limits.waitingReads) {
      counters.refused += 1;
      const text = `${limits.waitingReads} reads wait for the hub, the limit`;
      read.reject(new CodedError("unavailable", text, AWAY_RETRY_MS));
      return;
    }
    this.#waiting.push(read);
    this.#sendWaiting(target);
  }

  #sendWaiting(target: RecordTarget): void {
    while (this.#reads.size < this.#options.limits.reads) {
      const read = this.#waiting.shift();
      if (read === undefined) return;
      this.#reads.set(read.record.ref, read);
      writeRecord(target, read.record);
    }
  }

  #takePublish(ref: number): Publish | undefined {
    const publish = this.#publishes.get(ref);
    if (publish === undefined) return undefined;
    this.#publishes.delete(ref);
    this.#publishBytes -= publish.bytes;
    this.#checkIdle();
    return publish;
  }

  #checkIdle(): void {
    if (this.#publishes.size === 0 && this.#reads.size === 0 && this.#waiting.length === 0)
      this.#whenIdle?.();
  }
}

function wrongAnswer(): CodedError {
  return new CodedError("internal", "the hub answered another request than was asked");
}
