import type { LostWhere, Watcher } from "../../core/ports.js";
import type { Position } from "../../protocol/frames.js";
import type { Message } from "../../protocol/message.js";
import type { RoomName } from "../../protocol/room-name.js";
import { matchesRoom, type RoomPattern } from "../../protocol/room-pattern.js";
import { numberIn, type Stored, type Truth } from "./hub-model.testkit.js";

/** What a worker did, was handed or was told, and how much was stored by then. */
type WatchEvent = { readonly stored: number } & (
  | {
      readonly kind: "message";
      readonly room: RoomName;
      readonly number: number;
      readonly isWatched: boolean;
    }
  | { readonly kind: "lost"; readonly where: LostWhere }
  | { readonly kind: "asked" | "watching" | "over"; readonly pattern: RoomPattern }
  | { readonly kind: "opening" | "closed"; readonly room: RoomName }
  | { readonly kind: "opened"; readonly room: RoomName; readonly position: Position }
);

const NOTHING = Number.POSITIVE_INFINITY;

/**
 * All that a worker was handed, by its sinks and by its watcher, held against the truth at the end: while a pattern in force means
 * a room, or it is open, each of its messages came once and in order, none missing unless that was told.
 */
export class WatchLog implements Watcher {
  readonly #truth: Truth;
  readonly #events: WatchEvent[] = [];
  /** Asked for or in force, by what asked for it. */
  readonly #asked = new Map<RoomPattern, object>();
  readonly #inForce = new Set<RoomPattern>();
  /** What the watcher was handed last of each room. */
  readonly #newest = new Map<RoomName, number>();

  constructor(truth: Truth) {
    this.#truth = truth;
  }

