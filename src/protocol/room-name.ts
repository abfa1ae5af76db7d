import { CodedError } from "./errors.js";

/**
 * A room's name: 1 to 128 bytes of tokens joined by `.`; a token is one or more of `A-Z a-z 0-9 _ - :`.
 * Only {@link parseRoom} makes one, so whoever holds it need not check it again.
 */
export type RoomName = string & { readonly __brand: "RoomName" };

export const ROOM_BYTES_MAX = 128;

const ROOM_PATTERN = /^[A-Za-z0-9_:-]+(?:\.[A-Za-z0-9_:-]+)*$/;

/** Parses a room name at the edge. @throws CodedError `room_invalid`, saying what is allowed. */
export function parseRoom(raw: unknown): RoomName {
  if (typeof raw === "string" && raw.length <= ROOM_BYTES_MAX && ROOM_PATTERN.test(raw))
    return raw as RoomName;
  throw new CodedError(
    "room_invalid",
    `room ${describe(raw)} is not a room name: 1 to ${ROOM_BYTES_MAX} bytes of tokens joined by ".", each of A-Z a-z 0-9 _ - :`,
  );
}

/** The room's first token, on which its settings hang. */
export function namespaceOf(room: RoomName): string {
  const dot = room.indexOf(".");
  return dot < 0 ? room : room.slice(0, dot);
}

function describe(raw: unknown): string {
  if (typeof raw !== "string") return `of type ${raw === null ? "nil" : typeof raw}`;
  return JSON.stringify(raw.length > 40 ? `${raw.slice(0, 40)}…` : raw);
}
