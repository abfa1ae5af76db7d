import { CodedError, toCodedError } from "../protocol/errors.js";
import type { ControlFrame } from "../protocol/frames.js";
import type { RoomName } from "../protocol/room-name.js";
import { matchesRoom, patternsOverlap, type RoomPattern } from "../protocol/room-pattern.js";
import type { Counters } from "./counters.js";
import type { Limits } from "./limits.js";
import { type PatternFlow, type PatternKey, resetsOf } from "./pattern-flow.js";
import type { Watch } from "./pattern-watches.js";
import type { Member } from "./room-lane.js";

/** With so many rooms by name within its patterns, a session has a flow of its own: no other has the same ones. */
const SHARED_EXCLUDED_MAX = 8;

/** The session's side, as its patterns need it. */
export interface PatternOwner extends Member {
  /** Sends what concerns the connection. */
  sendControl(frame: ControlFrame): void;
}

/** The process's side. */
export interface PatternHouse {
  /** @throws CodedError `unavailable` */
  acquire(pattern: RoomPattern): Watch;
  release(watch: Watch, nowMs: number): void;
  /** The flow of this name. @throws CodedError `unavailable` where it would be one too many. */
  flowOf(name: string, key: PatternKey): PatternFlow;
  /** Calls {@link PatternSubscriptions.settle} at the begin of a tick in which they are settled. */
  wait(subscriptions: PatternSubscriptions): void;
  forget(owner: object): void;
}

/** What waits until the lane has sent everything, and this holds. */
interface Waiting {
  readonly run: () => void;
  readonly mayRun: () => boolean;
}

const ALWAYS = (): boolean => true;

/** One pattern of a session. */
export interface PatternEntry {
  readonly pattern: RoomPattern;
  readonly watch: Watch;
  /** lagged: the socket lost frames; the client will ask again. */
  state: "opening" | "live" | "lagged";
}

/** Patterns that overlap, and the rooms that they match and that the session has by name: what comes in one flow. */
interface Group {
  readonly patterns: readonly RoomPattern[];
  readonly excluded: Set<RoomName>;
  /** Undefined while the session is on its way into one. */
  flow: PatternFlow | undefined;
  /** The flow is the session's own, and its rooms are this group's: they may be added and taken out. */
  isPrivate: boolean;
  /** Something was missed on the way. */
  isTold: boolean;
}

/** All patterns of one session. */
export class PatternSubscriptions {
  readonly #owner: PatternOwner;
  readonly #house: PatternHouse;
  readonly #limits: Limits;
  readonly #counters: Counters;
  readonly #entries = new Map<RoomPattern, PatternEntry>();
  readonly #groups = new Set<Group>();
  /** In this order. */
  #waiting: Waiting[] = [];

  constructor(owner: PatternOwner, house: PatternHouse, limits: Limits, counters: Counters) {
    this.#owner = owner;
    this.#house = house;
    this.#limits = limits;
    this.#counters = counters;
  }

