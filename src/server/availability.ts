import type { Outages } from "../core/outages.js";
import type { RoomName } from "../protocol/room-name.js";

/** Away for less than this is nobody's business: connections come back by themselves, and nothing is missed. */
const OUTAGE_MS = 2_000;
/** Hubs lose the same NATS at about the same time: who has rooms at several is told once. */
const TOGETHER_MS = 500;

/** What stores the rooms, in one part or in several, and which of them can be reached. */
export class Availability implements Outages {
  readonly #partOf: (room: RoomName) => number;
  /** By part: the number of its outage, or the timer of what may become one. */
  readonly #away = new Map<number, number | NodeJS.Timeout>();
  #outages = 0;
  #telling: NodeJS.Timeout | undefined;
  #onOutage: () => void = () => undefined;
  #count = 0;

  constructor(partOf: (room: RoomName) => number) {
    this.#partOf = partOf;
  }

  get isAny(): boolean {
    return this.#count > 0;
  }

  outageOf(room: RoomName): number | undefined {
    const away = this.#away.get(this.#partOf(room));
    return typeof away === "number" ? away : undefined;
  }

  /** Called some time after an outage began: whoever has rooms in it is to be told. */
  onOutage(tell: () => void): void {
    this.#onOutage = tell;
  }

  set(part: number, isAvailable: boolean): void {
    const away = this.#away.get(part);
    if (isAvailable) {
      if (typeof away === "number") this.#count -= 1;
      else clearTimeout(away);
      this.#away.delete(part);
    } else if (away === undefined)
      this.#away.set(
        part,
        setTimeout(() => this.#begin(part), OUTAGE_MS),
      );
  }

  stop(): void {
    clearTimeout(this.#telling);
    for (const away of this.#away.values()) if (typeof away !== "number") clearTimeout(away);
  }

  #begin(part: number): void {
    this.#outages += 1;
    this.#count += 1;
    this.#away.set(part, this.#outages);
    this.#telling ??= setTimeout(() => {
      this.#telling = undefined;
      this.#onOutage();
    }, TOGETHER_MS);
  }
}
