import { CodedError, toCodedError } from "./errors.js";
import { parseKey } from "./parse-request.js";
import { parseRoom, type RoomName } from "./room-name.js";
import { readText, utf8Length } from "./text.js";
import { checkData, type DataLimits, dataFromValue, parseJson } from "./transcode.js";
import { valueEnd } from "./value.js";

/** UTF-8 bytes of an idempotency id. */
const ID_BYTES_MAX = 256;

/** One message of a batch. */
export interface BatchItem {
  readonly room: RoomName;
  /** Checked MessagePack: a view into the body where that is MessagePack. */
  readonly data: Uint8Array;
  readonly key: string | undefined;
  readonly id: string | undefined;
}

export interface BatchLimits extends DataLimits {
  /** Items in one batch. */
  readonly items: number;
  readonly keyBytes: number;
}

type Result = BatchItem | CodedError;
type Fields = { readonly [name: string]: unknown };

const EXPECTED = "a batch is an array of {room, data, key?, id?}";

/** Heads of a kind of container: its short form, and the first of its two long ones. */
interface Heads {
  readonly fix: number;
  readonly wide: number;
}

const ARRAY_HEADS: Heads = { fix: 0x90, wide: 0xdc };
const MAP_HEADS: Heads = { fix: 0x80, wide: 0xde };

/**
 * Parses a JSON batch, `[{room, data, key?, id?}, …]`; what is wrong with one item alone becomes its error, in its place.
 * @throws CodedError `bad_request` where the body is no such array, `too_large` where it has too many items.
 */
export function batchFromJson(body: string | Uint8Array, limits: BatchLimits): Result[] {
  const items = parseJson(body);
  if (!Array.isArray(items)) throw new CodedError("bad_request", EXPECTED);
  checkCount(items.length, limits);
  return items.map((item: unknown) =>
    attempt(() => {
      if (typeof item !== "object" || item === null) throw new CodedError("bad_request", EXPECTED);
      const fields: Fields = { ...item };
      return itemOf(fields, dataFromValue(present(fields.data), limits), limits);
    }),
  );
}

/** Parses a MessagePack batch as {@link batchFromJson} does JSON. Data is spliced out as bytes, not decoded. */
export function batchFromMsgpack(body: Uint8Array, limits: BatchLimits): Result[] {
  const items = partsOf(body, ARRAY_HEADS, (count) => checkCount(count, limits));
  return items.map((item) =>
    attempt(() => {
      const fields: { [name: string]: unknown } = {};
      let data: Uint8Array | undefined;
      const parts = partsOf(item, MAP_HEADS, (count) => checkFields(count, limits));
      for (let i = 1; i < parts.length; i += 2) {
        const name = textOf(parts[i - 1]);
        if (name === "data") data = parts[i];
        else if (name === "room" || name === "key" || name === "id") fields[name] = textOf(parts[i]);
      }
      return itemOf(fields, checkData(present(data), limits), limits);
    }),
  );
}

function itemOf(fields: Fields, data: Uint8Array, limits: BatchLimits): BatchItem {
  return {
    room: parseRoom(fields.room),
    data,
    key: parseKey(fields.key, limits.keyBytes),
    id: parseId(fields.id),
  };
}

/** Parses an idempotency id; nil is none. @throws CodedError `bad_request` unless it is text of 1 to 256 UTF-8 bytes. */
export function parseId(raw: unknown): string | undefined {
  if (raw === undefined || raw === null) return undefined;
  if (typeof raw === "string" && raw !== "" && utf8Length(raw) <= ID_BYTES_MAX) return raw;
  throw new CodedError("bad_request", `an idempotency id is text of 1 to ${ID_BYTES_MAX} bytes`);
}

function attempt(parse: () => BatchItem): Result {
  try {
    return parse();
  } catch (cause) {
    return toCodedError(cause);
  }
}

function present<T>(data: T | undefined): T {
  if (data === undefined) throw new CodedError("bad_request", "the item has no data");
  return data;
}

function checkCount(count: number, limits: BatchLimits): void {
  if (count > limits.items)
    throw new CodedError("too_large", `a batch of ${count} messages, at most ${limits.items} are allowed`);
}

function checkFields(count: number, limits: BatchLimits): void {
  if (count > limits.elements)
    throw new CodedError("too_large", `an item of ${count} fields, at most ${limits.elements} are allowed`);
}

// The elements of an array, or a map's keys and values in turn. The count is checked before any of them is made.
function partsOf(bytes: Uint8Array, heads: Heads, check: (count: number) => void): Uint8Array[] {
  const head = bytes[0] ?? 0;
  const isFix = (head & 0xf0) === heads.fix;
  if (!isFix && head !== heads.wide && head !== heads.wide + 1) throw new CodedError("bad_request", EXPECTED);
  const end = endOf(bytes, 0);
  if (end < bytes.length) throw new CodedError("bad_request", `${bytes.length - end} bytes follow the batch`);
  let at = isFix ? 1 : head === heads.wide ? 3 : 5;
  let count = isFix ? head & 0x0f : 0;
  for (let i = 1; i < at; i++) count = count * 256 + (bytes[i] ?? 0);
  check(count);
  const parts: Uint8Array[] = [];
  while (at < end) {
    const next = endOf(bytes, at);
    parts.push(bytes.subarray(at, next));
    at = next;
  }
  return parts;
}

function endOf(bytes: Uint8Array, start: number): number {
  try {
    return valueEnd(bytes, start);
  } catch {
    throw new CodedError("bad_request", "the bytes end within a MessagePack value");
  }
}

// What is neither text nor nil comes as false; the parsers of the fields say what is wrong with it.
function textOf(bytes: Uint8Array | undefined): unknown {
  if (bytes === undefined) return undefined;
  try {
    return readText(bytes, 0) ?? (bytes[0] === 0xc0 ? null : false);
  } catch {
    throw new CodedError("bad_request", "a string is not valid UTF-8");
  }
}