  /** Patterns that are subscribed or being subscribed to. */
  patterns(): RoomPattern[] {
    return [...this.#entries.keys()];
  }

  /** Whether all flows of its lane stand at the same point: everything that was taken in is sent. */
  get isSettled(): boolean {
    return !this.#owner.lane.hasQueued;
  }

  /** Whether what waits may go on. */
  get isReady(): boolean {
    return this.isSettled && this.#waiting[0]?.mayRun() !== false;
  }

  /** Whether no more may wait than does. */
  get isCrowded(): boolean {
    return this.#waiting.length >= this.#limits.requestsInFlight + this.#limits.roomsPerConnection;
  }

  /** Runs this once it is settled, and may run, after what waits for that already; at once where that is so. */
  whenSettled(run: () => void, mayRun = ALWAYS): void {
    if (this.#waiting.length === 0 && this.isSettled && mayRun()) run();
    else this.#wait(run, mayRun);
  }

  settle(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    let done = 0;
    try {
      for (const { run, mayRun } of waiting) {
        if (!mayRun()) break;
        done += 1;
        run();
      }
    } finally {
      this.#waiting = [...waiting.slice(done), ...this.#waiting];
      if (this.#waiting.length > 0) this.#house.wait(this);
    }
  }

  find(pattern: RoomPattern): PatternEntry | undefined {
    return this.#entries.get(pattern);
  }

  /** Takes a place for a pattern. One that was opening gives way. @throws CodedError `too_many_rooms` or `unavailable` */
  open(pattern: RoomPattern, nowMs: number): PatternEntry {
    const { patternsPerConnection } = this.#limits;
    const before = this.#entries.get(pattern);
    if (before === undefined && this.#entries.size >= patternsPerConnection) {
      this.#counters.tooManyPatterns += 1;
      const text = `this connection has ${patternsPerConnection} patterns, its limit`;
      throw new CodedError("too_many_rooms", text);
    }
    const entry: PatternEntry = { pattern, watch: this.#house.acquire(pattern), state: "opening" };
    if (before !== undefined) this.#house.release(before.watch, nowMs);
    else this.#counters.patterns += 1;
    this.#entries.set(pattern, entry);
    return entry;
  }

  /** Whether nothing else was asked of its pattern since. */
  isCurrent(entry: PatternEntry): boolean {
    return this.#entries.get(entry.pattern) === entry;
  }

  /**
   * From here on it gets what the pattern matches, but for the rooms that it has by name: `held`, of all patterns. Only
   * while settled. @throws CodedError `unavailable`, and nothing is changed but that the entry is still opening.
   */
  join(entry: PatternEntry, held: readonly RoomName[]): void {
    const { pattern } = entry;
    const met = [...this.#groups].filter(({ patterns }) =>
      patterns.some((other) => patternsOverlap(other, pattern)),
    );
    const excluded = new Set(met.flatMap((group) => [...group.excluded]));
    for (const room of held) if (matchesRoom(pattern, room)) excluded.add(room);
    const group = newGroup([...met.flatMap(({ patterns }) => patterns), pattern], excluded);
    this.#enter(group);
    entry.state = "live";
    for (const other of met) {
      other.flow?.leave(this.#owner);
      this.#groups.delete(other);
      // It was on its way.
      if (other.isTold) this.#tell(group);
    }
    this.#groups.add(group);
  }

  /** Gives a pattern up. What others of the session match comes on. */
  leave(pattern: RoomPattern, nowMs: number): void {
    const entry = this.#entries.get(pattern);
    if (entry === undefined) return;
    this.#drop(entry, nowMs);
    for (const group of this.#groups) {
      if (!group.patterns.includes(pattern)) continue;
      const rest = partsOf(group.patterns.filter((other) => other !== pattern)).map((patterns) =>
        newGroup(patterns, new Set([...group.excluded].filter((room) => matchesAny(patterns, room)))),
      );
      this.#replace(group, rest);
    }
    this.#forgetIfEmpty();
  }

  /** The room comes by its name from here on. Only while settled. */
  hold(room: RoomName): void {
    const group = this.#groupOf(room);
    if (group === undefined || group.excluded.has(room)) return;
    group.excluded.add(room);
    this.#refresh(group);
  }

  /**
   * The session has the room by its name no more, so what patterns match comes from here on.
   * @param isComplete Whether it was sent all up to what its lane was; else it is told that it was not.
   */
  release(room: RoomName, isComplete: boolean): void {
    const group = this.#groupOf(room);
    if (group?.excluded.delete(room) !== true) return;
    group.isTold ||= !isComplete || !this.isSettled;
    this.#refresh(group);
  }

  /** The socket lost frames, and nobody knows of what: everything is left, and the client will ask again. */
  lag(): void {
    for (const { flow } of this.#groups) flow?.leave(this.#owner);
    this.#groups.clear();
    for (const entry of this.#entries.values()) if (entry.state === "live") entry.state = "lagged";
  }

  closeAll(nowMs: number): void {
    this.lag();
    this.#waiting = [];
    for (const entry of [...this.#entries.values()]) this.#drop(entry, nowMs);
    this.#house.forget(this.#owner);
  }

  #drop(entry: PatternEntry, nowMs: number): void {
    this.#entries.delete(entry.pattern);
    this.#counters.patterns -= 1;
    this.#house.release(entry.watch, nowMs);
  }

  #forgetIfEmpty(): void {
    if (this.#entries.size === 0 && this.#waiting.length === 0) this.#house.forget(this.#owner);
  }

  #groupOf(room: RoomName): Group | undefined {
    for (const group of this.#groups) if (matchesAny(group.patterns, room)) return group;
    return undefined;
  }

  /** The group's rooms have changed. */
  #refresh(group: Group): void {
    const size = group.excluded.size;
    const stays = group.isPrivate && size > SHARED_EXCLUDED_MAX / 2;
    if (!stays) this.#replace(group, [newGroup(group.patterns, group.excluded, group.isTold)]);
    else if (group.isTold) this.#tell(group);
  }

  /** Goes from one flow to others: in one step where it is settled, else with a reset. */
  #replace(group: Group, others: readonly Group[]): void {
    this.#groups.delete(group);
    for (const other of others) this.#groups.add(other);
    const { isSettled } = this;
    // Before the old one is left: that could be the socket's last topic.
    if (isSettled) for (const other of others) this.#arrive(other);
    group.flow?.leave(this.#owner);
    if (isSettled) return;
    for (const other of others) {
      other.isTold = true;
      this.#wait(() => this.#arrive(other));
    }
  }

  #arrive(group: Group): void {
    if (!this.#groups.has(group)) return;
    try {
      this.#enter(group);
      if (group.isTold) this.#tell(group);
    } catch (cause) {
      this.#end(group, toCodedError(cause));
    }
  }

  #enter(group: Group): void {
    const { patterns, excluded } = group;
    const sorted = [...patterns].sort();
    group.isPrivate = excluded.size > SHARED_EXCLUDED_MAX;
    // No pattern has a "|" or a space, and no room.
    const rooms = group.isPrivate ? `|${this.#owner.id}` : [...excluded].sort().join(" ");
    // A shared one keeps what it began with.
    const key = { patterns: sorted, excluded: group.isPrivate ? excluded : new Set(excluded) };
    const flow = this.#house.flowOf(`${sorted.join(" ")}|${rooms}`, key);
    flow.enter(this.#owner, true);
    group.flow = flow;
  }

  /** It came to too many flows: these patterns are over. */
  #end(group: Group, { code, message: text, retryMs }: CodedError): void {
    this.#groups.delete(group);
    for (const pattern of group.patterns) {
      const entry = this.#entries.get(pattern);
      if (entry === undefined) continue;
      this.#drop(entry, 0);
      this.#owner.sendControl({ type: "patternEnded", pattern, code, text, retryMs });
    }
    this.#forgetIfEmpty();
  }

  #tell(group: Group): void {
    group.isTold = false;
    this.#counters.patternGaps += 1;
    for (const frame of resetsOf(group.patterns, "expired")) this.#owner.send(this.#owner.wire.encode(frame));
  }

  #wait(run: () => void, mayRun = ALWAYS): void {
    this.#waiting.push({ run, mayRun });
    this.#house.wait(this);
  }
}

function newGroup(patterns: readonly RoomPattern[], excluded: Set<RoomName>, isTold = false): Group {
  return { patterns, excluded, flow: undefined, isPrivate: false, isTold };
}

function matchesAny(patterns: readonly RoomPattern[], room: RoomName): boolean {
  return patterns.some((pattern) => matchesRoom(pattern, room));
}

/** Parts them so that no room matches patterns of two parts. */
function partsOf(patterns: readonly RoomPattern[]): RoomPattern[][] {
  let parts: RoomPattern[][] = [];
  for (const pattern of patterns) {
    const met = parts.filter((part) => part.some((other) => patternsOverlap(pattern, other)));
    parts = [...parts.filter((part) => !met.includes(part)), [...met.flat(), pattern]];
  }
  return parts;
}
