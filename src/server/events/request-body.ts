import { CodedError } from "../../protocol/errors.js";
import { valueEnd } from "../../protocol/value.js";

/** Requests for as many rooms as a connection may follow by default, with long names and positions. */
export const BODY_BYTES_MAX = 262_144;

/** The body of a request while it comes, bounded. */
export class RequestBody {
  #bytes = new Uint8Array(0);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** The chunk may be gone after the call. @throws CodedError `too_large` */
  add(chunk: ArrayBuffer): void {
    const length = this.#length + chunk.byteLength;
    if (length > BODY_BYTES_MAX)
      throw new CodedError("too_large", `the requests have more than ${BODY_BYTES_MAX} bytes together`);
    if (length > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(length, this.#bytes.length * 2));
      grown.set(this.bytes);
      this.#bytes = grown;
    }
    this.#bytes.set(new Uint8Array(chunk), this.#length);
    this.#length = length;
  }
}

/**
 * Cuts requests that come back to back (MessagePack, or JSON a line each) into what WebSocket messages of at most so many bytes would hold.
 * @throws CodedError `bad_request` where they are no whole values, `too_large` where one alone has more bytes.
 */
export function messagesOf(body: Uint8Array, isBinary: boolean, bytesMax: number): Uint8Array[] {
  const messages: Uint8Array[] = [];
  let start = 0;
  for (let at = 0; at < body.length; ) {
    const end = isBinary ? endOfValue(body, at) : endOfLine(body, at);
    if (end - at > bytesMax)
      throw new CodedError("too_large", `a request has ${end - at} bytes, at most ${bytesMax} are allowed`);
    if (end - start > bytesMax) {
      messages.push(body.slice(start, at));
      start = at;
    }
    at = end;
  }
  if (start < body.length) messages.push(body.slice(start));
  return messages;
}

function endOfValue(body: Uint8Array, at: number): number {
  try {
    return valueEnd(body, at);
  } catch {
    throw new CodedError("bad_request", `at byte ${at} of the body is no whole MessagePack value`);
  }
}

function endOfLine(body: Uint8Array, at: number): number {
  const end = body.indexOf(10, at);
  return end < 0 ? body.length : end + 1;
}
