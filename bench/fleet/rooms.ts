/** Which rooms there are and which of them each connection subscribes to. */
export interface RoomPlan {
  /** All rooms there are. */
  readonly rooms: number;
  /** How many of them a connection takes: its slots. */
  readonly roomsEach: number;
  /** Whether everybody's first room is room 0, for broadcasts to all; the others are spread as without it. */
  readonly shared: boolean;
}

/** @throws RangeError where a connection would get a room twice. */
export function checkRooms({ rooms, roomsEach, shared }: RoomPlan): void {
  if (roomsEach < 1 || rooms < roomsEach)
    throw new RangeError(`${roomsEach} rooms each of ${rooms} (${shared ? "one" : "none"} shared by all)`);
}

/** The room in a slot of a connection: connection i takes rooms i, i+1, … of those that are spread. */
export function roomOf(plan: RoomPlan, index: number, slot: number): number {
  if (!plan.shared) return (index + slot) % plan.rooms;
  return slot === 0 ? 0 : 1 + ((index + slot - 1) % (plan.rooms - 1));
}

/** The slot that a room has with a connection, -1 where it has none. */
export function slotOf(plan: RoomPlan, index: number, room: number): number {
  if (plan.shared && room === 0) return 0;
  const first = plan.shared ? 1 : 0;
  const spread = plan.rooms - first;
  const slot = first + ((((room - first - index) % spread) + spread) % spread);
  return room < plan.rooms && slot < plan.roomsEach ? slot : -1;
}
