import type { Outgoing } from "../../core/ports.js";
import { CodedError } from "../../protocol/errors.js";
import type { Message } from "../../protocol/message.js";
import { parseRoom, type RoomName } from "../../protocol/room-name.js";
import { textOf, utf8Length, writeUtf8 } from "../../protocol/text.js";
import type { FrameArena } from "./frame-arena.js";
import { PUBLISH_BYTES_MAX } from "./hub-limits.js";
import { isCount, MalformedRecord, RECORD, type RecordTarget, type WorkerRecord } from "./record.js";

// Written by hand, unlike the other records, because these run for every message of the box: `npm run bench -- hub`.

const MESSAGE_BYTES = 44;
const PUBLISH_BYTES = 18;
const HAS_KEY = 1;
const HAS_ID = 2;
const HAS_ORIGIN = 4;
/** Of a publish. A hub that does not know them yet takes such a publish for any other. */
const TAKES_KEY = 8;
const RELEASES_KEY = 16;
const TEXT_BYTES_MAX = 0xffff;

/** A message as one record: under its room's number (`RECORD.message`), a request's ref (`RECORD.pageMessage`), or 0 (`RECORD.watched`). */
export function writeMessage(target: RecordTarget, type: number, number: number, message: Message): void {
  const { origin, frame } = message;
  const originBytes = origin === undefined ? 0 : utf8Length(origin);
  const size = MESSAGE_BYTES + originBytes + frame.length;
  const at = target.reserve(size);
  const { bytes, view } = target;
  view.setUint32(at, size, true);
  view.setUint8(at + 4, type);
  view.setUint8(at + 5, origin === undefined ? 0 : HAS_ORIGIN);
  view.setUint16(at + 6, originBytes, true);
  view.setUint32(at + 8, number, true);
  view.setUint32(at + 12, message.dataStart, true);
  view.setUint32(at + 16, message.dataEnd, true);
  view.setFloat64(at + 20, message.offset, true);
  view.setFloat64(at + 28, message.prev, true);
  view.setFloat64(at + 36, message.time, true);
  if (origin !== undefined) writeUtf8(bytes, at + MESSAGE_BYTES, origin, originBytes);
  bytes.set(frame, at + MESSAGE_BYTES + originBytes);
}

/** The room's number, or the ref, of a message's record. @throws MalformedRecord */
export function numberOf(view: DataView, start: number, end: number): number {
  if (end - start < MESSAGE_BYTES) throw new MalformedRecord("a message without its head");
  return view.getUint32(start + 8, true);
}

/** The room of a message's record as its frame has it, where no number stands for it. @throws MalformedRecord */
export function roomIn(bytes: Uint8Array, view: DataView, start: number, end: number): RoomName {
  if (end - start < MESSAGE_BYTES) throw new MalformedRecord("a message without its head");
  // Behind the array's head and the code.
  const at = start + MESSAGE_BYTES + view.getUint16(start + 6, true) + 2;
  const head = at + 2 > end ? 0 : view.getUint8(at);
  const isShort = (head & 0xe0) === 0xa0;
  if (!isShort && head !== 0xd9) throw new MalformedRecord("a message whose room is no text");
  const textStart = isShort ? at + 1 : at + 2;
  const textEnd = textStart + (isShort ? head & 0x1f : view.getUint8(at + 1));
  if (textEnd > end) throw new MalformedRecord("a message whose room is cut short");
  return readRoom(bytes, textStart, textEnd);
}

/**
 * The message of a record that {@link numberOf} or {@link roomIn} has passed, its frame copied: rings keep it long after the bytes
 * read were overwritten. @throws MalformedRecord
 */
export function readMessage(
  bytes: Uint8Array,
  view: DataView,
  start: number,
  end: number,
  room: RoomName,
  frames: FrameArena,
): Message {
  const originStart = start + MESSAGE_BYTES;
  const frameStart = originStart + view.getUint16(start + 6, true);
  const dataStart = view.getUint32(start + 12, true);
  const dataEnd = view.getUint32(start + 16, true);
  const offset = view.getFloat64(start + 20, true);
  const prev = view.getFloat64(start + 28, true);
  const time = view.getFloat64(start + 36, true);
  if (dataStart > dataEnd || frameStart + dataEnd > end) throw new MalformedRecord("a message cut short");
  if (!isCount(offset) || !isCount(prev) || !isCount(time))
    throw new MalformedRecord("a message with a number that is none");
  const hasOrigin = (view.getUint8(start + 5) & HAS_ORIGIN) !== 0;
  const origin = hasOrigin ? readText(bytes, originStart, frameStart) : undefined;
  const frame = frames.copy(bytes, frameStart, end, time);
  const key = dataEnd === frame.length ? undefined : keyOf(frame, dataEnd);
  return { room, offset, prev, time, key, origin, frame, dataStart, dataEnd };
}

