import type { Position } from "../../protocol/frames.js";
import type { RoomName } from "../../protocol/room-name.js";
import type { SimulatedBroker, Stored } from "./broker.testkit.js";

/** What comes of a room by whatever way: everything after `last`, or where nothing came yet everything stored after this time. */
interface Stream {
  last: number | undefined;
  readonly sinceMs: number;
  /** Conflated: messages may be left out. */
  readonly loose: boolean;
}

/**
 * What a client of patterns and rooms is promised of each room, held against what the broker has stored: all there is, each
 * once on the wire, over every change between patterns and names.
 */
export class PatternStreams {
  readonly faults: string[] = [];
  delivered = 0;
  readonly #byRoom = new Map<RoomName, Stream>();
  readonly #name: string;
  readonly #broker: SimulatedBroker;
  /** Whether frames were dropped: only then may the telling come a little later than the hole. */
  readonly #mayTellLate: () => boolean;
  /** Holes that `lagged`, or the end of the connection, has still to tell of. */
  #holes: string[] = [];

  constructor(name: string, broker: SimulatedBroker, mayTellLate: () => boolean) {
    this.#name = name;
    this.#broker = broker;
    this.#mayTellLate = mayTellLate;
  }

  has(room: RoomName): boolean {
    return this.#byRoom.has(room);
  }

  rooms(): RoomName[] {
    return [...this.#byRoom.keys()];
  }

  /** Everything is promised that is stored from now on, of what comes in `loose` classes the latest alone. */
  beginNow(room: RoomName, loose = false): void {
    this.#byRoom.set(room, { last: undefined, sinceMs: this.#broker.scheduler.nowMs, loose });
  }

  /** Everything is promised after this position. */
  beginAfter(room: RoomName, position: Position, loose: boolean): void {
    const last = this.#seqAt(room, position);
    this.#byRoom.set(room, { last, sinceMs: this.#broker.scheduler.nowMs, loose });
  }

  /** What came by patterns until now comes by its name after this position, which was not asked for: where patterns stopped. */
  checkHandover(room: RoomName, position: Position): void {
    const stream = this.#byRoom.get(room);
    if (stream === undefined || stream.loose) return;
    const seq = this.#seqAt(room, position);
    const skipped = this.#stored(room).find((one) => one.seq <= seq && isPromised(stream, one));
    if (skipped !== undefined)
      this.#hole(`${this.#name}: ${room} ${skipped.seq} is missing before it comes by name`);
    if (stream.last !== undefined && stream.last > seq)
      this.faults.push(`${this.#name}: ${room} comes by name from ${seq}, again`);
  }

  /** Nothing is promised of it any more. */
  end(room: RoomName): void {
    this.#byRoom.delete(room);
  }

  /** Of no room anything is promised, and holes have been told. */
  forget(): void {
    this.#holes = [];
    this.#byRoom.clear();
  }

  take(room: RoomName, stored: Stored | undefined, offset: number): void {
    const stream = this.#byRoom.get(room);
    if (stored === undefined || stream === undefined) {
      this.faults.push(`${this.#name}: ${room} ${offset} came out of nothing`);
      return;
    }
    this.delivered += 1;
    if (!stream.loose) this.#check(room, stream, stored);
    stream.last = stored.seq;
  }

  /** It was conflated, and patterns went on with it. */
  wentOnConflated(room: RoomName): void {
    this.#hole(`${this.#name}: ${room} was conflated, and patterns go on without a word`);
  }

  /** Everything that was promised has come by now. */
  checkEnd(): void {
    this.faults.push(...this.#holes);
    for (const [room, stream] of this.#byRoom) {
      if (stream.loose) continue;
      const missing = this.#stored(room).find((stored) => isPromised(stream, stored));
      if (missing !== undefined) this.faults.push(`${this.#name}: ${room} ${missing.seq} never came`);
    }
  }

  #check(room: RoomName, stream: Stream, { seq }: Stored): void {
    const where = `${this.#name}: ${room}`;
    if (stream.last !== undefined && seq <= stream.last)
      this.faults.push(`${where} ${seq} came again, after ${stream.last}`);
    const skipped = this.#stored(room).find((one) => one.seq < seq && isPromised(stream, one));
    if (skipped !== undefined) this.#hole(`${where} ${skipped.seq} is missing before ${seq}`);
  }

  #hole(text: string): void {
    if (this.#mayTellLate()) this.#holes.push(text);
    else this.faults.push(text);
  }

  #stored(room: RoomName): readonly Stored[] {
    return this.#broker.byRoom.get(room) ?? [];
  }

  /** The last that was stored up to this position. */
  #seqAt(room: RoomName, { epoch, offset }: Position): number {
    // The broker counts its epochs.
    const number = Number(epoch.slice(1));
    const isWithin = (one: Stored): boolean =>
      Number(one.epoch.slice(1)) < number || (one.epoch === epoch && one.offset <= offset);
    return this.#stored(room).findLast(isWithin)?.seq ?? -1;
  }
}

function isPromised({ last, sinceMs }: Stream, { seq, atMs }: Stored): boolean {
  return last === undefined ? atMs > sinceMs : seq > last;
}
