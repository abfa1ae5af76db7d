import type { Position } from "../protocol/frames.js";
import type { RoomName } from "../protocol/room-name.js";
import { type Linked, LinkedList } from "./linked-list.js";

interface Entry extends Linked<Entry> {
  readonly name: string;
  readonly position: Position;
  readonly timeMs: number;
}

/** The ids of recent publishes and where those were stored, bounded by age and count. Times are of any clock that never jumps. */
export class IdWindow {
  readonly #windowMs: number;
  readonly #max: number;
  readonly #byName = new Map<string, Entry>();
  readonly #byAge = new LinkedList<Entry>();

  constructor(windowMs: number, max: number) {
    this.#windowMs = windowMs;
    this.#max = max;
  }

  get size(): number {
    return this.#byName.size;
  }

  /** Where the publish of this id in this room was stored, if that was within the window. */
  find(room: RoomName, id: string, nowMs: number): Position | undefined {
    const entry = this.#byName.get(nameOf(room, id));
    return entry === undefined || this.#isOver(entry, nowMs) ? undefined : entry.position;
  }

  /** Remembers an id that {@link find} did not know. Returns how many were forgotten before their window was over. */
  add(room: RoomName, id: string, position: Position, nowMs: number): number {
    const name = nameOf(room, id);
    const known = this.#byName.get(name);
    if (known !== undefined) this.#remove(known);
    const entry: Entry = { name, position, timeMs: nowMs, before: undefined, after: undefined };
    this.#byName.set(name, entry);
    this.#byAge.push(entry);
    // Two a call: the window shrinks faster than it grows, and no call pays for a quiet night.
    this.expire(nowMs, 2);
    const oldest = this.#byAge.first;
    if (this.#byName.size <= this.#max || oldest === undefined) return 0;
    this.#remove(oldest);
    return this.#isOver(oldest, nowMs) ? 0 : 1;
  }

  /** Forgets up to `max` ids whose window is over; returns how many. */
  expire(nowMs: number, max: number): number {
    let expired = 0;
    for (let oldest = this.#byAge.first; oldest !== undefined && expired < max; oldest = this.#byAge.first) {
      if (!this.#isOver(oldest, nowMs)) break;
      this.#remove(oldest);
      expired += 1;
    }
    return expired;
  }

  #isOver(entry: Entry, nowMs: number): boolean {
    return nowMs - entry.timeMs >= this.#windowMs;
  }

  #remove(entry: Entry): void {
    this.#byName.delete(entry.name);
    this.#byAge.remove(entry);
  }
}

/** No room has a space in its name, so no two pairs share a name. */
function nameOf(room: RoomName, id: string): string {
  return `${room} ${id}`;
}
