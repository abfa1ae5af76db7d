import { CodedError } from "../../protocol/errors.js";
import type { AskedRate, Position } from "../../protocol/frames.js";
import { parseRoom } from "../../protocol/room-name.js";
import { hasWildcard, isPattern } from "../../protocol/room-pattern.js";
import { parsePosition, TOKEN_PARAMETER } from "../http-query.js";

/** What a stream of events follows, by its request. */
export interface EventPlan {
  readonly rooms: readonly {
    readonly name: string;
    /** Undefined: nothing was seen of it yet. */
    readonly after: Position | undefined;
  }[];
  readonly options: {
    readonly last?: number;
    readonly state?: true;
    readonly rate?: AskedRate;
  };
}

/** More make the position that every event carries long. */
export const ROOMS_MAX = 100;

const ALLOWED = `room (1 to ${ROOMS_MAX} times), last, state, rate, lastEventId`;

/**
 * Parses `room=R&room=S`, `last=N`, `state=true`, `rate=HZ|slowest`, and where the stream goes on: the header Last-Event-ID, or
 * `lastEventId` of a client that cannot set it. Whether a room allows what is asked for its session decides.
 * @throws CodedError `bad_request` or `room_invalid`
 */
export function planOf(query: string, lastEventId: string): EventPlan {
  const parameters = new URLSearchParams(query);
  for (const name of new Set(parameters.keys()))
    if (!["room", "last", "state", "rate", "lastEventId", TOKEN_PARAMETER].includes(name))
      throw bad(`the query parameter ${JSON.stringify(name)} is unknown; allowed are ${ALLOWED}`);
  const names = parameters.getAll("room").map(nameOf);
  if (names.length === 0 || names.length > ROOMS_MAX || new Set(names).size < names.length)
    throw bad(`name 1 to ${ROOMS_MAX} rooms, each once: /v1/events?room=R&room=S`);
  const id = lastEventId === "" ? (parameters.get("lastEventId") ?? "") : lastEventId;
  const positions = id === "" ? [] : positionsOf(id, names.length);
  return {
    rooms: names.map((name, index) => ({ name, after: positions[index] })),
    options: optionsOf(parameters),
  };
}

function nameOf(raw: string): string {
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

function optionsOf(parameters: URLSearchParams): EventPlan["options"] {
  const [last, state, rate] = ["last", "state", "rate"].map((name) => parameters.get(name));
  if (typeof last === "string" && typeof state === "string") throw bad("at most one of last and state");
  if (typeof last === "string" && !/^\d{1,16}$/.test(last))
    throw bad(`last is ${JSON.stringify(last.slice(0, 80))}, not a number of messages`);
  if (typeof state === "string" && state !== "true" && state !== "")
    throw bad(`state is ${JSON.stringify(state.slice(0, 80))}, not true`);
  return {
    ...(typeof last === "string" ? { last: Number(last) } : {}),
    ...(typeof state === "string" ? { state: true } : {}),
    ...(typeof rate === "string" ? { rate: rateOf(rate) } : {}),
  };
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
