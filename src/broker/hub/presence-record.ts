import type { PresenceOp, PresenceWord } from "../../core/presence/op.js";
import { decodeOps, decodeWords, encodeWords } from "../../core/presence/op-codec.js";
import { MalformedRecord, type RECORD, RECORD_HEAD_BYTES, type RecordTarget } from "./record.js";

/** Writes what a worker says of presence, or what a hub tells it. Nothing where there is nothing to say. */
export function writePresence(
  target: RecordTarget,
  type: typeof RECORD.presence | typeof RECORD.presenceTold,
  words: readonly PresenceWord[],
): void {
  // In one piece: a room's list is never cut in two.
  for (const payload of encodeWords(words, Number.POSITIVE_INFINITY)) {
    const at = target.reserve(RECORD_HEAD_BYTES + payload.length);
    target.view.setUint32(at, RECORD_HEAD_BYTES + payload.length, true);
    target.view.setUint8(at + 4, type);
    target.view.setUint8(at + 5, 0);
    target.bytes.set(payload, at + RECORD_HEAD_BYTES);
  }
}

/** What a worker says. @throws MalformedRecord */
export function readWords(bytes: Uint8Array, start: number, end: number): PresenceWord[] {
  return read(bytes, start, end, decodeWords);
}

/** What a hub tells. @throws MalformedRecord */
export function readOps(bytes: Uint8Array, start: number, end: number): PresenceOp[] {
  return read(bytes, start, end, decodeOps);
}

function read<T>(bytes: Uint8Array, start: number, end: number, decode: (bytes: Uint8Array) => T[]): T[] {
  if (start + RECORD_HEAD_BYTES > end) throw new MalformedRecord("a record without its head");
  try {
    return decode(bytes.subarray(start + RECORD_HEAD_BYTES, end));
  } catch (cause) {
    throw new MalformedRecord(String(cause), { cause });
  }
}
