import { CodedError } from "../protocol/errors.js";
import type { Position, PresenceOptions } from "../protocol/frames.js";
import { positionOf } from "../protocol/parse-request.js";
import { parseRoom } from "../protocol/room-name.js";

/** Says who asks, not what for. */
export const TOKEN_PARAMETER = "token";

/** What a request for messages may ask for. */
export interface PageQuery {
  readonly after: Position | undefined;
  readonly last: number | undefined;
  /** Above what the server allows it counts as that. */
  readonly limit: number;
}

/**
 * Parses `after=EPOCH:OFFSET`, `last=N` and `limit=N`. Other names are refused, so that a misspelt one is noticed.
 * @throws CodedError `bad_request`
 */
export function parsePageQuery(
  query: string,
  allowed: readonly (keyof PageQuery)[],
  limitMax: number,
): PageQuery {
  const given = parametersOf(query, allowed);
  const last = given.get("last");
  if (last !== undefined && (given.has("after") || given.has("limit")))
    throw bad("last goes neither with after nor with limit");
  const after = given.get("after");
  return {
    after: after === undefined ? undefined : parsePosition(after),
    last: last === undefined ? undefined : lastOf(last, limitMax),
    limit: Math.min(limitOf(given.get("limit") ?? String(limitMax)), limitMax),
  };
}

/** Parses `after=ID` and `limit=N`. @throws CodedError `bad_request` */
export function parsePresenceQuery(query: string): PresenceOptions {
  const given = parametersOf(query, ["after", "limit"]);
  const after = given.get("after");
  const limit = given.get("limit");
  return {
    ...(after === undefined ? {} : { after }),
    ...(limit === undefined ? {} : { limit: limitOf(limit) }),
  };
}

/** Which rooms are asked for. */
export interface RoomsQuery {
  /** "": all. */
  readonly prefix: string;
  /** Only those that come after it; "": all. */
  readonly after: string;
  /** At most {@link LISTED_ROOMS_MAX}. */
  readonly limit: number;
}

/** Rooms in one answer: at most some 90 KB. */
export const LISTED_ROOMS_MAX = 500;

/** Parses `prefix=TEXT`, `after=ROOM` and `limit=N`, none of which has to be given. @throws CodedError `bad_request` */
export function parseRoomsQuery(query: string): RoomsQuery {
  const given = parametersOf(query, ["prefix", "after", "limit"]);
  const prefix = given.get("prefix") ?? "";
  const after = given.get("after") ?? "";
  if (prefix !== "" && !isRoom(prefix.endsWith(".") ? `${prefix}a` : prefix))
    throw bad(`prefix is ${JSON.stringify(prefix.slice(0, 80))}, with which no room's name begins`);
  if (given.has("after") && !(isRoom(after) && after.startsWith(prefix)))
    throw bad(`after is ${JSON.stringify(after.slice(0, 80))}, not the name of a room with this prefix`);
  const limit = limitOf(given.get("limit") ?? String(LISTED_ROOMS_MAX));
  return { prefix, after, limit: Math.min(limit, LISTED_ROOMS_MAX) };
}

function isRoom(text: string): boolean {
  try {
    parseRoom(text);
    return true;
  } catch (cause) {
    if (cause instanceof CodedError) return false;
    throw cause;
  }
}

function parametersOf(query: string, allowed: readonly string[]): ReadonlyMap<string, string> {
  const given = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(query)) {
    if (name === TOKEN_PARAMETER) continue;
    if (!allowed.includes(name))
      throw bad(`the query parameter ${JSON.stringify(name)} is unknown; allowed are ${allowed.join(", ")}`);
    if (given.has(name)) throw bad(`the query parameter ${name} is given twice`);
    given.set(name, value);
  }
  return given;
}

/** Parses `EPOCH:OFFSET`. @throws CodedError `bad_request` */
export function parsePosition(text: string): Position {
  const colon = text.lastIndexOf(":");
  const offset = text.slice(colon + 1);
  if (colon < 0 || !/^\d{1,16}$/.test(offset))
    throw bad(`a position is EPOCH:OFFSET, such as "x7f3:42", not ${JSON.stringify(text.slice(0, 80))}`);
  return positionOf([text.slice(0, colon), Number(offset)]);
}

/** Refused above the maximum, as on a socket: the page's `more` would not tell that some are left out before it. */
function lastOf(text: string, max: number): number {
  if (!/^\d{1,16}$/.test(text) || Number(text) > max) throw bad(notCount("last", text, `of 0 to ${max}`));
  return Number(text);
}

function limitOf(text: string): number {
  if (!/^[1-9]\d{0,15}$/.test(text)) throw bad(notCount("limit", text, "above 0, of at most 16 digits"));
  return Number(text);
}

function notCount(name: string, text: string, allowed: string): string {
  return `${name} is ${JSON.stringify(text.slice(0, 80))}, not an integer ${allowed}`;
}

function bad(message: string): CodedError {
  return new CodedError("bad_request", message);
}
