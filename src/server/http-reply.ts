import { encode } from "@msgpack/msgpack";
import { CodedError, ERROR_STATUS, type ErrorCode } from "../protocol/errors.js";
import type { AnswerFormat } from "./http-format.js";
import type { HttpReply } from "./http-types.js";

/** A coded error whose status is not that of its code, or that needs headers of its own. */
export class HttpError extends CodedError {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    code: ErrorCode,
    message: string,
    headers: Readonly<Record<string, string>> = {},
  ) {
    super(code, message);
    this.status = status;
    this.headers = headers;
  }
}

/** An error as it stands in replies, also as one item's result of a batch. */
export function errorBody({ code, message, retryMs }: CodedError): { readonly error: object } {
  return { error: retryMs === undefined ? { code, message } : { code, message, retryMs } };
}

/** A reply with a plain value as its body. */
export function valueReply(format: AnswerFormat, value: unknown, status = 200): HttpReply {
  return bytesReply(format, format.kind === "json" ? `${JSON.stringify(value)}\n` : encode(value), status);
}

/** A reply whose body is encoded already. */
export function bytesReply(format: AnswerFormat, body: Uint8Array | string, status = 200): HttpReply {
  return {
    status,
    headers: {
      "content-type": format.contentType,
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
    },
    body,
  };
}

/** `{"error": {"code", "message", "retryMs"?}}` with the status of its code; `retry-after` where it has a time. */
export function errorReply(format: AnswerFormat, error: CodedError): HttpReply {
  const status = error instanceof HttpError ? error.status : ERROR_STATUS[error.code];
  const reply = valueReply(format, errorBody(error), status);
  const retry =
    error.retryMs === undefined ? {} : { "retry-after": String(Math.ceil(error.retryMs / 1_000)) };
  const own = error instanceof HttpError ? error.headers : {};
  return { ...reply, headers: { ...reply.headers, ...retry, ...own } };
}
