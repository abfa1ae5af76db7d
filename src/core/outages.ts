import { namespaceOf, type RoomName } from "../protocol/room-name.js";

/** Which rooms get nothing new now, because what stores them cannot be reached. */
export interface Outages {
  /** Whether any do. */
  readonly isAny: boolean;
  /** A number of the outage that the room is in, another one for each; undefined: none. */
  outageOf(room: RoomName): number | undefined;
}

/** In the text of an error: it must stay short. */
const NAMESPACES_NAMED_MAX = 8;

/** Outages that a connection was told of. Kept apart: nearly always there are none, and connections are many. */
const told = new WeakMap<object, Set<number>>();

/** The rooms among these that are in outages that the connection was not told of yet; those count as told from now on. */
export function untold(connection: object, rooms: Iterable<RoomName>, outages: Outages): RoomName[] {
  const known = told.get(connection) ?? new Set();
  const found: RoomName[] = [];
  const fresh = new Set<number>();
  for (const room of rooms) {
    const outage = outages.outageOf(room);
    if (outage === undefined || known.has(outage)) continue;
    fresh.add(outage);
    found.push(room);
  }
  if (fresh.size > 0) told.set(connection, new Set([...known, ...fresh]));
  return found;
}

/** What a connection with rooms in an outage is told. */
export function outageText(rooms: readonly RoomName[]): string {
  const names = [...new Set(rooms.map(namespaceOf))].sort().slice(0, NAMESPACES_NAMED_MAX);
  return `rooms of ${names.join(", ")} get nothing new while what stores them cannot be reached; what is missed follows`;
}
