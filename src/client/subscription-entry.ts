import type { Position, Rate, ResetReason } from "../protocol/frames.js";
import type { RoomName } from "../protocol/room-name.js";
import { hasWildcard, type RoomPattern } from "../protocol/room-pattern.js";
import type { SubscribeRequest } from "./effect.js";
import type { FanwireError } from "./errors.js";
import type { SubscriptionState } from "./state.js";

/** What is to be done about a room, or was. */
export type Phase =
  /** Goes out with the next flush. */
  | { readonly kind: "due" }
  /** Until the `ok`, frames of the room belong to an earlier subscription and are ignored: what counts of them comes again. */
  | { readonly kind: "asked"; readonly ref: number; readonly dueMs: number }
  | { readonly kind: "waiting"; readonly dueMs: number }
  | { readonly kind: "replaying" }
  | { readonly kind: "live" }
  | { readonly kind: "failed"; readonly error: FanwireError };

/** What is subscribed to: a room by its name, or those that a pattern means. */
export type Topic = RoomName | RoomPattern;

/** A room's name has no wildcard. */
export function isPatternTopic(topic: Topic): topic is RoomPattern {
  return hasWildcard(topic);
}

/** One room of a client, or the rooms of a pattern: those are live only, and are told of holes. */
export type Entry = EntryState &
  (
    | { readonly room: RoomName; readonly pattern: undefined }
    | { readonly room: RoomPattern; readonly pattern: RoomPattern }
  );

interface EntryState {
  readonly id: number;
  readonly request: SubscribeRequest;
  /** What the application wants; undefined: the namespace's class. */
  rate: Rate | undefined;
  phase: Phase;
  /** Ask with the request's own options: there is no position yet, or it is void. */
  fresh: boolean;
  epoch: string;
  offset: number;
  /** The server has taken it once, and not refused it since. */
  known: boolean;
  /** Continuity was lost and no message since has told so. */
  broken: ResetReason | undefined;
  /** Refusals in a row, and gaps in a row without a message between them. */
  refusals: number;
  gaps: number;
}

/** What the application sees of it. */
export function stateOf(phase: Phase): SubscriptionState {
  switch (phase.kind) {
    case "due":
    case "asked":
    case "waiting":
      return { kind: "subscribing" };
    case "replaying":
    case "live":
    case "failed":
      return phase;
  }
}

/** Undefined in an ephemeral room. */
export function positionOf(entry: Entry): Position | undefined {
  return entry.epoch === "" ? undefined : { epoch: entry.epoch, offset: entry.offset };
}

export function isAskedBy({ phase }: Entry, ref: number): boolean {
  return phase.kind === "asked" && phase.ref === ref;
}

/** Whether it is in another class while the page is hidden. */
export function slowsDown({ rate, request }: Entry): boolean {
  return request.slowHidden && typeof rate === "number";
}
