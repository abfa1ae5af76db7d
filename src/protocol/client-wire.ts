import { Encoder } from "@msgpack/msgpack";
import { clientElements } from "./client-elements.js";
import { bytesAt, decodeValue, elementAt } from "./elements.js";
import { CodedError } from "./errors.js";
import { type ClientFrame, CODE, type ServerFrame } from "./frames.js";
import { Scanner } from "./scan.js";
import { parseServerFrame, UndecodableData } from "./server-frame.js";
import { readUint } from "./uint.js";

/** Deep enough for anything that a server takes. */
const DEPTH_MAX = 256;

const encoder = /* @__PURE__ */ new Encoder({ ignoreUndefined: true });
const scanner = /* @__PURE__ */ new Scanner();
const starts: number[] = [];

/**
 * Encodes one request for `fanwire.v1`. Fields of objects that are undefined are left out.
 * @throws CodedError `bad_request` where the data is no MessagePack (a function, a symbol, a bigint, a circle).
 */
export function encodeClient(frame: ClientFrame): Uint8Array {
  try {
    return encoder.encode(clientElements(frame));
  } catch (cause) {
    throw new CodedError("bad_request", cause instanceof Error ? cause.message : String(cause));
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
  let at = 0;
  try {
    while (at < payload.length) {
      scanner.begin(payload, payload.length);
      const end = scanner.array(at, DEPTH_MAX, starts);
      if (end < 0) throw new CodedError("bad_request", "the server sent a value that is no array");
      const frame = frameAt(payload, at, end);
      if (frame !== undefined) frames.push(frame);
      at = end;
    }
    return frames;
  } catch (cause) {
    throw new CodedError("bad_request", cause instanceof Error ? cause.message : String(cause));
  }
}

// `starts` holds where the value's elements start.
function frameAt(payload: Uint8Array, start: number, end: number): ServerFrame | undefined {
  const code = starts.length > 1 ? readUint(payload, starts[0] ?? start) : -1;
  if (code < CODE.welcome || code > CODE.goaway) return undefined;
  if (code !== CODE.message) {
    const elements = decodeValue(payload.subarray(start, end));
    return Array.isArray(elements) ? parseServerFrame(elements) : undefined;
  }
  const data = bytesAt(payload, starts, 5);
  return parseServerFrame([
    code,
    elementAt(payload, starts, 1),
    elementAt(payload, starts, 2),
    elementAt(payload, starts, 3),
    elementAt(payload, starts, 4),
    data === undefined ? undefined : dataOf(data),
    elementAt(payload, starts, 6),
  ]);
}

function dataOf(bytes: Uint8Array): unknown {
  try {
    return decodeValue(bytes);
  } catch (cause) {
    return new UndecodableData(bytes, cause instanceof Error ? cause.message : String(cause));
  }
}
