/** Bytes that a non-negative integer below 2^53 takes as MessagePack, smallest form. */
export function uintSize(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x100) return 2;
  if (value < 0x10000) return 3;
  return value < 0x100000000 ? 5 : 9;
}

/** Writes a non-negative integer below 2^53 in its smallest form; returns where it ends. */
export function writeUint(out: Uint8Array, at: number, value: number): number {
  if (value < 0x80) {
    out[at] = value;
    return at + 1;
  }
  if (value < 0x100) {
    out[at] = 0xcc;
    out[at + 1] = value;
    return at + 2;
  }
  if (value < 0x10000) {
    out[at] = 0xcd;
    out[at + 1] = value >>> 8;
    out[at + 2] = value;
    return at + 3;
  }
  if (value < 0x100000000) {
    out[at] = 0xce;
    return writeBytes32(out, at + 1, value);
  }
  out[at] = 0xcf;
  writeBytes32(out, at + 1, Math.floor(value / 0x100000000));
  return writeBytes32(out, at + 5, value % 0x100000000);
}

/**
 * Reads an integer of any of MessagePack's forms, minimal or not. -1 where there is none, or one that is
 * negative or not below 2^53. The bytes must hold a whole value.
 */
export function readUint(bytes: Uint8Array, at: number): number {
  const head = bytes[at] ?? 0xc0;
  if (head < 0x80) return head;
  // uint 8 to 64 are 0xcc to 0xcf, int 8 to 64 are 0xd0 to 0xd3
  if (head < 0xcc || head > 0xd3) return -1;
  const width = 1 << (head & 3);
  if (head >= 0xd0 && (bytes[at + 1] ?? 0x80) >= 0x80) return -1;
  let value = 0;
  for (let i = 1; i <= width; i++) value = value * 256 + (bytes[at + i] ?? 0);
  return value <= Number.MAX_SAFE_INTEGER ? value : -1;
}

function writeBytes32(out: Uint8Array, at: number, value: number): number {
  out[at] = value >>> 24;
  out[at + 1] = value >>> 16;
  out[at + 2] = value >>> 8;
  out[at + 3] = value;
  return at + 4;
}
