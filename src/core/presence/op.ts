import type { RoomName } from "../../protocol/room-name.js";

/** What is known of somebody in a room besides the name. */
export interface Member {
  /** What its client set, as one MessagePack value; undefined: nothing. */
  readonly info: Uint8Array | undefined;
}

/** Of members without data there are many. */
export const BARE_MEMBER: Member = Object.freeze({ info: undefined });

/**
 * What one process tells another of who is in a room. Each says how it is, not what has changed, so that saying it twice does no
 * harm. For one room they are taken in the order in which they were said.
 */
export type PresenceOp =
  /** So many are there, and who is not told: what was known of them is void. 0: nobody. */
  | { readonly kind: "count"; readonly room: RoomName; readonly count: number }
  /** All members follow, by `join`: what was known before is void. */
  | { readonly kind: "list"; readonly room: RoomName }
  /** This one is there, with this data. */
  | { readonly kind: "join"; readonly room: RoomName; readonly id: string; readonly member: Member }
  | { readonly kind: "leave"; readonly room: RoomName; readonly id: string };

/** What a worker says to its hub: of those that are here, and which rooms it wants to know all about. */
export type PresenceWord =
  | PresenceOp
  /** From here on it is told of this room, beginning with all that is known. */
  | { readonly kind: "watch"; readonly room: RoomName }
  | { readonly kind: "unwatch"; readonly room: RoomName };

/** Who is in a room, as far as it is known. */
export type View =
  | { readonly kind: "count"; readonly count: number }
  | { readonly kind: "list"; readonly members: ReadonlyMap<string, Member> };

export const NOBODY: View = Object.freeze({ kind: "count", count: 0 });

/** Where rooms are looked up. */
export interface Views {
  /** Undefined: nobody is there. */
  view(room: RoomName): View | undefined;
}

/** Above either, a room only counts: what is told of it must fit into a socket's buffer. */
export interface ListLimits {
  readonly members: number;
  /** Of names and data, together. */
  readonly bytes: number;
}

/** How many are there. */
export function sizeOf(view: View): number {
  return view.kind === "count" ? view.count : view.members.size;
}

/** What a member takes of {@link ListLimits.bytes}. */
export function memberBytes(id: string, { info }: Member): number {
  return id.length + (info?.length ?? 0);
}