/** @throws CodedError `too_large` for a key, id or origin of 64 KiB and more, and for 63 MiB of all. Nothing is written then. */
export function writePublish(target: RecordTarget, ref: number, outgoing: Outgoing): void {
  const { room, data, key, id, origin, hold } = outgoing;
  const keyBytes = key === undefined ? 0 : textBytes("key", key);
  const idBytes = id === undefined ? 0 : textBytes("id", id);
  const originBytes = origin === undefined ? 0 : textBytes("origin", origin);
  const size = PUBLISH_BYTES + room.length + keyBytes + idBytes + originBytes + data.length;
  if (size > PUBLISH_BYTES_MAX)
    throw new CodedError("too_large", `a publish of ${size} bytes; up to ${PUBLISH_BYTES_MAX} are allowed`);
  let at = target.reserve(size);
  const { bytes, view } = target;
  view.setUint32(at, size, true);
  view.setUint8(at + 4, RECORD.publish);
  const flags = (key === undefined ? 0 : HAS_KEY) | (id === undefined ? 0 : HAS_ID);
  const holds = hold === undefined ? 0 : hold === "take" ? TAKES_KEY : RELEASES_KEY;
  view.setUint8(at + 5, flags | holds | (origin === undefined ? 0 : HAS_ORIGIN));
  view.setUint16(at + 6, room.length, true);
  view.setUint32(at + 8, ref, true);
  view.setUint16(at + 12, keyBytes, true);
  view.setUint16(at + 14, idBytes, true);
  view.setUint16(at + 16, originBytes, true);
  at = writeUtf8(bytes, at + PUBLISH_BYTES, room, room.length);
  if (key !== undefined) at = writeUtf8(bytes, at, key, keyBytes);
  if (id !== undefined) at = writeUtf8(bytes, at, id, idBytes);
  if (origin !== undefined) at = writeUtf8(bytes, at, origin, originBytes);
  bytes.set(data, at);
}

/** @throws MalformedRecord */
export function readPublish(
  bytes: Uint8Array,
  view: DataView,
  start: number,
  end: number,
): Extract<WorkerRecord, { type: "publish" }> {
  if (end - start < PUBLISH_BYTES) throw new MalformedRecord("a publish without its head");
  const flags = view.getUint8(start + 5);
  const ref = view.getUint32(start + 8, true);
  const roomEnd = start + PUBLISH_BYTES + view.getUint16(start + 6, true);
  const keyEnd = roomEnd + view.getUint16(start + 12, true);
  const idEnd = keyEnd + view.getUint16(start + 14, true);
  const originEnd = idEnd + view.getUint16(start + 16, true);
  if (originEnd > end) throw new MalformedRecord("a publish cut short");
  const room = readRoom(bytes, start + PUBLISH_BYTES, roomEnd);
  const key = (flags & HAS_KEY) === 0 ? undefined : readText(bytes, roomEnd, keyEnd);
  const id = (flags & HAS_ID) === 0 ? undefined : readText(bytes, keyEnd, idEnd);
  const origin = (flags & HAS_ORIGIN) === 0 ? undefined : readText(bytes, idEnd, originEnd);
  // Of a Buffer, `subarray` takes three times as long.
  const data = new Uint8Array(bytes.buffer, bytes.byteOffset + originEnd, end - originEnd);
  if ((flags & (TAKES_KEY | RELEASES_KEY)) === 0)
    return { type: "publish", ref, outgoing: { room, data, key, id, origin } };
  const hold = (flags & TAKES_KEY) === 0 ? "release" : "take";
  return { type: "publish", ref, outgoing: { room, data, key, id, origin, hold } };
}

/** @throws MalformedRecord */
export function readRoom(bytes: Uint8Array, start: number, end: number): RoomName {
  try {
    return parseRoom(readText(bytes, start, end));
  } catch (cause) {
    throw new MalformedRecord(cause instanceof Error ? cause.message : "no room name");
  }
}

/** @throws MalformedRecord */
export function readText(bytes: Uint8Array, start: number, end: number): string {
  try {
    return textOf(bytes, start, end);
  } catch {
    throw new MalformedRecord("text that is not UTF-8");
  }
}

function textBytes(name: string, text: string): number {
  const length = utf8Length(text);
  if (length <= TEXT_BYTES_MAX) return length;
  throw new CodedError("too_large", `${name}: ${length} bytes of text; up to ${TEXT_BYTES_MAX} are allowed`);
}

/** The MessagePack text with which the frame ends. */
function keyOf(frame: Uint8Array, at: number): string {
  const head = frame[at] ?? 0xc0;
  const width = head >= 0xd9 && head <= 0xdb ? 1 << (head - 0xd9) : 0;
  if (width === 0 && (head < 0xa0 || head > 0xbf))
    throw new MalformedRecord("a message whose key is no text");
  let length = width === 0 ? head & 0x1f : 0;
  for (let index = 1; index <= width; index += 1) length = length * 256 + (frame[at + index] ?? 0);
  const start = at + 1 + width;
  if (start + length !== frame.length) throw new MalformedRecord("a message whose key is cut short");
  return readText(frame, start, frame.length);
}
