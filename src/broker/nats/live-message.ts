import type { Msg } from "@nats-io/transport-node";
import { LAST_SEQUENCE, lastNumber, lastValue, SEQUENCE, SUBJECT, TIME_STAMP } from "./message-headers.js";
import type { StoredMessage } from "./stored-message.js";
import { headersOf } from "./stream-reader.js";
import { tokensOf } from "./subjects.js";

/** A message as the server republished it. */
export interface LiveMessage extends StoredMessage {
  /** The number of the one before it on the same subject when it was stored. 0: none was kept. */
  readonly previous: number;
}

/**
 * Undefined: it is not one that a server republished. "misplaced": it was stored under another subject than the one that
 * its live subject stands for.
 * @param storedBegin What the subjects of its stream begin with, up to the room.
 */
export function liveOf(message: Msg, storedBegin: string): LiveMessage | "misplaced" | undefined {
  const { room, key } = tokensOf(message.subject);
  const stored = `${storedBegin}${room}${key === undefined ? "" : `.${key}`}${LINE_END}`;
  return liveIn(message, room, key, stored);
}

/** As {@link liveOf}, of a room whose messages have no key in their subject, which need not be looked at. */
export function liveOfRoom(
  message: Msg,
  roomToken: string,
  storedLine: string,
): LiveMessage | "misplaced" | undefined {
  return liveIn(message, roomToken, undefined, storedLine);
}

/** How the header of a room's stored subject goes on behind its name, for {@link liveOfRoom}. */
export function storedLineOf(storedSubject: string): string {
  return `${storedSubject}${LINE_END}`;
}

function liveIn(
  message: Msg,
  roomToken: string,
  keyToken: string | undefined,
  storedLine: string,
): LiveMessage | "misplaced" | undefined {
  const headers = headersOf(message);
  const sequence = lastNumber(headers, SEQUENCE);
  const previous = lastNumber(headers, LAST_SEQUENCE);
  if (sequence === undefined || previous === undefined || sequence <= previous) return undefined;
  // The server's own is the last; with the space that it writes behind the colon.
  const subject = headers.lastIndexOf(SUBJECT);
  if (subject < 0 || !headers.startsWith(storedLine, subject + SUBJECT.length + 1)) return "misplaced";
  const { data } = message;
  return { sequence, previous, storedMs: storedMs(headers), headers, data, roomToken, keyToken };
}

const LINE_END = "\r\n";

/** What waits must not keep all that the socket read with it in memory. */
export function keepMessage<M extends StoredMessage>(message: M): M {
  return { ...message, data: message.data.slice() };
}

/**
 * A number that tells a message from others, the same whether it came live or was read back: of what its publisher wrote
 * as headers, which has the id of each of fanwire's own, and of how its data begins.
 */
export function markOf({ headers, data }: StoredMessage): number {
  const server = headers.indexOf(SERVER_PART);
  let end = server < 0 ? headers.length : server;
  // The empty line at the end, where nothing of the server follows.
  while (end > 0 && headers.charCodeAt(end - 1) <= SPACE) end -= 1;
  let hash = data.length;
  for (let index = Math.max(HEAD.length, end - MARK_CHARACTERS); index < end; index += 1)
    hash = Math.imul(hash ^ headers.charCodeAt(index), PRIME);
  for (let index = 0; index < MARK_BYTES && index < data.length; index += 1)
    hash = Math.imul(hash ^ (data[index] ?? 0), PRIME);
  return hash >>> 0;
}

const HEAD = "NATS/1.0";
/** The first of what the server appends; what a publisher wrote behind one of its own does not count. */
const SERVER_PART = "\r\nNats-Stream:";
const SPACE = 0x20;
const PRIME = 0x01000193;
/** The end of an id differs. */
const MARK_CHARACTERS = 24;
const MARK_BYTES = 8;

/** Only of foreign messages: ours have a time of their own, and parsing one is dear. */
function storedMs(headers: string): number | undefined {
  if (headers.startsWith(OWN_BLOCK)) return undefined;
  const text = lastValue(headers, TIME_STAMP);
  const time = text === undefined ? Number.NaN : Date.parse(text);
  return Number.isNaN(time) ? undefined : time;
}

const OWN_BLOCK = "NATS/1.0\r\nFw:";
