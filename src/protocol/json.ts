import { CodedError } from "./errors.js";
import { type ClientInput, CODE, type ControlFrame } from "./frames.js";
import { dataOf, type Message } from "./message.js";
import { controlElements, messagesWithin } from "./replies.js";
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

/** Encodes a history page, cut as that of `fanwire.v1` is. */
export function encodeHistoryJson(ref: number, reply: HistoryReply): Uint8Array {
  const { epoch, lost } = reply;
  const messages = messagesWithin(reply.messages, (message) => encodeMessageJson(message, 0).length);
  const more = reply.more || messages.length < reply.messages.length;
  const entries = messages.map((message) => {
    const entry = [message.offset, message.time, valueFromData(dataOf(message))];
    return message.key === undefined ? entry : [...entry, message.key];
  });
  return lineOf([CODE.ok, ref, { epoch, messages: entries, more, lost }]);
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
