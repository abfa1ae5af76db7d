import { CodedError } from "../protocol/errors.js";
import type { ManyItem, Position, SubscribeOptions } from "../protocol/frames.js";
import type { RoomName } from "../protocol/room-name.js";
import { forbidden, type Guard, type Guest, type Right } from "./access.js";
import { AskedRooms } from "./asked-rooms.js";
import type { Counters } from "./counters.js";
import type { Broker, Outgoing } from "./ports.js";
import { type Opening, type Subscriptions, superseded } from "./subscriptions.js";

/** What of the engine is needed here. */
interface House {
  readonly broker: Broker;
  readonly guard: Guard;
  readonly counters: Counters;
}

/** A session that a hook may take its time for. */
export interface Visitor extends Guest {
  readonly isClosed: boolean;
}

/** No field of the session: most never have one, and each would be bigger for it. */
const ASKED = new WeakMap<Guest, AskedRooms>();

/** {@link Subscriptions.open} for those who may: rights first, so that nothing tells of a room that is forbidden. Never rejects. */
export function openGuarded(
  visitor: Visitor,
  subscriptions: Subscriptions,
  { guard, counters }: House,
  item: ManyItem,
  options: SubscribeOptions,
  nowMs: number,
): Opening | Promise<Opening> {
  const { room } = item;
  if (room instanceof CodedError) return room;
  /** Whoever is refused has no subscription, also where one was there before. */
  const refuse = (why: CodedError): CodedError => {
    subscriptions.close(room, nowMs);
    return why;
  };
  const forbids = (): CodedError | undefined => {
    const right = missingRight(visitor, room, options);
    if (right === undefined) return undefined;
    counters.forbidden += 1;
    return forbidden(right, room);
  };
  const refusal = forbids();
  if (refusal !== undefined) {
    forgetAsked(visitor, room);
    return refuse(refusal);
  }
  if (guard.subscribe === undefined) return subscriptions.open(item, options, nowMs);
  const asked = ASKED.get(visitor) ?? new AskedRooms();
  ASKED.set(visitor, asked);
  return asked.wait(room, guard.subscribe(visitor, room)).then((outcome) => {
    if (outcome === "superseded" || visitor.isClosed) return superseded(room);
    // The token may have been replaced meanwhile.
    const why = outcome === "agreed" ? forbids() : outcome;
    return why === undefined ? subscriptions.open(item, options, nowMs) : refuse(why);
  });
}

/** What waits for the guard to let it into this room is void. */
export function forgetAsked(visitor: Guest, room: RoomName): void {
  ASKED.get(visitor)?.forget(room);
}

/** {@link Broker.publish} of what the guard makes of it; its right was checked. */
export function publishGuarded(
  visitor: Visitor,
  { broker, guard }: House,
  outgoing: Outgoing,
): Promise<Position> {
  if (guard.publish === undefined) return broker.publish(outgoing);
  // The data is valid during this call only.
  return guard.publish(visitor, { ...outgoing, data: outgoing.data.slice() }).then((allowed) => {
    // A connection that was closed for its token meanwhile has no say any more.
    if (visitor.isClosed) throw new CodedError("unavailable", "the connection is closed");
    return broker.publish(allowed);
  });
}

function missingRight(
  { access: { rights } }: Guest,
  room: RoomName,
  options: SubscribeOptions,
): Right | undefined {
  if (!rights.allows("subscribe", room)) return "subscribe";
  return options.members === true && !rights.allows("members", room) ? "members" : undefined;
}
