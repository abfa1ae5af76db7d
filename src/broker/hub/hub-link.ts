import { setTimeout as delay } from "node:timers/promises";
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
import type { PresenceLine } from "../../core/presence/line.js";
import { CodedError } from "../../protocol/errors.js";
import type { Position } from "../../protocol/frames.js";
import type { RoomName } from "../../protocol/room-name.js";
import type { RoomPattern } from "../../protocol/room-pattern.js";
import { createHubLinkCounters, type HubLinkCounters } from "./hub-counters.js";
import { AWAY_RETRY_MS, type HubLimits } from "./hub-limits.js";
import { LinkConnection } from "./link-connection.js";
import { LinkPresence } from "./link-presence.js";
import { LinkReads } from "./link-reads.js";
import { LinkRequests } from "./link-requests.js";
import { LinkRooms } from "./link-rooms.js";
import { LinkWatch } from "./link-watch.js";
import { RECORD, type WorkerRecord } from "./record.js";
import { readHubRecord, writeRecord } from "./record-codec.js";
import type { RecordOutput } from "./record-output.js";

export interface HubLinkOptions {
  /** Where the hub listens, now or soon. */
  readonly socketPath: string;
  /** This worker's name, for the hub's logs. */
  readonly worker: string;
  /** The same as the hub's. */
  readonly limits: HubLimits;
  readonly counters?: HubLinkCounters;
  /** Told at every change, after everything else has been told. Must not throw. */
  readonly onStatus?: (linked: boolean) => void;
  /** Told at every change of {@link HubLink.available}. Must not throw. */
  readonly onAvailable?: (available: boolean) => void;
  /** Told which parts of the broker the hub cannot reach, at every change; none while it is not linked. Must not throw. */
  readonly onAway?: (parts: readonly string[]) => void;
  /** Told what failed that should not: malformed records, another version, what a sink threw. Must not throw. */
  readonly onError?: (cause: unknown) => void;
}

/**
 * A hub's broker, seen from a worker.
 *
 * - Rooms stay open while the hub is away or this worker lags; their sinks are handed what they missed, or `reset`.
 * - Patterns stay watched in the same way; the watcher is told that something was missed.
 * - While the hub is away, everything else rejects with `unavailable`.
 * - A publish whose answer got lost with the hub rejects with `unavailable`, too: it may be stored or not.
 * - Publishes are stored in the order of the calls. A request without an answer in time rejects with `timeout`.
 * - `stop` waits for requests under way, then closes the link. The hub's broker goes on.
 */
export interface HubLink extends Broker {
  readonly counters: HubLinkCounters;
  readonly linked: boolean;
  /** Whether it is linked, and the hub reaches its broker. */
  readonly available: boolean;
  /** Rooms open through this link. */
  readonly openRooms: number;
  /** Who is in rooms, as the hub knows it. */
  readonly presence: PresenceLine;
  /** Resolves once linked; rejects with `unavailable` after the deadline, or when stopped. */
  ready(deadlineMs: number): Promise<void>;
}

/** Connects to a hub. Returns at once; connects, and connects again whenever the hub was lost, by itself. */
export function connectHub(options: HubLinkOptions): HubLink {
  return new Link(options);
}

/** How often deadlines are looked at, at the least: a timer a request would cost more than the request. */
const EXPIRE_MS = 250;

