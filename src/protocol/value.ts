import { Decoder } from "@msgpack/msgpack";

// One for all: a new one a value would forget the map keys that it has seen.
const decoder = /* @__PURE__ */ new Decoder();

/**
 * Decodes one MessagePack value. Bytes in it are views.
 * @throws Error as @msgpack/msgpack does, unless the scanner passed the value.
 */
export function decodeValue(bytes: Uint8Array): unknown {
  return decoder.decode(bytes);
}

/**
 * Where the value at `start` ends, found by its heads alone: content is not looked at. Whatever passes here holds no
 * more elements than bytes, so that decoding it makes room for nothing that is not there.
 * @throws RangeError where the bytes are truncated or no MessagePack.
 */
export function valueEnd(bytes: Uint8Array, start: number): number {
  let at = start;
  for (let pending = 1; pending > 0; pending--) {
    const head = bytes[at++] ?? 0xc1;
    if (head < 0x80 || head >= 0xe0) continue;
    if (head < 0xa0) pending += (head & 0x0f) * (head < 0x90 ? 2 : 1);
    else if (head < 0xc0) at += head & 0x1f;
    else if (head < 0xc4) at += head === 0xc1 ? bytes.length : 0;
    else if (head >= 0xca && head < 0xcc) at += head === 0xca ? 4 : 8;
    else if (head >= 0xcc && head < 0xd4) at += 1 << (head & 3);
    else if (head >= 0xd4 && head < 0xd9) at += (1 << (head - 0xd4)) + 1;
    else {
      const width = lengthWidth(head);
      let length = 0;
      for (const end = at + width; at < end; at++) length = length * 256 + (bytes[at] ?? 0);
      if (head >= 0xdc) pending += length * (head < 0xde ? 1 : 2);
      else at += head >= 0xc7 && head < 0xca ? length + 1 : length;
    }
    if (at > bytes.length || pending - 1 > bytes.length - at)
      throw new RangeError("no whole MessagePack value");
  }
  return at;
}

function lengthWidth(head: number): number {
  if (head >= 0xdc) return head & 1 ? 4 : 2;
  return 1 << (head - (head < 0xc7 ? 0xc4 : head < 0xca ? 0xc7 : 0xd9));
}
