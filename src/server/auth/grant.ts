import type { Right, Rights } from "../../core/access.js";
import { ROOM_BYTES_MAX, type RoomName } from "../../protocol/room-name.js";

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
const TOKEN = "[A-Za-z0-9_:-]+";
/** A place in a pattern: a token that may hold the subject, or any one token. */
const PLACE = String.raw`(?:\*|(?:[A-Za-z0-9_:-]|\{sub\})+)`;
const PATTERN = new RegExp(String.raw`^(?:>|${PLACE}(?:\.${PLACE})*(?:\.>)?)$`);
/** A subject that may stand in a room's name: one token, so that no subject reaches into another one's rooms. */
const SUBJECT = new RegExp(`^${TOKEN}$`);

/** Whether it is what {@link GRANT_TEXT} says. */
export function isGrant(raw: unknown): raw is readonly [string, string] {
  if (!Array.isArray(raw) || raw.length !== 2) return false;
  const [pattern, rights]: unknown[] = raw;
  return typeof pattern === "string" && typeof rights === "string" && isPattern(pattern) && isRights(rights);
}

export function isRights(text: string): boolean {
  return /^[sphm]+$/.test(text) && new Set(text).size === text.length;
}

function isPattern(text: string): boolean {
  return text.length <= ROOM_BYTES_MAX && PATTERN.test(text);
}

/** Rights as a few comparisons; compiled once, shared by all whose grants are the same. */
export class CompiledRights implements Rights {
  readonly #exact = new Map<string, number>();
  readonly #patterns: { readonly regexp: RegExp; readonly bits: number }[] = [];
  readonly #namespaceBits: (room: RoomName) => number;

  /**
   * @param sub What `{sub}` stands for. A pattern with it gives nothing where the subject is not one token.
   * @param namespaceBits What everybody may do in a room, as {@link bitsOf}.
   */
  constructor(grants: readonly Grant[], sub: string | undefined, namespaceBits: (room: RoomName) => number) {
    this.#namespaceBits = namespaceBits;
    for (const { pattern, rights } of grants) {
      const own = substitute(pattern, sub);
      if (own === undefined) continue;
      const bits = bitsOf(rights);
      if (!/[*>]/.test(own)) this.#exact.set(own, (this.#exact.get(own) ?? 0) | bits);
      else this.#patterns.push({ regexp: regexpOf(own), bits });
    }
  }

  allows(right: Right, room: RoomName): boolean {
    const wanted = BITS[right];
    if (((this.#exact.get(room) ?? 0) & wanted) !== 0) return true;
    for (const { regexp, bits } of this.#patterns)
      if ((bits & wanted) !== 0 && regexp.test(room)) return true;
    return (this.#namespaceBits(room) & wanted) !== 0;
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
  return grants.some(({ pattern }) => pattern.includes("{sub}"));
}

function substitute(pattern: string, sub: string | undefined): string | undefined {
  if (!pattern.includes("{sub}")) return pattern;
  return sub !== undefined && SUBJECT.test(sub) ? pattern.replaceAll("{sub}", sub) : undefined;
}

/** Each part is of the room grammar, so that nothing in it means anything in a regular expression; it cannot backtrack. */
function regexpOf(pattern: string): RegExp {
  const places = pattern.split(".").map((place) => {
    if (place === "*") return TOKEN;
    return place === ">" ? String.raw`${TOKEN}(?:\.${TOKEN})*` : place;
  });
  return new RegExp(`^${places.join(String.raw`\.`)}$`);
}
