import type { RoomName } from "../../protocol/room-name.js";
import { jsonWire, msgpackWire, type ServerWire } from "../../protocol/wire.js";
import type { Counters } from "../counters.js";
import type { Flushable, Lane } from "../lane.js";
import type { Packer } from "../packer.js";
import type { Fanout } from "../ports.js";
import type { Member } from "../room-lane.js";

/** Somebody who wants to know who is in a room. */
export interface Viewer extends Member {
  /** Whether its socket has place for a whole list. */
  readonly drainedEnough: boolean;
}

/** One event, as the bytes of either wire: made once for all lanes. */
export interface PresenceEvent {
  frames(wire: ServerWire): readonly Uint8Array[];
}

/** What its part needs of a watched room. */
export interface Watched {
  readonly room: RoomName;
  readonly counters: Counters;
  /** All that is known now, for somebody who knows nothing yet; undefined: nothing is known. */
  whole(wire: ServerWire): readonly Uint8Array[] | undefined;
}

/**
 * Those of one lane who watch who is in a room. They have a topic of their own, so that nobody else in the room gets anything.
 * Who comes is sent all that is known and joins the topic in the same step, after what waits for the others: events after that tell
 * of everything that has changed since, and say how it is, so that hearing of a change twice does no harm.
 */
export class WatchPart implements Flushable {
  readonly lane: Lane;
  queued = false;
  readonly #watched: Watched;
  readonly #viewers = new Set<Viewer>();
  readonly #newcomers = new Set<Viewer>();
  #binary = 0;
  #text = 0;
  #events: PresenceEvent[] = [];

  constructor(watched: Watched, lane: Lane) {
    this.#watched = watched;
    this.lane = lane;
  }

  get isEmpty(): boolean {
    return this.#viewers.size + this.#newcomers.size === 0;
  }

  get hasNewcomers(): boolean {
    return this.#newcomers.size > 0;
  }

  get members(): number {
    return this.#viewers.size + this.#newcomers.size;
  }

  enter(viewer: Viewer): void {
    this.#newcomers.add(viewer);
  }

  leave(viewer: Viewer): void {
    this.#newcomers.delete(viewer);
    if (!this.#viewers.delete(viewer)) return;
    this.#count(viewer.wire, -1);
    viewer.leave(this.#topic(viewer.wire));
  }

  /** Something to be sent at the next flush. */
  add(event: PresenceEvent): void {
    if (this.#viewers.size > 0) this.#events.push(event);
  }

  flush(fanout: Fanout, packer: Packer): void {
    const events = this.#events;
    this.#events = [];
    for (const event of events) {
      if (this.#binary > 0) this.#publish(event, msgpackWire, fanout);
      if (this.#text > 0) this.#publish(event, jsonWire, fanout);
    }
    for (const viewer of this.#newcomers) {
      const frames = this.#watched.whole(viewer.wire);
      // Asked for; the part is queued again when it is known.
      if (frames === undefined) return;
      if (!viewer.drainedEnough) continue;
      this.#newcomers.delete(viewer);
      this.#viewers.add(viewer);
      this.#count(viewer.wire, 1);
      this.lane.send(viewer, frames, packer);
      viewer.join(this.#topic(viewer.wire));
    }
  }

  #publish(event: PresenceEvent, wire: ServerWire, fanout: Fanout): void {
    const { counters } = this.#watched;
    for (const frame of event.frames(wire)) {
      counters.topicPublishes += 1;
      counters.topicBytes += frame.length;
      fanout.publish(this.#topic(wire), frame, wire.binary);
    }
  }

  #count({ binary }: ServerWire, by: number): void {
    if (binary) this.#binary += by;
    else this.#text += by;
  }

  // No room has such a name.
  #topic({ binary }: ServerWire): string {
    return `${binary ? this.lane.binaryTopics : this.lane.textTopics}${this.#watched.room}!`;
  }
}
