import type { Control } from "./control.js";
import { reasonOf } from "./js-api.js";
import { ANY_ROOM, keyOf, type Purge, withPurges } from "./purge-record.js";
import type { RoomPlace } from "./room-reader.js";
import type { Stream, Streams } from "./streams.js";
import { tokensOf } from "./subjects.js";

export interface PurgesOptions {
  readonly control: Pick<Control, "readPurges" | "writePurges">;
  readonly streams: Streams;
  /** A clock that only goes forward. */
  readonly nowMs: () => number;
  readonly wait: (ms: number) => Promise<void>;
  readonly onTrouble: (what: string) => void;
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

/** Before what was noticed is written: about so long, and so often. */
const NOTE_MS = 500;
const NOTE_TRIES = 10;
/** Rooms that wait to be written down. */
const NOTICED_MAX = 500;

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
  readonly #noticed = new Map<string, Purge>();

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

  /**
   * A room that is open here has lost its messages up to a number, and the stream has older ones: somebody purged it with other
   * tools. Written down, so that others can be told; not more than that can be done about it.
   */
  note(stream: Stream, room: string, upTo: number): void {
    const purge = { stream: stream.name, epoch: stream.epoch, room, upTo, done: true, noticed: true };
    if ((this.#known.get(keyOf(purge))?.upTo ?? 0) >= upTo || this.#noticed.size >= NOTICED_MAX) return;
    if (this.#noticed.size === 0) void this.#writeNoticed();
    this.#noticed.set(keyOf(purge), purge);
  }

  /** Nodes notice the same at about the same time: the first writes it, the others see that. */
  async #writeNoticed(): Promise<void> {
    const { control, streams, wait, onTrouble } = this.#options;
    for (let tries = 0; tries < NOTE_TRIES; tries += 1) {
      await wait(NOTE_MS * (0.5 + Math.random()));
      try {
        const { value, sequence } = await control.readPurges();
        const noticed = [...this.#noticed.values()].filter(
          (one) => !value.some((known) => covers(known, one)),
        );
        const isMoot = ({ stream, epoch, upTo }: Purge): boolean => {
          const here = streams.named(stream);
          return here !== undefined && (here.epoch !== epoch || upTo < here.info.firstSequence);
        };
        if (noticed.length > 0 && !(await control.writePurges(withPurges(value, noticed, isMoot), sequence)))
          continue;
        this.#noticed.clear();
        return;
      } catch (cause) {
        if (tries === NOTE_TRIES - 1) onTrouble(`a purge could not be written down: ${reasonOf(cause)}`);
      }
    }
    this.#noticed.clear();
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
      if (purge.noticed === true) continue;
      if ((before.get(keyOf(purge)) ?? 0) < purge.upTo) onPurged(stream, purge.room, purge.upTo);
    }
  }
}

function covers(known: Purge, noticed: Purge): boolean {
  return keyOf(known) === keyOf(noticed) && known.upTo >= noticed.upTo;
}
