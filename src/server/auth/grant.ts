import type { Right, Rights } from "../../core/access.js";
import { parseRoom, ROOM_BYTES_MAX, type RoomName } from "../../protocol/room-name.js";
import {
  containsPattern,
  hasWildcard,
  isPattern,
  matchesRoom,
  namespaceOfPattern,
  type RoomPattern,
} from "../../protocol/room-pattern.js";

/** What a token or a configuration gives: a pattern of rooms, and rights as letters of `s`, `p`, `h` and `m`. */
export interface Grant {
  readonly pattern: string;
  readonly rights: string;
}

/** Every right everywhere. */
export const EVERYTHING: readonly Grant[] = Object.freeze([Object.freeze({ pattern: ">", rights: "sphm" })]);

/** Of one token or one key. */
export const GRANTS_MAX = 256;

export const GRANT_TEXT =
  '[pattern, rights] such as ["chat.*","sp"]: in a pattern * is one token, > at the end one or more, {sub} the token\'s ' +
  "subject; rights are letters of s subscribe, p publish, h history, m members";

const BITS: Readonly<Record<Right, number>> = { subscribe: 1, publish: 2, history: 4, members: 8 };
const LETTERS: Readonly<Record<string, number>> = { s: 1, p: 2, h: 4, m: 8 };
const SUB = "{sub}";
/** A subject that may stand in a room's name: one token, so that no subject reaches into another one's rooms. */
const SUBJECT = /^[A-Za-z0-9_:-]+$/;

/** Whether it is what {@link GRANT_TEXT} says. */
export function isGrant(raw: unknown): raw is readonly [string, string] {
  if (!Array.isArray(raw) || raw.length !== 2) return false;
  const [pattern, rights]: unknown[] = raw;
  return typeof pattern === "string" && typeof rights === "string" && isTemplate(pattern) && isRights(rights);
}

export function isRights(text: string): boolean {
  return /^[sphm]+$/.test(text) && new Set(text).size === text.length;
}

/** A pattern in whose tokens the subject may stand. */
function isTemplate(text: string): boolean {
  return text.length <= ROOM_BYTES_MAX && isPattern(text.replaceAll(SUB, "x"));
}

/** Rights as a few comparisons; compiled once, shared by all whose grants are the same. */
export class CompiledRights implements Rights {
  readonly #exact = new Map<string, number>();
  readonly #patterns: { readonly pattern: RoomPattern; readonly bits: number }[] = [];
  readonly #namespaceBits: (room: RoomName) => number;

  /**
   * @param sub What `{sub}` stands for. A pattern with it gives nothing where the subject is not one token.
   * @param namespaceBits What everybody may do in a room, as {@link bitsOf}; the same for all rooms of a namespace.
   */
  constructor(grants: readonly Grant[], sub: string | undefined, namespaceBits: (room: RoomName) => number) {
    this.#namespaceBits = namespaceBits;
    for (const { pattern, rights } of grants) {
      const own = substitute(pattern, sub);
      if (own === undefined) continue;
      const bits = bitsOf(rights);
      if (!hasWildcard(own)) this.#exact.set(own, (this.#exact.get(own) ?? 0) | bits);
      else this.#patterns.push({ pattern: own, bits });
    }
  }

  allows(right: Right, room: RoomName): boolean {
    const wanted = BITS[right];
    if (((this.#exact.get(room) ?? 0) & wanted) !== 0) return true;
    for (const { pattern, bits } of this.#patterns)
      if ((bits & wanted) !== 0 && matchesRoom(pattern, room)) return true;
    return (this.#namespaceBits(room) & wanted) !== 0;
  }

  allowsPattern(right: Right, wanted: RoomPattern): boolean {
    const bit = BITS[right];
    if (((this.#exact.get(wanted) ?? 0) & bit) !== 0) return true;
    for (const { pattern, bits } of this.#patterns)
      if ((bits & bit) !== 0 && containsPattern(pattern, wanted)) return true;
    const namespace = namespaceOfPattern(wanted);
    return namespace !== undefined && (this.#namespaceBits(parseRoom(namespace)) & bit) !== 0;
  }
}

/** Rights in letters as bits. */
export function bitsOf(rights: string): number {
  let bits = 0;
  for (const letter of rights) bits |= LETTERS[letter] ?? 0;
  return bits;
}

/** Whether grants mean something else for each subject. */
export function namesSubject(grants: readonly Grant[]): boolean {
  return grants.some(({ pattern }) => pattern.includes(SUB));
}

/** Undefined where there is no such pattern: nothing is given then. */
function substitute(template: string, sub: string | undefined): RoomPattern | undefined {
  if (template.includes(SUB) && (sub === undefined || !SUBJECT.test(sub))) return undefined;
  const pattern = template.replaceAll(SUB, sub ?? "");
  return isPattern(pattern) ? pattern : undefined;
}
