import { CodedError } from "./errors.js";
import { type ClientInput, CODE, type ControlFrame } from "./frames.js";
import { dataOf, type Message } from "./message.js";
import { controlElements, PAGE_BYTES } from "./replies.js";
import { decodeClient, tooManyValues } from "./requests.js";
import { utf8Bytes, utf8Text } from "./text.js";
import { encodeJson, jsonable, parseJson, valueFromData } from "./transcode.js";
import type { DecodeLimits, HistoryReply } from "./wire.js";

/**
 * Decodes one WebSocket message of a client that speaks `fanwire.v1.json`: one value a line, empty lines count for
 * nothing. Each is made MessagePack first, so that both sub-protocols have the same rules and limits.
 * @throws CodedError as {@link decodeClient}, and `bad_request` where a line is not JSON.
 */
export function decodeClientJson(payload: Uint8Array, limits: DecodeLimits): ClientInput[] {
  const lines = linesOf(payload);
  if (lines.length > limits.values) throw tooManyValues(limits.values);
  return lines.flatMap((line) => decodeClient(encodeJson(parseJson(line)), limits));
}

/** Encodes what a server sends besides messages and history pages. Every value ends its line. */
export function encodeControlJson(frame: ControlFrame): Uint8Array {
  return lineOf(controlElements(frame));
}

/** Encodes a message's frame; bytes in its data become base64 text. */
export function encodeMessageJson(message: Message, prev: number): Uint8Array {
  const { room, offset, time, key } = message;
  const elements = [CODE.message, room, offset, prev, time, valueFromData(dataOf(message))];
  return lineOf(key === undefined ? elements : [...elements, key]);
}

/** Encodes a history page, cut as that of `fanwire.v1` is. Each message is encoded once. */
export function encodeHistoryJson(ref: number, reply: HistoryReply): Uint8Array {
  const { epoch, lost } = reply;
  const entries: Uint8Array[] = [];
  let bytes = 0;
  for (const message of reply.messages) {
    const entry = [message.offset, message.time, valueFromData(dataOf(message))];
    const text = JSON.stringify(jsonable(message.key === undefined ? entry : [...entry, message.key]));
    const encoded = utf8Bytes(entries.length === 0 ? text : `,${text}`);
    bytes += encoded.length;
    if (bytes > PAGE_BYTES && entries.length > 0) break;
    entries.push(encoded);
  }
  const more = reply.more || entries.length < reply.messages.length;
  const around = JSON.stringify([CODE.ok, ref, { epoch, messages: [], more, lost }]);
  // Quotes within the epoch are escaped, so this is the field.
  const at = around.indexOf('"messages":[]') + '"messages":['.length;
  return joined([utf8Bytes(around.slice(0, at)), ...entries, utf8Bytes(`${around.slice(at)}\n`)]);
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((bytes, part) => bytes + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function lineOf(elements: readonly unknown[]): Uint8Array {
  return utf8Bytes(`${JSON.stringify(jsonable(elements))}\n`);
}

function linesOf(payload: Uint8Array): string[] {
  let text: string;
  try {
    text = utf8Text(payload);
  } catch {
    throw new CodedError("bad_request", "the text is not valid UTF-8");
  }
  return text.split("\n").filter((line) => line.trim() !== "");
}