  get patterns(): RoomPattern[] {
    return [...this.#asked.keys()];
  }

  /** Whether a pattern in force means the room. */
  isMeant(room: RoomName): boolean {
    return isMeantBy(this.#inForce, room);
  }

  /** Whether the last message of the room came. */
  hasAll(room: RoomName): boolean {
    return this.#newest.get(room) === this.#truth.inOrder(room).at(-1)?.number;
  }

  /** Whether the last message of the room came, or everything was stored when something was told to be lost. */
  hasAllOrLost(room: RoomName): boolean {
    const isTold = this.#events.some(
      (event) => event.kind === "lost" && event.stored === this.#truth.size && isLostIn(event.where, room),
    );
    return isTold || this.hasAll(room);
  }

  /** Returns what is to be called with how it went. */
  asked(pattern: RoomPattern): (isInForce: boolean) => void {
    const token = {};
    this.#asked.set(pattern, token);
    this.#add({ kind: "asked", pattern });
    return (isInForce) => {
      if (this.#asked.get(pattern) !== token) return;
      if (!isInForce) this.over(pattern);
      else {
        this.#inForce.add(pattern);
        this.#add({ kind: "watching", pattern });
      }
    };
  }

  /** Nothing is to come for the pattern any more. */
  over(pattern: RoomPattern): void {
    this.#asked.delete(pattern);
    this.#inForce.delete(pattern);
    this.#add({ kind: "over", pattern });
  }

  message(message: Message): void {
    const number = numberIn(message);
    this.#newest.set(message.room, number);
    this.#add({ kind: "message", room: message.room, number, isWatched: true });
  }

  lost(where: LostWhere): void {
    this.#add({ kind: "lost", where });
  }

  opening(room: RoomName): void {
    this.#add({ kind: "opening", room });
  }

  opened(room: RoomName, position: Position): void {
    this.#add({ kind: "opened", room, position });
  }

  /** Also where it could not be opened. */
  closed(room: RoomName): void {
    this.#add({ kind: "closed", room });
  }

  /** A sink of this worker was handed a message. */
  received(message: Message): void {
    this.#add({ kind: "message", room: message.room, number: numberIn(message), isWatched: false });
  }

  /** A sink of this worker was told that it has lost something. */
  reset(room: RoomName): void {
    this.#add({ kind: "lost", where: { room } });
  }

  /** What was against the promise, in words. */
  faults(rooms: readonly RoomName[]): string[] {
    return rooms.flatMap((room) => {
      const audit = new Audit(room, this.#truth);
      for (const event of this.#events) audit.next(event);
      audit.end();
      return audit.faults;
    });
  }

  #add(event: Unstamped<WatchEvent>): void {
    this.#events.push({ ...event, stored: this.#truth.size });
  }
}

type Unstamped<T> = T extends WatchEvent ? Omit<T, "stored"> : never;

/** One room of a worker, event by event. */
class Audit {
  readonly faults: string[] = [];
  readonly #room: RoomName;
  readonly #truth: Truth;
  readonly #all: readonly Stored[];
  readonly #indexOf: ReadonlyMap<number, number>;
  /** What is not numbered is handed to a sink without a promise. */
  readonly #isLoose: boolean;
  readonly #asked = new Set<RoomPattern>();
  readonly #inForce = new Set<RoomPattern>();
  #state: "closed" | "opening" | "open" = "closed";
  /** Promised is everything behind `last` that was stored from `since` on. */
  #last = -1;
  #since = NOTHING;
  /** Of all that ever came. */
  #newest = -1;

  constructor(room: RoomName, truth: Truth) {
    this.#room = room;
    this.#truth = truth;
    this.#all = truth.inOrder(room);
    this.#indexOf = new Map(this.#all.map(({ number }, index) => [number, index]));
    this.#isLoose = room.startsWith("eph.");
  }

  next(event: WatchEvent): void {
    if ("pattern" in event) {
      if (matchesRoom(event.pattern, this.#room)) this.#pattern(event.kind, event.pattern, event.stored);
    } else if (event.kind === "lost") {
      const isWaiting = this.#state !== "closed" || this.#inForce.size > 0;
      if (isWaiting && isLostIn(event.where, this.#room)) this.#begin(event.stored);
    } else if (event.room === this.#room) {
      if (event.kind === "message") this.#message(event.number, event.isWatched);
      else if (event.kind === "opened") this.#opened(event.position);
      else this.#openOrNot(event.kind, event.stored);
    }
  }

  end(): void {
    const never = this.#missing(this.#all.length);
    if (never !== undefined) this.#fault(`${never} never came, and that was not told`);
  }

  #pattern(kind: "asked" | "watching" | "over", pattern: RoomPattern, stored: number): void {
    const isOnlyByPatterns = (): boolean => this.#inForce.size === 0 && this.#state !== "open";
    if (kind === "asked") this.#asked.add(pattern);
    else if (kind === "watching") {
      if (isOnlyByPatterns()) this.#begin(stored);
      this.#inForce.add(pattern);
    } else {
      this.#asked.delete(pattern);
      this.#inForce.delete(pattern);
      // What is being opened is promised from its position on.
      if (isOnlyByPatterns()) this.#begin(NOTHING);
    }
  }

  #openOrNot(kind: "opening" | "closed", stored: number): void {
    this.#state = kind;
    if (this.#inForce.size === 0) this.#begin(NOTHING);
    else if (kind === "closed" && this.#isLoose) this.#begin(stored);
  }

  #opened(position: Position): void {
    this.#state = "open";
    if (this.#isLoose) return;
    const upTo = this.#truth.indexUpTo(this.#room, position);
    const hole = this.#inForce.size > 0 ? this.#missing(upTo + 1) : undefined;
    if (hole !== undefined) this.#fault(`${hole} never came before it was open, and that was not told`);
    this.#last = Math.max(upTo, this.#newest);
    // Something may have been told to be lost since the hub has opened it.
    if (this.#since === NOTHING) this.#since = 0;
  }

  #message(number: number, isWatched: boolean): void {
    if (isWatched && !isMeantBy(this.#asked, this.#room))
      this.#fault(`${number} came to the watcher, and no pattern means it`);
    const index = this.#indexOf.get(number) ?? -1;
    if (index <= this.#newest) this.#fault(`number ${number} as ${index} after ${this.#newest}`);
    const hole = this.#missing(index);
    if (hole !== undefined) this.#fault(`${hole} is missing before ${number}, and that was not told`);
    this.#newest = Math.max(this.#newest, index);
    if (this.#since === NOTHING && this.#state === "closed") return;
    this.#last = index;
    this.#since = 0;
  }

  #begin(since: number): void {
    this.#last = -1;
    this.#since = since;
  }

  /** The first message below this index that was promised and did not come. */
  #missing(before: number): number | undefined {
    if (this.#isLoose && this.#state !== "closed") return undefined;
    for (let index = this.#last + 1; index < before; index += 1) {
      const stored = this.#all[index];
      if (stored !== undefined && stored.place >= this.#since) return stored.number;
    }
    return undefined;
  }

  #fault(text: string): void {
    this.faults.push(`${this.#room}: ${text}`);
  }
}

function isMeantBy(patterns: Iterable<RoomPattern>, room: RoomName): boolean {
  for (const pattern of patterns) if (matchesRoom(pattern, room)) return true;
  return false;
}

function isLostIn(where: LostWhere, room: RoomName): boolean {
  if (where === "all") return true;
  if ("room" in where) return where.room === room;
  return isMeantBy(where.patterns, room);
}
