import { CodedError, toCodedError } from "./errors.js";
import {
  type AskedRate,
  type ClientFrame,
  type ClientInput,
  CODE,
  type HistoryOptions,
  type ManyItem,
  type Position,
  type PresenceOptions,
  type SubscribeOptions,
} from "./frames.js";
import { parseRoom } from "./room-name.js";
import { hasWildcard, parsePattern } from "./room-pattern.js";
import { utf8Length } from "./text.js";
import type { DecodeLimits } from "./wire.js";

export const REF_MAX = 0xffffffff;
const EPOCH_BYTES_MAX = 64;

/** What `last` and `limit` may say at the most; how much a server gives at once is its own limit. */
const COUNT_MAX = 0xffffffff;

const LONE_SURROGATE = /\p{Surrogate}/u;

type ServerSide = ClientFrame<Uint8Array>;
type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/**
 * Makes a request of a value's elements: its code, its ref and what comes after them as JavaScript values, but for
 * a publish's data, which comes as MessagePack bytes (undefined: missing). Never throws: what is no request
 * becomes `invalid`, under its ref where that can be read.
 */
export function parseRequest(
  code: unknown,
  ref: unknown,
  args: readonly unknown[],
  limits: DecodeLimits,
): ClientInput {
  if (!isUint(ref, REF_MAX))
    return invalid(0, bad(`ref ${describe(ref)} is not an integer of 0 to ${REF_MAX}`));
  try {
    return requestOf(code, ref, args, limits);
  } catch (cause) {
    return invalid(ref, toCodedError(cause));
  }
}

/** A value that is no request, to be answered under `ref`. */
export function invalid(ref: number, error: CodedError): ClientInput {
  return { type: "invalid", ref, error };
}

function requestOf(code: unknown, ref: number, args: readonly unknown[], limits: DecodeLimits): ServerSide {
  switch (code) {
    case CODE.subscribe:
      return subscribe(ref, args);
    case CODE.unsubscribe:
      if (isWild(args[0])) return { type: "unsubscribePattern", ref, pattern: parsePattern(args[0]) };
      return { type: "unsubscribe", ref, room: parseRoom(args[0]) };
    case CODE.publish:
      return publish(ref, args, limits);
    case CODE.authenticate:
      if (typeof args[0] !== "string") throw bad(`the token is ${describe(args[0])}, not a string`);
      return { type: "authenticate", ref, token: args[0] };
    case CODE.history:
      return { type: "history", ref, room: parseRoom(args[0]), options: historyOptions(args[1]) };
    case CODE.presence:
      return { type: "presence", ref, room: parseRoom(args[0]), ...presenceOptions(args[1]) };
    case CODE.subscribeMany:
      return subscribeMany(ref, args, limits);
    case CODE.ping:
      return { type: "ping", ref };
    default:
      throw bad(`code ${describe(code)} is not one that a client may send: 1 to 8`);
  }
}

function subscribe(ref: number, args: readonly unknown[]): ServerSide {
  const [room, raw] = args;
  if (isWild(room))
    return {
      type: "subscribePattern",
      ref,
      pattern: parsePattern(room),
      options: parseSubscribeOptions(raw),
    };
  return { type: "subscribe", ref, room: parseRoom(room), options: parseSubscribeOptions(raw) };
}

/** Whether what is to be a room's name is meant as a pattern. */
function isWild(raw: unknown): boolean {
  return typeof raw === "string" && hasWildcard(raw);
}

function publish(ref: number, args: readonly unknown[], limits: DecodeLimits): ServerSide {
  const room = parseRoom(args[0]);
  const data = args[1];
  if (!(data instanceof Uint8Array)) throw bad("publish has no data: [3, ref, room, data, key?]");
  if (data.length > limits.dataBytes)
    throw new CodedError(
      "too_large",
      `data has ${data.length} bytes, at most ${limits.dataBytes} are allowed`,
    );
  return { type: "publish", ref, room, data, key: parseKey(args[2], limits.keyBytes) };
}

/** Parses a message's key; nil is none. @throws CodedError `bad_request` unless it is text of 1 to `keyBytes` UTF-8 bytes. */
export function parseKey(raw: unknown, keyBytes: number): string | undefined {
  if (raw === undefined || raw === null) return undefined;
  if (typeof raw !== "string") throw bad(`the key is ${describe(raw)}, not a string`);
  if (LONE_SURROGATE.test(raw)) throw bad("the key is not valid Unicode");
  const length = utf8Length(raw);
  if (length === 0 || length > keyBytes)
    throw bad(`the key has ${length} bytes, 1 to ${keyBytes} are allowed`);
  return raw;
}

/** Parses the options of a subscribe. @throws CodedError `bad_request` */
export function parseSubscribeOptions(raw: unknown): SubscribeOptions {
  const given = mapOf(raw);
  const options: Mutable<SubscribeOptions> = {};
  const after = optional(given.after, positionOf);
  const last = optional(given.last, (value) => uintOf("last", value, 0));
  const state = optional(given.state, (value) => booleanOf("state", value));
  const rate = optional(given.rate, rateOf);
  const echo = optional(given.echo, (value) => booleanOf("echo", value));
  const members = optional(given.members, (value) => booleanOf("members", value));
  if (Number(after !== undefined) + Number(last !== undefined) + Number(state === true) > 1)
    throw bad("at most one of the options after, last and state may be given");
  if (after !== undefined) options.after = after;
  if (last !== undefined) options.last = last;
  if (state !== undefined) options.state = state;
  if (rate !== undefined) options.rate = rate;
  if (echo !== undefined) options.echo = echo;
  if (members !== undefined) options.members = members;
  if (given.info !== undefined && given.info !== null) options.info = given.info;
  return options;
}

