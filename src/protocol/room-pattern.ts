import { CodedError } from "./errors.js";
import { ROOM_BYTES_MAX, type RoomName } from "./room-name.js";

/**
 * Which rooms are meant: tokens of a room's name, of which `*` stands for one token and a `>` at the end for one or more. A room's
 * name is the pattern of that room alone. Only {@link parsePattern} makes one; it has at most as many bytes as a room's name.
 */
export type RoomPattern = string & { readonly __brand: "RoomPattern" };

const PLACE = String.raw`(?:\*|[A-Za-z0-9_:-]+)`;
const PATTERN = new RegExp(String.raw`^(?:>|${PLACE}(?:\.${PLACE})*(?:\.>)?)$`);

const DOT = 0x2e;
const STAR = 0x2a;
const REST = 0x3e;

/** Parses a pattern at the edge. @throws CodedError `room_invalid`, saying what is allowed. */
export function parsePattern(raw: unknown): RoomPattern {
  if (isPattern(raw)) return raw;
  const shown = typeof raw === "string" ? JSON.stringify(raw.slice(0, 40)) : `of type ${typeof raw}`;
  throw new CodedError(
    "room_invalid",
    `${shown} is no pattern of rooms: 1 to ${ROOM_BYTES_MAX} bytes of tokens joined by ".", each of A-Z a-z 0-9 _ - : or * for any one token; > at the end stands for one or more`,
  );
}

export function isPattern(raw: unknown): raw is RoomPattern {
  return typeof raw === "string" && raw.length <= ROOM_BYTES_MAX && PATTERN.test(raw);
}

/** Whether a text that is to name a room names several: no room's name has these characters. */
export function hasWildcard(text: string): boolean {
  return text.includes("*") || text.includes(">");
}

/** Whether the pattern means this room. Without allocation: it runs once a message where patterns are few. */
export function matchesRoom(pattern: RoomPattern, room: RoomName): boolean {
  let p = 0;
  let r = 0;
  for (;;) {
    // Both at the begin of a token.
    const first = pattern.charCodeAt(p);
    if (first === REST) return true;
    if (first === STAR) {
      p += 1;
      while (r < room.length && room.charCodeAt(r) !== DOT) r += 1;
    } else {
      for (; p < pattern.length && pattern.charCodeAt(p) !== DOT; p += 1, r += 1)
        if (pattern.charCodeAt(p) !== room.charCodeAt(r)) return false;
    }
    if (p === pattern.length || r === room.length) return p === pattern.length && r === room.length;
    if (room.charCodeAt(r) !== DOT) return false;
    p += 1;
    r += 1;
  }
}

/** Whether every room that `inner` means is one that `outer` means, however long rooms' names might be. */
export function containsPattern(outer: RoomPattern, inner: RoomPattern): boolean {
  const outside = outer.split(".");
  const inside = inner.split(".");
  for (const [index, place] of outside.entries()) {
    const other = inside[index];
    if (other === undefined) return false;
    if (place === ">") return true;
    // What goes on without end lies in nothing that ends, nor in what asks for more tokens.
    if (other === ">") return false;
    if (place !== "*" && place !== other) return false;
  }
  return inside.length === outside.length;
}

/** Whether there is a room that both mean. */
export function patternsOverlap(one: RoomPattern, other: RoomPattern): boolean {
  const first = one.split(".");
  const second = other.split(".");
  for (let index = 0; ; index += 1) {
    const a = first[index];
    const b = second[index];
    if (a === undefined || b === undefined) return a === b;
    if (a === ">" || b === ">") return true;
    if (a !== b && a !== "*" && b !== "*") return false;
  }
}

/** The namespace of all rooms that it means; undefined: they are of several. */
export function namespaceOfPattern(pattern: RoomPattern): string | undefined {
  const dot = pattern.indexOf(".");
  const first = dot < 0 ? pattern : pattern.slice(0, dot);
  return hasWildcard(first) ? undefined : first;
}
