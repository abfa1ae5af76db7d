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
}

/** Who is in rooms of this process, and what of it was not yet reported. */
export class Census implements Views {
  readonly #limits: ListLimits;
  readonly #counts = new Map<RoomName, number>();
  readonly #companies = new Map<RoomName, Company>();
  readonly #changes = new Changes();

  constructor(limits: ListLimits) {
    this.#limits = limits;
  }

  /** Rooms with somebody in them. */
  get rooms(): number {
    return this.#counts.size + this.#companies.size;
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
  enter(room: RoomName, id: string, info: Uint8Array | undefined): void {
    let company = this.#companies.get(room);
    if (company === undefined) {
      company = new Company();
      this.#companies.set(room, company);
    }
    const seat = company.members.get(id);
    if (seat === undefined) {
      const member = { seats: 1, info };
      company.members.set(id, member);
      company.bytes += memberBytes(id, member);
    } else {
      seat.seats += 1;
      if (info === undefined) return;
      company.bytes += info.length - (seat.info?.length ?? 0);
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
    company.bytes -= memberBytes(id, seat);
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
    const { members, bytes } = company;
    const isListed = members.size <= this.#limits.members && bytes <= this.#limits.bytes;
    return isListed ? { kind: "list", members } : { kind: "count", count: members.size };
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
