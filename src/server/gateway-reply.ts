import { STATUS_CODES } from "node:http";
import type { HttpReply } from "./http-types.js";

/** What of a uWebSockets.js response a reply needs. Throws after the reply was ended or the client went away. */
export interface ReplySocket {
  cork(write: () => void): unknown;
  writeStatus(status: string): unknown;
  writeHeader(name: string, value: string): unknown;
  end(body: Uint8Array | string, closeConnection: boolean): unknown;
  endWithoutBody(contentLength?: number, closeConnection?: boolean): unknown;
  /** Writes what the kernel takes of it, keeps nothing. Second of the result: whether the reply is complete. */
  tryEnd(chunk: Uint8Array, totalBytes: number): [isAllTaken: boolean, isComplete: boolean];
}

export interface ReplyOptions {
  /** The request was HEAD: the body's length is told, the body is not sent. */
  readonly head?: boolean;
  /**
   * Close the connection after the reply; needed where the request's body was not read to its end. After a large
   * reply the client is told to, but not made to.
   */
  readonly close?: boolean;
  /** Of every reply, besides its own. */
  readonly common?: Readonly<Record<string, string>>;
}

/** A header value with one of these would end the header and begin another. */
const UNSAFE = /[\r\n\0]/;

/** Replies up to this size are not refused for lack of memory. */
export const SMALL_REPLY_BYTES = 16_384;

/**
 * Writes as much of a reply as the kernel takes in one system call. Returns the body where some of it is left: the rest
 * is for `tryEnd`, whenever the socket is writable.
 * @throws Error where a header holds a line break; nothing is written then.
 */
export function writeReply(
  res: ReplySocket,
  reply: HttpReply,
  { head = false, close = false, common = {} }: ReplyOptions = {},
): Uint8Array | undefined {
  const headers = [...Object.entries(common), ...Object.entries(reply.headers)];
  for (const [name, value] of headers)
    if (UNSAFE.test(name) || UNSAFE.test(value))
      throw new Error(`reply header ${JSON.stringify(name)} holds a line break`);
  let left: Uint8Array | undefined;
  res.cork(() => {
    res.writeStatus(`${reply.status} ${STATUS_CODES[reply.status] ?? "Unknown"}`);
    for (const [name, value] of headers) res.writeHeader(name, value);
    if (reply.status === 204 || reply.status === 304) res.endWithoutBody();
    else if (head) endHead(res, Buffer.byteLength(reply.body), close);
    else left = writeBody(res, reply.body, close);
  });
  return left;
}

/** `end` keeps what the kernel does not take, so that replies nobody reads would pile up: only for the last one. */
function writeBody(res: ReplySocket, body: Uint8Array | string, close: boolean): Uint8Array | undefined {
  const bytes = typeof body === "string" ? Buffer.from(body) : body;
  if (bytes.length === 0 || (close && bytes.length <= SMALL_REPLY_BYTES)) {
    res.end(bytes, close);
    return undefined;
  }
  // `tryEnd` cannot close.
  if (close) res.writeHeader("Connection", "close");
  const [, isComplete] = res.tryEnd(bytes, bytes.length);
  return isComplete ? undefined : bytes;
}

function endHead(res: ReplySocket, contentLength: number, close: boolean): void {
  if (close) {
    res.endWithoutBody(contentLength, true);
    return;
  }
  // Told the length, this build waits for a body that never comes, and the connection takes no further request.
  res.writeHeader("Content-Length", String(contentLength));
  res.endWithoutBody();
}
