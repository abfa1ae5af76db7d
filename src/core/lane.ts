import type { Counters } from "./counters.js";
import type { Packer } from "./packer.js";
import type { Fanout } from "./ports.js";
import type { Telemetry } from "./telemetry.js";

/** A room that has something for a lane. */
export interface Flushable {
  /** Set while it waits in its lane; the lane's mark. */
  queued: boolean;
  /** Sockets that a flush writes to. */
  readonly members: number;
  /** Sends what waits. As much of it as has to go in another tick it queues again, also where it throws. */
  flush(fanout: Fanout, packer: Packer): void;
}

/** Asking a socket how much waits costs some 0.1 µs, a write 7: so looks take a tenth of the writes' time at the most. */
const WRITES_A_LOOK = 8;

/** Who has a place in a lane. */
export interface Lodger {
  /** Notices whether too much waits for its socket, where so many bytes may follow at once. */
  lookAtBuffer(expectedBytes: number): void;
}

/** A socket that is written to without a topic. */
export interface Addressee {
  send(bytes: Uint8Array): void;
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
  readonly telemetry: Telemetry;
  /** Who has a place here. */
  readonly lodgers: Lodger[] = [];
  /** Set while it waits for its turn; the mark of {@link Lanes}. */
  waiting = false;
  #queue: Flushable[] = [];
  /** What went out on topics since {@link Lane.look}: bytes that one socket may have been sent, and writes. */
  #publishedBytes = 0;
  #publishedWrites = 0;
  /** What {@link Lane.post} took in this flush, in order. */
  readonly #posted = new Map<Addressee, Uint8Array[]>();
  readonly #counters: Counters;

  constructor(id: number, counters: Counters, telemetry: Telemetry) {
    this.id = id;
    this.telemetry = telemetry;
    this.#counters = counters;
    this.binaryTopics = `b.${id}.`;
    this.textTopics = `j.${id}.`;
  }

  /** How many sockets have a place here. */
  get sockets(): number {
    return this.lodgers.length;
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

  /** So many bytes went out on a topic of so many members. */
  published(bytes: number, members: number): void {
    this.#publishedBytes += bytes;
    this.#publishedWrites += members;
  }

  /**
   * Whether a socket here may have so many bytes more waiting than when it was looked at, and looking at all of them costs
   * little beside what was written to them meanwhile.
   */
  isWorthALook(bytes: number): boolean {
    return this.#publishedBytes >= bytes && this.#publishedWrites * WRITES_A_LOOK >= this.sockets;
  }

  /** Has everybody look; what went out since the last time is what they have to expect. */
  look(): void {
    const expectedBytes = this.#publishedBytes;
    this.#publishedBytes = 0;
    this.#publishedWrites = 0;
    for (const lodger of this.lodgers) lodger.lookAtBuffer(expectedBytes);
  }

  queue(room: Flushable): void {
    if (room.queued) return;
    room.queued = true;
    this.#queue.push(room);
  }

  /** Sends a frame to one socket at the end of this flush, in one write with what other rooms have for it. The frame is not copied. */
  post(to: Addressee, frame: Uint8Array): void {
    const frames = this.#posted.get(to);
    if (frames === undefined) this.#posted.set(to, [frame]);
    else frames.push(frame);
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
      if (this.#posted.size > 0) this.#sendPosted(packer);
    }
  }

  /** Sends frames to one socket now, before anything that is flushed after this. */
  send(to: Addressee, frames: readonly Uint8Array[], packer: Packer): void {
    // Left over only where a publish threw.
    packer.take();
    for (const frame of frames) {
      if (packer.add(frame)) continue;
      this.#sendChunk(to, packer);
      packer.add(frame);
    }
    this.#sendChunk(to, packer);
  }

  #sendChunk(to: Addressee, packer: Packer): void {
    const chunk = packer.take();
    if (chunk === undefined) return;
    this.#counters.directWrites += 1;
    this.#counters.directBytes += chunk.length;
    this.#counters.deliveryFrames += 1;
    to.send(chunk);
  }

  #sendPosted(packer: Packer): void {
    for (const [to, frames] of this.#posted) this.send(to, frames, packer);
    this.#posted.clear();
  }
}
