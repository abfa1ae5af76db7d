import type { Control } from "./control.js";
import { ANY_ROOM, keyOf, type Purge } from "./purge-record.js";
import type { RoomPlace } from "./room-reader.js";
import type { Stream, Streams } from "./streams.js";
import { tokensOf } from "./subjects.js";

export interface PurgesOptions {
  readonly control: Pick<Control, "readPurges">;
  readonly streams: Streams;
  /** A clock that only goes forward. */
  readonly nowMs: () => number;
  /** A room was purged: who has it open is to be told. */
  readonly onPurged: (stream: Stream, roomToken: string, upTo: number) => void;
}

/**
 * How old may be what is known when a read is judged by it. Whoever purges a room announces it and waits for longer
 * ({@link ANNOUNCE_MS}) before he does it: so nobody who has read what is left does not know.
 */
export const FRESH_MS = 2_000;

/** Between the announcement of a purge and the purge: {@link FRESH_MS}, and what clocks and a change of leaders take. */
export const ANNOUNCE_MS = 5_000;

/**
 * Which rooms were purged by themselves (`fanwire nats purge`). A stream does not show that: what is gone from its midst
 * may as well have been of other rooms. So it is written into the control stream, and everybody who is asked what came
 * after a position, and cannot prove it otherwise, looks there.
 */
export class Purges {
  readonly #options: PurgesOptions;
  #known: ReadonlyMap<string, Purge> = new Map();
  /** Purges that open rooms were told of, or that were there from the beginning. */
  #told: ReadonlyMap<string, number> | undefined;
  /** When what is known was asked for. */
  #askedMs = Number.NEGATIVE_INFINITY;
  #reading: Promise<void> | undefined;

  constructor(options: PurgesOptions) {
    this.#options = options;
  }

  /**
   * Up to which number the room was purged; 0: it was not. To be asked after its messages were read.
   * @throws As {@link Control.readPurges}: then nobody knows.
   */
  async upTo({ stream, filter }: RoomPlace): Promise<number> {
    const neededMs = this.#options.nowMs() - FRESH_MS;
    while (this.#askedMs < neededMs) await this.read();
    const { room } = tokensOf(filter);
    const ofRoom = (token: string): number =>
      this.#known.get(keyOf({ stream: stream.name, epoch: stream.epoch, room: token }))?.upTo ?? 0;
    return Math.max(ofRoom(room), ofRoom(ANY_ROOM));
  }

  /** Reads the record, once for all who want it at the same time, and tells of what is new. */
  read(timeoutMs?: number): Promise<void> {
    this.#reading ??= this.#read(timeoutMs).finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #read(timeoutMs?: number): Promise<void> {
    const { control, nowMs, streams, onPurged } = this.#options;
    const askedMs = nowMs();
    const { value } = await control.readPurges(timeoutMs);
    this.#known = new Map(value.map((purge) => [keyOf(purge), purge]));
    this.#askedMs = askedMs;
    const before = this.#told;
    const done = value.filter((purge) => purge.done);
    this.#told = new Map(done.map((purge) => [keyOf(purge), purge.upTo]));
    if (before === undefined) return;
    for (const purge of done) {
      const stream = streams.named(purge.stream);
      // Of which rooms those were was told when they were purged.
      if (stream === undefined || stream.epoch !== purge.epoch || purge.room === ANY_ROOM) continue;
      if ((before.get(keyOf(purge)) ?? 0) < purge.upTo) onPurged(stream, purge.room, purge.upTo);
    }
  }
}
