/** What a server said to a handshake. */
export type HandshakeAnswer =
  /** 101; frames begin at `end`. */
  | { readonly kind: "switched"; readonly end: number }
  /** Another status; `retryMs` is what its body asks for, to the millisecond, or its Retry-After, in whole seconds. */
  | { readonly kind: "refused"; readonly status: number; readonly retryMs: number | undefined }
  /** Not HTTP. */
  | { readonly kind: "broken"; readonly why: string }
  /** The head is not whole yet. */
  | { readonly kind: "partial" };

/** A head that is longer is not one of a handshake. */
const HEAD_BYTES_MAX = 16_384;

/** Reads the answer's head, as latin1; a body is of no interest. */
export function parseAnswer(text: string): HandshakeAnswer {
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) {
    if (text.length > HEAD_BYTES_MAX) return { kind: "broken", why: `a head above ${HEAD_BYTES_MAX} bytes` };
    return "HTTP/1.1 ".startsWith(text.slice(0, 9)) ? { kind: "partial" } : broken(text);
  }
  const status = /^HTTP\/1\.1 (\d{3}) /.exec(text);
  if (status === null) return broken(text);
  if (status[1] === "101") return { kind: "switched", end: end + 4 };
  // Rounded up to seconds, a crowd would come back together; the body is one small write with the head.
  const exact = /"retryMs":(\d+)/.exec(text.slice(end));
  const retry = /\r\nretry-after:[ \t]*(\d+(?:\.\d+)?)[ \t]*\r\n/i.exec(text.slice(0, end + 2));
  return {
    kind: "refused",
    status: Number(status[1]),
    retryMs: exact !== null ? Number(exact[1]) : retry === null ? undefined : Number(retry[1]) * 1_000,
  };
}

function broken(text: string): HandshakeAnswer {
  return { kind: "broken", why: `not an HTTP answer: ${JSON.stringify(text.slice(0, 60))}` };
}
