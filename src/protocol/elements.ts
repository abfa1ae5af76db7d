import { Decoder } from "@msgpack/msgpack";
import { readText } from "./text.js";
import { readUint } from "./uint.js";

const decoder = /* @__PURE__ */ new Decoder();

/** Decodes one MessagePack value. Bytes in it are views. @throws what @msgpack/msgpack throws, unless a scanner passed it. */
export function decodeValue(bytes: Uint8Array): unknown {
  return decoder.decode(bytes);
}

/**
 * The bytes of an array's element, a view; undefined where there is no such element.
 * `starts` is what {@link Scanner.array} left there.
 */
export function bytesAt(
  payload: Uint8Array,
  starts: readonly number[],
  index: number,
): Uint8Array | undefined {
  const end = starts[index + 1];
  return end === undefined ? undefined : payload.subarray(starts[index], end);
}

/**
 * An array's element, decoded; undefined where there is none. Integers and text, of which frames mostly consist, are
 * read by hand: a decoder call costs several times as much.
 */
export function elementAt(payload: Uint8Array, starts: readonly number[], index: number): unknown {
  const start = starts[index];
  const end = starts[index + 1];
  if (start === undefined || end === undefined) return undefined;
  const uint = readUint(payload, start);
  return uint >= 0 ? uint : (readText(payload, start) ?? decodeValue(payload.subarray(start, end)));
}
