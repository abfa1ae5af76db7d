/**
 * What is broadcast through peers: text that survives every one of their protocols as it is, so that one client can
 * check what came through any of them: a mark, the message's number, the time it was due, and filler.
 */

const MARK = "#fw";
const MARK_BYTES = Buffer.from(MARK);
const NUMBER_DIGITS = 9;
const DUE_DIGITS = 16;
/** Mark, number and due time. */
export const PAYLOAD_BYTES_MIN = MARK.length + NUMBER_DIGITS + DUE_DIGITS;
const [MARK_0 = 0, MARK_1 = 0, MARK_2 = 0] = MARK_BYTES;
const ZERO = 0x30;

/** Message `number` (from 1), due at a time of the host's clock in µs. @throws RangeError where `bytes` are too few. */
export function payloadOf(number: number, dueMicros: number, bytes: number): Buffer {
  if (bytes < PAYLOAD_BYTES_MIN)
    throw new RangeError(`payloads of ${bytes} bytes; at least ${PAYLOAD_BYTES_MIN}`);
  const head = `${MARK}${digitsOf(number, NUMBER_DIGITS)}${digitsOf(Math.round(dueMicros), DUE_DIGITS)}`;
  return Buffer.from(head.padEnd(bytes, "fanwire-"));
}

/** The number in a payload. */
export function numberOf(payload: Buffer): number {
  return digitsAt(payload, MARK.length, NUMBER_DIGITS);
}

/** Told of each message found. */
export type OnPayload = (number: number, dueMicros: number) => void;

/**
 * Finds the messages in one connection's stream, whatever frames and packets are around them, also where one is
 * split over two reads. Within a read the next one is looked for at the distance of the last two first.
 */
export class PayloadScanner {
  #rest: Buffer | undefined;

  /** Reads `bytes[start, end)`, which are valid during the call only. */
  feed(bytes: Buffer, start: number, end: number, onPayload: OnPayload): void {
    if (this.#rest === undefined) {
      const used = scan(bytes, start, end, onPayload);
      if (used < end) this.#rest = Buffer.from(bytes.subarray(used, end));
      return;
    }
    const joined = Buffer.concat([this.#rest, bytes.subarray(start, end)]);
    const used = scan(joined, 0, joined.length, onPayload);
    this.#rest = used < joined.length ? Buffer.from(joined.subarray(used)) : undefined;
  }
}

/** Returns up to where nothing that follows can change what was found. */
function scan(bytes: Buffer, start: number, end: number, onPayload: OnPayload): number {
  let stride = 0;
  let last = -1;
  let at = start;
  while (end - at >= PAYLOAD_BYTES_MIN) {
    const guess = last + stride;
    const found = last >= 0 && guess >= at && isMark(bytes, guess) ? guess : bytes.indexOf(MARK_BYTES, at);
    if (found < 0 || found >= end) return afterNothing(bytes, at, end);
    if (end - found < PAYLOAD_BYTES_MIN) return found;
    const number = digitsAt(bytes, found + MARK.length, NUMBER_DIGITS);
    const due = digitsAt(bytes, found + MARK.length + NUMBER_DIGITS, DUE_DIGITS);
    onPayload(number, due);
    if (last >= 0) stride = found - last;
    last = found;
    at = found + PAYLOAD_BYTES_MIN;
  }
  return afterNothing(bytes, at, end);
}

/** There is no whole mark from `at` on; one may have begun in the last bytes. */
function afterNothing(bytes: Buffer, at: number, end: number): number {
  for (let place = Math.max(at, end - PAYLOAD_BYTES_MIN + 1); place < end; place++)
    if (bytes[place] === MARK_0) return place;
  return end;
}

function isMark(bytes: Buffer, at: number): boolean {
  return bytes[at] === MARK_0 && bytes[at + 1] === MARK_1 && bytes[at + 2] === MARK_2;
}

function digitsAt(bytes: Buffer, at: number, digits: number): number {
  let value = 0;
  for (let place = at; place < at + digits; place++) value = value * 10 + (bytes[place] ?? 0) - ZERO;
  return value;
}

function digitsOf(value: number, digits: number): string {
  return String(value).padStart(digits, "0");
}
