import type { Msg } from "@nats-io/transport-node";
import type { Linked } from "./chain.js";
import { LAST_SEQUENCE, lastNumber, lastValue, SEQUENCE, TIME_STAMP } from "./message-headers.js";
import type { StoredMessage } from "./stored-message.js";
import { headersOf } from "./stream-reader.js";
import { tokensOf } from "./subjects.js";

/** A message as the server republished it. */
export interface LiveMessage extends StoredMessage, Linked {}

/** Of one room, whose subject need not be looked at. Undefined: it is not one that a server republished. */
export function liveOfRoom(message: Msg, roomToken: string): LiveMessage | undefined {
  const headers = headersOf(message);
  const sequence = lastNumber(headers, SEQUENCE);
  const previous = lastNumber(headers, LAST_SEQUENCE);
  if (sequence === undefined || previous === undefined || sequence <= previous) return undefined;
  const { data } = message;
  return { sequence, previous, storedMs: storedMs(headers), headers, data, roomToken, keyToken: undefined };
}

/** Of a stream that is followed whole: its numbers have no holes, so the one before is known. */
export function liveOfStream(message: Msg): LiveMessage | undefined {
  const headers = headersOf(message);
  const sequence = lastNumber(headers, SEQUENCE);
  if (sequence === undefined || sequence === 0) return undefined;
  const { room, key } = tokensOf(message.subject);
  return {
    sequence,
    previous: sequence - 1,
    storedMs: storedMs(headers),
    headers,
    data: message.data,
    roomToken: room,
    keyToken: key,
  };
}

/** Only of foreign messages: ours have a time of their own, and parsing one is dear. */
function storedMs(headers: string): number | undefined {
  if (headers.startsWith(OWN_BLOCK)) return undefined;
  const text = lastValue(headers, TIME_STAMP);
  const time = text === undefined ? Number.NaN : Date.parse(text);
  return Number.isNaN(time) ? undefined : time;
}

const OWN_BLOCK = "NATS/1.0\r\nFw:";
