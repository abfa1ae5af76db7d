/**
 * Every error code of the protocol, with the HTTP status that carries it. Nobody matches message text:
 * the code is stable, the text is for people and says what was wrong and what is allowed.
 */
export const ERROR_STATUS = {
  bad_request: 400,
  unauthenticated: 401,
  forbidden: 403,
  room_invalid: 400,
  too_large: 413,
  rate_limited: 429,
  too_many_rooms: 429,
  unavailable: 503,
  timeout: 504,
  internal: 500,
} as const;

export type ErrorCode = keyof typeof ERROR_STATUS;

/** Every WebSocket close code that fanwire sends, and what a client does next. */
export const CLOSE_CODES = {
  1001: { meaning: "the server goes away", reconnect: "after the goaway delay" },
  1012: { meaning: "the server restarts", reconnect: "after the goaway delay" },
  1011: { meaning: "the server failed in handling this connection", reconnect: "with backoff" },
  4400: { meaning: "broken protocol", reconnect: "no" },
  4401: { meaning: "not authenticated, token expired or revoked", reconnect: "with a fresh token" },
  4403: { meaning: "not allowed", reconnect: "no" },
  4408: { meaning: "too slow for too long", reconnect: "with backoff, resuming" },
  4429: { meaning: "too many messages or connections", reconnect: "with backoff" },
  4503: { meaning: "shedding load", reconnect: "after the delay given" },
} as const;

export type CloseCode = keyof typeof CLOSE_CODES;

/** The only error that leaves protocol code, and the only one a client is shown. */
export class CodedError extends Error {
  readonly code: ErrorCode;
  /** When to try again, in milliseconds from now; undefined where trying again does not help. */
  readonly retryMs: number | undefined;

  constructor(code: ErrorCode, message: string, retryMs?: number) {
    super(message);
    this.name = "CodedError";
    this.code = code;
    this.retryMs = retryMs;
  }
}

/** Any thrown value as a coded one; what is not coded is a bug of ours and says no more than `internal`. */
export function toCodedError(cause: unknown): CodedError {
  return cause instanceof CodedError ? cause : new CodedError("internal", "internal error");
}
