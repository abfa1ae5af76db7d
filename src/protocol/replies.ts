import { Encoder } from "@msgpack/msgpack";
import { CHUNK_BYTES, CODE, type ControlFrame } from "./frames.js";
import type { Message } from "./message.js";
import { uintSize, writeUint } from "./uint.js";
import type { HistoryReply } from "./wire.js";

/** Bytes of messages in a history page; what stands around them takes less than the rest of a chunk. */
export const PAGE_BYTES = CHUNK_BYTES - 256;

// One for all, since a new one makes room for 2 KB each time. What it returns is a copy of the exact length.
const encoder = new Encoder({ ignoreUndefined: true });

/** Encodes what a server sends besides messages and history pages. */
export function encodeControl(frame: ControlFrame): Uint8Array {
  return encoder.encode(controlElements(frame));
}

/** The frame's elements, as they stand on the wire of either sub-protocol. */
export function controlElements(frame: ControlFrame): unknown[] {
  switch (frame.type) {
    case "welcome": {
      const { session, node, pingMs, maxBytes } = frame;
      return [CODE.welcome, { session, node, pingMs, maxBytes }];
    }
    case "ok":
      return frame.result === undefined ? [CODE.ok, frame.ref] : [CODE.ok, frame.ref, frame.result];
    case "error": {
      const elements = [CODE.error, frame.ref, frame.code, frame.text];
      if (frame.room !== undefined) return [...elements, frame.retryMs ?? null, frame.room];
      return frame.retryMs === undefined ? elements : [...elements, frame.retryMs];
    }
    case "patternEnded":
      return [CODE.error, 0, frame.code, frame.text, frame.retryMs ?? null, frame.pattern];
    case "live":
      return [CODE.live, frame.room, frame.offset];
    case "lagged":
      return [CODE.lagged];
    case "reset":
      return [CODE.reset, frame.room, frame.epoch, frame.offset, frame.reason];
    case "patternReset":
      return [CODE.reset, frame.pattern, "", 0, frame.reason];
    case "members": {
      const elements = [CODE.members, frame.room, frame.count, frame.joined, frame.left];
      return frame.list === undefined ? elements : [...elements, frame.list];
    }
    case "rate":
      return [CODE.rate, frame.room, frame.rate];
    case "goaway":
      return [CODE.goaway, frame.reason, frame.delayMs];
  }
}

/**
 * Encodes `ok ref {epoch, messages, more, lost?}` with the messages' data spliced as bytes. A page that would pass
 * {@link CHUNK_BYTES} is cut there, one message at the least, and `more` is then true.
 */
export function encodeHistory(ref: number, reply: HistoryReply): Uint8Array {
  const messages = messagesWithin(reply.messages);
  const cut = messages.length < reply.messages.length;
  const head = encoder.encode({
    epoch: reply.epoch,
    more: reply.more || cut,
    lost: reply.lost,
    messages: [],
  });
  // The head ends with the empty array, for which the real one is put.
  const fixed = 2 + uintSize(ref) + head.length - 1 + 3;
  const out = new Uint8Array(messages.reduce((size, message) => size + entrySize(message), fixed));
  out[0] = 0x93;
  out[1] = CODE.ok;
  let at = writeUint(out, 2, ref);
  out.set(head, at);
  at += head.length - 1;
  out[at] = 0xdc;
  out[at + 1] = messages.length >>> 8;
  out[at + 2] = messages.length;
  at += 3;
  for (const message of messages) at = writeEntry(out, at, message);
  return out;
}

// The first of the messages, as many as stay within a page and one at the least.
function messagesWithin(messages: readonly Message[]): readonly Message[] {
  let left = PAGE_BYTES;
  let count = 0;
  for (const message of messages) {
    left -= entrySize(message);
    if (left < 0 && count > 0) break;
    count++;
  }
  return count === messages.length ? messages : messages.slice(0, count);
}

// `[offset, time, data, key?]`; the key is all that stands after the data, in the message's frame as well.
function entrySize(message: Message): number {
  return 1 + uintSize(message.offset) + uintSize(message.time) + message.frame.length - message.dataStart;
}

function writeEntry(out: Uint8Array, start: number, message: Message): number {
  out[start] = message.key === undefined ? 0x93 : 0x94;
  const at = writeUint(out, writeUint(out, start + 1, message.offset), message.time);
  out.set(message.frame.subarray(message.dataStart), at);
  return at + message.frame.length - message.dataStart;
}
