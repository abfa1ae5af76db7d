import { CodedError, ERROR_STATUS, type ErrorCode } from "./errors.js";
import { CODE, type Rate, type ResetReason, type ServerFrame } from "./frames.js";
import { parseRoom } from "./room-name.js";
import { hasWildcard, isPattern } from "./room-pattern.js";

/**
 * Makes a frame of a value's elements; undefined where the code is none that a server sends.
 * @throws CodedError `bad_request` (or `room_invalid`) where a known frame's elements are not what they must be.
 */
export function parseServerFrame(elements: readonly unknown[]): ServerFrame | undefined {
  const [code, first, second, third, fourth, fifth, sixth] = elements;
  switch (code) {
    case CODE.welcome:
      return welcome(first);
    case CODE.ok:
      return { type: "ok", ref: uint(first), result: second };
    case CODE.error:
      return error(elements);
    case CODE.message:
      if (fifth === undefined) throw broken("data", fifth);
      return {
        type: "message",
        room: parseRoom(first),
        offset: uint(second),
        prev: uint(third),
        time: uint(fourth),
        data: fifth,
        key: isNil(sixth) ? undefined : text(sixth),
      };
    case CODE.live:
      return { type: "live", room: parseRoom(first), offset: uint(second) };
    case CODE.lagged:
      return { type: "lagged" };
    case CODE.reset:
      // Every room's name is a pattern too, of itself.
      if (isPattern(first) && hasWildcard(first))
        return { type: "patternReset", pattern: first, reason: resetReason(text(fourth)) };
      return {
        type: "reset",
        room: parseRoom(first),
        epoch: text(second),
        offset: uint(third),
        reason: resetReason(text(fourth)),
      };
    case CODE.members:
      return {
        type: "members",
        room: parseRoom(first),
        count: uint(second),
        joined: list(third),
        left: list(fourth),
        ...(typeof fifth === "boolean" && { list: fifth }),
      };
    case CODE.rate:
      return { type: "rate", room: parseRoom(first), rate: rate(second) };
    case CODE.goaway:
      return { type: "goaway", reason: text(first), delayMs: uint(second) };
    default:
      return undefined;
  }
}

function error([, ref, code, why, retry, room]: readonly unknown[]): ServerFrame {
  const told = {
    code: errorCode(text(code)),
    text: text(why),
    retryMs: isNil(retry) ? undefined : uint(retry),
  };
  if (isPattern(room) && hasWildcard(room)) return { type: "patternEnded", pattern: room, ...told };
  return { type: "error", ref: uint(ref), ...told, ...(isNil(room) ? {} : { room: parseRoom(room) }) };
}

function welcome(raw: unknown): ServerFrame {
  if (typeof raw !== "object" || raw === null) throw broken("a map", raw);
  const { session, node, pingMs, maxBytes }: { readonly [name: string]: unknown } = { ...raw };
  return {
    type: "welcome",
    session: text(session),
    node: text(node),
    pingMs: uint(pingMs),
    maxBytes: uint(maxBytes),
  };
}

// A code of a later version says nothing to this one but that the request failed.
function errorCode(raw: string): ErrorCode {
  return isErrorCode(raw) ? raw : "internal";
}

function isErrorCode(raw: string): raw is ErrorCode {
  return Object.hasOwn(ERROR_STATUS, raw);
}

// The strongest of them for a reason of a later version: nothing that was known holds any more.
function resetReason(raw: string): ResetReason {
  return raw === "expired" || raw === "purged" ? raw : "epoch";
}

function uint(raw: unknown): number {
  if (typeof raw === "number" && Number.isSafeInteger(raw) && raw >= 0) return raw;
  throw broken("an integer of 0 to 2^53 - 1", raw);
}

function rate(raw: unknown): Rate {
  if (raw === "all" || (typeof raw === "number" && raw > 0)) return raw;
  throw broken('a number above 0 or "all"', raw);
}

function text(raw: unknown): string {
  if (typeof raw === "string") return raw;
  throw broken("a string", raw);
}

function list(raw: unknown): readonly unknown[] {
  if (Array.isArray(raw)) return raw;
  throw broken("an array", raw);
}

function isNil(raw: unknown): raw is undefined | null {
  return raw === undefined || raw === null;
}

function broken(expected: string, raw: unknown): CodedError {
  return new CodedError("bad_request", `the server sent ${typeof raw} where ${expected} belongs`);
}
