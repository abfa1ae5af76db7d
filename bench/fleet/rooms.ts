/** Which rooms there are and which of them each connection subscribes to. */
export interface RoomPlan {
  /** All rooms there are. */
  readonly rooms: number;
  /** How many of them a connection takes: its slots. */
  readonly roomsEach: number;
  /** Whether everybody's first room is room 0, for broadcasts to all; the others are spread as without it. */
  readonly shared: boolean;
  /** Number of the first room, so that crowds of one engine have rooms of their own. Default: 0. */
  readonly firstRoom?: number;
}

/** @throws RangeError where a connection would get a room twice. */
export function checkRooms({ rooms, roomsEach, shared }: RoomPlan): void {
  if (roomsEach < 1 || rooms < roomsEach)
    throw new RangeError(`${roomsEach} rooms each of ${rooms} (${shared ? "one" : "none"} shared by all)`);
}

/** The room in a slot of a connection: connection i takes rooms i, i+1, … of those that are spread. */
export function roomOf(plan: RoomPlan, index: number, slot: number): number {
  const { shared, rooms, firstRoom = 0 } = plan;
  if (!shared) return firstRoom + ((index + slot) % rooms);
  return firstRoom + (slot === 0 ? 0 : 1 + ((index + slot - 1) % (rooms - 1)));
}

/** The slot that a room has with a connection, -1 where it has none. */
export function slotOf(plan: RoomPlan, index: number, room: number): number {
  const own = room - (plan.firstRoom ?? 0);
  if (plan.shared && own === 0) return 0;
  const first = plan.shared ? 1 : 0;
  const spread = plan.rooms - first;
  const slot = first + ((((own - first - index) % spread) + spread) % spread);
  return own >= 0 && own < plan.rooms && slot < plan.roomsEach ? slot : -1;
}
