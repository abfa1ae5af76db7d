import type { ListedRoom, RoomList } from "./ports.js";

/** Rooms in one page: some 100 KB with the longest of names, and as many as a screen of an operator takes in. */
export const ROOM_LIST_MAX = 1_000;

/** Which rooms a page has. */
export interface RoomQuery {
  readonly prefix: string;
  /** Only what comes after this name; "": all. */
  readonly after: string;
  /** Above {@link ROOM_LIST_MAX} it counts as that; at least 1. */
  readonly limit: number;
}

/**
 * The first rooms of those that it is offered, in the order of their names: it holds twice as many as it gives, however many come.
 * A room that is offered twice is one.
 */
export class RoomPage {
  readonly #prefix: string;
  readonly #after: string;
  readonly #limit: number;
  #found = new Map<string, ListedRoom>();
  /** Nothing from here on is among the first; where there is one, more follow. */
  #bound: string | undefined;
  #isMore = false;

  constructor({ prefix, after, limit }: RoomQuery) {
    this.#prefix = prefix;
    this.#after = after;
    this.#limit = Math.max(1, Math.min(limit, ROOM_LIST_MAX));
  }

  /** Whether a room of this name would be on the page as it is now; saves the work of making one that is not. */
  wants(name: string): boolean {
    if (name <= this.#after || !name.startsWith(this.#prefix)) return false;
    return this.#bound === undefined || name < this.#bound;
  }

  offer(listed: ListedRoom): void {
    if (!this.wants(listed.room)) return;
    this.#found.set(listed.room, listed);
    if (this.#found.size >= 2 * this.#limit + 1) this.#shrink();
  }

  list(): RoomList {
    this.#shrink();
    return { rooms: [...this.#found.values()], more: this.#isMore };
  }

  #shrink(): void {
    const sorted = [...this.#found.values()].sort(byName);
    this.#bound = sorted[this.#limit]?.room ?? this.#bound;
    if (sorted.length > this.#limit) this.#isMore = true;
    this.#found = new Map(sorted.slice(0, this.#limit).map((listed) => [listed.room, listed]));
  }
}

/** One page of the pages that several brokers gave for the same query. */
export function mergeRooms(query: RoomQuery, lists: readonly RoomList[]): RoomList {
  const page = new RoomPage(query);
  for (const { rooms } of lists) for (const listed of rooms) page.offer(listed);
  const { rooms, more } = page.list();
  return { rooms, more: more || lists.some((list) => list.more) };
}

function byName(a: ListedRoom, b: ListedRoom): number {
  return a.room < b.room ? -1 : a.room > b.room ? 1 : 0;
}
