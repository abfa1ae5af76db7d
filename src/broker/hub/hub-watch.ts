import { PatternIndex } from "../../core/pattern-index.js";
import type { Broker, LostWhere, Watcher } from "../../core/ports.js";
import { CodedError, toCodedError } from "../../protocol/errors.js";
import type { Message } from "../../protocol/message.js";
import type { RoomName } from "../../protocol/room-name.js";
import type { RoomPattern } from "../../protocol/room-pattern.js";
import type { HubCounters } from "./hub-counters.js";
import { writeMessage } from "./message-record.js";
import { RECORD } from "./record.js";
import { ScratchRecord } from "./scratch-record.js";

/** One worker that watches patterns. */
export interface WatchingPeer {
  /** Whether the room's messages do not come to it anyway, as the flow of a room that it has open. */
  lacks(room: RoomName): boolean;
  /** A message of a room that one of its patterns means, encoded. */
  deliverWatched(record: Uint8Array): void;
  /** What it asked for under this ref is in force from here on. */
  watching(ref: number): void;
  watchFailed(ref: number, error: CodedError): void;
  watchLost(where: LostWhere): void;
}

/** A pattern that somebody watches. */
interface Watched {
  /** Who does, and those whose requests wait for the broker. */
  readonly peers: Set<WatchingPeer>;
  readonly waiting: Request[];
  isWatched: boolean;
}

/** One request, of several patterns: it is answered when all of them are watched, or one cannot be. */
interface Request {
  readonly peer: WatchingPeer;
  readonly ref: number;
  /** Patterns that the broker has not answered. */
  missing: number;
  isOver: boolean;
}

export interface HubWatchOptions {
  readonly broker: Broker;
  readonly counters: HubCounters;
  /** Told of errors of the broker without a code. */
  readonly fault: (cause: unknown) => void;
}

/** Rooms whose onlookers are remembered, some 200 bytes each; beyond, all are found anew. */
const KNOWN_ROOMS_MAX = 50_000;

/**
 * What the workers of a box watch: each pattern once at the broker, and each message sent once to each worker that one of its patterns
 * wants it for, or that has the room open. Who that is is found once a room, until the patterns change.
 */
export class HubWatch implements Watcher {
  readonly #options: HubWatchOptions;
  readonly #patterns = new PatternIndex<Watched>();
  /** Who watches a room, by what is in force. */
  readonly #onlookers = new Map<RoomName, readonly WatchingPeer[]>();
  readonly #scratch = new ScratchRecord();

  constructor(options: HubWatchOptions) {
    this.#options = options;
  }

  /** From its answer on the peer gets what the patterns mean. */
  watch(peer: WatchingPeer, ref: number, patterns: readonly RoomPattern[]): void {
    const request: Request = { peer, ref, missing: 0, isOver: false };
    for (const pattern of patterns) {
      const known = this.#patterns.get(pattern);
      const watched = known ?? this.#begin(pattern);
      watched.peers.add(peer);
      if (watched.isWatched) continue;
      request.missing += 1;
      watched.waiting.push(request);
    }
    this.#onlookers.clear();
    if (request.missing === 0) peer.watching(ref);
  }

  unwatch(peer: WatchingPeer, pattern: RoomPattern): void {
    const watched = this.#patterns.get(pattern);
    if (watched === undefined || !watched.peers.delete(peer)) return;
    this.#onlookers.clear();
    if (watched.peers.size > 0) return;
    this.#end(pattern);
    // Requests for others beside it need not wait for it.
    for (const request of watched.waiting.splice(0)) this.#advance(request);
  }

