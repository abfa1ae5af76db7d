import { encode } from "@msgpack/msgpack";
import { dataOf, type Message } from "../protocol/message.js";
import { jsonFromData } from "../protocol/transcode.js";
import { uintSize, writeUint } from "../protocol/uint.js";
import type { BodyKind } from "./http-format.js";

/** Messages with what stands around them. */
export interface Page {
  /** Fields before the messages; undefined ones are left out. */
  readonly head: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly messages: readonly Message[];
  readonly more: boolean;
}

/** One reply's messages stay within this, one message at the least: neither side should hold a whole history at once. */
const PAGE_BYTES_MAX = 1_048_576;

/** Around a message's key and data: heads, offset and time. */
const ENTRY_BYTES = 20;

/**
 * Encodes `{...head, more, messages: [[offset, time, data, key?]]}`. A page that is too long is cut, and `more` is
 * then true. In MessagePack the messages' data are copied as the bytes they came as.
 */
export function encodePage(kind: BodyKind, page: Page): Uint8Array | string {
  const messages = fitting(page.messages);
  const head = { ...page.head, more: page.more || messages.length < page.messages.length };
  return kind === "json" ? jsonPage(head, messages) : msgpackPage(head, messages);
}

function fitting(messages: readonly Message[]): readonly Message[] {
  let left = PAGE_BYTES_MAX;
  const end = messages.findIndex((message, i) => {
    left -= message.frame.length - message.dataStart + ENTRY_BYTES;
    return left < 0 && i > 0;
  });
  return end < 0 ? messages : messages.slice(0, end);
}

function jsonPage(head: Page["head"], messages: readonly Message[]): string {
  const entries = messages.map((message) => {
    const { offset, time, key } = message;
    const last = key === undefined ? "" : `,${JSON.stringify(key)}`;
    return `[${offset},${time},${jsonFromData(dataOf(message))}${last}]`;
  });
  return `${JSON.stringify(head).slice(0, -1)},"messages":[${entries.join(",")}]}\n`;
}

function msgpackPage(head: Page["head"], messages: readonly Message[]): Uint8Array {
  // Ends with the empty array, for which the real one is put.
  const outline = encode({ ...head, messages: [] }, { ignoreUndefined: true }).subarray(0, -1);
  const array = new Uint8Array([0xdd, 0, 0, 0, 0]);
  new DataView(array.buffer).setUint32(1, messages.length);
  return Buffer.concat([outline, array, ...messages.flatMap(entryOf)]);
}

/** `[offset, time, data, key?]`; data and key stand at the end of the message's frame just so. */
function entryOf({ offset, time, key, frame, dataStart }: Message): [Uint8Array, Uint8Array] {
  const head = new Uint8Array(1 + uintSize(offset) + uintSize(time));
  head[0] = key === undefined ? 0x93 : 0x94;
  writeUint(head, writeUint(head, 1, offset), time);
  return [head, frame.subarray(dataStart)];
}
