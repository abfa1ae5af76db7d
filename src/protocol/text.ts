// The globals that browsers and Node share; this folder has the types of neither.
declare const TextEncoder: new () => { encode(text: string): Uint8Array };
declare const TextDecoder: new (
  label: string,
  options: { fatal: boolean; ignoreBOM: boolean },
) => { decode(bytes: Uint8Array): string };

const encoder = /* @__PURE__ */ new TextEncoder();
const decoder = /* @__PURE__ */ new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** UTF-8 bytes; a lone surrogate becomes U+FFFD. */
export function utf8Bytes(text: string): Uint8Array {
  return encoder.encode(text);
}

/** Text of UTF-8 bytes. @throws TypeError where they are not valid UTF-8. */
export function utf8Text(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

/** How many UTF-8 bytes text takes; a lone surrogate takes the three of U+FFFD. */
export function utf8Length(text: string): number {
  let length = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    // Both halves of a pair count one more than a unit: four bytes together.
    if (unit >= 0x80) length += unit < 0x800 || isPaired(text, i, unit) ? 1 : 2;
  }
  return length;
}

function isPaired(text: string, i: number, unit: number): boolean {
  if (unit >= 0xd800 && unit < 0xdc00) return (text.charCodeAt(i + 1) & 0xfc00) === 0xdc00;
  return unit >= 0xdc00 && unit < 0xe000 && (text.charCodeAt(i - 1) & 0xfc00) === 0xd800;
}

/** Writes text of so many UTF-8 bytes; returns where it ends. Names are ASCII nearly always, and then it allocates nothing. */
export function writeUtf8(out: Uint8Array, at: number, text: string, length: number): number {
  if (length === text.length) for (let i = 0; i < length; i++) out[at + i] = text.charCodeAt(i);
  else out.set(utf8Bytes(text), at);
  return at + length;
}

/** Bytes that a string of so many UTF-8 bytes takes as MessagePack. */
export function textSize(length: number): number {
  if (length < 32) return 1 + length;
  if (length < 0x100) return 2 + length;
  return (length < 0x10000 ? 3 : 5) + length;
}

/** Writes the head of a string of so many UTF-8 bytes; returns where the text goes. */
export function writeTextHead(out: Uint8Array, at: number, length: number): number {
  if (length < 32) {
    out[at] = 0xa0 | length;
    return at + 1;
  }
  const width = length < 0x100 ? 1 : length < 0x10000 ? 2 : 4;
  out[at] = width === 1 ? 0xd9 : width === 2 ? 0xda : 0xdb;
  for (let i = width; i > 0; i--) out[at + i] = length >>> (8 * (width - i));
  return at + 1 + width;
}

/** Reads a MessagePack string; undefined where the value at `at` is none. The bytes must hold a whole, valid value. */
export function readText(bytes: Uint8Array, at: number): string | undefined {
  const head = bytes[at] ?? 0xc0;
  let start = at + 1;
  let length = head & 0x1f;
  if (head < 0xa0 || head > 0xbf) {
    if (head < 0xd9 || head > 0xdb) return undefined;
    const width = 1 << (head - 0xd9);
    length = 0;
    for (let i = 0; i < width; i++) length = length * 256 + (bytes[start + i] ?? 0);
    start += width;
  }
  return textOf(bytes, start, start + length);
}

/**
 * Text of a range of UTF-8 bytes. @throws TypeError where they are not valid UTF-8.
 * Names are short and ASCII nearly always, and then this is some times faster than a TextDecoder call.
 */
export function textOf(bytes: Uint8Array, start: number, end: number): string {
  if (end - start > 64) return utf8Text(bytes.subarray(start, end));
  let text = "";
  for (let i = start; i < end; i++) {
    const byte = bytes[i] ?? 0x80;
    if (byte >= 0x80) return utf8Text(bytes.subarray(start, end));
    text += String.fromCharCode(byte);
  }
  return text;
}
