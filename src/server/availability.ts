import type { Outages } from "../core/outages.js";
import type { RoomName } from "../protocol/room-name.js";

/** Away for less than this is nobody's business: connections come back by themselves, and nothing is missed. */
const OUTAGE_MS = 2_000;
/** Hubs lose the same NATS at about the same time: who has rooms at several is told once. */
const TOGETHER_MS = 500;

/**
 * What stores the rooms, in one part or in several, and which of them can be reached. A part that can may have pieces,
 * such as one stream of many, that cannot.
 */
export class Availability implements Outages {
  readonly #partOf: (room: RoomName) => number;
  readonly #pieceOf: (room: RoomName) => string;
  /** By part, or part and piece: the number of its outage, or the timer of what may become one. */
  readonly #away = new Map<string, number | NodeJS.Timeout>();
  #outages = 0;
  #telling: NodeJS.Timeout | undefined;
  #onOutage: () => void = () => undefined;
  #count = 0;

  /** @param pieceOf The name of the piece of its part that stores a room. */
  constructor(partOf: (room: RoomName) => number, pieceOf: (room: RoomName) => string = () => "") {
    this.#partOf = partOf;
    this.#pieceOf = pieceOf;
  }

  get isAny(): boolean {
    return this.#count > 0;
  }

  outageOf(room: RoomName): number | undefined {
    if (this.#count === 0) return undefined;
    const part = this.#partOf(room);
    const whole = this.#away.get(`${part}`);
    if (typeof whole === "number") return whole;
    const piece = this.#away.get(`${part} ${this.#pieceOf(room)}`);
    return typeof piece === "number" ? piece : undefined;
  }

  /** Called some time after an outage began: whoever has rooms in it is to be told. */
  onOutage(tell: () => void): void {
    this.#onOutage = tell;
  }

  set(part: number, isAvailable: boolean): void {
    this.#set(`${part}`, isAvailable);
  }

  /** These pieces of a part cannot be reached, and no others. */
  setAway(part: number, pieces: readonly string[]): void {
    const away = new Set(pieces.map((piece) => `${part} ${piece}`));
    for (const key of [...this.#away.keys()])
      if (key.startsWith(`${part} `) && !away.has(key)) this.#set(key, true);
    for (const key of away) this.#set(key, false);
  }

  stop(): void {
    clearTimeout(this.#telling);
    for (const away of this.#away.values()) if (typeof away !== "number") clearTimeout(away);
  }

  #set(key: string, isAvailable: boolean): void {
    const away = this.#away.get(key);
    if (isAvailable) {
      if (typeof away === "number") this.#count -= 1;
      else clearTimeout(away);
      this.#away.delete(key);
    } else if (away === undefined)
      this.#away.set(
        key,
        setTimeout(() => this.#begin(key), OUTAGE_MS),
      );
  }

  #begin(key: string): void {
    this.#outages += 1;
    this.#count += 1;
    this.#away.set(key, this.#outages);
    this.#telling ??= setTimeout(() => {
      this.#telling = undefined;
      this.#onOutage();
    }, TOGETHER_MS);
  }
}
