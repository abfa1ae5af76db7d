import { Encoder } from "@msgpack/msgpack";
import { clientElements } from "./client-elements.js";
import { CodedError } from "./errors.js";
import { type ClientFrame, CODE, type ServerFrame } from "./frames.js";
import { parseServerFrame } from "./server-frame.js";
import { decodeValue, valueEnd } from "./value.js";

// A client's half of the wire on @msgpack/msgpack, for tests: apart from the product's client, whose codec is its own.

/**
 * Data of a message that the codec cannot decode. Servers check data when it is published, so this comes from a
 * publisher that went around them. The message counts as delivered; its room's other messages are not affected.
 */
export class UndecodableData {
  /** The MessagePack bytes as they came: a view into the WebSocket message. */
  readonly bytes: Uint8Array;
  readonly reason: string;

  constructor(bytes: Uint8Array, reason: string) {
    this.bytes = bytes;
    this.reason = reason;
  }
}

// What a message frame has before and after its data, at the most.
const DATA_INDEX = 5;
const KEY_INDEX = 6;

const encoder = /* @__PURE__ */ new Encoder({ ignoreUndefined: true });

/**
 * Encodes one request for `fanwire.v1`. Fields of objects that are undefined are left out.
 * @throws CodedError `bad_request` where the data is no MessagePack (a function, a symbol, a bigint, a circle).
 */
export function encodeClient(frame: ClientFrame): Uint8Array {
  try {
    return encoder.encode(clientElements(frame));
  } catch (cause) {
    throw broken(cause);
  }
}

/**
 * Decodes one WebSocket message of a server. Values of unknown code are left out; a message whose data does not
 * decode has an {@link UndecodableData} as its data; an error code or reset reason of a later version becomes
 * `internal` or `epoch`. Bytes in data are views into `payload`.
 * @throws CodedError `bad_request` where the bytes are not what a server sends: nothing of the message counts,
 *   and the connection is of no more use.
 */
export function decodeServer(payload: Uint8Array): ServerFrame[] {
  const frames: ServerFrame[] = [];
  try {
    for (let at = 0; at < payload.length; ) {
      const end = valueEnd(payload, at);
      const frame = parseServerFrame(elementsOf(payload.subarray(at, end)));
      if (frame !== undefined) frames.push(frame);
      at = end;
    }
  } catch (cause) {
    throw broken(cause);
  }
  return frames;
}

function elementsOf(bytes: Uint8Array): readonly unknown[] {
  let elements: unknown;
  try {
    elements = decodeValue(bytes);
  } catch (cause) {
    return elementsAround(bytes, cause);
  }
  if (Array.isArray(elements)) return elements;
  throw new TypeError("the server sent a value that is no array");
}

// Somebody's data must not cost the client everybody's messages, so decode what stands around it.
function elementsAround(bytes: Uint8Array, cause: unknown): readonly unknown[] {
  const head = bytes[0] ?? 0;
  if ((head & 0xf0) !== 0x90 && head !== 0xdc && head !== 0xdd) throw cause;
  const elements: unknown[] = [];
  for (let at = head < 0xdc ? 1 : head === 0xdc ? 3 : 5; at < bytes.length; ) {
    const end = valueEnd(bytes, at);
    const part = bytes.subarray(at, end);
    const isData = elements.length === DATA_INDEX;
    elements.push(isData ? new UndecodableData(part, broken(cause).message) : decodeValue(part));
    // Of other frames the code suffices, to skip it where it is unknown.
    if (elements[0] !== CODE.message || elements.length > KEY_INDEX) break;
    at = end;
  }
  return elements;
}

function broken(cause: unknown): CodedError {
  return new CodedError("bad_request", cause instanceof Error ? cause.message : String(cause));
}
