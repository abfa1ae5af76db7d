import type { RoomPlan } from "./rooms.js";

export type StreamPosition = readonly [epoch: string, offset: number];

/**
 * What every connection has of every room of its: epoch and last offset. It decides whether a message is the next
 * one, so that holes, duplicates and disorder show at once. Flat arrays, as there are hundreds of thousands.
 */
export class Ledger {
  readonly #slots: number;
  /** -1: never subscribed. */
  readonly #last: Float64Array;
  readonly #epoch: Uint16Array;
  /** Whether `last` is where the flow began: that may lie behind the room's last message. */
  readonly #isPlace: Uint8Array;
  readonly #epochs: string[] = [];

  constructor(connections: number, { roomsEach }: RoomPlan) {
    this.#slots = roomsEach;
    this.#last = new Float64Array(connections * roomsEach).fill(-1);
    this.#epoch = new Uint16Array(connections * roomsEach);
    this.#isPlace = new Uint8Array(connections * roomsEach);
  }

  /** Where to resume; undefined where nothing was ever got. */
  position(connection: number, slot: number): StreamPosition | undefined {
    const place = connection * this.#slots + slot;
    const last = this.#last[place] ?? -1;
    return last < 0 ? undefined : [this.#epochs[this.#epoch[place] ?? 0] ?? "", last];
  }

  /** The server said where the flow begins. Whether that is where the connection was. */
  begin(connection: number, slot: number, epoch: string, offset: number): boolean {
    const place = connection * this.#slots + slot;
    const number = this.#numberOf(epoch);
    const same = this.#last[place] === offset && this.#epoch[place] === number;
    this.#last[place] = offset;
    this.#epoch[place] = number;
    this.#isPlace[place] = 1;
    return same;
  }

  /** Takes a message; the last offset before it where it is not the next one, else undefined. */
  take(connection: number, slot: number, offset: number, prev: number): number | undefined {
    const place = connection * this.#slots + slot;
    const last = this.#last[place] ?? -1;
    const isNext = last === prev || (this.#isPlace[place] === 1 && prev < last);
    this.#last[place] = offset;
    this.#isPlace[place] = 0;
    return isNext && offset > last ? undefined : last;
  }

  /** Subscriptions that do not stand at their room's head; rooms whose head is unknown do not count. */
  behind(connections: number, headOf: (connection: number, slot: number) => number | undefined): number {
    let behind = 0;
    for (let connection = 0; connection < connections; connection++) {
      for (let slot = 0; slot < this.#slots; slot++) {
        const head = headOf(connection, slot);
        if (head !== undefined && this.#last[connection * this.#slots + slot] !== head) behind += 1;
      }
    }
    return behind;
  }

  #numberOf(epoch: string): number {
    const known = this.#epochs.indexOf(epoch);
    return known < 0 ? this.#epochs.push(epoch) - 1 : known;
  }
}
