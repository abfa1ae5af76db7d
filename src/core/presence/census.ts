import type { RoomName } from "../../protocol/room-name.js";
import { Changes } from "./changes.js";
import { type ListLimits, type Member, memberBytes, type PresenceOp, type View, type Views } from "./op.js";

/** One member, who may be there more than once: in several tabs. */
interface Seat extends Member {
  seats: number;
  info: Uint8Array | undefined;
}

class Company {
  readonly members = new Map<string, Seat>();
  bytes = 0;
  /** Somebody came when all lists together were too long: it only counts until it is empty. */
  isCut = false;
}

/** What a listed member takes besides its name and data, about: here, and once more at the hub. */
const SEAT_BYTES = 64;

/** Who is in rooms of this process, and what of it was not yet reported. */
export class Census implements Views {
  readonly #limits: ListLimits;
  readonly #bytesMax: number;
  readonly #onCut: () => void;
  #bytes = 0;
  readonly #counts = new Map<RoomName, number>();
  readonly #companies = new Map<RoomName, Company>();
  readonly #changes = new Changes();

  /**
   * @param bytesMax of all lists together: a room that grows while there is more only counts, and keeps no data, until it is empty
   * @param onCut told each time that somebody is not listed for it
   */
  constructor(limits: ListLimits, bytesMax = Number.POSITIVE_INFINITY, onCut: () => void = () => {}) {
    this.#limits = limits;
    this.#bytesMax = bytesMax;
    this.#onCut = onCut;
  }

  get hasChanges(): boolean {
    return this.#changes.size > 0;
  }

  /** One more in a room that only counts. */
  count(room: RoomName, by: 1 | -1): void {
    const count = (this.#counts.get(room) ?? 0) + by;
    if (count > 0) this.#counts.set(room, count);
    else this.#counts.delete(room);
    this.#changes.note(room);
  }

  /** A member comes, or comes once more; data that it gives takes the place of what it had. */
  enter(room: RoomName, id: string, given: Uint8Array | undefined): void {
    let company = this.#companies.get(room);
    if (company === undefined) {
      company = new Company();
      this.#companies.set(room, company);
    }
    const seat = company.members.get(id);
    const isNew = seat === undefined || given !== undefined;
    if (isNew && this.#bytes > this.#bytesMax) {
      company.isCut = true;
      this.#onCut();
    }
    const info = company.isCut ? undefined : given;
    if (seat === undefined) {
      const member = { seats: 1, info };
      company.members.set(id, member);
      this.#grow(company, memberBytes(id, member) + SEAT_BYTES);
    } else {
      seat.seats += 1;
      if (info === undefined) return;
      this.#grow(company, info.length - (seat.info?.length ?? 0));
      seat.info = info;
    }
    this.#changes.note(room, id);
  }

  /** A member goes; it is gone when it has gone as often as it came. Returns its data. */
  leave(room: RoomName, id: string): Uint8Array | undefined {
    const company = this.#companies.get(room);
    const seat = company?.members.get(id);
    if (company === undefined || seat === undefined) return undefined;
    seat.seats -= 1;
    if (seat.seats > 0) return seat.info;
    company.members.delete(id);
    this.#grow(company, -memberBytes(id, seat) - SEAT_BYTES);
    if (company.members.size === 0) this.#companies.delete(room);
    this.#changes.note(room, id);
    return seat.info;
  }

  view(room: RoomName): View | undefined {
    const company = this.#companies.get(room);
    if (company === undefined) {
      const count = this.#counts.get(room);
      return count === undefined ? undefined : { kind: "count", count };
    }
    const { members, isCut } = company;
    const bytes = company.bytes - members.size * SEAT_BYTES;
    const isListed = !isCut && members.size <= this.#limits.members && bytes <= this.#limits.bytes;
    return isListed ? { kind: "list", members } : { kind: "count", count: members.size };
  }

  #grow(company: Company, bytes: number): void {
    company.bytes += bytes;
    this.#bytes += bytes;
  }

  /** What is to be reported; see {@link Changes.take}. */
  takeChanges(enough: number): PresenceOp[] {
    return this.#changes.take(this, enough);
  }

  /** Whoever is reported to has forgotten these rooms. */
  reportAnew(isWanted: (room: RoomName) => boolean): void {
    // Also of rooms that are empty now, and may fill again.
    this.#changes.lost(isWanted);
    for (const room of this.#counts.keys()) if (isWanted(room)) this.#changes.note(room);
    for (const room of this.#companies.keys()) if (isWanted(room)) this.#changes.note(room);
  }
}
