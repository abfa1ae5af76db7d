import type { ServerFrame } from "../protocol/frames.js";

/** Who is in a room, as far as the server tells. */
export interface Presence {
  /** How many are there: connections, or members where the room's namespace has them. */
  readonly count: number;
  /** Their data by id; undefined where the room only counts, or has too many members to list. */
  readonly members: ReadonlyMap<string, unknown> | undefined;
}

/** Who is in a room, and what has changed. */
export interface PresenceChange extends Presence {
  /** Ids of those who have come or whose data has changed; after a reconnect, of all: `members` is a new map then. */
  readonly joined: readonly string[];
  readonly left: readonly string[];
}

/** A part of the members of a room, in the order of their ids. */
export interface PresencePage extends Presence {
  /** More follow: ask again `after` the last id. */
  readonly more: boolean;
}

/** What is known of a room, and what of it was new. */
export interface Known extends PresenceChange {
  readonly members: Map<string, unknown> | undefined;
}

/** What is known after the frame. It changes the map that was known before. */
export function changeOf(
  before: Known | undefined,
  { count, joined, left, list }: Omit<Extract<ServerFrame, { type: "members" }>, "type" | "room">,
): Known {
  const entries = joined.map(entryOf);
  const members = list === false ? undefined : list ? new Map() : before?.members;
  for (const [id, info] of entries) members?.set(id, info);
  const gone = left.map(String);
  for (const id of gone) members?.delete(id);
  return { count, members, joined: entries.map(([id]) => id), left: gone };
}

/** The answer to a presence request; undefined where it is none. */
export function presencePageOf(raw: unknown): PresencePage | undefined {
  const { count, members, more }: { count?: unknown; members?: unknown; more?: unknown } = Object(raw);
  if (typeof count !== "number") return undefined;
  const map = Array.isArray(members) ? new Map(members.map(entryOf)) : undefined;
  return { count, members: map, more: more === true };
}

function entryOf(member: unknown): [string, unknown] {
  const [id, info]: unknown[] = Array.isArray(member) ? member : [member];
  return [String(id), info];
}
