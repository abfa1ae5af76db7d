import { percentDecode, percentEncode } from "./subjects.js";

/**
 * Headers of messages, read by searching the block as text: parsing it into a map costs more than all else that is
 * done for a message. Two kinds count:
 *
 * - What the server appends when it republishes or answers a read (`Nats-Sequence`, `Nats-Last-Sequence`,
 *   `Nats-Time-Stamp`, `Nats-Subject`). It stands behind whatever the publisher wrote, so the last of a name is the
 *   server's and a publisher cannot forge it.
 * - What publishers write: fanwire's own `Fw: TIME;ORIGIN;KEY` (milliseconds since 1970 in base 36, the rest percent
 *   encoded, empty where there is none, an empty key `%`), which says that the data is MessagePack. Anybody else may
 *   write `Content-Type: application/msgpack` (JSON without it) and `Fw-Key: KEY`, percent encoded.
 */
export type HeaderText = string;

/** A block of headers as text. Each byte becomes one character; no value that counts has others than ASCII. */
export function headerText(block: Uint8Array): HeaderText {
  return Buffer.from(block.buffer, block.byteOffset, block.byteLength).toString("latin1");
}

/** The number in the last header of this name; undefined where there is none. `name` begins with CRLF and ends with a colon. */
export function lastNumber(text: HeaderText, name: string): number | undefined {
  const at = text.lastIndexOf(name);
  if (at < 0) return undefined;
  let index = at + name.length;
  if (text.charCodeAt(index) === SPACE) index += 1;
  let value = 0;
  const start = index;
  for (; ; index += 1) {
    const digit = text.charCodeAt(index) - ZERO;
    if (!(digit >= 0 && digit <= 9)) break;
    value = value * 10 + digit;
  }
  return index === start || !Number.isSafeInteger(value) ? undefined : value;
}

/** The value of the last header of this name. */
export function lastValue(text: HeaderText, name: string): string | undefined {
  return valueAt(text, text.lastIndexOf(name), name);
}

export const SEQUENCE = "\r\nNats-Sequence:";
export const LAST_SEQUENCE = "\r\nNats-Last-Sequence:";
export const TIME_STAMP = "\r\nNats-Time-Stamp:";
export const SUBJECT = "\r\nNats-Subject:";

/** What a publisher said of its message. */
export interface PublisherHeaders {
  /** Milliseconds since 1970. Undefined: not one of fanwire's own. */
  readonly time: number | undefined;
  readonly origin: string | undefined;
  readonly key: string | undefined;
  readonly msgpack: boolean;
}

/** Reads what a publisher wrote; what is not valid is as if it were not there. */
export function publisherHeaders(text: HeaderText): PublisherHeaders {
  if (text === "") return FOREIGN;
  const own = valueAt(text, text.indexOf(OWN), OWN);
  if (own !== undefined) {
    const [time = "", origin = "", key = "", more] = own.split(";");
    const milliseconds = /^[0-9a-z]{1,11}$/.test(time) ? Number.parseInt(time, 36) : Number.NaN;
    if (more === undefined && Number.isSafeInteger(milliseconds))
      return {
        time: milliseconds,
        origin: origin === "" ? undefined : percentDecode(origin),
        key: keyOf(key),
        msgpack: true,
      };
  }
  const type = valueAt(text, text.search(CONTENT_TYPE), CONTENT_TYPE_NAME) ?? "";
  const key = valueAt(text, text.search(FOREIGN_KEY), FOREIGN_KEY_NAME) ?? "";
  return { time: undefined, origin: undefined, key: keyOf(key), msgpack: /msgpack/i.test(type) };
}

/** What fanwire writes when it publishes. */
export interface OwnHeaders {
  readonly time: number;
  readonly origin: string | undefined;
  /** Undefined also where the subject says it. */
  readonly key: string | undefined;
  /** The server stores one message of an id. Undefined: it does not look at that, as where nothing is stored. */
  readonly id: string | undefined;
}

/** The whole block, of ASCII. So must the id be, without line breaks. */
export function ownHeaders({ time, origin, key, id }: OwnHeaders): HeaderText {
  const who = origin === undefined ? "" : percentEncode(origin);
  const what = key === undefined ? "" : key === "" ? EMPTY_KEY : percentEncode(key);
  const last = id === undefined ? "" : `\r\nNats-Msg-Id: ${id}`;
  return `NATS/1.0${OWN} ${time.toString(36)};${who};${what}${last}\r\n\r\n`;
}

const OWN = "\r\nFw:";
const CONTENT_TYPE = /\r\nContent-Type:/i;
const CONTENT_TYPE_NAME = "\r\nContent-Type:";
const FOREIGN_KEY = /\r\nFw-Key:/i;
const FOREIGN_KEY_NAME = "\r\nFw-Key:";
const EMPTY_KEY = "%";
const SPACE = 0x20;
const ZERO = 0x30;

const FOREIGN: PublisherHeaders = Object.freeze({
  time: undefined,
  origin: undefined,
  key: undefined,
  msgpack: false,
});

function keyOf(value: string): string | undefined {
  if (value === "") return undefined;
  return value === EMPTY_KEY ? "" : percentDecode(value);
}

function valueAt(text: HeaderText, at: number, name: string): string | undefined {
  if (at < 0) return undefined;
  const start = at + name.length;
  const end = text.indexOf("\r\n", start);
  return text.slice(start, end < 0 ? text.length : end).trim();
}
