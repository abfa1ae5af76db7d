import type { RoomName } from "../../protocol/room-name.js";
import type { PresenceOp, Views } from "./op.js";

/** Members of one room that are remembered one by one; of more, the whole room is told anew. */
const IDS_MAX = 1_000;

/**
 * What one listener has still to be told: rooms and members that have changed, each once however often it did. What is told is
 * looked up only then. So somebody who comes and goes within a round is never told of, and what waits is bounded by what there is.
 */
export class Changes {
  /** In the order in which they came; "anew": all of the room. */
  readonly #dirty = new Map<RoomName, Set<string> | "anew">();
  /** Rooms of which the listener has a list. */
  readonly #listed = new Set<RoomName>();

  /** Rooms that wait. */
  get size(): number {
    return this.#dirty.size;
  }

  /** One member of the room has come, gone or changed; without `id`, anything may have. */
  note(room: RoomName, id?: string): void {
    const dirty = this.#dirty.get(room);
    if (dirty === "anew") return;
    if (id === undefined || (dirty !== undefined && dirty.size >= IDS_MAX)) this.#dirty.set(room, "anew");
    else if (dirty === undefined) this.#dirty.set(room, new Set([id]));
    else dirty.add(id);
  }

  /** The listener has lost its lists of such rooms. */
  lost(isLost: (room: RoomName) => boolean): void {
    for (const room of this.#listed) if (isLost(room)) this.#listed.delete(room);
  }

  /** The listener does not want to know of this room any more. */
  forget(room: RoomName): void {
    this.#dirty.delete(room);
    this.#listed.delete(room);
  }

  rooms(): Iterable<RoomName> {
    return this.#dirty.keys();
  }

  /** What is to be told now: whole rooms, until there are at least so many. The rest waits. */
  take(views: Views, enough: number): PresenceOp[] {
    const ops: PresenceOp[] = [];
    for (const room of this.#dirty.keys()) {
      if (ops.length >= enough) break;
      this.takeRoom(room, views, ops);
    }
    return ops;
  }

  /** Adds what is to be told of one room. */
  takeRoom(room: RoomName, views: Views, ops: PresenceOp[]): void {
    const dirty = this.#dirty.get(room);
    if (dirty === undefined) return;
    this.#dirty.delete(room);
    const view = views.view(room);
    if (view?.kind !== "list" || view.members.size === 0) {
      this.#listed.delete(room);
      ops.push({ kind: "count", room, count: view?.kind === "count" ? view.count : 0 });
      return;
    }
    const { members } = view;
    if (dirty === "anew" || !this.#listed.has(room)) {
      this.#listed.add(room);
      ops.push({ kind: "list", room });
      for (const [id, member] of members) ops.push({ kind: "join", room, id, member });
      return;
    }
    for (const id of dirty) {
      const member = members.get(id);
      ops.push(member === undefined ? { kind: "leave", room, id } : { kind: "join", room, id, member });
    }
  }
}
