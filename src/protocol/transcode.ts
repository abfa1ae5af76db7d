import { Encoder, ExtData } from "@msgpack/msgpack";
import { base64 } from "./base64.js";
import { CodedError } from "./errors.js";
import { Scanner } from "./scan.js";
import { utf8Text } from "./text.js";
import { decodeValue } from "./value.js";
import type { DecodeLimits } from "./wire.js";

/** The limits that data itself is under. */
export type DataLimits = Pick<DecodeLimits, "depth" | "elements" | "dataBytes">;

/** Recursion of the encoder stops here; what is deeper than the limits but not than this gets their error text. */
const ENCODER_DEPTH = 1_000;

const encoder = new Encoder({ ignoreUndefined: true, maxDepth: ENCODER_DEPTH });
const scanner = new Scanner();

/**
 * Checks that the bytes are one MessagePack value fit as a message's data; returns them, not copied.
 * @throws CodedError `too_large` where a limit is passed, else `bad_request`.
 */
export function checkData(bytes: Uint8Array, limits: DataLimits): Uint8Array {
  if (bytes.length > limits.dataBytes)
    throw new CodedError(
      "too_large",
      `data has ${bytes.length} bytes, at most ${limits.dataBytes} are allowed`,
    );
  scanner.begin(bytes, limits.elements);
  // One level less than a frame may have: the frame that carries it is an array too.
  const end = scanner.value(0, limits.depth - 1);
  if (end < bytes.length)
    throw new CodedError(
      "bad_request",
      `data is one MessagePack value, but ${bytes.length - end} bytes follow it`,
    );
  if (scanner.problem !== undefined) throw new CodedError("bad_request", scanner.problem);
  return bytes;
}

/** JSON text (or its UTF-8 bytes) as a message's data. @throws CodedError as {@link checkData}. */
export function dataFromJson(json: string | Uint8Array, limits: DataLimits): Uint8Array {
  return dataFromValue(parseJson(json), limits);
}

/** A JavaScript value as a message's data. @throws CodedError as {@link checkData}. */
export function dataFromValue(value: unknown, limits: DataLimits): Uint8Array {
  return checkData(encodeJson(value), limits);
}

/** A message's data as a value that JSON can express: see {@link jsonable}. */
export function valueFromData(data: Uint8Array): unknown {
  return jsonable(decodeValue(data));
}

/** A message's data as JSON text. */
export function jsonFromData(data: Uint8Array): string {
  return JSON.stringify(valueFromData(data));
}

/**
 * A decoded MessagePack value as one that JSON can express: bytes as base64 text, a timestamp as ISO 8601 text,
 * other extension values as `{ext: type, data: base64}`, NaN and the infinities as null.
 */
export function jsonable(value: unknown): unknown {
  if (typeof value === "number") return Number.isFinite(value) ? value : null;
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(jsonable);
  if (value instanceof Uint8Array) return base64(value);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (value instanceof ExtData)
    return { ext: value.type, data: value.data instanceof Uint8Array ? base64(value.data) : null };
  const fields: { [key: string]: unknown } = {};
  for (const [key, field] of Object.entries(value)) fields[key] = jsonable(field);
  return fields;
}

/** Parses JSON text or its UTF-8 bytes. @throws CodedError `bad_request` */
export function parseJson(json: string | Uint8Array): unknown {
  try {
    return JSON.parse(typeof json === "string" ? json : utf8Text(json));
  } catch (cause) {
    throw new CodedError(
      "bad_request",
      `not JSON: ${cause instanceof Error ? cause.message : String(cause)}`,
    );
  }
}

/**
 * A parsed JSON value as MessagePack bytes, not checked by the scanner yet (a lone surrogate in text is not valid UTF-8).
 * @throws CodedError `too_large` where it is nested without end, `bad_request` where it is no JSON value.
 */
export function encodeJson(value: unknown): Uint8Array {
  try {
    return encoder.encode(value);
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause);
    throw text.startsWith("Too deep")
      ? new CodedError("too_large", `arrays and maps nested deeper than ${ENCODER_DEPTH} levels`)
      : new CodedError("bad_request", text);
  }
}
