import type { RoomName } from "../../protocol/room-name.js";
import { type Member, memberBytes, type PresenceOp, type View, type Views } from "./op.js";

/** The members of one room, as one source told them. */
class List {
  readonly kind = "list";
  readonly members = new Map<string, Member>();
  bytes = 0;

  set(id: string, member: Member): void {
    this.remove(id);
    this.members.set(id, member);
    this.bytes += memberBytes(id, member);
  }

  remove(id: string): boolean {
    const before = this.members.get(id);
    if (before === undefined) return false;
    this.members.delete(id);
    this.bytes -= memberBytes(id, before);
    return true;
  }
}

/** A view, with the bytes of a list. */
export type RosterView =
  | Extract<View, { kind: "count" }>
  | (Extract<View, { kind: "list" }> & { readonly bytes: number });

/** What one source has said of its rooms, as it stands after all that it said. */
export class Roster implements Views {
  readonly #counts = new Map<RoomName, number>();
  readonly #lists = new Map<RoomName, List>();
  /** How many are in all rooms together: with {@link Roster.rooms}, what two ends compare to see that they have the same. */
  #people = 0;
  #listed = 0;

  get rooms(): number {
    return this.#counts.size + this.#lists.size;
  }

  get people(): number {
    return this.#people;
  }

  /** What its memory goes by: rooms and listed members. */
  get entries(): number {
    return this.rooms + this.#listed;
  }

  /** Takes what was said. A join or leave of a room of which there is no list says nothing, as its source has lost the thread. */
  apply(op: PresenceOp): void {
    switch (op.kind) {
      case "count":
        this.remove(op.room);
        if (op.count === 0) return;
        this.#counts.set(op.room, op.count);
        this.#people += op.count;
        return;
      case "list":
        this.remove(op.room);
        this.#lists.set(op.room, new List());
        return;
      case "join": {
        const list = this.#lists.get(op.room);
        if (list === undefined) return;
        const before = list.members.size;
        list.set(op.id, op.member);
        this.#grow(list.members.size - before);
        return;
      }
      case "leave":
        if (this.#lists.get(op.room)?.remove(op.id) === true) this.#grow(-1);
        return;
    }
  }

  view(room: RoomName): RosterView | undefined {
    const count = this.#counts.get(room);
    return count === undefined ? this.#lists.get(room) : { kind: "count", count };
  }

  /** Forgets a room. */
  remove(room: RoomName): void {
    const list = this.#lists.get(room);
    if (list !== undefined) {
      this.#grow(-list.members.size);
      this.#lists.delete(room);
      return;
    }
    this.#people -= this.#counts.get(room) ?? 0;
    this.#counts.delete(room);
  }

  /** All rooms, also while some come and go. */
  *names(): Iterable<RoomName> {
    yield* this.#counts.keys();
    yield* this.#lists.keys();
  }

  #grow(by: number): void {
    this.#people += by;
    this.#listed += by;
  }
}