function presenceOptions(raw: unknown): { readonly options?: PresenceOptions } {
  if (raw === undefined || raw === null) return {};
  const given = mapOf(raw);
  const options: Mutable<PresenceOptions> = {};
  const after = optional(given.after, textOf);
  const limit = optional(given.limit, (value) => uintOf("limit", value, 1));
  if (after !== undefined) options.after = after;
  if (limit !== undefined) options.limit = limit;
  return { options };
}

function historyOptions(raw: unknown): HistoryOptions {
  const given = mapOf(raw);
  const options: Mutable<HistoryOptions> = {};
  const after = optional(given.after, positionOf);
  const limit = optional(given.limit, (value) => uintOf("limit", value, 1));
  if (after !== undefined) options.after = after;
  if (limit !== undefined) options.limit = limit;
  return options;
}

function subscribeMany(ref: number, args: readonly unknown[], { values }: DecodeLimits): ServerSide {
  const [items, raw] = args;
  if (!Array.isArray(items)) throw bad("subscribe many takes an array of [room, after?]");
  // Before any of them is looked at: each that is wrong would cost an error of its own.
  if (items.length > values)
    throw new CodedError("too_large", `${items.length} rooms in one frame, at most ${values} are allowed`);
  const options = parseSubscribeOptions(raw);
  if (options.after !== undefined)
    throw bad("in subscribe many a position belongs to its room: [room, after]");
  return { type: "subscribeMany", ref, rooms: items.map(manyItem), options };
}

// What is wrong with one room fails alone, in its place.
function manyItem(item: unknown): ManyItem {
  try {
    if (!Array.isArray(item)) throw bad(`an item is ${describe(item)}, not [room, after?]`);
    if (isWild(item[0])) throw bad("a pattern of rooms takes a subscribe of its own: [1, ref, pattern]");
    return { room: parseRoom(item[0]), after: optional(item[1], positionOf) };
  } catch (cause) {
    return { room: toCodedError(cause), after: undefined };
  }
}

/** Parses `[epoch, offset]`. @throws CodedError `bad_request` */
export function positionOf(raw: unknown): Position {
  if (Array.isArray(raw)) {
    const [epoch, offset]: unknown[] = raw;
    if (
      typeof epoch === "string" &&
      utf8Length(epoch) <= EPOCH_BYTES_MAX &&
      isUint(offset, Number.MAX_SAFE_INTEGER)
    )
      return { epoch, offset };
  }
  throw bad(
    `a position is [epoch, offset]: text of at most ${EPOCH_BYTES_MAX} bytes and an integer of 0 to 2^53 - 1`,
  );
}

function rateOf(raw: unknown): AskedRate {
  if (raw === "all" || raw === "slowest") return raw;
  if (typeof raw === "number" && raw > 0 && Number.isFinite(raw)) return raw;
  throw bad(`rate ${describe(raw)} is neither a number above 0 nor "all" nor "slowest"`);
}

function textOf(raw: unknown): string {
  if (typeof raw === "string") return raw;
  throw bad(`after is ${describe(raw)}, not a string`);
}

function uintOf(name: string, raw: unknown, min: number): number {
  if (isUint(raw, COUNT_MAX) && raw >= min) return raw;
  throw bad(`${name} ${describe(raw)} is not an integer of ${min} to ${COUNT_MAX}`);
}

function booleanOf(name: string, raw: unknown): boolean {
  if (typeof raw === "boolean") return raw;
  throw bad(`${name} is ${describe(raw)}, not true or false`);
}

function optional<T>(raw: unknown, parse: (raw: unknown) => T): T | undefined {
  return raw === undefined || raw === null ? undefined : parse(raw);
}

function mapOf(raw: unknown): { readonly [name: string]: unknown } {
  if (raw === undefined || raw === null) return {};
  if (isMap(raw)) return raw;
  throw bad(`the options are ${describe(raw)}, not a map`);
}

function isMap(raw: unknown): raw is { readonly [name: string]: unknown } {
  const prototype: unknown = typeof raw === "object" && raw !== null && Object.getPrototypeOf(raw);
  return prototype === Object.prototype;
}

function isUint(raw: unknown, max: number): raw is number {
  return typeof raw === "number" && Number.isInteger(raw) && raw >= 0 && raw <= max;
}

function bad(text: string): CodedError {
  return new CodedError("bad_request", text);
}

function describe(raw: unknown): string {
  if (raw === undefined) return "missing";
  if (raw === null) return "nil";
  if (typeof raw === "number" || typeof raw === "boolean") return String(raw);
  if (Array.isArray(raw)) return "an array";
  return typeof raw === "string" ? "a string" : "a map, bytes or an extension value";
}
