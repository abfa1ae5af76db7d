import type { Packer } from "./packer.js";
import type { Fanout } from "./ports.js";

/** A room that has something for a lane. */
export interface Flushable {
  /** Set while it waits in its lane; the lane's mark. */
  queued: boolean;
  /** Sockets that a flush writes to. */
  readonly members: number;
  /** Sends what waits. As much of it as has to go in another tick it queues again, also where it throws. */
  flush(fanout: Fanout, packer: Packer): void;
}

/**
 * A cohort of sockets that are written to in the same tick, for all of their rooms together: a socket in a hundred
 * rooms gets one write. Every topic is a lane's.
 */
export class Lane {
  readonly id: number;
  /** What its topics begin with, by wire; the room's name follows. */
  readonly binaryTopics: string;
  readonly textTopics: string;
  /** How many sockets have a place here. */
  sockets = 0;
  /** Set while it waits for its turn; the mark of {@link Lanes}. */
  waiting = false;
  #queue: Flushable[] = [];

  constructor(id: number) {
    this.id = id;
    this.binaryTopics = `b.${id}.`;
    this.textTopics = `j.${id}.`;
  }

  get hasQueued(): boolean {
    return this.#queue.length > 0;
  }

  /** How many sockets a flush writes to, at the most. */
  get writes(): number {
    let members = 0;
    for (const room of this.#queue) {
      members += room.members;
      if (members >= this.sockets) return this.sockets;
    }
    return members;
  }

  queue(room: Flushable): void {
    if (room.queued) return;
    room.queued = true;
    this.#queue.push(room);
  }

  /** Flushes every room that has something for it. What throws costs its own room's part only: the others wait for the next turn. */
  flush(fanout: Fanout, packer: Packer): void {
    const queue = this.#queue;
    this.#queue = [];
    let done = 0;
    try {
      for (const room of queue) {
        done += 1;
        room.queued = false;
        room.flush(fanout, packer);
      }
    } finally {
      if (done < queue.length) this.#queue = queue.slice(done).concat(this.#queue);
    }
  }
}
