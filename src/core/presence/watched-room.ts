import type { RoomName } from "../../protocol/room-name.js";
import type { ServerWire } from "../../protocol/wire.js";
import type { Counters } from "../counters.js";
import type { Lane } from "../lane.js";
import type { Lanes } from "../lanes.js";
import { type PresenceEvent, type Viewer, type Watched, WatchPart } from "./watch-part.js";

/** A room of which this process is told who is in it, and those here who want to know. */
export class WatchedRoom implements Watched {
  readonly room: RoomName;
  readonly counters: Counters;
  readonly whole: (wire: ServerWire) => readonly Uint8Array[] | undefined;
  /** Whether it was told of it at all. */
  isKnown = false;
  /** When the last event went out. */
  eventMs = Number.NEGATIVE_INFINITY;
  /** Since when nobody watches, as a sweep saw it. */
  emptyMs: number | undefined;
  /** Since when a question waits, as a sweep saw it. */
  askedMs: number | undefined;
  askers: ((isKnown: boolean) => void)[] = [];
  readonly #parts = new Map<Lane, WatchPart>();

  constructor(room: RoomName, counters: Counters, whole: Watched["whole"]) {
    this.room = room;
    this.counters = counters;
    this.whole = whole;
  }

  /** Whether nobody here watches it. */
  get isEmpty(): boolean {
    return this.#parts.size === 0;
  }

  get hasNewcomers(): boolean {
    for (const part of this.#parts.values()) if (part.hasNewcomers) return true;
    return false;
  }

  enter(viewer: Viewer): void {
    let part = this.#parts.get(viewer.lane);
    if (part === undefined) {
      part = new WatchPart(this, viewer.lane);
      this.#parts.set(viewer.lane, part);
    }
    part.enter(viewer);
    this.emptyMs = undefined;
  }

  leave(viewer: Viewer): void {
    const part = this.#parts.get(viewer.lane);
    part?.leave(viewer);
    if (part?.isEmpty === true) this.#parts.delete(viewer.lane);
  }

  /** Has those served who have come since. */
  queueNewcomers(lanes: Lanes): void {
    for (const [lane, part] of this.#parts) if (part.hasNewcomers) lanes.queue(lane, part);
  }

  /** Has an event sent to all who watch. */
  queue(event: PresenceEvent, lanes: Lanes): void {
    for (const [lane, part] of this.#parts) {
      part.add(event);
      lanes.queue(lane, part);
    }
  }

  /** Tells all who asked. */
  answer(isKnown: boolean): void {
    const askers = this.askers;
    this.askers = [];
    this.askedMs = undefined;
    for (const tell of askers) tell(isKnown);
  }
}
