import type { RoomName } from "../protocol/room-name.js";
import type { OpenRoom, Rooms } from "./rooms.js";

/** A room and what it has most of. */
export interface Counted {
  readonly room: RoomName;
  readonly count: number;
}

/** What a room is asked by name for, because it is large elsewhere. */
export interface NamedRoom {
  readonly room: RoomName;
  readonly subscribers: number;
  /** A second, as the last whole pass found it. */
  readonly bytes: number;
}

/** The largest rooms as the last whole pass found them, the largest first. */
export interface RoomCounts {
  /** By subscribers. Undefined before the first pass is through. */
  readonly subscribers: readonly Counted[] | undefined;
  /** By bytes a second on sockets. Undefined before two passes in a row are. */
  readonly bytes: readonly Counted[] | undefined;
  /** Those asked for by name that are open. */
  readonly named: readonly NamedRoom[];
}

/** Of each list. Who puts the lists of several workers together shows fewer. */
export const LARGEST_MAX = 20;
/** Rooms asked for by name at once. */
const NAMED_MAX = 64;
/** Rooms that one step looks at: about a millisecond. 100,000 rooms are gone through in five steps. */
const STEP_ROOMS = 20_000;
/** A pass that began longer ago says nothing about now. */
const FRESH_MS = 60_000;

/** Finds the largest rooms by passes over all of them, a bounded number a step. */
export class Census {
  #found: Found = NOTHING;
  /** Between the begins of the last two passes. */
  #seconds = Number.POSITIVE_INFINITY;
  #pass: Pass | undefined;
  #steppedMs = Number.NEGATIVE_INFINITY;
  /** When the pass before the one under way began. */
  #beganMs = Number.NEGATIVE_INFINITY;

  /** @param names At most {@link NAMED_MAX} of them are answered. */
  step(rooms: Pick<Rooms, "all" | "find">, nowMs: number, names: readonly RoomName[] = []): RoomCounts {
    // Nobody looked for long: what rooms have counted since then is an average of all that time.
    if (nowMs - this.#steppedMs >= FRESH_MS) {
      this.#found = NOTHING;
      this.#seconds = Number.POSITIVE_INFINITY;
      this.#pass = undefined;
      this.#beganMs = Number.NEGATIVE_INFINITY;
    }
    this.#steppedMs = nowMs;
    this.#pass ??= new Pass(rooms.all(), nowMs, (nowMs - this.#beganMs) / 1_000);
    const found = this.#pass.go(STEP_ROOMS);
    if (found !== undefined) {
      this.#found = found;
      this.#seconds = this.#pass.seconds;
      this.#beganMs = this.#pass.beganMs;
      this.#pass = undefined;
    }
    return { ...this.#found, named: this.#named(rooms, names) };
  }

  #named(rooms: Pick<Rooms, "find">, names: readonly RoomName[]): NamedRoom[] {
    return names.slice(0, NAMED_MAX).flatMap((room) => {
      const found = rooms.find(room);
      if (found?.room === undefined) return [];
      const bytes = found.room.tookBytes / this.#seconds;
      return [{ room, subscribers: found.members, bytes: Number.isFinite(bytes) ? bytes : 0 }];
    });
  }
}

type Found = Pick<RoomCounts, "subscribers" | "bytes">;

const NOTHING: Found = Object.freeze({ subscribers: undefined, bytes: undefined });

class Pass {
  readonly beganMs: number;
  readonly #rooms: Iterator<OpenRoom>;
  /** Since the pass before came to a room, about; infinity where there was none. */
  readonly seconds: number;
  readonly #subscribers = new Largest();
  readonly #bytes = new Largest();

  constructor(rooms: Iterator<OpenRoom>, beganMs: number, seconds: number) {
    this.#rooms = rooms;
    this.beganMs = beganMs;
    this.seconds = seconds;
  }

  /** What it found, when it is through. */
  go(steps: number): Found | undefined {
    for (let step = 0; step < steps; step += 1) {
      const { value, done } = this.#rooms.next();
      if (done) return this.#result();
      if (value.room === undefined) continue;
      this.#subscribers.offer(value.room.name, value.members);
      this.#bytes.offer(value.room.name, value.room.takeWroteBytes());
    }
    return undefined;
  }

  #result(): Found {
    const { seconds } = this;
    const bytes = this.#bytes.list().map(({ room, count }) => ({ room, count: count / seconds }));
    return {
      subscribers: this.#subscribers.list(),
      bytes: Number.isFinite(seconds) && seconds > 0 ? bytes : undefined,
    };
  }
}

/** The few largest of many; nothing is kept of the others. */
class Largest {
  readonly #kept: Counted[] = [];
  #least = 0;

  offer(room: RoomName, count: number): void {
    if (count <= this.#least) return;
    const kept = this.#kept;
    let place = kept.length;
    while (place > 0 && (kept[place - 1]?.count ?? 0) < count) place -= 1;
    kept.splice(place, 0, { room, count });
    if (kept.length > LARGEST_MAX) kept.pop();
    if (kept.length === LARGEST_MAX) this.#least = kept[LARGEST_MAX - 1]?.count ?? 0;
  }

  list(): readonly Counted[] {
    return this.#kept;
  }
}
