/**
 * Finds the fields of `[19, room, offset, prev, time, data, key?]` without decoding it, and builds the data that
 * the benches publish. Written for speed and apart from the engine's own codec, which it checks.
 */

export const CODE_OK = 17;
export const CODE_ERROR = 18;
export const CODE_MESSAGE = 19;

/** Rooms are called `bench.r00000` and so on, so that a room's number stands at a known place. */
export function benchRoom(index: number): string {
  return `bench.r${String(index).padStart(ROOM_DIGITS, "0")}`;
}
const ROOM_DIGITS = 5;

/** What {@link scanMessage} found; one object is filled again and again. */
export interface ScannedMessage {
  roomIndex: number;
  offset: number;
  prev: number;
  /** When it should have been published, by the host's monotonic clock in µs. */
  dueMicros: number;
}

/** The code of the value at `at`: the first element of its array. @throws Error where there is no small array. */
export function codeAt(bytes: Buffer, at: number): number {
  const head = bytes.readUInt8(at);
  if ((head & 0xf0) !== 0x90)
    throw new Error(`a value begins with 0x${head.toString(16)}, not with an array`);
  return bytes.readUInt8(at + 1);
}

/** Reads the message value at `at` into `into`; returns where it ends. */
export function scanMessage(bytes: Buffer, at: number, into: ScannedMessage): number {
  const elements = bytes.readUInt8(at) & 0x0f;
  const room = at + 2;
  const offset = skipValue(bytes, room);
  into.roomIndex = digitsBefore(bytes, offset);
  into.offset = readUint(bytes, offset);
  const prev = offset + uintBytes(bytes, offset);
  into.prev = readUint(bytes, prev);
  const time = prev + uintBytes(bytes, prev);
  const data = skipValue(bytes, time);
  into.dueMicros = bytes.readDoubleBE(dataContent(bytes, data));
  let end = skipValue(bytes, data);
  for (let rest = elements - 6; rest > 0; rest--) end = skipValue(bytes, end);
  return end;
}

/** The number of the room that is the second element of the value at `at`. */
export function roomIndexAt(bytes: Buffer, at: number): number {
  return digitsBefore(bytes, skipValue(bytes, at + 2));
}

/** A bench message's data: a bin of `bytes` bytes (at least 8) whose first 8 are a float64, the due time. */
export function createContent(bytes: number): Buffer {
  if (bytes < 8 || bytes > 65_535) throw new RangeError(`data of ${bytes} bytes; 8 to 65,535 are possible`);
  return Buffer.alloc(bytes, "fanwire-");
}

/** Writes the due time into a content, in place. */
export function setDue(content: Buffer, dueMicros: number): void {
  content.writeDoubleBE(dueMicros, 0);
}

/** Where a bin's content begins. */
function dataContent(bytes: Buffer, at: number): number {
  const head = bytes.readUInt8(at);
  if (head === 0xc4) return at + 2;
  if (head === 0xc5) return at + 3;
  throw new Error(`data begins with 0x${head.toString(16)}, not with a bin of a bench`);
}

function digitsBefore(bytes: Buffer, end: number): number {
  let value = 0;
  for (let at = end - ROOM_DIGITS; at < end; at++) value = value * 10 + bytes.readUInt8(at) - 0x30;
  return value;
}

function uintBytes(bytes: Buffer, at: number): number {
  const head = bytes.readUInt8(at);
  return head < 0x80 ? 1 : head === 0xcc ? 2 : head === 0xcd ? 3 : head === 0xce ? 5 : 9;
}

function readUint(bytes: Buffer, at: number): number {
  const head = bytes.readUInt8(at);
  if (head < 0x80) return head;
  if (head === 0xcc) return bytes.readUInt8(at + 1);
  if (head === 0xcd) return bytes.readUInt16BE(at + 1);
  if (head === 0xce) return bytes.readUInt32BE(at + 1);
  if (head === 0xcf) return bytes.readUInt32BE(at + 1) * 2 ** 32 + bytes.readUInt32BE(at + 5);
  // An encoder may write whole numbers above 32 bits as a float64.
  if (head === 0xcb) return bytes.readDoubleBE(at + 1);
  throw new Error(`0x${head.toString(16)} is not a non-negative number`);
}

/** Returns where the MessagePack value at `at` ends, at any depth. @throws RangeError past the end of the bytes. */
export function skipValue(bytes: Buffer, at: number): number {
  let next = at;
  for (let values = 1; values > 0; values--) {
    const head = bytes.readUInt8(next);
    if (head < 0x80 || head >= 0xe0) next += 1;
    else if (head >= 0xa0 && head < 0xc0) next += 1 + (head & 0x1f);
    else if (head < 0x90) [next, values] = [next + 1, values + 2 * (head & 0x0f)];
    else if (head < 0xa0) [next, values] = [next + 1, values + (head & 0x0f)];
    else {
      const size = FIXED_BYTES[head - 0xc0] ?? 0;
      if (size > 0) next += size;
      else {
        const { end, inner } = skipSized(bytes, next, head);
        next = end;
        values += inner;
      }
    }
  }
  return next;
}

/** Whole length by first byte from 0xc0 on; 0 where a length field follows. */
const FIXED_BYTES = [
  1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 5, 9, 2, 3, 5, 9, 2, 3, 5, 9, 3, 4, 6, 10, 18, 0, 0, 0, 0, 0, 0, 0,
];

function skipSized(bytes: Buffer, at: number, head: number): { end: number; inner: number } {
  switch (head) {
    case 0xc4:
    case 0xd9:
      return { end: at + 2 + bytes.readUInt8(at + 1), inner: 0 };
    case 0xc5:
    case 0xda:
      return { end: at + 3 + bytes.readUInt16BE(at + 1), inner: 0 };
    case 0xc6:
    case 0xdb:
      return { end: at + 5 + bytes.readUInt32BE(at + 1), inner: 0 };
    case 0xc7:
      return { end: at + 3 + bytes.readUInt8(at + 1), inner: 0 };
    case 0xc8:
      return { end: at + 4 + bytes.readUInt16BE(at + 1), inner: 0 };
    case 0xc9:
      return { end: at + 6 + bytes.readUInt32BE(at + 1), inner: 0 };
    case 0xdc:
      return { end: at + 3, inner: bytes.readUInt16BE(at + 1) };
    case 0xdd:
      return { end: at + 5, inner: bytes.readUInt32BE(at + 1) };
    case 0xde:
      return { end: at + 3, inner: 2 * bytes.readUInt16BE(at + 1) };
    case 0xdf:
      return { end: at + 5, inner: 2 * bytes.readUInt32BE(at + 1) };
    default:
      throw new Error(`0x${head.toString(16)} begins no MessagePack value`);
  }
}