  /** The peer is gone. */
  leave(peer: WatchingPeer): void {
    for (const [pattern, { peers }] of [...this.#patterns.entries()])
      if (peers.has(peer)) this.unwatch(peer, pattern);
  }

  /** A message of a room, open at the broker or not, for those who do not get it as its members. */
  message(message: Message): void {
    const onlookers = this.#onlookersOf(message.room);
    if (onlookers.length === 0) return;
    let record: Uint8Array | undefined;
    for (const peer of onlookers) {
      if (!peer.lacks(message.room)) continue;
      record ??= this.#encode(message);
      this.#options.counters.watchedMessages += 1;
      peer.deliverWatched(record);
    }
  }

  lost(where: LostWhere): void {
    if (where === "all") for (const peer of this.#everybody()) this.#tell(peer, where);
    else if ("room" in where) this.lostIn(where.room);
    else
      for (const peer of this.#everybody()) {
        const patterns = where.patterns.filter((pattern) => this.#patterns.get(pattern)?.peers.has(peer));
        if (patterns.length > 0) this.#tell(peer, { patterns });
      }
  }

  /** A room's flow has broken: those who do not have it open do not hear of it from the room. */
  lostIn(room: RoomName): void {
    for (const peer of this.#onlookersOf(room)) if (peer.lacks(room)) this.#tell(peer, { room });
  }

  /** Whether a pattern of the peer's means the room. */
  concerns(peer: WatchingPeer, room: RoomName): boolean {
    return this.#onlookersOf(room).includes(peer);
  }

  #begin(pattern: RoomPattern): Watched {
    const { broker, counters, fault } = this.#options;
    const watched: Watched = { peers: new Set(), waiting: [], isWatched: false };
    this.#patterns.set(pattern, watched);
    counters.watchedPatterns = this.#patterns.size;
    const isCurrent = (): boolean => this.#patterns.get(pattern) === watched;
    broker.watch(pattern, this).then(
      () => {
        if (!isCurrent()) {
          if (!this.#patterns.has(pattern)) broker.unwatch(pattern);
          return;
        }
        watched.isWatched = true;
        this.#onlookers.clear();
        for (const request of watched.waiting.splice(0)) this.#advance(request);
      },
      (cause: unknown) => {
        if (!(cause instanceof CodedError)) fault(cause);
        if (!isCurrent()) return;
        this.#end(pattern);
        for (const request of watched.waiting.splice(0)) this.#fail(request, toCodedError(cause));
      },
    );
    return watched;
  }

  #end(pattern: RoomPattern): void {
    this.#patterns.delete(pattern);
    this.#onlookers.clear();
    this.#options.counters.watchedPatterns = this.#patterns.size;
    this.#options.broker.unwatch(pattern);
  }

  #advance(request: Request): void {
    request.missing -= 1;
    if (request.missing === 0 && !request.isOver) request.peer.watching(request.ref);
  }

  #fail(request: Request, error: CodedError): void {
    if (request.isOver) return;
    request.isOver = true;
    request.peer.watchFailed(request.ref, error);
  }

  #tell(peer: WatchingPeer, where: LostWhere): void {
    this.#options.counters.lostPatterns += 1;
    peer.watchLost(where);
  }

  #everybody(): Set<WatchingPeer> {
    const peers = new Set<WatchingPeer>();
    for (const [, watched] of this.#patterns.entries()) for (const peer of watched.peers) peers.add(peer);
    return peers;
  }

  #onlookersOf(room: RoomName): readonly WatchingPeer[] {
    if (this.#patterns.size === 0) return NOBODY;
    const known = this.#onlookers.get(room);
    if (known !== undefined) return known;
    const peers = new Set<WatchingPeer>();
    for (const watched of this.#patterns.match(room))
      if (watched.isWatched) for (const peer of watched.peers) peers.add(peer);
    if (this.#onlookers.size >= KNOWN_ROOMS_MAX) this.#onlookers.clear();
    const onlookers = [...peers];
    this.#onlookers.set(room, onlookers);
    return onlookers;
  }

  #encode(message: Message): Uint8Array {
    this.#options.counters.messages += 1;
    writeMessage(this.#scratch, RECORD.watched, 0, message);
    return this.#scratch.record;
  }
}

const NOBODY: readonly WatchingPeer[] = Object.freeze([]);
