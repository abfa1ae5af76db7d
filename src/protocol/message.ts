import { CODE } from "./frames.js";
import type { RoomName } from "./room-name.js";
import { textSize, utf8Length, writeTextHead, writeUtf8 } from "./text.js";
import { readUint, uintSize, writeUint } from "./uint.js";

/**
 * One published message with its `fanwire.v1` frame, encoded once when the broker numbered it. The same bytes
 * go to the ring, to every socket and to other processes; data is a range of them and is never decoded on the way.
 */
export interface Message {
  readonly room: RoomName;
  /** 0 in an ephemeral room, else strictly increasing in its room. */
  readonly offset: number;
  /** Offset of the message before this one in the room, 0 where there is none. */
  readonly prev: number;
  /** Milliseconds since 1970, when the broker took it. */
  readonly time: number;
  readonly key: string | undefined;
  /** The session that published it over a socket, so that `echo: false` can leave it out. Never on the wire. */
  readonly origin: string | undefined;
  /** `[19, room, offset, prev, time, data, key?]` as MessagePack. Nobody writes to it. */
  readonly frame: Uint8Array;
  /** `frame.subarray(dataStart, dataEnd)` is the data. */
  readonly dataStart: number;
  readonly dataEnd: number;
}

export interface MessageFields {
  readonly room: RoomName;
  readonly offset: number;
  readonly prev: number;
  readonly time: number;
  /** One MessagePack value, already checked by the scanner. Copied. */
  readonly data: Uint8Array;
  readonly key?: string | undefined;
  readonly origin?: string | undefined;
}

/** Bytes of the frame that {@link createMessage} makes of these. */
export function messageBytes({ room, offset, prev, time, data, key }: MessageFields): number {
  const dataEnd = prevStart(room, offset) + uintSize(prev) + uintSize(time) + data.length;
  return key === undefined ? dataEnd : dataEnd + textSize(utf8Length(key));
}

/**
 * Encodes the frame once. Offset, prev and time must be non-negative integers below 2^53, the key well-formed text.
 * Hand-written, because it runs once for every message of the process.
 * @param frame where it is written: {@link messageBytes} bytes. Default: memory of its own
 */
export function createMessage(
  fields: MessageFields,
  frame: Uint8Array = new Uint8Array(messageBytes(fields)),
): Message {
  const { room, offset, prev, time, data, key, origin } = fields;
  const dataStart = prevStart(room, offset) + uintSize(prev) + uintSize(time);
  const dataEnd = dataStart + data.length;
  const keyBytes = key === undefined ? 0 : utf8Length(key);
  frame[0] = key === undefined ? 0x96 : 0x97;
  frame[1] = CODE.message;
  let at = writeUtf8(frame, writeTextHead(frame, 2, room.length), room, room.length);
  at = writeUint(frame, at, offset);
  at = writeUint(frame, at, prev);
  writeUint(frame, at, time);
  frame.set(data, dataStart);
  if (key !== undefined) writeUtf8(frame, writeTextHead(frame, dataEnd, keyBytes), key, keyBytes);
  return { room, offset, prev, time, key, origin, frame, dataStart, dataEnd };
}

/** The frame with another `prev` (a snapshot, or one with own messages left out), data spliced as bytes. */
export function frameWithPrev(message: Message, prev: number): Uint8Array {
  if (prev === message.prev) return message.frame;
  const start = prevStart(message.room, message.offset);
  const end = start + uintSize(message.prev);
  const size = uintSize(prev);
  const frame = new Uint8Array(message.frame.length + start + size - end);
  frame.set(message.frame.subarray(0, start));
  writeUint(frame, start, prev);
  frame.set(message.frame.subarray(end), start + size);
  return frame;
}

/** The same message after another one: the last that its delivery class was sent, for one that skips some. */
export function withPrev(message: Message, prev: number): Message {
  if (prev === message.prev) return message;
  const frame = frameWithPrev(message, prev);
  const moved = frame.length - message.frame.length;
  const { room, offset, time, key, origin, dataStart, dataEnd } = message;
  return {
    room,
    offset,
    prev,
    time,
    key,
    origin,
    frame,
    dataStart: dataStart + moved,
    dataEnd: dataEnd + moved,
  };
}

const NIL = 0xc0;

/** Whether it takes its key out of the room's state: nil data under a key. */
export function isRemoval({ key, frame, dataStart }: Message): boolean {
  return key !== undefined && frame[dataStart] === NIL;
}

/** Whether data is nil, with which a key is taken out. */
export function isNil(data: Uint8Array): boolean {
  return data[0] === NIL;
}

/** Nil as data. */
export function nil(): Uint8Array {
  return Uint8Array.of(NIL);
}

/** `prev` of a message's frame, where its room and offset are known. */
export function prevOf(frame: Uint8Array, room: RoomName, offset: number): number {
  return readUint(frame, prevStart(room, offset));
}

/** The data as MessagePack bytes: a view, not a copy. */
export function dataOf(message: Message): Uint8Array {
  return message.frame.subarray(message.dataStart, message.dataEnd);
}

// After the array's head, the code, the room (ASCII) and the offset.
function prevStart(room: RoomName, offset: number): number {
  return 2 + textSize(room.length) + uintSize(offset);
}
