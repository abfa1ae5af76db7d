import type { Counters } from "./counters.js";
import { type Flushable, Lane, type Lodger } from "./lane.js";
import type { Packer } from "./packer.js";
import type { Fanout } from "./ports.js";
import { Telemetry } from "./telemetry.js";

/**
 * All sockets of this process, in lanes of a bounded number, and the lanes that have something to send. A tick
 * flushes as many as write to that number of sockets together, and the others in later ticks, in turn: so however
 * many are in a room, the loop is served between.
 */
export class Lanes {
  readonly #socketsMax: number;
  readonly #counters: Counters;
  readonly #telemetry: Telemetry;
  readonly #lanes: Lane[] = [];
  /** All lanes before this one are full. */
  #free = 0;
  /** In the order of their turns. */
  #waiting: Lane[] = [];
  /** Since the last look. */
  readonly #flushed = new Set<Lane>();

  /** `socketsMax`: places of a lane, and sockets written to in one tick. At least 1. */
  constructor(socketsMax: number, counters: Counters, telemetry = new Telemetry()) {
    this.#socketsMax = socketsMax;
    this.#counters = counters;
    this.#telemetry = telemetry;
  }

  /** Whether a tick would send something. */
  get isWaiting(): boolean {
    return this.#waiting.length > 0;
  }

  /** Takes a place in the first lane that has one, so that lanes stay few. Give it back with {@link Lanes.release}. */
  acquire(lodger: Lodger): Lane {
    let lane = this.#lanes[this.#free];
    while (lane !== undefined && lane.sockets >= this.#socketsMax) {
      this.#free += 1;
      lane = this.#lanes[this.#free];
    }
    if (lane === undefined) {
      lane = new Lane(this.#lanes.length, this.#counters, this.#telemetry);
      this.#lanes.push(lane);
    }
    if (lane.sockets === 0) this.#counters.lanes += 1;
    lane.lodgers.push(lodger);
    return lane;
  }

  release(lane: Lane, lodger: Lodger): void {
    const { lodgers } = lane;
    const index = lodgers.indexOf(lodger);
    const last = lodgers.pop();
    if (last !== undefined && last !== lodger) lodgers[index] = last;
    this.#free = Math.min(this.#free, lane.id);
    if (lane.sockets === 0) this.#counters.lanes -= 1;
  }

  /** Has everybody in lanes whose sockets may have got so many bytes since the last time look at what waits for him. */
  look(bytes: number): void {
    for (const lane of this.#flushed) {
      if (lane.isWorthALook(bytes)) lane.look();
    }
    this.#flushed.clear();
  }

  /** The room has something for the lane. */
  queue(lane: Lane, room: Flushable): void {
    lane.queue(room);
    this.#wait(lane);
  }

  /** Flushes the next lanes in turn, none twice, within the bound of sockets. */
  flush(fanout: Fanout, packer: Packer): void {
    const turns = this.#waiting;
    this.#waiting = [];
    let done = 0;
    let sockets = 0;
    try {
      for (const lane of turns) {
        // One lane is within the bound; most processes have no more.
        if (turns.length > 1) sockets += lane.writes;
        if (done > 0 && sockets > this.#socketsMax) break;
        done += 1;
        lane.waiting = false;
        this.#counters.laneFlushes += 1;
        this.#flushLane(lane, fanout, packer);
      }
    } finally {
      if (done < turns.length) this.#waiting = turns.slice(done).concat(this.#waiting);
      this.#counters.laneWaits += this.#waiting.length;
    }
  }

  #flushLane(lane: Lane, fanout: Fanout, packer: Packer): void {
    this.#flushed.add(lane);
    try {
      lane.flush(fanout, packer);
    } finally {
      // What is behind a reset, or behind a room that threw.
      if (lane.hasQueued) this.#wait(lane);
    }
  }

  #wait(lane: Lane): void {
    if (lane.waiting) return;
    lane.waiting = true;
    this.#waiting.push(lane);
  }
}