class Link implements HubLink {
  readonly counters: HubLinkCounters;
  readonly presence = new LinkPresence(() => this.#output);
  readonly #limits: HubLimits;
  readonly #onStatus: (linked: boolean) => void;
  readonly #onAvailable: (available: boolean) => void;
  readonly #onAway: (parts: readonly string[]) => void;
  readonly #onError: (cause: unknown) => void;
  readonly #rooms: LinkRooms;
  readonly #patterns: LinkWatch;
  readonly #requests: LinkRequests;
  readonly #reads: LinkReads;
  readonly #connection: LinkConnection;
  readonly #expiry: NodeJS.Timeout;
  /** Only while linked. */
  #output: RecordOutput | undefined;
  #available = false;
  #awayParts = "";
  #waiting: (() => void)[] = [];
  #stopping: Promise<void> | undefined;
  #ref = 0;

  constructor({
    socketPath,
    worker,
    limits,
    counters,
    onStatus,
    onAvailable,
    onAway,
    onError,
  }: HubLinkOptions) {
    this.counters = counters ?? createHubLinkCounters();
    this.#limits = limits;
    this.#onStatus = onStatus ?? (() => {});
    this.#onAvailable = onAvailable ?? (() => {});
    this.#onAway = onAway ?? (() => {});
    this.#onError = onError ?? (() => {});
    const nextRef = (): number => this.#nextRef();
    this.#requests = new LinkRequests({ limits, counters: this.counters, nextRef });
    this.#reads = new LinkReads((room, from, limit) => {
      const output = this.#usable();
      if (output instanceof CodedError) return Promise.reject(output);
      return this.#requests.history(output, room, from, limit, this.#dueMs());
    });
    const owner = {
      counters: this.counters,
      limits,
      send: (record: WorkerRecord) => this.#send(record),
      nextRef,
      fault: this.#onError,
    };
    this.#patterns = new LinkWatch(owner);
    this.#rooms = new LinkRooms({ ...owner, patterns: this.#patterns });
    this.#connection = new LinkConnection({
      socketPath,
      worker,
      counters: this.counters,
      onRecord: (...record) => this.#record(...record),
      onUp: (output) => this.#up(output),
      onDown: () => this.#down(),
      onError: this.#onError,
    });
    this.#expiry = setInterval(() => this.#expire(), Math.min(EXPIRE_MS, limits.requestMs / 4)).unref();
  }

  get linked(): boolean {
    return this.#output !== undefined;
  }

  get available(): boolean {
    return this.#available;
  }

  get openRooms(): number {
    return this.#rooms.size;
  }

  async ready(deadlineMs: number): Promise<void> {
    const deadline = performance.now() + deadlineMs;
    while (!this.linked) {
      const leftMs = deadline - performance.now();
      if (leftMs <= 0 || this.#stopping !== undefined) throw this.#away();
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.#waiting.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  publish(outgoing: Outgoing): Promise<Position> {
    const output = this.#usable();
    if (output instanceof CodedError) return Promise.reject(output);
    return this.#requests.publish(output, outgoing, this.#dueMs());
  }

  open(room: RoomName, sink: Sink): Promise<Position> {
    const output = this.#usable();
    if (output instanceof CodedError) return Promise.reject(output);
    return this.#rooms.open(room, sink, this.#dueMs());
  }

  close(room: RoomName): void {
    this.#rooms.close(room);
  }

  watch(pattern: RoomPattern, watcher: Watcher): Promise<void> {
    const output = this.#usable();
    if (output instanceof CodedError) return Promise.reject(output);
    return this.#patterns.watch(pattern, watcher, this.#dueMs());
  }

  unwatch(pattern: RoomPattern): void {
    this.#patterns.unwatch(pattern);
  }

  history(room: RoomName, from: HistoryFrom, limit: number): Promise<HistoryPage> {
    const output = this.#usable();
    if (output instanceof CodedError) return Promise.reject(output);
    return this.#reads.page(room, from, limit, this.#dueMs());
  }

  state(room: RoomName): Promise<Snapshot> {
    const output = this.#usable();
    if (output instanceof CodedError) return Promise.reject(output);
    return this.#requests.state(output, room, this.#dueMs());
  }

  rooms(prefix: string, after: string, limit: number): Promise<RoomList> {
    const output = this.#usable();
    if (output instanceof CodedError) return Promise.reject(output);
    return this.#requests.rooms(output, { prefix, after, limit }, this.#dueMs());
  }

  async stop(deadlineMs: number): Promise<void> {
    this.#stopping ??= this.#stop(deadlineMs);
    await this.#stopping;
  }

  async #stop(deadlineMs: number): Promise<void> {
    const answered = new AbortController();
    const deadline = delay(deadlineMs, undefined, { signal: answered.signal }).catch(() => {});
    await Promise.race([deadline, this.#requests.idle()]);
    answered.abort();
    clearInterval(this.#expiry);
    this.#connection.end();
    this.#wake();
  }

  /** Where requests go; an error where they cannot. */
  #usable(): RecordOutput | CodedError {
    const output = this.#output;
    if (output === undefined || this.#stopping !== undefined) return this.#away();
    // A hub that stands still: what timed out is still on its way there.
    if (output.waitingBytes <= 2 * this.#limits.publishBytes) return output;
    this.counters.refused += 1;
    return new CodedError("unavailable", `${output.waitingBytes} bytes wait for the hub`, AWAY_RETRY_MS);
  }

  #away(): CodedError {
    if (this.#stopping !== undefined) return new CodedError("unavailable", "the link has stopped", 1_000);
    return new CodedError("unavailable", "the hub is away", AWAY_RETRY_MS);
  }

  #send(record: WorkerRecord): void {
    if (this.#output !== undefined) writeRecord(this.#output, record);
  }

  #record(bytes: Uint8Array, view: DataView, start: number, end: number): void {
    switch (view.getUint8(start + 4)) {
      case RECORD.message:
        this.#rooms.message(bytes, view, start, end);
        return;
      case RECORD.watched:
        this.#rooms.watched(bytes, view, start, end);
        return;
      case RECORD.presenceTold:
        this.presence.told(bytes, start, end);
        return;
      case RECORD.pageMessage:
        this.#requests.pageMessage(bytes, view, start, end);
        return;
    }
    const output = this.#output;
    if (output === undefined) return;
    const record = readHubRecord(bytes, view, start, end);
    switch (record.type) {
      case "published":
        this.#requests.published(record.ref, record.position);
        return;
      case "opened":
        this.#rooms.opened(record);
        return;
      case "reset":
        this.#rooms.reset(record);
        return;
      case "checkpoint":
        this.#rooms.checkpoint(record);
        return;
      case "status":
        this.#setAvailable(record.available);
        this.#setAway(record.away);
        return;
      case "lagged":
        this.#patterns.lagged();
        this.#rooms.lagged();
        return;
      case "watching":
        this.#patterns.watching(record.ref);
        return;
      case "watchLost":
        this.#patterns.lost(record.where);
        return;
      case "page":
      case "snapshot":
      case "roomList":
        this.#requests.answered(output, record);
        return;
      case "failed":
        if (!this.#rooms.failed(record) && !this.#patterns.failed(record.ref, record.error))
          this.#requests.failed(output, record.ref, record.error);
        return;
      case "welcome":
        return;
    }
  }

  #up(output: RecordOutput): void {
    this.#output = output;
    this.#rooms.up();
    this.#patterns.up();
    this.presence.up();
    this.#wake();
    this.#onStatus(true);
    this.#setAvailable(true);
  }

  #setAvailable(available: boolean): void {
    if (available === this.#available) return;
    this.#available = available;
    this.#onAvailable(available);
  }

  #setAway(parts: readonly string[]): void {
    const away = parts.join(" ");
    if (away === this.#awayParts) return;
    this.#awayParts = away;
    this.#onAway(parts);
  }

  #down(): void {
    this.#output = undefined;
    const text = "the hub was lost before it answered: the message may be stored or not";
    this.#requests.down(new CodedError("unavailable", text, AWAY_RETRY_MS), this.#away());
    this.#reads.down(this.#away());
    this.#rooms.down(this.#away());
    this.#patterns.down(this.#away());
    this.#onStatus(false);
    this.#setAvailable(false);
    this.#setAway([]);
  }

  #expire(): void {
    const nowMs = performance.now();
    if (this.#output === undefined) return;
    this.#requests.expire(this.#output, nowMs);
    this.#reads.expire(nowMs, new CodedError("timeout", "the hub did not answer a read in time"));
    this.#rooms.expire(nowMs);
    this.#patterns.expire(nowMs);
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  #dueMs(): number {
    return performance.now() + this.#limits.requestMs;
  }

  /** Never 0, and again from 1 after 2^32. */
  #nextRef(): number {
    this.#ref = (this.#ref % 0xffffffff) + 1;
    return this.#ref;
  }
}
