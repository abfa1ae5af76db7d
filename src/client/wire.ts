import { clientElements } from "../protocol/client-elements.js";
import type { ClientFrame, ServerFrame } from "../protocol/frames.js";
import { parseServerFrame } from "../protocol/server-frame.js";
import { Reader } from "./msgpack-reader.js";
import { encode } from "./msgpack-writer.js";

/** Encodes one request. @throws TypeError where its data cannot be sent. */
export function encodeFrame(frame: ClientFrame): Uint8Array {
  return encode(clientElements(frame));
}

/**
 * Decodes one WebSocket message of a server, without the values of unknown code.
 * @throws Error where it is not what a server sends: the connection is of no more use.
 */
export function decodeFrames(payload: Uint8Array): ServerFrame[] {
  const frames: ServerFrame[] = [];
  for (const elements of decode(payload)) {
    if (!Array.isArray(elements)) throw new TypeError("the server sent a value that is no array");
    const frame = parseServerFrame(elements);
    if (frame !== undefined) frames.push(frame);
  }
  return frames;
}

/** All values that stand back to back. @throws Error where they are not whole, or no MessagePack. */
export function decode(bytes: Uint8Array): unknown[] {
  const values: unknown[] = [];
  for (const reader = new Reader(bytes); !reader.done; ) values.push(reader.value());
  return values;
}
