import type { Outgoing } from "../core/ports.js";
import { CodedError, toCodedError } from "../protocol/errors.js";
import { parseKey } from "../protocol/parse-request.js";
import { parseRoom } from "../protocol/room-name.js";
import { readText, utf8Bytes } from "../protocol/text.js";
import { checkData, type DataLimits, dataFromJson, dataFromValue, parseJson } from "../protocol/transcode.js";
import { valueEnd } from "../protocol/value.js";
import type { BodyKind } from "./http-format.js";

export interface PublishLimits extends DataLimits {
  readonly keyBytes: number;
  readonly batchMessages: number;
}

/** One message of a batch, or why it cannot be published; the others are not affected. */
export type BatchItem = Outgoing | CodedError;

/** An id is remembered for minutes, a key for good: both need an end. */
const ID_BYTES_MAX = 128;

/** A body as one message's data: MessagePack is checked and passed on, JSON becomes MessagePack. @throws CodedError */
export function dataOfBody(kind: BodyKind, body: Uint8Array, limits: DataLimits): Uint8Array {
  return kind === "json" ? dataFromJson(body, limits) : checkData(body, limits);
}

/**
 * The `Fanwire-Key` header: UTF-8, percent-encoded as `encodeURIComponent` does it; `%` itself is `%25`. Other
 * characters than ASCII are refused, since they do not come through as they are: uWebSockets.js takes such bytes at
 * either end of a header for white space. @throws CodedError `bad_request`
 */
export function keyOfHeader(header: string | undefined, keyBytes: number): string | undefined {
  if (header === undefined) return undefined;
  if (!/^[\x20-\x7e]*$/.test(header))
    throw bad("the Fanwire-Key header is not ASCII: percent-encode it as UTF-8");
  let key: string;
  try {
    key = decodeURIComponent(header);
  } catch {
    throw bad("the Fanwire-Key header is not percent-encoded UTF-8 (% itself is %25)");
  }
  return parseKey(key, keyBytes);
}

/** An idempotency id from a header or a batch. @throws CodedError `bad_request` */
export function parseId(raw: unknown): string | undefined {
  if (raw === undefined || raw === null) return undefined;
  if (typeof raw !== "string") throw bad("the id is not a string");
  const length = utf8Bytes(raw).length;
  if (length === 0 || length > ID_BYTES_MAX)
    throw bad(`the id has ${length} bytes, 1 to ${ID_BYTES_MAX} are allowed`);
  return raw;
}

/**
 * A body as a batch `[{room, data, key?, id?}]`. What is wrong with one item stands in its place.
 * @throws CodedError where the body as a whole is no batch, or one of too many items.
 */
export function batchOfBody(kind: BodyKind, body: Uint8Array, limits: PublishLimits): BatchItem[] {
  return kind === "json" ? batchOfJson(body, limits) : batchOfMsgpack(body, limits);
}

function batchOfJson(body: Uint8Array, limits: PublishLimits): BatchItem[] {
  const value = parseJson(body);
  if (!Array.isArray(value)) throw notBatch();
  refuseCount(value.length, limits);
  return value.map((item: unknown) =>
    itemOf(() => {
      if (typeof item !== "object" || item === null || Array.isArray(item)) throw notItem();
      const fields = new Map<string, unknown>(Object.entries(item));
      const data = fields.has("data") ? dataFromValue(fields.get("data"), limits) : undefined;
      return outgoing(fields.get("room"), data, fields.get("key"), fields.get("id"), limits);
    }),
  );
}

/** Walks the outline only: each item's data is checked and passed on as the bytes it came as. */
function batchOfMsgpack(body: Uint8Array, limits: PublishLimits): BatchItem[] {
  if (endOf(body, 0) < body.length) throw bad("bytes follow the batch");
  const { kind, count, start } = containerAt(body, 0);
  if (kind !== "array") throw notBatch();
  refuseCount(count, limits);
  const items: BatchItem[] = [];
  let at = start;
  for (let i = 0; i < count; i++) {
    const end = endOf(body, at);
    const item = body.subarray(at, end);
    items.push(itemOf(() => itemOfMsgpack(item, limits)));
    at = end;
  }
  return items;
}

function itemOfMsgpack(item: Uint8Array, limits: PublishLimits): Outgoing {
  const { kind, count, start } = containerAt(item, 0);
  if (kind !== "map") throw notItem();
  const fields = new Map<string, Uint8Array>();
  let at = start;
  for (let i = 0; i < count; i++) {
    const name = textAt(item, at);
    const valueStart = endOf(item, at);
    at = endOf(item, valueStart);
    if (name !== undefined) fields.set(name, item.subarray(valueStart, at));
  }
  const text = (name: string) => {
    const bytes = fields.get(name);
    // nil and text as they are; everything else as something that is neither
    return bytes === undefined || bytes[0] === 0xc0 ? undefined : (textAt(bytes, 0) ?? false);
  };
  const data = fields.get("data");
  const checked = data === undefined ? undefined : checkData(data, limits);
  return outgoing(text("room"), checked, text("key"), text("id"), limits);
}

function outgoing(
  room: unknown,
  data: Uint8Array | undefined,
  key: unknown,
  id: unknown,
  limits: PublishLimits,
): Outgoing {
  const name = parseRoom(room);
  if (data === undefined) throw bad("data is missing: an item is {room, data, key?, id?}");
  return { room: name, data, key: parseKey(key, limits.keyBytes), id: parseId(id) };
}

function itemOf(parse: () => Outgoing): BatchItem {
  try {
    return parse();
  } catch (cause) {
    return toCodedError(cause);
  }
}

function refuseCount(count: number, { batchMessages }: PublishLimits): void {
  if (count > batchMessages)
    throw new CodedError(
      "too_large",
      `the batch has ${count} messages, at most ${batchMessages} are allowed`,
    );
}

interface Container {
  readonly kind: "array" | "map" | "other";
  readonly count: number;
  /** Where the first element or key starts. */
  readonly start: number;
}

/** The head of the value at `at`, of which there must be a whole one. */
function containerAt(bytes: Uint8Array, at: number): Container {
  const head = bytes[at] ?? 0xc0;
  if (head >= 0x80 && head < 0xa0)
    return { kind: head < 0x90 ? "map" : "array", count: head & 0x0f, start: at + 1 };
  if (head < 0xdc || head > 0xdf) return { kind: "other", count: 0, start: at };
  const width = head & 1 ? 4 : 2;
  let count = 0;
  for (let i = 1; i <= width; i++) count = count * 256 + (bytes[at + i] ?? 0);
  return { kind: head < 0xde ? "array" : "map", count, start: at + 1 + width };
}

function endOf(bytes: Uint8Array, at: number): number {
  try {
    return valueEnd(bytes, at);
  } catch {
    throw bad("the body is not one whole MessagePack value");
  }
}

function textAt(bytes: Uint8Array, at: number): string | undefined {
  try {
    return readText(bytes, at);
  } catch {
    throw bad("a string is not valid UTF-8");
  }
}

function notBatch(): CodedError {
  return bad("a batch is an array [{room, data, key?, id?}]");
}

function notItem(): CodedError {
  return bad("an item is a map {room, data, key?, id?}");
}

function bad(message: string): CodedError {
  return new CodedError("bad_request", message);
}
