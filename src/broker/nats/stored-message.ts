import { CodedError } from "../../protocol/errors.js";
import type { RoomName } from "../../protocol/room-name.js";
import { utf8Length } from "../../protocol/text.js";
import { checkData, type DataLimits, dataFromJson } from "../../protocol/transcode.js";
import { type HeaderText, publisherHeaders } from "./message-headers.js";
import { decodeKey } from "./subjects.js";

/** A message as it came from NATS, live or read back. */
export interface StoredMessage {
  /** Its number in the stream, the room's offset. */
  readonly sequence: number;
  /** When the server stored it, in milliseconds since 1970; undefined where it did not say. */
  readonly storedMs: number | undefined;
  /** "" where it has none. */
  readonly headers: HeaderText;
  readonly data: Uint8Array;
  /** The room in its subject. */
  readonly roomToken: string;
  /** The key in its subject, in a keyed set, else undefined. */
  readonly keyToken: string | undefined;
}

/** What a message is made of besides its place in the room. */
export interface Content {
  readonly room: RoomName;
  readonly time: number;
  readonly data: Uint8Array;
  readonly key: string | undefined;
  readonly origin: string | undefined;
}

export interface ContentLimits extends DataLimits {
  readonly keyBytes: number;
}

export interface ContentCounters {
  /** Messages whose data was not what they said it is, delivered as bytes. */
  invalidData: number;
  /** Messages whose key was not valid or too long, delivered without it or by its token. */
  invalidKeys: number;
}

/**
 * The content of a message that anybody may have published: nothing in it is believed. Data that is not the MessagePack
 * or JSON that it should be becomes a MessagePack binary of the same bytes. Never throws for what is in the message.
 * @param nowMs Stands in for the time where neither publisher nor server said one: a foreign message, live, on 2.9.
 */
export function contentOf(
  room: RoomName,
  message: StoredMessage,
  limits: ContentLimits,
  counters: ContentCounters,
  nowMs: number,
): Content {
  const own = publisherHeaders(message.headers);
  return {
    room,
    time: own.time ?? message.storedMs ?? nowMs,
    data: dataOf(message.data, own.msgpack, limits, counters),
    key: keyOf(own.key, message.keyToken, limits, counters),
    origin: own.origin,
  };
}

function dataOf(
  bytes: Uint8Array,
  msgpack: boolean,
  limits: ContentLimits,
  counters: ContentCounters,
): Uint8Array {
  try {
    return msgpack ? checkData(bytes, limits) : dataFromJson(bytes, limits);
  } catch (cause) {
    if (!(cause instanceof CodedError)) throw cause;
    counters.invalidData += 1;
    return binaryOf(bytes);
  }
}

function keyOf(
  named: string | undefined,
  token: string | undefined,
  { keyBytes }: ContentLimits,
  counters: ContentCounters,
): string | undefined {
  let key = named;
  if (token !== undefined) {
    const decoded = decodeKey(token);
    if (decoded === "none") return undefined;
    if (decoded === "bad") counters.invalidKeys += 1;
    // The subject is what the server keeps the latest message of: a token that stands for no key is its own.
    if (decoded === "bad" || (decoded === "hashed" && key === undefined)) key = token;
    else if (decoded !== "hashed") key = decoded.key;
  }
  if (key === undefined || utf8Length(key) <= keyBytes) return key;
  counters.invalidKeys += 1;
  return undefined;
}

/** The bytes as one MessagePack value. */
export function binaryOf(bytes: Uint8Array): Uint8Array {
  const length = bytes.length;
  const head =
    length < 0x100
      ? [0xc4, length]
      : length < 0x1_0000
        ? [0xc5, length >> 8, length & 0xff]
        : [0xc6, length >>> 24, (length >> 16) & 0xff, (length >> 8) & 0xff, length & 0xff];
  const value = new Uint8Array(head.length + length);
  value.set(head);
  value.set(bytes, head.length);
  return value;
}
