import type { Rights } from "../core/access.js";
import type { Broker, ListedRoom } from "../core/ports.js";
import { ROOM_LIST_MAX } from "../core/room-list.js";
import { CodedError } from "../protocol/errors.js";
import { LISTED_ROOMS_MAX, type RoomsQuery } from "./http-query.js";

/** A room as it stands in the answer: without a position where the broker would have to read it. */
export type RoomEntry =
  | { readonly room: string }
  | { readonly room: string; readonly epoch: string; readonly offset: number };

export interface RoomsAnswer {
  readonly rooms: readonly RoomEntry[];
  /** More may follow after the last of these. */
  readonly more: boolean;
}

/** Lists of the broker for one answer: who may read little of much must not make it go through all of its rooms. */
const LISTS_MAX = 5;

/** Rooms that are looked at for one answer. */
export const LOOKED_ROOMS_MAX = LISTED_ROOMS_MAX + 1 + (LISTS_MAX - 1) * ROOM_LIST_MAX;

/**
 * The broker's rooms that somebody may subscribe to or read the history of, and none of the others, nor what would tell that there
 * are any.
 * @throws CodedError `too_large` where so many others stand before the next one; as {@link Broker.rooms}.
 */
export async function listRooms(
  broker: Pick<Broker, "rooms">,
  query: RoomsQuery,
  rights: Rights,
): Promise<RoomsAnswer> {
  const { prefix, limit } = query;
  const found: ListedRoom[] = [];
  let after = query.after;
  let isMore = true;
  for (let lists = 0; isMore && found.length <= limit && lists < LISTS_MAX; lists += 1) {
    // One more than is wanted, which says whether more follow.
    const { rooms, more } = await broker.rooms(prefix, after, lists === 0 ? limit + 1 : ROOM_LIST_MAX);
    for (const listed of rooms)
      if (rights.allows("subscribe", listed.room) || rights.allows("history", listed.room))
        found.push(listed);
    after = rooms.at(-1)?.room ?? after;
    isMore = more;
  }
  if (isMore && found.length === 0)
    throw new CodedError("too_large", "too many rooms have this prefix: ask for a longer one");
  return { rooms: found.slice(0, limit).map(entryOf), more: isMore || found.length > limit };
}

function entryOf({ room, head }: ListedRoom): RoomEntry {
  return head === undefined ? { room } : { room, epoch: head.epoch, offset: head.offset };
}
