import { STATUS_CODES } from "node:http";
import type { HttpReply } from "./http-types.js";

/** What of a uWebSockets.js response a reply needs. Throws after the reply was ended or the client went away. */
export interface ReplySocket {
  cork(write: () => void): unknown;
  writeStatus(status: string): unknown;
  writeHeader(name: string, value: string): unknown;
  end(body: Uint8Array | string, closeConnection: boolean): unknown;
  endWithoutBody(contentLength?: number, closeConnection?: boolean): unknown;
}

export interface ReplyOptions {
  /** The request was HEAD: the body's length is told, the body is not sent. */
  readonly head?: boolean;
  /** Close the connection after the reply; needed where the request's body was not read to its end. */
  readonly close?: boolean;
}

/** A header value with one of these would end the header and begin another. */
const UNSAFE = /[\r\n\0]/;

/** Writes a whole reply in one system call. @throws Error where a header holds a line break; nothing is written then. */
export function writeReply(
  res: ReplySocket,
  reply: HttpReply,
  { head = false, close = false }: ReplyOptions = {},
): void {
  const headers = Object.entries(reply.headers);
  for (const [name, value] of headers)
    if (UNSAFE.test(name) || UNSAFE.test(value))
      throw new Error(`reply header ${JSON.stringify(name)} holds a line break`);
  res.cork(() => {
    res.writeStatus(`${reply.status} ${STATUS_CODES[reply.status] ?? "Unknown"}`);
    for (const [name, value] of headers) res.writeHeader(name, value);
    if (reply.status === 204 || reply.status === 304) res.endWithoutBody();
    else if (head) endHead(res, Buffer.byteLength(reply.body), close);
    else res.end(reply.body, close);
  });
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
