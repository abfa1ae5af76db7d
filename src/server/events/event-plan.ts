import { CodedError } from "../../protocol/errors.js";
import type { AskedRate, Position, SubscribeOptions } from "../../protocol/frames.js";
import { parseSubscribeOptions } from "../../protocol/parse-request.js";
import { parseRoom } from "../../protocol/room-name.js";
import { hasWildcard, isPattern } from "../../protocol/room-pattern.js";
import { parseJson } from "../../protocol/transcode.js";
import { parsePosition, TOKEN_PARAMETER } from "../http-query.js";

/** One room of a stream of events. */
export interface PlannedRoom {
  readonly name: string;
  /** Undefined: nothing was seen of it yet. */
  readonly after: Position | undefined;
  readonly options: Omit<SubscribeOptions, "after">;
}

/** What a stream of events follows, by its request. */
export type EventPlan = readonly PlannedRoom[];

/** More make the position that every event carries long. */
export const ROOMS_MAX = 100;

const PARAMETERS = ["room", "last", "state", "rate", "members"] as const;
const ALLOWED = `room (1 to ${ROOMS_MAX} times), last, state, rate, members, or subscribe; lastEventId`;
const SUBSCRIBE_FORM = 'subscribe is JSON, [["ROOM", {options}], …]';
const ROOM_OPTIONS: readonly string[] = ["after", "last", "state", "rate", "members", "info"];

/**
 * Parses `room=R&room=S` with `last=N`, `state=true`, `rate=HZ|slowest`, `members=true` for all of them, or `subscribe=[["R", {options}], …]`
 * with options a room; and where the stream goes on: the header Last-Event-ID, or `lastEventId` of a client that cannot set it. Whether
 * a room allows what is asked for its session decides.
 * @throws CodedError `bad_request` or `room_invalid`
 */
export function planOf(query: string, lastEventId: string): EventPlan {
  const parameters = new URLSearchParams(query);
  for (const name of new Set(parameters.keys()))
    if (![...PARAMETERS, "subscribe", "lastEventId", TOKEN_PARAMETER].includes(name))
      throw bad(`the query parameter ${JSON.stringify(name)} is unknown; allowed are ${ALLOWED}`);
  const rooms = parameters.has("subscribe") ? roomsOfJson(parameters) : roomsOfNames(parameters);
  if (
    rooms.length === 0 ||
    rooms.length > ROOMS_MAX ||
    new Set(rooms.map(({ name }) => name)).size < rooms.length
  )
    throw bad(`name 1 to ${ROOMS_MAX} rooms, each once: /v1/events?room=R&room=S`);
  const id = lastEventId === "" ? (parameters.get("lastEventId") ?? "") : lastEventId;
  const positions = id === "" ? [] : positionsOf(id, rooms.length);
  return rooms.map((room, index) => ({ ...room, after: positions[index] ?? room.after }));
}

function roomsOfNames(parameters: URLSearchParams): PlannedRoom[] {
  const names = parameters.getAll("room").map(nameOf);
  const options = optionsOf(parameters);
  return names.map((name) => ({ name, after: undefined, options }));
}

function roomsOfJson(parameters: URLSearchParams): PlannedRoom[] {
  const beside = PARAMETERS.find((name) => parameters.has(name));
  if (beside !== undefined) throw bad(`${beside} goes not with subscribe, which has options a room`);
  const texts = parameters.getAll("subscribe");
  if (texts.length > 1) throw bad("the query parameter subscribe is given twice");
  const items = parseJson(texts[0] ?? "");
  if (!Array.isArray(items)) throw bad(SUBSCRIBE_FORM);
  // Before any of them is looked at.
  if (items.length > ROOMS_MAX)
    throw bad(`subscribe has ${items.length} rooms, at most ${ROOMS_MAX} are allowed`);
  return items.map(roomOfItem);
}

function roomOfItem(item: unknown): PlannedRoom {
  if (!Array.isArray(item) || item.length > 2) throw bad(SUBSCRIBE_FORM);
  const [room, given]: unknown[] = item;
  const name = nameOf(room);
  const { after, ...options } = parseSubscribeOptions(given);
  const unknown = Object.keys(given ?? {}).find((option) => !ROOM_OPTIONS.includes(option));
  if (unknown !== undefined)
    throw bad(`${name} has the option ${JSON.stringify(unknown)}; allowed are ${ROOM_OPTIONS.join(", ")}`);
  return { name, after, options };
}

function nameOf(raw: unknown): string {
  if (isPattern(raw) && hasWildcard(raw))
    throw bad(
      `room=${raw}: a pattern has no position that a stream of events could resume from; name rooms, or subscribe over WebSocket`,
    );
  return parseRoom(raw);
}

/** What `id:` of an event holds: the position in each room, in the order of the request. */
export function idOf(positions: readonly (Position | undefined)[]): string {
  return positions
    .map((position) =>
      position === undefined || position.epoch === ""
        ? ""
        : `${encodeURIComponent(position.epoch)}:${position.offset}`,
    )
    .join(",");
}

function positionsOf(id: string, rooms: number): (Position | undefined)[] {
  const parts = id.split(",");
  if (parts.length !== rooms)
    throw bad(
      `Last-Event-ID has positions of ${parts.length} rooms, the request names ${rooms}: it is of another stream`,
    );
  return parts.map((part) => (part === "" ? undefined : parsePosition(decoded(part))));
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw bad(`Last-Event-ID is none of ours: ${JSON.stringify(text.slice(0, 80))}`);
  }
}

function optionsOf(parameters: URLSearchParams): PlannedRoom["options"] {
  const [last, state, rate, members] = ["last", "state", "rate", "members"].map((name) =>
    parameters.get(name),
  );
  if (typeof last === "string" && typeof state === "string") throw bad("at most one of last and state");
  if (typeof last === "string" && !/^\d{1,16}$/.test(last))
    throw bad(`last is ${JSON.stringify(last.slice(0, 80))}, not a number of messages`);
  return {
    ...(typeof last === "string" ? { last: Number(last) } : {}),
    ...(isAsked("state", state) ? { state: true } : {}),
    ...(typeof rate === "string" ? { rate: rateOf(rate) } : {}),
    ...(isAsked("members", members) ? { members: true } : {}),
  };
}

function isAsked(name: string, text: string | null | undefined): boolean {
  if (typeof text === "string" && text !== "true" && text !== "")
    throw bad(`${name} is ${JSON.stringify(text.slice(0, 80))}, not true`);
  return typeof text === "string";
}

function rateOf(text: string): AskedRate {
  if (text === "all" || text === "slowest") return text;
  const rate = Number(text);
  if (text !== "" && rate > 0 && rate < Number.POSITIVE_INFINITY) return rate;
  throw bad(
    `rate is ${JSON.stringify(text.slice(0, 80))}, not messages a second above 0, "all" or "slowest"`,
  );
}

function bad(text: string): CodedError {
  return new CodedError("bad_request", text);
}
